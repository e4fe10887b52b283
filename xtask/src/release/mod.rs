//! `cargo xtask release`: from the last tag to crates that others can use, in four commands that can each be repeated.
//!
//! [`plan`] says what would go out, [`bump`] turns the unreleased changes into a version, [`check`] holds the packages to
//! what a registry and a reader ask of them, [`publish`] uploads. What decides is pure: [`order`], [`version`],
//! [`changelog`], [`edits`], [`rules`]. What asks others is thin: [`history`] asks git, [`registry`], [`tarball`] and
//! [`semver_checks`] call cargo.

mod bump;
mod changelog;
mod check;
mod edits;
mod history;
mod order;
mod plan;
mod publish;
mod registry;
mod rules;
mod semver_checks;
mod tarball;
mod version;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

/// Plan, prepare, check and publish a release; all of it a dry run unless told otherwise.
///
/// All crates carry one version, that of the workspace; the tag of version X.Y.Z is `vX.Y.Z`.
/// A release is made in this order, and each command says what comes next:
///
///   release plan                    what changed since the last tag, and the order of publishing
///   release check                   packages: size, licences, docs, and whether they build
///   release bump minor --execute    version, Cargo.lock and changelog, in one commit
///   git tag -a vX.Y.Z               what is published is what this tag names
///   release publish --execute       upload crate after crate; run it again after a failure
///
/// Nothing is written, committed or sent without `--execute`.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Exit codes: 0 done, or shown what would be done, 1 refused or failed and said why, 2 bad command line."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The root of the workspace, if it is not this one
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Args),
    Bump(bump::Args),
    Check(check::Args),
    Publish(publish::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = args.dir.as_deref().map_or_else(Workspace::load, Workspace::at)?;
    match &args.command {
        Command::Plan(args) => plan::run(&workspace, args),
        Command::Bump(args) => bump::run(&workspace, args),
        Command::Check(args) => check::run(&workspace, args),
        Command::Publish(args) => publish::run(&workspace, args),
    }
}

/// `1 commit`, `3 commits`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
