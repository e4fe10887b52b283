//! `cargo xtask floors`: dependencies between the crates point down only.
//!
//! [`laws`] is the table; this file asks cargo what is true and compares. Direct dependencies are
//! read from the manifests, everything below them from `cargo tree`.

mod laws;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Package};

use self::laws::{Law, Never, With, matches};
use crate::workspace::{Workspace, cargo};

/// Check that dependencies between the crates point down only.
///
/// Each crate may use those on lower floors that its row names, and some libraries must not appear
/// anywhere below it: the trait layer has no HTTP, for example. Only what users compile counts;
/// dev-dependencies are free. All violations are listed at once, each with the path that causes it.
///
/// Use it after touching any manifest. It is part of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every law holds, 1 one is broken, 2 bad command line.")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    check(&Workspace::load()?)
}

/// Holds every crate to its row.
///
/// # Errors
/// With all violations, one a line.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    check_crates(workspace, |_| true)
}

/// Holds to their rows the crates whose names are wanted.
///
/// # Errors
/// As for [`check`].
pub(crate) fn check_crates(workspace: &Workspace, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    let members: Vec<&str> = workspace.members().iter().map(|p| p.name.as_str()).collect();
    let mut faults = Vec::new();
    let mut held = 0;
    for package in workspace.crates() {
        let name = package.name.as_str();
        if !is_wanted(name) {
            continue;
        }
        let Some(law) = laws::law_of(name) else {
            faults.push(format!(
                "{name}: has no row in xtask/src/floors/laws.rs: add one, saying why it may use what"
            ));
            continue;
        };
        faults.extend(direct_faults(law, package, &members));
        for never in law.never {
            faults.extend(tree_faults(workspace, name, never)?);
        }
        held += 1;
    }
    if !faults.is_empty() {
        bail!("{} broken:\n  {}", plural(faults.len(), "law is", "laws are"), faults.join("\n  "));
    }
    anstream::eprintln!("floors: {} held to their laws", plural(held, "crate is", "crates are"));
    Ok(())
}

/// The floor a crate stands on, 0 at the bottom.
///
/// # Errors
/// When its row is missing.
pub(crate) fn floor_of(name: &str) -> Result<u8> {
    let law = laws::law_of(name);
    law.map(|law| law.floor)
        .with_context(|| format!("{name} has no row in xtask/src/floors/laws.rs: add one"))
}

/// What the manifest says: which of ours are used directly, and which of those must be optional.
fn direct_faults(law: &Law, package: &Package, members: &[&str]) -> Vec<String> {
    let name = package.name.as_str();
    let mut faults = Vec::new();
    let shipped = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    for dependency in shipped.filter(|d| members.contains(&d.name.as_str())) {
        let used = dependency.name.as_str();
        if !law.ours.iter().any(|pattern| matches(pattern, used)) {
            faults.push(format!("{name} -> {used}: not among the crates it may use ({})", listed(law.ours)));
        } else if !dependency.optional && law.optional.iter().any(|pattern| matches(pattern, used)) {
            faults.push(format!("{name} -> {used}: must be optional, behind a feature of its own"));
        }
    }
    faults
}

/// What cargo resolves: nothing in the whole tree below may match.
fn tree_faults(workspace: &Workspace, name: &str, never: &Never) -> Result<Vec<String>> {
    let shell = workspace.shell()?;
    let features = match never.with {
        With::EveryFeature => "--all-features",
        With::NoFeature => "--no-default-features",
    };
    // `--target all`: a dependency of one platform only is a dependency.
    let common = ["tree", "-p", name, "-e", "normal", "--target", "all", features, "-f", "{p}"];
    let tree = cargo(&shell).args(common).args(["--prefix", "none"]).quiet().read();
    let tree = tree.with_context(|| format!("cargo cannot resolve what {name} depends on"))?;
    let mut faults = Vec::new();
    for (found, version) in packages(&tree) {
        let is_itself = found == name;
        if is_itself || !never.names.iter().any(|pattern| matches(pattern, found)) {
            continue;
        }
        let spec = format!("{found}@{version}");
        let inverted = cargo(&shell).args(common).args(["--prefix", "depth", "-i", &spec]).quiet().read()?;
        let path = first_path(&inverted).join(" -> ");
        let when = if never.with == With::NoFeature { " without features" } else { "" };
        faults.push(format!("{name}{when} -> {found}: {}: {path}", never.reason));
    }
    Ok(faults)
}

/// Name and version of each package in the output of `cargo tree --prefix none -f {p}`.
fn packages(tree: &str) -> BTreeSet<(&str, &str)> {
    tree.lines().filter_map(name_and_version).collect()
}

fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.trim_start_matches('v')))
}

/// The names from the top crate down to the culprit, read from `cargo tree -i --prefix depth`.
///
/// The inverted tree is walked along its first branch, which always ends at the crate asked about.
fn first_path(inverted: &str) -> Vec<&str> {
    let mut path = Vec::new();
    for line in inverted.lines() {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let Some((depth, rest)) = line.split_at_checked(digits) else { break };
        if depth.parse() != Ok(path.len()) {
            break;
        }
        path.extend(rest.split_whitespace().next());
    }
    path.reverse();
    path
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none of ours".to_owned() } else { names.join(", ") }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member<'a>(workspace: &'a Workspace, name: &str) -> &'a Package {
        workspace.members().into_iter().find(|p| p.name.as_str() == name).unwrap()
    }

    #[test]
    fn a_tree_is_read_as_names_and_versions_without_repeats() {
        let tree = "a v0.1.0 (/w/a)\nhttp v1.5.0\nhttp v1.5.0 (*)\nproc v2.0.0 (proc-macro)\n\n";
        let found: Vec<_> = packages(tree).into_iter().collect();
        assert_eq!(found, [("a", "0.1.0"), ("http", "1.5.0"), ("proc", "2.0.0")]);
    }

    #[test]
    fn the_path_to_a_culprit_starts_at_the_crate_and_follows_one_branch() {
        let inverted =
            "0h2 v0.4.20\n1hyper v1.12.0\n2reqwest v0.13.5\n3remote-core v0.1.0 (/w)\n2other v1.0.0\n";
        assert_eq!(first_path(inverted), ["remote-core", "reqwest", "hyper", "h2"]);
    }

    #[test]
    fn a_real_dependency_that_is_forbidden_is_found_with_its_path() {
        let workspace = Workspace::load().unwrap();
        let never = Never { names: &["serde_*"], with: With::EveryFeature, reason: "only to try the rule" };
        let faults = tree_faults(&workspace, "infer-core", &never).unwrap();
        assert!(faults.iter().any(|f| f.ends_with("infer-core -> serde_json")), "{faults:?}");
    }

    #[test]
    fn a_direct_dependency_outside_the_row_is_a_fault() {
        let workspace = Workspace::load().unwrap();
        let law = Law { krate: "wire-chat", floor: 1, ours: &[], optional: &[], never: &[] };
        let wire = member(&workspace, "wire-chat");
        let faults = direct_faults(&law, wire, &["infer-core", "wire-chat"]);
        assert_eq!(faults, ["wire-chat -> infer-core: not among the crates it may use (none of ours)"]);
    }

    #[test]
    fn a_dependency_that_must_be_optional_and_is_not_is_a_fault() {
        let workspace = Workspace::load().unwrap();
        let law =
            Law { krate: "wire-chat", floor: 1, ours: &["infer-*"], optional: &["infer-core"], never: &[] };
        let wire = member(&workspace, "wire-chat");
        let faults = direct_faults(&law, wire, &["infer-core"]);
        assert_eq!(faults, ["wire-chat -> infer-core: must be optional, behind a feature of its own"]);
    }
}
