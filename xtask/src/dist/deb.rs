//! The Debian package.
//!
//! By Debian Policy 4.7 and deb(5), read 2026-11-21. An `ar` of three members: the version of the format, what the
//! packaging system reads, what is installed.

use std::fmt::Write as _;

use anyhow::Result;
use md5::{Digest as _, Md5};

use super::archive::{Tree, gzip};
use super::checksums::hex;
use super::libraries;
use super::release::Release;

/// Which build of the version.
const REVISION: u32 = 1;
const SETTINGS: &str = "etc/infer/llm.yaml";

/// What Debian calls an architecture, by the first part of a target.
const ARCHITECTURES: [(&str, &str); 9] = [
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("armv7", "armhf"),
    ("i686", "i386"),
    ("loongarch64", "loong64"),
    ("powerpc64le", "ppc64el"),
    ("riscv64a23", "riscv64"),
    ("riscv64gc", "riscv64"),
    ("s390x", "s390x"),
];

/// A package that can be made.
#[derive(Debug)]
pub(super) struct Debian<'a> {
    release: &'a Release,
    architecture: &'static str,
    depends: Vec<String>,
}

impl<'a> Debian<'a> {
    /// Whether the release runs on Debian.
    ///
    /// # Errors
    /// Why there is no package of it.
    pub(super) fn of(release: &'a Release) -> Result<Self, String> {
        let target = &release.target;
        let processor = target.split('-').next().unwrap_or_default();
        let known = ARCHITECTURES.iter().find(|(name, _)| *name == processor).map(|(_, debian)| *debian);
        // Static programs for musl run on Debian too; a second package of the same name would take the place of this.
        let Some(architecture) = known.filter(|_| target.contains("-linux-gnu")) else {
            return Err(format!("{target} is none of Debian's architectures"));
        };
        let depends = libraries::packages(&release.binary).map_err(|error| format!("{error:#}"))?;
        Ok(Self { release, architecture, depends })
    }

    pub(super) fn file_name(&self) -> String {
        format!("infer_{}_{}.deb", self.version(), self.architecture)
    }

    /// A version before its release sorts before it, which Debian writes with a tilde.
    fn version(&self) -> String {
        format!("{}-{REVISION}", self.release.version.replacen('-', "~", 1))
    }

    /// The whole package.
    pub(super) fn package(&self) -> Result<Vec<u8>> {
        let time = self.release.time;
        let data = self.data()?;
        let members = [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", self.control(&data).tar_gz("./", time)?),
            ("data.tar.gz", data.tar_gz("./", time)?),
        ];
        let mut package = ar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = ar::Header::new(name.as_bytes().to_vec(), u64::try_from(bytes.len())?);
            header.set_mode(0o100_644);
            header.set_mtime(time);
            package.append(&header, bytes.as_slice())?;
        }
        Ok(package.into_inner()?)
    }

    /// What is installed.
    fn data(&self) -> Result<Tree> {
        let Release { binary, texts, sources, notices, .. } = self.release;
        let mut tree = Tree::default();
        tree.program("usr/bin/infer", binary.clone());
        for (name, page) in &texts.man {
            tree.text(format!("usr/share/man/man1/{name}.gz"), gzip(page)?);
        }
        for (script, path) in [
            ("infer.bash", "usr/share/bash-completion/completions/infer"),
            ("_infer", "usr/share/zsh/vendor-completions/_infer"),
            ("infer.fish", "usr/share/fish/vendor_completions.d/infer.fish"),
        ] {
            if let Some(script) = texts.completions.get(script) {
                tree.text(path, script.clone());
            }
        }
        // What an administrator installs by hand goes elsewhere than what a package does.
        let unit = sources.unit.replace("/usr/local/bin/infer", "/usr/bin/infer");
        tree.text("usr/lib/systemd/system/infer.service", unit);
        tree.text(SETTINGS, sources.settings.as_bytes());
        tree.text("usr/share/doc/infer/copyright", self.copyright());
        tree.text("usr/share/doc/infer/changelog.gz", gzip(sources.changelog.as_bytes())?);
        tree.text("usr/share/doc/infer/README.md.gz", gzip(sources.readme.as_bytes())?);
        tree.text("usr/share/doc/infer/THIRD-PARTY.txt.gz", gzip(notices.as_bytes())?);
        Ok(tree)
    }

    /// What the packaging system reads.
    fn control(&self, data: &Tree) -> Tree {
        let mut tree = Tree::default();
        let installed: usize = data.files().map(|(_, bytes)| bytes.len().div_ceil(1024)).sum();
        tree.text("control", self.fields(installed));
        let mut sums = String::new();
        for (path, bytes) in data.files().filter(|(path, _)| *path != SETTINGS) {
            _ = writeln!(sums, "{}  {path}", hex(&Md5::digest(bytes)));
        }
        tree.text("md5sums", sums);
        tree.text("conffiles", format!("/{SETTINGS}\n"));
        for (name, script) in &self.release.sources.scripts {
            tree.program(*name, script.as_bytes());
        }
        tree
    }

    fn fields(&self, installed_kib: usize) -> String {
        let Self { release, architecture, depends } = self;
        let home = &release.repository;
        let mut fields = format!(
            "Package: infer\nVersion: {}\nArchitecture: {architecture}\n\
             Maintainer: The infer authors <{home}/issues>\nInstalled-Size: {installed_kib}\n",
            self.version()
        );
        if !depends.is_empty() {
            _ = writeln!(fields, "Depends: {}", depends.join(", "));
        }
        _ = write!(
            fields,
            "Recommends: ca-certificates\nSuggests: redis-server\nSection: net\nPriority: optional\nHomepage: {home}\n\
             Description: call remote language models from a terminal, or behind one address\n \
             The command infer asks remote language models, whole or as they write, and says what\n \
             it has cost. As infer serve it is a gateway: one address in the shape of OpenAI's\n \
             interface, with keys, budgets, limits, fallback, a ledger and metrics.\n .\n \
             The service is installed and not started: settings are in /etc/infer/llm.yaml.\n"
        );
        fields
    }

    /// Debian's form of it, with the text of the shorter licence.
    fn copyright(&self) -> String {
        let sources = &self.release.sources;
        let holder =
            sources.mit.lines().find_map(|line| line.strip_prefix("Copyright (c) ")).unwrap_or_default();
        let mit = sources.mit.lines().skip_while(|line| !line.starts_with("Permission"));
        let mit = mit.fold(String::new(), |mut text, line| {
            _ = writeln!(text, " {}", if line.is_empty() { "." } else { line });
            text
        });
        format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: infer\n\
             Source: {home}\nComment: The licences of the crates in the binary are in THIRD-PARTY.txt.gz beside this file.\n\n\
             Files: *\nCopyright: {holder}\nLicense: Expat or Apache-2.0\n\n\
             License: Expat\n{mit}\n\
             License: Apache-2.0\n The text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.\n",
            home = self.release.repository
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Read as _;
    use std::process::Command;

    use super::super::archive::unpacked;
    use super::super::release::tests::release;
    use super::*;

    /// A program of this machine, which is as real a binary as there is, and a small one.
    fn program() -> Vec<u8> {
        fs::read("/usr/bin/env").unwrap()
    }

    /// The members of a package with their headers' times and owners.
    fn members(package: &[u8]) -> Vec<(String, u64, u32, Vec<u8>)> {
        let mut archive = ar::Archive::new(package);
        let mut members = Vec::new();
        while let Some(entry) = archive.next_entry() {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.header().identifier().to_vec()).unwrap();
            let (time, owner) = (entry.header().mtime(), entry.header().uid());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            members.push((name, time, owner, bytes));
        }
        members
    }

    fn files(packed: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        unpacked(packed).into_iter().map(|(path, mode, bytes)| (path, (mode, bytes))).collect()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_members_stand_in_the_order_of_the_format_and_are_the_same_each_time() {
        let release = release("x86_64-unknown-linux-gnu", &program());
        let package = Debian::of(&release).unwrap().package().unwrap();
        assert_eq!(package, Debian::of(&release).unwrap().package().unwrap());
        let members = members(&package);
        let names: Vec<_> = members.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
        assert!(members.iter().all(|(_, time, owner, _)| (*time, *owner) == (release.time, 0)));
        assert_eq!(members[0].3, b"2.0\n");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_is_installed_is_where_debian_looks_for_it_and_is_summed_up_in_the_control_files() {
        let release = release("x86_64-unknown-linux-gnu", &program());
        let members = members(&Debian::of(&release).unwrap().package().unwrap());
        let (control, data) = (files(&members[1].3), files(&members[2].3));
        assert_eq!(data["./usr/bin/infer"], (0o755, program()));
        let unit = String::from_utf8(data["./usr/lib/systemd/system/infer.service"].1.clone()).unwrap();
        assert!(unit.contains("ExecStart=/usr/bin/infer serve --config /etc/infer/llm.yaml"), "{unit}");
        assert!(!unit.contains("/usr/local"), "{unit}");
        let mut page = String::new();
        flate2::read::GzDecoder::new(data["./usr/share/man/man1/infer.1.gz"].1.as_slice())
            .read_to_string(&mut page)
            .unwrap();
        assert_eq!(page, "text of infer.1");
        let copyright = String::from_utf8(data["./usr/share/doc/infer/copyright"].1.clone()).unwrap();
        assert!(copyright.contains("\nCopyright: 2026 The infer authors\n"), "{copyright}");
        assert!(copyright.contains("\n Permission is hereby granted"), "{copyright}");
        assert_eq!(control["./conffiles"].1, b"/etc/infer/llm.yaml\n");
        for script in ["postinst", "prerm", "postrm"] {
            assert_eq!(control[&format!("./{script}")].0, 0o755, "{script}");
        }
        let sums = String::from_utf8(control["./md5sums"].1.clone()).unwrap();
        let summed: Vec<_> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
        let installed = data.iter().filter(|(path, _)| !path.ends_with('/') && !path.ends_with("llm.yaml"));
        assert_eq!(summed.len(), installed.count());
        for (sum, path) in summed {
            assert_eq!(sum, hex(&Md5::digest(&data[&format!("./{path}")].1)), "{path}");
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_fields_name_version_architecture_and_what_the_binary_needs() {
        let mut release = release("aarch64-unknown-linux-gnu", &program());
        release.version = "1.2.3-rc.1".to_owned();
        let debian = Debian::of(&release).unwrap();
        assert_eq!(debian.file_name(), "infer_1.2.3~rc.1-1_arm64.deb");
        let fields = debian.fields(7);
        for line in [
            "Version: 1.2.3~rc.1-1\n",
            "Architecture: arm64\n",
            "Installed-Size: 7\n",
            "Depends: libc6 (>= 2.",
        ] {
            assert!(fields.contains(line), "{line}: {fields}");
        }
    }

    #[test]
    fn there_is_no_package_for_other_systems_or_of_what_is_no_binary() {
        for (target, binary, part) in [
            ("x86_64-apple-darwin", program(), "none of Debian's"),
            ("x86_64-pc-windows-msvc", program(), "none of Debian's"),
            ("x86_64-unknown-linux-musl", program(), "none of Debian's"),
            ("wasm32-unknown-linux-gnu", program(), "none of Debian's"),
            ("x86_64-unknown-linux-gnu", b"#!/bin/sh".to_vec(), "magic"),
        ] {
            let why = Debian::of(&release(target, &binary)).unwrap_err();
            assert!(why.contains(part), "{target}: {why}");
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn debians_own_tool_reads_the_package_and_unpacks_what_was_put_in() {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            anstream::eprintln!("not run here: dpkg-deb is not installed");
            return;
        }
        let release = release("x86_64-unknown-linux-gnu", &program());
        let debian = Debian::of(&release).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(debian.file_name());
        fs::write(&path, debian.package().unwrap()).unwrap();
        let tool = |args: &[&str]| {
            let output = Command::new("dpkg-deb").args(args).arg(&path).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(tool(&["--info"]).contains("Package: infer\n"));
        let listed = tool(&["--contents"]);
        assert!(listed.contains("-rwxr-xr-x root/root") && listed.contains("./usr/bin/infer\n"), "{listed}");
        let root = folder.path().join("root");
        let unpacked = Command::new("dpkg-deb").arg("-x").arg(&path).arg(&root).status().unwrap();
        assert!(unpacked.success());
        assert_eq!(fs::read(root.join("usr/bin/infer")).unwrap(), program());
    }
}
