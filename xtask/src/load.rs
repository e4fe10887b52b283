//! `cargo xtask load`: a gateway under load, as long and as wide as it is told.

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::workspace::{Workspace, cargo};

/// Put a gateway under load and see that it stays honest.
///
/// Starts `infer serve` in front of `infer sim`, both as processes of their own, and keeps so many
/// streams running at once, one in twenty of them with a fault. Afterwards every stream must have
/// ended with `[DONE]` after a finish, with one error event or with a status; the rows of the ledger
/// and their sums must be what callers and simulator counted; and neither memory nor open files may
/// have grown. The same test runs for a few seconds with all others; here it takes its time.
///
/// Prints what was measured: requests, time to the first token, memory, open files.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask load\n  cargo xtask load --seconds 600 --json > load.json\n\n\
                  Exit codes: 0 all held, 1 something did not and was named, 2 bad command line."
)]
pub(crate) struct Args {
    /// How long new streams are begun
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many streams run at once
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Measure a build without optimisation, which is there sooner
    #[arg(long)]
    debug: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let shell = workspace.shell()?;
    let profile: &[&str] = if args.debug { &[] } else { &["--release"] };
    let test = ["test", "-p", "infer-cmd", "--test", "load"];
    // Built first, so that what is built does not stand in the way of what is measured.
    cargo(&shell).args(test).args(profile).arg("--no-run").run()?;
    let directory = tempfile::tempdir().context("no directory for what is measured")?;
    let report = directory.path().join("load.json");
    // Every stream is two sockets of the gateway: as many open files as the system allows.
    let widened = "ulimit -n \"$(ulimit -Hn)\"; exec cargo \"$@\"";
    let command = cmd!(shell, "sh -c {widened} cargo").args(test).args(profile);
    let command = command
        .args(["--", "--nocapture"])
        .env("INFER_LOAD_SECONDS", args.seconds.to_string())
        .env("INFER_LOAD_STREAMS", args.streams.to_string())
        .env("INFER_LOAD_JSON", &report);
    if args.json { command.ignore_stdout().run() } else { command.run() }?;
    if args.json {
        anstream::println!("{}", shell.read_file(&report)?.trim());
    }
    Ok(())
}
