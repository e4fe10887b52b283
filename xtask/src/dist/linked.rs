//! The crates in the binary: what cargo links for this target and these features, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use cargo_metadata::{CargoOpt, MetadataCommand, Package};
use toml_edit::{DocumentMut, Item};

use crate::workspace::{Workspace, cargo};

/// Name and version, which tell crates in one lock file apart.
pub(super) type Id = (String, String);

/// All crates in the binary, by name and version, and which of them use which.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    /// The one that is the binary.
    pub(super) root: Id,
    pub(super) crates: BTreeMap<Id, Crate>,
}

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Crate {
    /// An SPDX expression; `None` where the manifest names a file in its place.
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    /// SHA-256 of the archive it came as; `None` for a crate of this workspace.
    pub(super) checksum: Option<String>,
    /// Where its sources are on this machine.
    pub(super) folder: PathBuf,
    pub(super) uses: BTreeSet<Id>,
}

impl Linked {
    /// Asks cargo what infer-cmd is made of.
    pub(super) fn of(workspace: &Workspace, target: &str, features: &str) -> Result<Self> {
        let shell = workspace.shell()?;
        // `cargo metadata` unites the features of all members; the tree of one package is what is compiled for it.
        let tree = cargo(&shell)
            .args(["tree", "--locked", "-p", "infer-cmd", "--features", features, "--target", target])
            .args(["-e", "normal,no-proc-macro", "--prefix", "depth", "-f", "{p}"])
            .read()
            .context("cargo cannot resolve what infer-cmd depends on")?;
        let metadata = MetadataCommand::new()
            .manifest_path(workspace.root.join("Cargo.toml"))
            .features(CargoOpt::SomeFeatures(
                features.split(',').map(|name| format!("infer-cmd/{name}")).collect(),
            ))
            .other_options(["--locked", "--filter-platform", target].map(str::to_owned))
            .exec()
            .context("cargo cannot read the manifests of what infer-cmd depends on")?;
        let lock = workspace.root.join("Cargo.lock");
        let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        Self::join(&tree, &metadata.packages, &checksums(&lock)?)
    }

    fn join(tree: &str, packages: &[Package], checksums: &BTreeMap<Id, String>) -> Result<Self> {
        let (root, edges) = edges(tree)?;
        let known: BTreeMap<Id, &Package> =
            packages.iter().map(|p| ((p.name.to_string(), p.version.to_string()), p)).collect();
        let mut crates = BTreeMap::new();
        for (id, uses) in edges {
            let (name, version) = &id;
            let package =
                known.get(&id).ok_or_else(|| anyhow!("cargo has no manifest of {name} {version}"))?;
            let folder = package.manifest_path.parent().map(|folder| folder.as_std_path().to_path_buf());
            let checksum = checksums.get(&id).cloned();
            let is_ours = package.source.is_none();
            ensure!(is_ours || checksum.is_some(), "Cargo.lock has no checksum of {name} {version}");
            let linked = Crate {
                licence: package.license.as_deref().map(expression),
                description: package.description.clone(),
                repository: package.repository.clone(),
                checksum,
                folder: folder.unwrap_or_default(),
                uses,
            };
            crates.insert(id, linked);
        }
        Ok(Self { root, crates })
    }
}

/// An older way to write a choice, as the standard has it.
fn expression(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// The first crate, and what each uses, of `cargo tree --prefix depth -f {p}`.
fn edges(tree: &str) -> Result<(Id, BTreeMap<Id, BTreeSet<Id>>)> {
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let strange = || anyhow!("cargo tree printed what is no crate: {line:?}");
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (depth, rest) = line.split_at_checked(digits).ok_or_else(strange)?;
        let depth: usize = depth.parse().map_err(|_| strange())?;
        let mut words = rest.split_whitespace();
        let (Some(name), Some(version)) =
            (words.next(), words.next().and_then(|word| word.strip_prefix('v')))
        else {
            return Err(strange());
        };
        ensure!(depth <= above.len(), strange());
        above.truncate(depth);
        let id = (name.to_owned(), version.to_owned());
        if let Some(user) = above.last() {
            edges.entry(user.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        above.push(id);
    }
    let root = above.into_iter().next().context("cargo tree printed nothing")?;
    Ok((root, edges))
}

/// What Cargo.lock says each archive must hash to.
fn checksums(lock: &str) -> Result<BTreeMap<Id, String>> {
    let lock: DocumentMut = lock.parse().context("Cargo.lock is not TOML")?;
    let packages =
        lock.get("package").and_then(Item::as_array_of_tables).context("Cargo.lock has no packages")?;
    let row = |table: &toml_edit::Table| {
        let text = |name: &str| table.get(name).and_then(Item::as_str).map(str::to_owned);
        Some(((text("name")?, text("version")?), text("checksum")?))
    };
    Ok(packages.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn who_uses_whom_is_read_from_the_depths_of_the_tree() {
        let tree = "0top v1.0.0 (/w/top)\n1a v1.0.0\n2b v1.0.0\n3c v1.0.0\n1b v1.0.0 (*)\n1d v1.0.0 (/w/d)\n2c v1.0.0\n";
        let (root, edges) = edges(tree).unwrap();
        assert_eq!(root, id("top"));
        let uses = |name: &str| edges[&id(name)].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!(uses("top"), ["a", "b", "d"]);
        assert_eq!((uses("a"), uses("b"), uses("d")), (vec!["b"], vec!["c"], vec!["c"]));
        assert!(uses("c").is_empty());
    }

    #[test]
    fn a_tree_that_cannot_be_read_is_refused() {
        for tree in ["", "0top\n", "top v1.0.0\n", "0top v1.0.0\n2a v1.0.0\n"] {
            assert!(edges(tree).is_err(), "{tree:?}");
        }
    }

    #[test]
    fn checksums_are_found_by_name_and_version_and_ours_have_none() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"0f\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n";
        let sums = checksums(lock).unwrap();
        assert_eq!(sums.into_iter().collect::<Vec<_>>(), [(id("a"), "0f".to_owned())]);
        assert!(checksums("[").is_err());
    }

    #[test]
    fn the_older_way_to_write_a_choice_of_licences_becomes_the_standards() {
        assert_eq!(expression("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(
            expression("Apache-2.0 WITH LLVM-exception OR MIT"),
            "Apache-2.0 WITH LLVM-exception OR MIT"
        );
    }

    #[test]
    fn the_binary_has_its_own_crates_and_no_macros_tests_or_tools_in_it() {
        let workspace = Workspace::load().unwrap();
        let linked = Linked::of(&workspace, "x86_64-unknown-linux-gnu", super::super::FEATURES).unwrap();
        let names: BTreeSet<&str> = linked.crates.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(linked.root.0, "infer-cmd");
        for name in ["infer-core", "infer-gateway", "tokio", "redis", "opentelemetry-otlp"] {
            assert!(names.contains(name), "{name} is not there");
        }
        for name in ["serde_derive", "proptest", "xtask", "windows-sys", "cc", "remote-testkit"] {
            assert!(!names.contains(name), "{name} is there");
        }
        for ((name, _), linked) in &linked.crates {
            assert!(linked.licence.is_some(), "{name} names no licence");
            assert!(linked.uses.iter().all(|used| names.contains(used.0.as_str())), "{name}");
        }
    }
}
