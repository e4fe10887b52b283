//! `cargo xtask api`: the public API of every published library as text, so that a review sees it change.
//!
//! rustdoc says what is public ([`rustdoc`]), [`listing`] makes it one line an item, and [`difference`] shows what
//! changed. The texts stand in `docs/api`, outside the packages.

mod difference;
mod listing;
pub(crate) mod rustdoc;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Package, TargetKind};

use self::listing::{Library, Paths};
use crate::docs;
use crate::workspace::Workspace;

/// Where the texts stand, relative to the root.
pub(crate) const FOLDER: &str = "docs/api";
/// Lines shown of one library that changed.
const SHOWN: usize = 20;

/// Compare the public API of each library with its text in docs/api.
///
/// One line an item, with all features: what is re-exported, fields, variants, signatures, traits. A change is shown line
/// by line and fails, so that it is meant: `cargo xtask tidy --bless` writes the texts anew, and whoever reviews the change
/// sees them. Words in the docs are no change.
///
/// Compares with the Rust that the workspace names in `rust-version`; another one prints types in its own way, so with that
/// it says so and compares nothing. It is part of `cargo xtask ci`, which has built the documentation by then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing changed or nothing compared, 1 the API changed, 2 bad command line."
)]
pub(crate) struct Args {
    /// Write the texts anew, as `cargo xtask tidy --bless` does
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    if let Some(why) = rustdoc::other_toolchain(&workspace)? {
        anstream::eprintln!("api: not compared: {why}");
        return Ok(());
    }
    if args.bless { bless(&workspace) } else { check(&workspace) }
}

/// Compares what the sources say with what is written down.
///
/// # Errors
/// With the lines that came and went, and how to accept them.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut changes = String::new();
    let texts = texts(workspace)?;
    for (file, text) in &texts {
        let written = fs::read_to_string(workspace.root.join(file)).unwrap_or_default();
        if let Some(change) = difference::between(&written, text, SHOWN) {
            _ = write!(changes, "\n{file}: {change}");
        }
    }
    if !changes.is_empty() {
        bail!(
            "the public API is not what {FOLDER} says:{changes}\nIf that is meant: `cargo xtask tidy --bless`, and a \
             line in CHANGELOG.md, with what to write instead where something went"
        );
    }
    let are = if texts.len() == 1 { "library is" } else { "libraries are" };
    anstream::eprintln!("api: {} {are} what {FOLDER} says", texts.len());
    Ok(())
}

/// Writes every text anew; those of libraries that are gone are removed.
pub(crate) fn bless(workspace: &Workspace) -> Result<()> {
    let texts = texts(workspace)?;
    let folder = workspace.root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_kept = texts.iter().any(|(file, _)| workspace.root.join(file) == path);
        if !is_kept && path.extension().is_some_and(|extension| extension == "txt") {
            fs::remove_file(&path)?;
        }
    }
    for (file, text) in &texts {
        fs::write(workspace.root.join(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    anstream::eprintln!("api: {} texts are written to {FOLDER}", texts.len());
    Ok(())
}

/// The file of every library that others can depend on, sorted.
pub(crate) fn files(workspace: &Workspace) -> Vec<String> {
    published(workspace).iter().map(|(package, _)| file_of(package)).collect()
}

fn file_of(package: &str) -> String {
    format!("{FOLDER}/{package}.txt")
}

/// Each file, and what should stand in it.
fn texts(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let libraries = documented(workspace)?;
    let mut paths = Paths::default();
    for library in &libraries {
        paths.learn(library);
    }
    let published = published(workspace);
    let named = published.iter().zip(&libraries);
    Ok(named
        .map(|((package, _), library)| {
            let lines = library.lines(&paths).join("\n");
            let head = "with all features. `cargo xtask tidy --bless` writes this file.";
            (file_of(package), format!("# The public API of {package}, {head}\n{lines}\n"))
        })
        .collect())
}

/// Builds the documentation and reads what lies beside it.
fn documented(workspace: &Workspace) -> Result<Vec<Library>> {
    docs::build_api(workspace, false)?;
    let published = published(workspace);
    let doc = workspace.target().join("doc");
    let json = |library: &str| -> PathBuf { doc.join(library).with_extension("json") };
    // Someone removed only that: cargo looks at the pages alone, so they have to go as well.
    let lost: Vec<&String> = published.iter().map(|(_, l)| l).filter(|l| !json(l).is_file()).collect();
    for library in &lost {
        fs::remove_dir_all(doc.join(library)).with_context(|| format!("{library} has no documentation"))?;
    }
    if !lost.is_empty() {
        docs::build_api(workspace, false)?;
    }
    published.iter().map(|(_, library)| Library::read(library, &json(library))).collect()
}

/// Package and library name of each crate that is published and can be imported.
fn published(workspace: &Workspace) -> Vec<(String, String)> {
    let public = |package: &&Package| package.publish.as_ref().is_none_or(|to| !to.is_empty());
    let named = workspace.crates().into_iter().filter(public).filter_map(|package| {
        let library = package.targets.iter().find(|target| target.kind.contains(&TargetKind::Lib))?;
        Some((package.name.to_string(), library.name.replace('-', "_")))
    });
    named.collect()
}
