//! Two revisions, built side by side and measured in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use super::ratio::{Comparison, parse};
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};

/// What is compared, and how often.
#[derive(Debug)]
pub(super) struct Against<'a> {
    pub(super) revision: &'a str,
    pub(super) passes: u16,
    /// The ratio above which it fails.
    pub(super) most: Option<f64>,
    pub(super) with_gateway: bool,
    /// For the benchmark.
    pub(super) args: &'a [String],
}

impl Against<'_> {
    /// Builds both, runs both in turns and prints the table.
    pub(super) fn run(&self, workspace: &Workspace, steps: &mut Steps) -> Result<()> {
        for taken in ["--json", "--check"] {
            ensure!(!self.args.iter().any(|arg| arg == taken), "{taken} and --against do not go together");
        }
        let home = workspace.target().join("against");
        let commit = commit(workspace, self.revision)?;
        let (tree, short) = (home.join("tree"), commit.get(..10).unwrap_or(&commit));
        anstream::eprintln!(
            "Builds the benchmark of {} ({short}) and of this checkout, and lets them take {} turns each.\n",
            self.revision,
            self.passes
        );
        let there = steps.run("build the other revision", "It may be older than the benchmark.", || {
            let built = checkout(workspace, &tree, &commit)
                .and_then(|()| self.build(workspace, &tree, &home.join("there")));
            remove(workspace, &tree);
            built
        })?;
        let here = steps.run("build this checkout", "Repeat the `cargo build` line above.", || {
            self.build(workspace, &workspace.root, &home.join("here"))
        })?;
        let mut comparison = Comparison::default();
        for pass in 1..=self.passes {
            let name = format!("turn {pass} of {}", self.passes);
            let (before, after) = steps.run(&name, "Run the program above by hand.", || {
                // Who goes first changes, so that warming up favours neither.
                if pass % 2 == 0 {
                    let after = self.measure(&here)?;
                    Ok((self.measure(&there)?, after))
                } else {
                    Ok((self.measure(&there)?, self.measure(&here)?))
                }
            })?;
            comparison.add(parse(&before)?, parse(&after)?);
        }
        anstream::println!("{}", comparison.table(self.most));
        let worse = comparison.above(self.most.unwrap_or(f64::INFINITY));
        if !worse.is_empty() {
            bail!(
                "above {} times what {} took: {}",
                self.most.unwrap_or_default(),
                self.revision,
                worse.join("; ")
            );
        }
        Ok(())
    }

    /// Builds in `tree`, into the target folder of this workspace, so that what both use is built once; copies the
    /// programs to `folder`, since the next build takes their place.
    fn build(&self, workspace: &Workspace, tree: &Path, folder: &Path) -> Result<PathBuf> {
        let shell = workspace.shell()?;
        shell.change_dir(tree);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let programs = [("infer-bench", "infer-bench"), ("infer-cmd", "infer")];
        for (package, program) in programs.into_iter().take(if self.with_gateway { 2 } else { 1 }) {
            let command = cargo(&shell).args(["build", "--release", "-p", package]);
            command.env("CARGO_TARGET_DIR", workspace.target()).run()?;
            let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
            let built = workspace.target().join("release").join(&program);
            let copy = folder.join(&program);
            fs::copy(&built, &copy)
                .with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
        }
        Ok(folder.join(format!("infer-bench{}", std::env::consts::EXE_SUFFIX)))
    }

    /// What one run prints.
    fn measure(&self, program: &Path) -> Result<String> {
        let shown = program.display();
        anstream::eprintln!("$ {shown} --json {}", self.args.join(" "));
        let mut command = Command::new(program);
        command.arg("--json").args(self.args).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start {shown}"))?;
        ensure!(output.status.success(), "{shown} ended with {}", output.status);
        String::from_utf8(output.stdout).with_context(|| format!("{shown} printed what is not UTF-8"))
    }
}

fn commit(workspace: &Workspace, revision: &str) -> Result<String> {
    let shell = workspace.shell()?;
    let object = format!("{revision}^{{commit}}");
    let found = cmd!(shell, "git rev-parse --verify --quiet --end-of-options {object}")
        .quiet()
        .ignore_stderr()
        .read();
    found.with_context(|| format!("--against {revision}: git knows no such commit"))
}

/// A worktree of `commit` at `tree`, in place of one that was left there.
fn checkout(workspace: &Workspace, tree: &Path, commit: &str) -> Result<()> {
    remove(workspace, tree);
    let shell = workspace.shell()?;
    cmd!(shell, "git worktree add --quiet --force --detach {tree} {commit}").run()?;
    Ok(())
}

/// Removes the worktree, if there is one.
fn remove(workspace: &Workspace, tree: &Path) {
    if !tree.exists() {
        return;
    }
    let removed = workspace.shell().and_then(|shell| {
        Ok(cmd!(shell, "git worktree remove --force {tree}").quiet().ignore_stderr().run()?)
    });
    if removed.is_err() {
        anstream::eprintln!(
            "note: {} was left behind: remove it, and run `git worktree prune`",
            tree.display()
        );
    }
}
