//! `cargo xtask docs`: builds the API documentation as strictly as the check does.

use anyhow::Result;

use crate::api::rustdoc;
use crate::features::Features;
use crate::workspace::{Workspace, cargo};

/// Build the API documentation, warnings denied.
///
/// A broken link or a code block of no known language fails here. Use it after touching doc
/// comments; `--open` shows the result. Only our own crates are documented.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Exit codes: 0 built, 1 rustdoc complained, 2 bad command line.")]
pub(crate) struct Args {
    /// Open the result in a browser
    #[arg(long)]
    open: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    build(&Workspace::load()?, args.open)
}

/// Writes the pages of every member, and beside them what [`crate::api`] reads.
pub(crate) fn build(workspace: &Workspace, open: bool) -> Result<()> {
    let shell = workspace.shell()?;
    let given = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    let flags = format!("{given} -D warnings");
    let flags = flags.trim();
    let command = cargo(&shell).args(["doc", "--no-deps", "--workspace"]);
    let command = command.args(Features::of(workspace).all());
    let command = match rustdoc::other_toolchain(workspace)? {
        None => rustdoc::with_json(command, flags)?,
        Some(_) => command.env("RUSTDOCFLAGS", flags),
    };
    command.args(open.then_some("--open")).run()?;
    Ok(())
}
