//! Everything a release is made from, and which file goes where in its archive.

use std::fs;

use anyhow::{Context as _, Result};
use std::time::{Duration, SystemTime};
use xshell::cmd;

use super::archive::Tree;
use super::linked::Linked;
use super::notices;
use super::sbom::{self, Subject};
use crate::completions::Texts;
use crate::workspace::Workspace;

/// What is packed, read once.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) version: String,
    pub(super) target: String,
    /// Seconds since 1970 that every file in it carries.
    pub(super) time: u64,
    pub(super) binary: Vec<u8>,
    pub(super) texts: Texts,
    pub(super) sources: Sources,
    /// Where the project is.
    pub(super) repository: String,
    /// The licences of others.
    pub(super) notices: String,
    pub(super) linked: Linked,
    compiler: String,
}

/// Files of the repository that go with the binary.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) mit: String,
    pub(super) apache: String,
    pub(super) readme: String,
    pub(super) changelog: String,
    pub(super) unit: String,
    /// What a package puts into /etc.
    pub(super) settings: String,
    /// Scripts by name that run around an installation.
    pub(super) scripts: [(&'static str, String); 3],
}

impl Sources {
    /// Reads them.
    ///
    /// # Errors
    /// The one that is missing, by its path.
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        let read = |path: &str| {
            fs::read_to_string(workspace.root.join(path)).with_context(|| format!("cannot read {path}"))
        };
        let script = |name: &'static str| read(&format!("deploy/debian/{name}")).map(|text| (name, text));
        Ok(Self {
            mit: read("LICENSE-MIT")?,
            apache: read("LICENSE-APACHE")?,
            readme: read("README.md")?,
            changelog: read("CHANGELOG.md")?,
            unit: read("deploy/systemd/infer.service")?,
            settings: read("deploy/debian/llm.yaml")?,
            scripts: [script("postinst")?, script("prerm")?, script("postrm")?],
        })
    }
}

impl Release {
    /// Brings together what was built, asked and found.
    pub(super) fn collect(
        workspace: &Workspace,
        target: String,
        compiler: String,
        binary: Vec<u8>,
        texts: Texts,
        linked: Linked,
    ) -> Result<Self> {
        let root = linked.crates.get(&linked.root).context("infer-cmd is not among its own crates")?;
        Ok(Self {
            version: linked.root.1.clone(),
            target,
            time: time(workspace)?,
            binary,
            texts,
            sources: Sources::read(workspace)?,
            repository: root.repository.clone().context("infer-cmd names no repository")?,
            notices: notices::text(&linked)?,
            linked,
            compiler,
        })
    }

    /// `infer-0.1.0-x86_64-unknown-linux-gnu`, the folder everything in the archive is in.
    pub(super) fn name(&self) -> String {
        format!("infer-{}-{}", self.version, self.target)
    }

    pub(super) fn archive_name(&self) -> String {
        format!("{}.tar.gz", self.name())
    }

    pub(super) fn sbom_name(&self) -> String {
        format!("{}.cdx.json", self.name())
    }

    pub(super) fn binary_name(&self) -> &'static str {
        if self.target.contains("windows") { "infer.exe" } else { "infer" }
    }

    /// The archive for every system.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let Sources { mit, apache, readme, changelog, unit, .. } = &self.sources;
        let mut tree = Tree::default();
        tree.program(self.binary_name(), self.binary.clone());
        for (name, text) in [
            ("LICENSE-MIT", mit),
            ("LICENSE-APACHE", apache),
            ("README.md", readme),
            ("CHANGELOG.md", changelog),
            ("THIRD-PARTY.txt", &self.notices),
            ("systemd/infer.service", unit),
        ] {
            tree.text(name, text.as_bytes());
        }
        for (name, page) in &self.texts.man {
            tree.text(format!("man/man1/{name}"), page.clone());
        }
        for (name, script) in &self.texts.completions {
            tree.text(format!("completions/{name}"), script.clone());
        }
        tree.tar_gz(&format!("{}/", self.name()), self.time)
    }

    /// The bill of materials.
    pub(super) fn sbom(&self) -> Result<String> {
        let time = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(self.time));
        sbom::bill(&Subject {
            linked: &self.linked,
            target: &self.target,
            compiler: &self.compiler,
            binary: &self.binary,
            time: &time.to_string(),
        })
    }
}

/// The time of everything in a release: SOURCE_DATE_EPOCH, else that of the commit.
fn time(workspace: &Workspace) -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH: not seconds since 1970: {given:?}"));
    }
    let shell = workspace.shell()?;
    let said = cmd!(shell, "git log -1 --format=%ct").quiet().read();
    let said = said.context("without git there is no time of the commit: set SOURCE_DATE_EPOCH")?;
    said.trim().parse().with_context(|| format!("git names no time of the commit: {said:?}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dist::archive::unpacked;
    use crate::dist::linked::Crate;

    /// A release of a few bytes, with the real files of the repository.
    pub(crate) fn release(target: &str, binary: &[u8]) -> Release {
        let workspace = Workspace::load().unwrap();
        let root = ("infer-cmd".to_owned(), "1.2.3".to_owned());
        let files = |names: &[&str]| -> BTreeMap<String, Vec<u8>> {
            names.iter().map(|name| ((*name).to_owned(), format!("text of {name}").into_bytes())).collect()
        };
        Release {
            version: "1.2.3".to_owned(),
            target: target.to_owned(),
            time: 1_700_000_000,
            binary: binary.to_vec(),
            texts: Texts {
                completions: files(&["_infer", "infer.bash", "infer.fish"]),
                man: files(&["infer.1", "infer-chat.1"]),
            },
            sources: Sources::read(&workspace).unwrap(),
            repository: "https://example.com/infer".to_owned(),
            notices: "notices".to_owned(),
            linked: Linked { root: root.clone(), crates: [(root, Crate::default())].into() },
            compiler: "1.95.0".to_owned(),
        }
    }

    #[test]
    fn the_archive_has_one_folder_with_the_binary_its_licences_and_its_manual() {
        let release = release("x86_64-unknown-linux-gnu", b"ELF");
        let archive = release.archive().unwrap();
        assert_eq!(archive, release.archive().unwrap(), "two archives of the same differ");
        let entries = unpacked(&archive);
        let top = "infer-1.2.3-x86_64-unknown-linux-gnu/";
        assert!(entries.iter().all(|(path, ..)| path.starts_with(top)));
        let mode = |path: &str| {
            entries.iter().find(|(at, ..)| *at == format!("{top}{path}")).map(|(_, mode, _)| *mode)
        };
        assert_eq!(mode("infer"), Some(0o755));
        for path in [
            "LICENSE-MIT",
            "LICENSE-APACHE",
            "README.md",
            "CHANGELOG.md",
            "THIRD-PARTY.txt",
            "man/man1/infer-chat.1",
            "completions/_infer",
            "systemd/infer.service",
        ] {
            assert_eq!(mode(path), Some(0o644), "{path}");
        }
    }

    #[test]
    fn a_binary_for_windows_keeps_its_ending() {
        let entries = unpacked(&release("x86_64-pc-windows-msvc", b"MZ").archive().unwrap());
        assert!(entries.iter().any(|(path, ..)| path.ends_with("/infer.exe")));
    }
}
