//! Holds the templates to what they promise: both kinds, made in a copy of the workspace, pass every rule of the house
//! without an edit, and a provider for Chat Completions is less than a hundred lines.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::files::Speaks;
use super::plan::Plan;
use super::{layout, packages, today};
use crate::steps::{now, seconds};
use crate::workspace::{Workspace, cargo};
use crate::{floors, tidy};

/// A provider for Chat Completions has fewer lines than this, blank ones and docs included.
const MAX_LINES: usize = 100;
/// What is made. The second has hyphens, which are spelled in two ways, and is as long as a name may be.
const MADE: [(&str, Speaks); 2] = [("acme", Speaks::Chat), ("acme-and-a-name-that-fills-limit", Speaks::Own)];

/// Makes both kinds in a temporary copy, checks them, and removes the copy.
///
/// The copy keeps the times of all files and shares what is built already, so only the new crates are compiled.
///
/// # Errors
/// The first rule that does not hold.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let begun = now();
    let copy = copy(workspace)?;
    let there = Workspace::at(copy.path())?;
    let mut made = Vec::new();
    for (name, speaks) in MADE {
        let plan = Plan::of(copy.path(), &name.parse()?, speaks, &today())?;
        plan.write()?;
        layout(&there, &plan);
        if speaks == Speaks::Chat {
            is_short(&plan)?;
        }
        made.push((plan, speaks));
    }
    let there = Workspace::at(copy.path())?; // with its new members
    let new = made.iter().flat_map(|(plan, _)| plan.new.iter().map(|file| file.path.clone()));
    let files = new.chain(["README.md".to_owned()]).collect();
    tidy::check_files(&there, files).context("the scaffold is not tidy")?;
    let crates: Vec<&str> =
        made.iter().flat_map(|(plan, _)| plan.crates.iter().map(String::as_str)).collect();
    floors::check_crates(&there, |name| crates.contains(&name)).context("the scaffold breaks a law")?;
    let packages: Vec<String> = made.iter().flat_map(|(plan, _)| packages(plan)).collect();
    run_cargo(workspace, &there, &packages)?;
    anstream::eprintln!("scaffold: both kinds hold, in {}", seconds(begun.elapsed()));
    Ok(())
}

/// Formatting, lints, tests with the conformance suite, documentation; all without a network.
fn run_cargo(workspace: &Workspace, there: &Workspace, packages: &[String]) -> Result<()> {
    let shell = there.shell()?;
    shell.set_var("CARGO_TARGET_DIR", workspace.target());
    cargo(&shell).arg("fmt").args(packages).args(["--", "--check"]).run()?;
    let quiet = ["--offline", "--quiet"];
    cargo(&shell).arg("test").args(quiet).args(packages).run()?;
    let clippy = cargo(&shell).arg("clippy").args(quiet).args(["--all-targets", "--no-deps"]).args(packages);
    clippy.args(["--", "-D", "warnings"]).run()?;
    let docs = cargo(&shell).args(["doc", "--no-deps"]).args(quiet).args(packages);
    docs.env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(())
}

/// Counts every line of the provider's sources as they stand on disk.
fn is_short(plan: &Plan) -> Result<()> {
    let mut lines = 0;
    for file in plan.new.iter().filter(|file| file.path.contains("/src/")) {
        let text = fs::read_to_string(plan.root.join(&file.path));
        lines += text.with_context(|| format!("{} cannot be read", file.path))?.lines().count();
    }
    let name = &plan.name;
    ensure!(lines > 0, "runtime-{name} has no source");
    let way_out = "move what is shared down into remote-core";
    ensure!(lines < MAX_LINES, "runtime-{name} has {lines} lines, must be fewer than {MAX_LINES}: {way_out}");
    anstream::eprintln!("scaffold: a provider for Chat Completions is {lines} lines");
    Ok(())
}

/// A copy of everything git knows, gone when dropped.
///
/// Outside the target folder: cargo takes note of sources inside it by that place, and would then miss them when the
/// workspace itself is built with what was compiled here.
fn copy(workspace: &Workspace) -> Result<TempDir> {
    let copy = tempfile::Builder::new().prefix("scaffold-").tempdir()?;
    for file in workspace.files()? {
        let (from, to) = (workspace.root.join(&file), copy.path().join(&file));
        copy_with_time(&from, &to).with_context(|| format!("{file} cannot be copied"))?;
    }
    Ok(copy)
}

/// With the time of the original, by which cargo tells that nothing needs to be built again.
fn copy_with_time(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to)?;
    let time = fs::metadata(from)?.modified()?;
    fs::File::options().append(true).open(to)?.set_modified(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_every_file_with_its_time_and_is_gone_afterwards() {
        let workspace = Workspace::load().unwrap();
        let copy = copy(&workspace).unwrap();
        let time = |root: &Path, file: &str| fs::metadata(root.join(file)).unwrap().modified().unwrap();
        for file in ["Cargo.lock", "xtask/src/main.rs"] {
            assert_eq!(time(copy.path(), file), time(&workspace.root, file), "{file}");
        }
        let root = copy.path().to_owned();
        drop(copy);
        assert!(!root.exists());
    }
}
