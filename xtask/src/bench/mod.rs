//! `cargo xtask bench`: hands over to the benchmark package, once or against another revision.

mod against;
mod ratio;

use anyhow::Result;

use self::against::Against;
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};

/// Measure, in a release build.
///
/// Runs the package `infer-bench` and hands it everything after `--`. Use it before and after a
/// change that claims to be faster, on an otherwise idle machine. What it measures and which
/// arguments it takes, it says itself: `cargo xtask bench -- --help`.
///
/// With --against, another revision is built from a worktree below the target folder, and the two take
/// turns, so that what disturbs the machine disturbs both. The table has what each took and the ratio.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench -- --only unary\n  \
                  cargo xtask bench --against main --fail-above 1.10 -- --only batched --rounds 5\n\n\
                  Exit codes: 0 measured, 1 the build or the benchmark failed or --fail-above was passed, 2 bad command line.")]
pub(crate) struct Args {
    /// Measure this revision as well, and compare
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
    /// Fail when something takes more than so many times what it took in the other revision
    #[arg(long, value_name = "RATIO", requires = "against", value_parser = above_zero)]
    fail_above: Option<f64>,
    /// How often the two take turns
    #[arg(long, value_name = "N", requires = "against", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    passes: u16,
    /// Arguments for the benchmark itself
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    handed_over: Vec<String>,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "must be a number above 0, such as 1.10".to_owned())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let with_gateway = asks_for_the_gateway(&args.handed_over);
    if let Some(revision) = &args.against {
        let against = Against {
            revision,
            passes: args.passes,
            most: args.fail_above,
            with_gateway,
            target: workspace.target(),
            args: &args.handed_over,
        };
        let mut steps = Steps::default();
        let result = against.run(&workspace, &mut steps);
        anstream::eprintln!("{}", steps.table());
        return result;
    }
    let shell = workspace.shell()?;
    if with_gateway {
        // A process of its own, which the benchmark looks for beside itself.
        cargo(&shell).args(["build", "--release", "-p", "infer-cmd"]).run()?;
    }
    cargo(&shell).args(["run", "--release", "-p", "infer-bench", "--"]).args(&args.handed_over).run()?;
    Ok(())
}

/// Whether some scenario measures `infer serve`: all do when none is chosen.
fn asks_for_the_gateway(args: &[String]) -> bool {
    let mut chosen = args.iter().filter_map(|arg| match arg.strip_prefix("--only") {
        Some("") => None,
        Some(name) => name.strip_prefix('='),
        None => Some(arg.as_str()),
    });
    !args.iter().any(|arg| arg.starts_with("--only")) || chosen.any(|name| name.starts_with("gateway"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_built_when_it_is_chosen_or_nothing_is() {
        for (args, is_asked) in [
            (&[][..], true),
            (&["--rounds", "3"], true),
            (&["--only", "unary"], false),
            (&["--only=gateway-unary"], true),
            (&["--only", "unary", "--only", "gateway"], true),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(asks_for_the_gateway(&args), is_asked, "{args:?}");
        }
    }

    #[test]
    fn a_limit_is_a_number_above_zero() {
        assert_eq!(above_zero("1.10"), Ok(1.1));
        for bad in ["0", "-1", "inf", "NaN", "10%"] {
            assert!(above_zero(bad).is_err(), "{bad}");
        }
    }
}
