//! `cargo xtask docs`: the book, its pictures and the API documentation, as strictly as the check has them.
//!
//! [`book`] looks at the pages, [`builder`] makes HTML of them. [`pipeline`] and [`floors`] draw the pictures, with [`svg`]
//! as the pencil and [`layers`] to say where boxes stand.

mod book;
mod builder;
mod floors;
mod layers;
mod markdown;
mod pipeline;
mod svg;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::api::rustdoc;
use crate::features::Features;
use crate::tidy::Finding;
use crate::workspace::{Workspace, cargo};

/// Check and build the book and the API documentation, warnings denied.
///
/// Every page under docs/ is in the book, every relative link of a page or a README leads to a file and a heading that exist,
/// Rust in the book is compiled by some crate's examples, and the generated pictures are those of the code. Then mdBook makes the book in target/book, where it is installed;
/// where it is not, this says so and goes on. Last, rustdoc: a broken link or a code block of no known language fails.
///
/// Use it after touching a page or doc comments. `--bless` writes the pictures and docs/configuration.md anew; the latter is
/// compared with the settings by a test of infer-gateway.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Exit codes: 0 in order, 1 something is wrong and was named, 2 bad command line.")]
pub(crate) struct Args {
    /// Write what is generated anew before checking
    #[arg(long)]
    bless: bool,
    /// Install mdBook below the target folder where it is missing
    #[arg(long)]
    install: bool,
    /// Stop after this part: the pages take a second, the API documentation minutes
    #[arg(long, value_name = "PART", conflicts_with = "open")]
    only: Option<Part>,
    /// Open the API documentation in a browser
    #[arg(long)]
    open: bool,
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Check pages and pictures
    Pages,
    /// Check them, and build the book
    Book,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    if args.bless {
        bless(&workspace)?;
    }
    check(&workspace)?;
    if args.only == Some(Part::Pages) {
        return Ok(());
    }
    build_book(&workspace, args.install)?;
    if args.only == Some(Part::Book) { Ok(()) } else { build_api(&workspace, args.open) }
}

/// Builds the book and the API documentation of pages that were checked.
///
/// # Errors
/// When a tool complains.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    build_book(workspace, false)?;
    build_api(workspace, false)
}

/// Writes the pages of every member's API, and beside them what [`crate::api`] reads.
pub(crate) fn build_api(workspace: &Workspace, open: bool) -> Result<()> {
    let shell = workspace.shell()?;
    let given = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    let flags = format!("{given} -D warnings");
    let flags = flags.trim();
    let command = cargo(&shell).args(["doc", "--no-deps", "--workspace"]);
    let command = command.args(Features::of(workspace).all());
    let command = match rustdoc::other_toolchain(workspace)? {
        None => rustdoc::with_json(command, flags)?,
        Some(_) => command.env("RUSTDOCFLAGS", flags),
    };
    command.args(open.then_some("--open")).run()?;
    Ok(())
}

/// Looks at pages and pictures, without building anything.
///
/// # Errors
/// With all findings, sorted, one a line.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let files: BTreeSet<String> = workspace.files()?.into_iter().collect();
    let mut texts = BTreeMap::new();
    for file in files.iter().filter(|file| book::is_checked(file)) {
        let text =
            fs::read_to_string(workspace.root.join(file)).with_context(|| format!("cannot read {file}"))?;
        texts.insert(file.clone(), text);
    }
    let mut findings = book::check(&texts, &files);
    let roots = files.iter().filter(|file| file.starts_with("crates/") && file.ends_with("/src/lib.rs"));
    let roots: Vec<String> =
        roots.map(|file| fs::read_to_string(workspace.root.join(file))).collect::<Result<_, _>>()?;
    findings.extend(book::uncompiled(&texts, &roots));
    for (file, drawn) in pictures(workspace)? {
        let kept = fs::read_to_string(workspace.root.join(file)).unwrap_or_default();
        findings.extend(is_stale(file, &kept, &drawn));
    }
    if !findings.is_empty() {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let noun = if lines.len() == 1 { "finding" } else { "findings" };
        bail!("{} {noun}:\n  {}", lines.len(), lines.join("\n  "));
    }
    anstream::eprintln!("docs: {} pages are in order", texts.len());
    Ok(())
}

fn is_stale(file: &str, kept: &str, drawn: &str) -> Option<Finding> {
    (kept != drawn).then(|| Finding::file(file, "is stale: run `cargo xtask docs --bless`"))
}

/// The pictures that are drawn here, by path.
fn pictures(workspace: &Workspace) -> Result<[(&'static str, String); 2]> {
    Ok([
        ("docs/pictures/pipeline.svg", pipeline::drawing().finish()),
        ("docs/pictures/floors.svg", floors::drawing(&floors::Plan::of(workspace)?).finish()),
    ])
}

fn bless(workspace: &Workspace) -> Result<()> {
    let shell = workspace.shell()?;
    for (file, drawn) in pictures(workspace)? {
        shell.write_file(workspace.root.join(file), drawn)?;
    }
    // The settings are known to the crates, which this program is not built from.
    let test = cargo(&shell).args(["test", "--quiet", "-p", "infer-gateway", "--test", "pages"]);
    test.env("UPDATE_DOCS", "1").run().context("docs/configuration.md was not written")?;
    Ok(())
}

fn build_book(workspace: &Workspace, install: bool) -> Result<()> {
    let shell = workspace.shell()?;
    let program = match builder::mdbook(workspace, &shell) {
        None if install => Some(builder::install(workspace, &shell)?),
        found => found,
    };
    match program {
        Some(program) => {
            let first = builder::build(workspace, &shell, &program)?;
            anstream::eprintln!("docs: the book begins at {}", first.display());
        }
        None => anstream::eprintln!("docs: the book is not built: mdBook is missing; {}", builder::way_out()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_lags_behind_is_named_with_the_way_out() {
        let finding = is_stale("docs/pictures/floors.svg", "<svg/>", "<svg />").unwrap();
        assert_eq!(finding.to_string(), "docs/pictures/floors.svg: is stale: run `cargo xtask docs --bless`");
        assert_eq!(is_stale("docs/pictures/floors.svg", "<svg/>", "<svg/>"), None);
    }

    #[test]
    fn pictures_are_the_same_text_each_time() {
        let workspace = Workspace::load().unwrap();
        assert_eq!(pictures(&workspace).unwrap(), pictures(&workspace).unwrap());
    }

    #[test]
    fn pages_links_and_pictures_of_this_checkout_are_in_order() {
        check(&Workspace::load().unwrap()).unwrap();
    }
}
