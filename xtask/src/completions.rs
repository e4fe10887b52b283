//! `cargo xtask completions`: what a shell and `man` want to know of `infer`, as files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};

/// Each shell, and what the file with its script is called.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "infer.bash"),
    ("elvish", "infer.elv"),
    ("fish", "infer.fish"),
    ("powershell", "_infer.ps1"),
    ("zsh", "_infer"),
];

/// Write the completions and manual pages of `infer`.
///
/// Builds `infer` without optimisation and asks it: `infer completions` and `infer man`. The files are
/// in target/completions and target/man, and `man -M target/man infer` shows a page. What is
/// released has the same files in it: `cargo xtask dist`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 written, 1 the build or `infer` failed, 2 bad command line.")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    Steps::shown(|steps| write(&workspace, steps))
}

fn write(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let (completions, man) = (workspace.target().join("completions"), workspace.target().join("man"));
    anstream::eprintln!("Builds infer, then writes {} and {}.\n", completions.display(), man.display());
    let infer =
        steps.run("build infer", "Repeat with `cargo build -p infer-cmd`.", || build(workspace, &[]))?;
    let texts = steps
        .run("ask infer", "Repeat with `infer completions bash` and `infer man`.", || Texts::of(&infer))?;
    steps.run("write", "See what is in the way at the path named.", || {
        for (folder, files) in [(completions, &texts.completions), (man.join("man1"), &texts.man)] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for (name, text) in files {
                let path = folder.join(name);
                fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    })
}

/// Builds `infer` without optimisation, with further arguments for cargo.
pub(crate) fn build(workspace: &Workspace, args: &[&str]) -> Result<PathBuf> {
    let shell = workspace.shell()?;
    cargo(&shell).args(["build", "-p", "infer-cmd"]).args(args).run()?;
    let program = workspace.target().join("debug").join(format!("infer{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "infer-cmd was built, but {} is not there", program.display());
    Ok(program)
}

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What `infer` says of itself.
#[derive(Debug)]
pub(crate) struct Texts {
    /// A script for each shell.
    pub(crate) completions: Files,
    /// A page for each command.
    pub(crate) man: Files,
}

impl Texts {
    /// Asks the program at `infer`, which must run on this machine.
    pub(crate) fn of(infer: &Path) -> Result<Self> {
        let mut completions = Files::new();
        for (shell, name) in SHELLS {
            let script = said(infer, &["completions", shell])?;
            ensure!(!script.is_empty(), "`infer completions {shell}` printed nothing");
            completions.insert(name.to_owned(), script);
        }
        let folder = tempfile::tempdir()?;
        let out = folder.path().to_str().context("the folder for temporary files has no name in UTF-8")?;
        said(infer, &["man", "--out", out])?;
        let mut man = Files::new();
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            man.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
        ensure!(man.contains_key("infer.1"), "`infer man` wrote no infer.1");
        Ok(Self { completions, man })
    }
}

/// What `program` writes to standard output.
pub(crate) fn said(program: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let shown = program.display();
    let output =
        Command::new(program).args(args).output().with_context(|| format!("cannot start {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} {}: {}: {}", args.join(" "), output.status, complaint.trim());
    Ok(output.stdout)
}
