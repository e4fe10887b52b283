//! `cargo xtask bench`: hands over to the benchmark package.

use anyhow::Result;

use crate::workspace::{Workspace, cargo};

/// Measure, in a release build.
///
/// Runs the package `infer-bench` and hands it everything after `--`. Use it before and after a
/// change that claims to be faster, on an otherwise idle machine. What it measures and which
/// arguments it takes, it says itself: `cargo xtask bench -- --help`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 measured, 1 the build or the benchmark failed, 2 bad command line.")]
pub(crate) struct Args {
    /// Arguments for the benchmark itself
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let shell = workspace.shell()?;
    if args.asks_for_the_gateway() {
        // A process of its own, which the benchmark looks for beside itself.
        cargo(&shell).args(["build", "--release", "-p", "infer-cmd"]).run()?;
    }
    cargo(&shell).args(["run", "--release", "-p", "infer-bench", "--"]).args(&args.args).run()?;
    Ok(())
}

impl Args {
    /// Whether some scenario measures `infer serve`: all do when none is chosen.
    fn asks_for_the_gateway(&self) -> bool {
        let mut chosen = self.args.iter().filter_map(|arg| match arg.strip_prefix("--only") {
            Some("") => None,
            Some(name) => name.strip_prefix('='),
            None => Some(arg.as_str()),
        });
        !self.args.iter().any(|arg| arg.starts_with("--only"))
            || chosen.any(|name| name.starts_with("gateway"))
    }
}
