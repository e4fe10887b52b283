//! Packages as cargo packs them: what is in them, how large they are, and whether they build.

use std::fs;

use anyhow::{Context as _, Result};
use cargo_metadata::Package;

use super::rules::Finding;
use crate::workspace::{Workspace, cargo};

/// A file that gives a licence begins like this.
const LICENCE: &str = "LICENSE";

/// One packed crate.
#[derive(Debug)]
pub(super) struct Tarball<'a> {
    pub(super) package: &'a Package,
    /// Paths inside it, sorted.
    pub(super) files: Vec<String>,
    /// How large it is to upload and download.
    pub(super) packed_bytes: u64,
}

/// Whether packages are built after they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    Build,
    No,
}

/// Packs all `packages`; with [`Verify::Build`] builds each from its own tarball.
///
/// The building is cargo's own: it unpacks each package and gives it the other tarballs as a registry in front of the real
/// one, so no crate sees a file that is not in a package. All share the target folder with the workspace.
///
/// # Errors
/// When cargo cannot pack or build one; it has said which.
pub(super) fn pack<'a>(
    workspace: &Workspace,
    packages: &[&'a Package],
    registry: Option<&str>,
    verify: Verify,
) -> Result<Vec<Tarball<'a>>> {
    let shell = workspace.shell()?;
    // Only so that it can be asked before a commit; `release publish` refuses what is not committed.
    let command = cargo(&shell).args(["package", "--allow-dirty"]);
    let command = command.args(packages.iter().flat_map(|p| ["-p", p.name.as_str()]));
    let command = command.args(registry.iter().flat_map(|name| ["--registry", name]));
    command.args((verify == Verify::No).then_some("--no-verify")).run()?;
    packages.iter().map(|package| Tarball::of(workspace, package)).collect()
}

impl<'a> Tarball<'a> {
    fn of(workspace: &Workspace, package: &'a Package) -> Result<Self> {
        let (name, version) = (package.name.as_str(), &package.version);
        let shell = workspace.shell()?;
        let listed = cargo(&shell).args(["package", "--list", "--allow-dirty", "-p", name]).quiet().read();
        let listed = listed.with_context(|| format!("cargo does not list the files of {name}"))?;
        let mut files: Vec<String> = listed.lines().map(|file| file.replace('\\', "/")).collect();
        files.sort();
        let packed = workspace.target().join(format!("package/{name}-{version}.crate"));
        let packed_bytes =
            fs::metadata(&packed).with_context(|| format!("cargo left no {}", packed.display()))?.len();
        Ok(Self { package, files, packed_bytes })
    }

    /// What is wrong with it; no more than `limit` bytes is in order.
    pub(super) fn findings(&self, workspace: &Workspace, limit: u64) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if self.packed_bytes > limit {
            let (is, most) = (kib(self.packed_bytes), kib(limit));
            let text = format!(
                "{is} packed, limit {most}: `exclude` in its Cargo.toml what only its repository needs"
            );
            findings.push(Finding::of(self.package, "size", text));
        }
        if let Some(readme) = self.package.readme.as_ref().filter(|readme| !self.has(readme.as_str())) {
            let text = format!(
                "its README, {readme}, is not in the package: keep it beside Cargo.toml and out of `exclude`"
            );
            findings.push(Finding::of(self.package, "readme", text));
        }
        findings.extend(self.licences(workspace)?);
        Ok(findings)
    }

    fn has(&self, file: &str) -> bool {
        self.files.iter().any(|known| known == file)
    }

    /// Whoever gets the package gets the licences: each of the workspace's, or at least one where it has none.
    fn licences(&self, workspace: &Workspace) -> Result<Vec<Finding>> {
        let folder = self.package.manifest_path.parent().context("a manifest is in a folder")?;
        let root =
            fs::read_dir(&workspace.root)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut ours: Vec<String> = root.filter(|name| name.starts_with(LICENCE)).collect();
        ours.sort();
        if ours.is_empty() && !self.files.iter().any(|file| file.starts_with(LICENCE)) {
            let text =
                format!("no file in the package is called {LICENCE}: put the text of the licence there");
            return Ok(vec![Finding::of(self.package, "licence", text)]);
        }
        let lacks = |name: &String| {
            let text = fs::read(workspace.root.join(name)).ok();
            !self.has(name) || text != fs::read(folder.join(name)).ok()
        };
        let lacking = ours.into_iter().filter(lacks).map(|name| {
            let text = format!(
                "the package lacks the workspace's {name}: `ln -s ../../{name} {name}` in its folder"
            );
            Finding::of(self.package, "licence", text)
        });
        Ok(lacking.collect())
    }
}

/// `58.9 KiB`.
pub(super) fn kib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / 1024;
    format!("{}.{} KiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_in_kibibytes_with_one_place() {
        assert_eq!(kib(60_265), "58.8 KiB");
        assert_eq!(kib(0), "0.0 KiB");
        assert_eq!(kib(200 * 1024), "200.0 KiB");
    }
}
