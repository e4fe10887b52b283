//! Where the workspace is, what is in it, and how its cargo is called.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use xshell::{Cmd, Shell, cmd};

/// A checkout; most often the one this binary was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    /// Reads the workspace's manifests through cargo; resolves no dependency.
    pub(crate) fn load() -> Result<Self> {
        // Where cargo runs it now; what was true when it was built may have moved since, or share a target folder.
        let built = || env!("CARGO_MANIFEST_DIR").to_owned();
        let xtask = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| built());
        Self::at(Path::new(&xtask).parent().context("the xtask package has no folder above it")?)
    }

    /// The same for the workspace whose root is the folder `root`.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let shown = root.display();
        let root = std::path::absolute(root).with_context(|| format!("{shown} is no folder"))?;
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("cargo cannot read the workspace: mend the manifest it names")?;
        Ok(Self { root, metadata })
    }

    /// Every member, in the order of their names.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members = self.metadata.workspace_packages();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// The members below `crates/`: what people depend on or install.
    pub(crate) fn crates(&self) -> Vec<&Package> {
        let below = self.root.join("crates");
        self.members().into_iter().filter(|p| p.manifest_path.starts_with(&below)).collect()
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The address at which the checkout is public, as the manifests have it.
    ///
    /// # Errors
    /// When no manifest has one.
    pub(crate) fn repository(&self) -> Result<&str> {
        let found = self.metadata.workspace_packages().into_iter().find_map(|p| p.repository.as_deref());
        found.context("no manifest has a `repository`: set workspace.package.repository in Cargo.toml")
    }

    /// A shell at the root of the checkout.
    pub(crate) fn shell(&self) -> Result<Shell> {
        let shell = Shell::new()?;
        shell.change_dir(&self.root);
        Ok(shell)
    }

    /// Files git knows plus those it would add, relative to the root and sorted.
    ///
    /// New files count before their first commit; what `.gitignore` names does not.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let shell = self.shell()?;
        let listed = cmd!(shell, "git ls-files --cached --others --exclude-standard").quiet().read();
        let listed = listed.context("tidy reads the list of files from git: run it inside a git checkout")?;
        let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        ensure!(!files.is_empty(), "git lists no files in {}", self.root.display());
        Ok(files)
    }
}

/// A call of cargo, free of what the cargo that started this binary told it.
///
/// `cargo run` describes the running package in the environment. Left there, build scripts that
/// watch those variables would be run again each time the caller changes from a shell to xtask.
/// Called by its plain name, so that the line printed can be repeated; rustup keeps the toolchain.
pub(crate) fn cargo(shell: &Shell) -> Cmd<'_> {
    let mut command = cmd!(shell, "cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_the_running_package) {
            command = command.env_remove(name);
        }
    }
    command
}

fn describes_the_running_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_about_this_package_are_kept_from_the_cargo_below() {
        assert!(describes_the_running_package("CARGO_PKG_VERSION_MAJOR"));
        assert!(describes_the_running_package("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn the_users_own_cargo_settings_reach_the_cargo_below() {
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_NET_OFFLINE", "RUSTFLAGS"] {
            assert!(!describes_the_running_package(name), "{name}");
        }
    }

    #[test]
    fn the_workspace_knows_its_own_members() {
        let workspace = Workspace::load().unwrap();
        assert!(workspace.members().iter().any(|p| p.name.as_str() == "xtask"));
        assert!(workspace.crates().iter().any(|p| p.name.as_str() == "infer-core"));
        assert!(!workspace.crates().iter().any(|p| p.name.as_str() == "xtask"));
    }
}
