//! Whether the public interface of a crate changed more than its version says, as `cargo-semver-checks` sees it.

use anyhow::{Context as _, Result};
use cargo_metadata::{Package, TargetKind};

use super::history::History;
use super::rules::Finding;
use crate::workspace::{Workspace, cargo};

/// Which crates can be compared, and why the others cannot.
#[derive(Debug, Default)]
pub(super) struct Comparison<'a> {
    /// The tag to compare with; none has crates below it if there is no tag.
    tag: String,
    pub(super) compared: Vec<&'a Package>,
    /// Each reason once, with the names it holds for.
    pub(super) skipped: Vec<(Reason, Vec<&'a str>)>,
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

impl<'a> Comparison<'a> {
    /// # Errors
    /// When git or cargo cannot be asked.
    pub(super) fn of(workspace: &Workspace, packages: &[&'a Package]) -> Result<Self> {
        let history = History::of(workspace)?;
        let tag = history.last_release()?.map(|(_, tag)| tag);
        let has_tool = is_installed(workspace)?;
        let mut comparison = Self { tag: tag.clone().unwrap_or_default(), ..Self::default() };
        for package in packages {
            let reason = match &tag {
                _ if !has_library(package) => Reason::NoLibrary,
                None => Reason::NoTag,
                Some(tag) if !history.had(tag, &manifest(workspace, package)?)? => {
                    Reason::NewSince(tag.clone())
                }
                Some(_) if !has_tool => Reason::NoTool,
                Some(_) => {
                    comparison.compared.push(package);
                    continue;
                }
            };
            comparison.skip(reason, package.name.as_str());
        }
        Ok(comparison)
    }

    fn skip(&mut self, reason: Reason, name: &'a str) {
        match self.skipped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => self.skipped.push((reason, vec![name])),
        }
    }

    /// The crates whose interface is not what their version promises; the tool has said why.
    ///
    /// # Errors
    /// When the tool cannot be started.
    pub(super) fn broken(&self, workspace: &Workspace) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for package in &self.compared {
            if !is_compatible(workspace, package.name.as_str(), &self.tag)? {
                let text =
                    "its interface is not compatible, see above: take a higher level, or keep what was there";
                findings.push(Finding::of(package, "semver", text));
            }
        }
        Ok(findings)
    }
}

fn is_compatible(workspace: &Workspace, name: &str, tag: &str) -> Result<bool> {
    let shell = workspace.shell()?;
    let command = cargo(&shell).args(["semver-checks", "--package", name, "--baseline-rev", tag]);
    anstream::eprintln!("$ {command}");
    // Its report is for people, and standard output may be read by a program.
    let output = command.quiet().ignore_status().output()?;
    let report = [output.stdout, output.stderr].concat();
    anstream::eprint!("{}", String::from_utf8_lossy(&report));
    Ok(output.status.success())
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
