//! `cargo xtask tidy`: house rules that no compiler checks.
//!
//! Each rule is a pure function from text to findings; this file reads the text. [`sources`] has the
//! rules for Rust files, [`manifests`] those for `Cargo.toml`, [`workflows`] those for the
//! machines of others, [`repository`] the rest.

mod manifests;
mod repository;
mod sources;
mod workflows;

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use crate::api::{self, rustdoc};
use crate::workspace::{Workspace, cargo};

/// Check the house rules that no compiler checks.
///
/// Every module says what it is for; files stay short and providers thin; nothing panics on purpose
/// outside tests; a left-over carries an issue number; versions stand in one place; the README names
/// every crate; every library has its text in docs/api; workflows are pinned and call xtask. All findings are listed at once, as
/// `file:line: what and how to mend it`.
///
/// `--bless` first writes what is generated and then checks: docs/errors.md, and docs/api from the documentation, which is
/// built for that. Whether docs/api is still true takes as long to know, so that is a check of its own, `cargo xtask api`.
/// Both are part of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 tidy, 1 there are findings, 2 bad command line.")]
pub(crate) struct Args {
    /// Write generated files anew before checking
    #[arg(long)]
    bless: bool,
}

/// One broken rule, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// Counted from 1; none when the whole file is meant.
    pub(crate) line: Option<usize>,
    pub(crate) text: String,
}

impl Finding {
    pub(crate) fn file(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, text: text.into() }
    }

    pub(crate) fn line(file: &str, index: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(index + 1), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, text } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {text}"),
            None => write!(f, "{file}: {text}"),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    if args.bless {
        bless(&workspace)?;
    }
    check(&workspace)
}

/// Applies every rule to every file.
///
/// # Errors
/// With all findings, sorted, one a line.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let missing = repository::every_library_has_its_api(&files, &api::files(workspace));
    check_also(workspace, files, missing)
}

/// The rules for single files, for these, relative to the root; git is not asked.
pub(crate) fn check_files(workspace: &Workspace, files: Vec<String>) -> Result<()> {
    check_also(workspace, files, Vec::new())
}

fn check_also(workspace: &Workspace, files: Vec<String>, mut findings: Vec<Finding>) -> Result<()> {
    let crates: Vec<String> = workspace.crates().iter().map(|p| p.name.to_string()).collect();
    let mut texts = Vec::new();
    for file in files {
        let bytes = fs::read(workspace.root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        // Fixtures may be broken UTF-8 on purpose; every rule is about text.
        if let Ok(text) = String::from_utf8(bytes) {
            texts.push((file, text));
        }
    }
    for (file, text) in &texts {
        findings.extend(repository::names_nothing_outside(file, text));
        findings.extend(sources::check(file, text));
        if file.ends_with("Cargo.toml") && file != "Cargo.toml" {
            findings.extend(manifests::check(file, text, &crates)?);
        }
        if workflows::is_workflow(file) {
            findings.extend(workflows::check(file, text));
        }
        if file == "README.md" {
            findings.extend(repository::readme_lists_every_crate(text, &crates));
        }
    }
    findings.extend(sources::providers_are_thin(&texts));
    findings.sort();
    if !findings.is_empty() {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let noun = if lines.len() == 1 { "finding" } else { "findings" };
        bail!("{} {noun}:\n  {}", lines.len(), lines.join("\n  "));
    }
    anstream::eprintln!("tidy: {} files are in order", texts.len());
    Ok(())
}

/// Writes docs/errors.md from the table in the code, and docs/api from what the code makes public.
fn bless(workspace: &Workspace) -> Result<()> {
    let generator = "crates/infer-core/tests/errors_doc.rs";
    ensure!(
        workspace.root.join(generator).is_file(),
        "--bless needs {generator}, which writes docs/errors.md"
    );
    let shell = workspace.shell()?;
    // Without the variable the same test compares.
    let test = cargo(&shell).args(["test", "--quiet", "-p", "infer-core", "--test", "errors_doc"]);
    test.env("UPDATE_DOCS", "1").run().context("docs/errors.md was not written")?;
    match rustdoc::other_toolchain(workspace)? {
        None => api::bless(workspace)?,
        Some(why) => anstream::eprintln!("note: {} is not written: {why}", api::FOLDER),
    }
    Ok(())
}
