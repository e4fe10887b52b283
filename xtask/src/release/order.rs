//! The order in which crates are published: whatever a crate needs comes before it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use cargo_metadata::{Dependency, DependencyKind, Package};
use semver::VersionReq;

use crate::workspace::Workspace;

/// The crates to publish, those that are needed first.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) crates: Vec<Place<'a>>,
    /// Members that say `publish = false`.
    pub(super) left_out: Vec<&'a str>,
}

/// A crate and what must be in the registry before it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) package: &'a Package,
    /// Crates of this workspace it needs directly, sorted.
    pub(super) needs: Vec<&'a str>,
}

impl<'a> Order<'a> {
    /// # Errors
    /// When a published crate needs one that is not, or crates need each other in a circle.
    pub(super) fn of(workspace: &'a Workspace) -> Result<Self> {
        let (published, private): (Vec<&Package>, Vec<&Package>) =
            workspace.members().into_iter().partition(|p| is_published(p));
        let left_out: Vec<&str> = private.iter().map(|p| p.name.as_str()).collect();
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in &published {
            let own = package.dependencies.iter().filter(|d| d.path.is_some() && is_published_with(d));
            let own: BTreeSet<&str> = own.map(|d| d.name.as_str()).collect();
            for need in &own {
                let name = &package.name;
                let way_out = "drop the dependency, or publish it as well";
                ensure!(!left_out.contains(need), "{name} needs {need}, which is not published: {way_out}");
            }
            needs.insert(package.name.as_str(), own);
        }
        let crates = sorted(&needs)?;
        let crates = crates.into_iter().filter_map(|name| {
            let package = published.iter().find(|p| p.name.as_str() == name)?;
            Some(Place { package, needs: needs.get(name)?.iter().copied().collect() })
        });
        Ok(Self { crates: crates.collect(), left_out })
    }
}

/// Whether any registry may have it.
pub(super) fn is_published(package: &Package) -> bool {
    package.publish.as_ref().is_none_or(|registries| !registries.is_empty())
}

/// Whether the registry must know `dependency` for a crate that has it. Cargo leaves out of a package what only tests
/// need and what has no version.
pub(super) fn is_published_with(dependency: &Dependency) -> bool {
    dependency.kind != DependencyKind::Development || has_version(dependency)
}

/// Cargo reports a dependency without a version as `*`.
pub(super) fn has_version(dependency: &Dependency) -> bool {
    dependency.req != VersionReq::STAR
}

/// The names, each after all it needs; by the alphabet where that leaves a choice. Needs without a row are not waited for.
fn sorted<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Result<Vec<&'a str>> {
    let mut waiting: BTreeSet<&str> = needs.keys().copied().collect();
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |name: &&str| needs.get(name).is_none_or(|needs| needs.is_disjoint(&waiting));
        let next = waiting.iter().copied().find(is_ready);
        let circle = || waiting.iter().copied().collect::<Vec<_>>().join(", ");
        ensure!(next.is_some(), "these crates need each other in a circle, or one that does: {}", circle());
        order.extend(next);
        waiting.retain(|name| Some(*name) != next);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&'static str, &[&'static str])]) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        rows.iter().map(|(name, needs)| (*name, needs.iter().copied().collect())).collect()
    }

    #[test]
    fn a_crate_comes_after_all_it_needs_and_by_the_alphabet_where_there_is_a_choice() {
        let rows = table(&[("a", &["d"]), ("b", &[]), ("c", &["a", "b"]), ("d", &[]), ("e", &["unknown"])]);
        assert_eq!(sorted(&rows).unwrap(), ["b", "d", "a", "c", "e"]);
    }

    #[test]
    fn a_circle_is_named_without_the_crates_before_it() {
        let rows = table(&[("a", &[]), ("b", &["c"]), ("c", &["b", "a"])]);
        let error = sorted(&rows).unwrap_err().to_string();
        assert!(error.ends_with(": b, c"), "{error}");
    }

    #[test]
    fn this_workspace_is_published_from_the_bottom_up_without_its_tools() {
        let workspace = Workspace::load().unwrap();
        let order = Order::of(&workspace).unwrap();
        let names: Vec<&str> = order.crates.iter().map(|place| place.package.name.as_str()).collect();
        let at = |name: &str| names.iter().position(|known| *known == name).unwrap();
        assert_eq!(names[0], "infer-core");
        assert!(
            at("remote-core") < at("runtime-openai") && at("runtime-openai") < at("infer-kit"),
            "{names:?}"
        );
        assert!(at("infer-gateway") < at("infer-cmd"), "{names:?}");
        assert_eq!(order.left_out, ["infer-bench", "infer-fuzz-laws", "xtask"]);
    }
}
