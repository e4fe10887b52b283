//! Whether the public interface of a crate changed more than its version says, as `cargo-semver-checks` sees it.

use anyhow::{Context as _, Result};
use cargo_metadata::{Package, TargetKind};

use super::history::History;
use crate::workspace::{Workspace, cargo};

/// What became of the check of one crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Compatible,
    /// The tool has said what.
    Broken,
    Skipped(Reason),
}

/// Why a crate was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    NoTool,
    NoTag,
    /// The tag that does not have the crate.
    NewSince(String),
    NoLibrary,
}

impl Reason {
    pub(super) fn words(&self) -> String {
        match self {
            Self::NoTool => "cargo-semver-checks is not installed".to_owned(),
            Self::NoTag => "no release is tagged, so there is nothing to compare with".to_owned(),
            Self::NewSince(tag) => format!("new since {tag}"),
            Self::NoLibrary => "it has no library".to_owned(),
        }
    }
}

/// Compares each crate with what it was at the last tag.
///
/// # Errors
/// When git or cargo cannot be asked; a broken interface is a [`Verdict`].
pub(super) fn check<'a>(
    workspace: &Workspace,
    packages: &[&'a Package],
) -> Result<Vec<(&'a Package, Verdict)>> {
    let history = History::of(workspace)?;
    let tag = history.last_release()?.map(|(_, tag)| tag);
    let has_tool = is_installed(workspace)?;
    let mut verdicts = Vec::new();
    for package in packages {
        let verdict = match (&tag, has_library(package)) {
            (_, false) => Verdict::Skipped(Reason::NoLibrary),
            (None, _) => Verdict::Skipped(Reason::NoTag),
            (Some(tag), true) if !history.had(tag, &manifest(workspace, package)?)? => {
                Verdict::Skipped(Reason::NewSince(tag.clone()))
            }
            (Some(_), true) if !has_tool => Verdict::Skipped(Reason::NoTool),
            (Some(tag), true) => compare(workspace, package.name.as_str(), tag)?,
        };
        verdicts.push((*package, verdict));
    }
    Ok(verdicts)
}

fn compare(workspace: &Workspace, name: &str, tag: &str) -> Result<Verdict> {
    let shell = workspace.shell()?;
    let command = cargo(&shell).args(["semver-checks", "--package", name, "--baseline-rev", tag]);
    anstream::eprintln!("$ {command}");
    // Its report is for people, and standard output may be read by a program.
    let output = command.quiet().ignore_status().output()?;
    let report = [output.stdout, output.stderr].concat();
    anstream::eprint!("{}", String::from_utf8_lossy(&report));
    Ok(if output.status.success() { Verdict::Compatible } else { Verdict::Broken })
}

fn is_installed(workspace: &Workspace) -> Result<bool> {
    let shell = workspace.shell()?;
    let asked = cargo(&shell).args(["semver-checks", "--version"]).quiet().ignore_status();
    Ok(asked.output().context("cargo cannot be started")?.status.success())
}

fn has_library(package: &Package) -> bool {
    package.targets.iter().any(|target| target.kind.contains(&TargetKind::Lib))
}

/// The manifest, relative to the root of the workspace.
fn manifest(workspace: &Workspace, package: &Package) -> Result<String> {
    Ok(package.manifest_path.strip_prefix(&workspace.root)?.to_string())
}
