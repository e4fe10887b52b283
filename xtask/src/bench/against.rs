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
    /// Where both are built.
    pub(super) target: &'a Path,
    /// For the benchmark.
    pub(super) args: &'a [String],
}

impl Against<'_> {
    /// Builds both, runs both in turns and prints the table.
    pub(super) fn run(&self, workspace: &Workspace, steps: &mut Steps) -> Result<()> {
        for taken in ["--json", "--check"] {
            ensure!(!self.args.iter().any(|arg| arg == taken), "{taken} and --against do not go together");
        }
        let home = self.target.join("against");
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
            command.env("CARGO_TARGET_DIR", self.target).run()?;
            let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
            let built = self.target.join("release").join(&program);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkout whose benchmark says that a call takes so long, one commit for each.
    fn checkout_of(medians: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let shell = xshell::Shell::new().unwrap();
        shell.change_dir(root.path());
        shell
            .write_file("Cargo.toml", "[workspace]\nmembers = [\"infer-bench\"]\nresolver = \"3\"\n")
            .unwrap();
        let package = "[package]\nname = \"infer-bench\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        shell.write_file("infer-bench/Cargo.toml", package).unwrap();
        cmd!(shell, "git init --quiet").run().unwrap();
        for median in medians {
            let rows = format!(
                r#"{{"rows":[{{"scenario":"unary","per":"call","unit":"µs","ours":{{"median":{median}}}}}]}}"#
            );
            shell
                .write_file(
                    "infer-bench/src/main.rs",
                    format!("fn main() {{ println!({:?}) }}", rows.replace('{', "{{").replace('}', "}}")),
                )
                .unwrap();
            cmd!(shell, "git add --all").run().unwrap();
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
            cmd!(shell, "git {who...} commit --quiet --message {median}").run().unwrap();
        }
        root
    }

    #[test]
    fn two_revisions_are_built_and_compared_and_no_worktree_is_left() {
        let root = checkout_of(&["2.0", "3.0"]);
        let workspace = Workspace::at(root.path()).unwrap();
        let target = root.path().join("target");
        let against = |revision, most| {
            let args = &[];
            Against { revision, passes: 1, most, with_gateway: false, target: &target, args }
                .run(&workspace, &mut Steps::default())
        };
        against("HEAD~1", None).unwrap();
        let error = format!("{:#}", against("HEAD~1", Some(1.4)).unwrap_err());
        assert_eq!(error, "above 1.4 times what HEAD~1 took: unary, call: 1.500");
        against("HEAD", Some(1.0)).unwrap();
        let error = format!("{:#}", against("no-such-branch", None).unwrap_err());
        assert!(error.starts_with("--against no-such-branch: git knows no such commit"), "{error}");
        let shell = workspace.shell().unwrap();
        assert_eq!(cmd!(shell, "git worktree list").read().unwrap().lines().count(), 1);
    }

    #[test]
    fn what_the_comparison_needs_for_itself_cannot_be_asked_for() {
        let root = checkout_of(&["1.0"]);
        let workspace = Workspace::at(root.path()).unwrap();
        let args = &["--json".to_owned()];
        let against = Against {
            revision: "HEAD",
            passes: 1,
            most: None,
            with_gateway: false,
            target: root.path(),
            args,
        };
        let error = against.run(&workspace, &mut Steps::default()).unwrap_err().to_string();
        assert_eq!(error, "--json and --against do not go together");
    }
}
