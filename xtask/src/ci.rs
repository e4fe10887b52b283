//! `cargo xtask ci`: everything a change must pass, cheapest first.

use anyhow::Result;

use crate::features::Features;
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};
use crate::{api, docs, floors, prices, scaffold, test, tidy};

/// Run every check a change must pass.
///
/// In this order: formatting, tidy, floors, prices, the pages of the book, clippy, each crate with each of its feature sets,
/// tests, the scaffold of new providers, documentation, the public API, packaging. Stops at the first failure and says how to
/// go on. The same command runs on the build machine, so what passes here passes there.
///
/// Needs only Rust with rustfmt and clippy. A table of steps and times closes the run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all passed, 1 a step failed and was named, 2 bad command line.")]
pub(crate) struct Args {
    /// Stop after the tests: leaves out the scaffold, documentation, the public API and packaging
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let result = Steps::shown(|steps| check(steps, args));
    if result.is_ok() && args.fast {
        anstream::println!("Not run because of --fast: scaffold, documentation, public API, packaging.");
    }
    result
}

fn check(steps: &mut Steps, args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let features = Features::of(&workspace);
    if let Some(line) = features.left_out() {
        anstream::eprintln!("note: {line}\n");
    }
    steps.run("format", "Run `cargo fmt --all`.", || format(&workspace))?;
    steps.run("tidy", "Mend what is listed; `cargo xtask tidy` checks again.", || tidy::check(&workspace))?;
    steps.run(
        "floors",
        "Drop the dependency or move code down; `cargo xtask floors` checks again.",
        || floors::check(&workspace),
    )?;
    steps.run("prices", "Mend the tables named; `cargo xtask prices check` checks again.", || {
        prices::check(&workspace, None)
    })?;
    steps.run("pages", "Mend what is listed; `cargo xtask docs --only pages` checks again.", || {
        docs::check(&workspace)
    })?;
    steps.run("clippy", "Mend the warnings above; `cargo clippy --fix` can do some.", || {
        clippy(&workspace, &features)
    })?;
    steps.run("features", "Repeat the last `cargo check` line above.", || {
        feature_matrix(&workspace, &features)
    })?;
    steps.run("test", "Repeat one test with `cargo xtask test -- NAME`.", || {
        test::run(&test::Args::default())
    })?;
    if args.fast {
        return Ok(());
    }
    steps.run(
        "scaffold",
        "Mend xtask/templates, or what they use; `cargo xtask new-provider --check` checks again.",
        || scaffold::check(&workspace),
    )?;
    steps.run("docs", "Repeat with `cargo xtask docs`.", || docs::build(&workspace))?;
    match api::rustdoc::other_toolchain(&workspace)? {
        None => steps.run("api", "`cargo xtask api` compares again.", || api::check(&workspace))?,
        Some(why) => steps.skip("api", &why),
    }
    steps.run("package", "A crate must carry every file it is built from; see above.", || package(&workspace))
}

fn format(workspace: &Workspace) -> Result<()> {
    let shell = workspace.shell()?;
    cargo(&shell).args(["fmt", "--all", "--", "--check"]).run()?;
    Ok(())
}

fn clippy(workspace: &Workspace, features: &Features) -> Result<()> {
    let shell = workspace.shell()?;
    let command = cargo(&shell).args(["clippy", "--workspace", "--all-targets"]);
    command.args(features.all()).args(["--", "-D", "warnings"]).run()?;
    Ok(())
}

/// Each crate by itself, so that no neighbour lends it a feature; its tests too where there are none.
fn feature_matrix(workspace: &Workspace, features: &Features) -> Result<()> {
    let shell = workspace.shell()?;
    for package in workspace.crates() {
        let name = package.name.as_str();
        for set in features.sets(name) {
            cargo(&shell).args(["check", "--quiet", "-p", name]).args(&set).run()?;
            if set.iter().any(|arg| arg == "--no-default-features") {
                cargo(&shell).args(["check", "--quiet", "--tests", "-p", name]).args(&set).run()?;
            }
        }
    }
    Ok(())
}

/// Packs each crate that is published, without building it again.
fn package(workspace: &Workspace) -> Result<()> {
    let shell = workspace.shell()?;
    let private = workspace.members().into_iter().filter(|p| p.publish.as_ref().is_some_and(Vec::is_empty));
    let excluded = private.flat_map(|p| ["--exclude".to_owned(), p.name.to_string()]);
    // The lock file of each package is worked out anew, which takes longer than the rest and which `release check` does.
    let command =
        cargo(&shell).args(["package", "--workspace", "--no-verify", "--allow-dirty", "--exclude-lockfile"]);
    command.args(excluded).run()?;
    Ok(())
}
