//! `cargo xtask test`: all tests, then all examples in docs.

use std::num::NonZero;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::features::Features;
use crate::workspace::{Workspace, cargo};

/// Run the tests, then the examples in the docs.
///
/// Uses `cargo nextest` when it is installed, else `cargo test`. Whatever stands after `--` goes to
/// that runner: a filter, `-p CRATE`, `--no-capture`. With such arguments the examples in the docs
/// are left out, since a filter rarely means them. A run in which no test matched is a failure.
///
/// Four tests run at once for each processor; `NEXTEST_TEST_THREADS` or `RUST_TEST_THREADS` says otherwise.
///
/// All features are on, so that what stands behind one is tested too; a picked package has its default ones.
///
/// Tests against paid services and real models are ignored here; `cargo xtask real` runs the latter.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --props 4096\n  cargo xtask test -- -p remote-core breaker\n\n\
                  Exit codes: 0 all passed, 1 a test failed or none ran, 2 bad command line."
)]
pub(crate) struct Args {
    /// Cases a property test tries (the tests' own default is 256)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    props: Option<u32>,
    /// Arguments for the test runner
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let shell = workspace.shell()?;
    if let Some(cases) = args.props {
        shell.set_var("PROPTEST_CASES", cases.to_string());
    }
    for name in ["NEXTEST_TEST_THREADS", "RUST_TEST_THREADS"] {
        if std::env::var_os(name).is_none() {
            shell.set_var(name, threads().to_string());
        }
    }
    let scope = scope(&args.args, &Features::of(&workspace));
    if has_nextest(&shell) {
        let nextest = cargo(&shell).args(["nextest", "run", "--no-tests", "fail"]);
        nextest.args(&scope).args(&args.args).run()?;
    } else {
        let mut call: Vec<&str> = vec!["test", "--tests"];
        call.extend(scope.iter().map(String::as_str));
        call.extend(args.args.iter().map(String::as_str));
        ensure_some_match(&shell, &call)?;
        cargo(&shell).args(call).run()?;
    }
    if args.args.is_empty() {
        cargo(&shell).args(["test", "--doc"]).args(scope).run()?;
    }
    Ok(())
}

/// Fails unless `call`, a `cargo test` line, selects at least one test.
///
/// # Errors
/// When the tests do not build, or when none is selected: a run of nothing would look like success.
pub(crate) fn ensure_some_match(shell: &Shell, call: &[&str]) -> Result<usize> {
    let list = if call.contains(&"--") { &["--list"][..] } else { &["--", "--list"] };
    let listed = cargo(shell).args(call).args(list).quiet().read()?;
    let count = count_listed(&listed);
    ensure!(count > 0, "no test is selected by `cargo {}`", call.join(" "));
    Ok(count)
}

/// How many tests stand in what the runner printed for `--list`.
fn count_listed(listed: &str) -> usize {
    listed.lines().filter(|line| line.ends_with(": test")).count()
}

/// How many tests run at once. Many wait for a process or a socket of theirs, so more than there are processors.
fn threads() -> usize {
    4 * std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn has_nextest(shell: &Shell) -> bool {
    cmd!(shell, "cargo-nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// The whole workspace with every feature that can be built here, unless the caller picked packages.
fn scope(args: &[String], features: &Features) -> Vec<String> {
    let ours = args.iter().take_while(|arg| *arg != "--");
    let picked = ours.into_iter().any(|a| a.starts_with("-p") || a.starts_with("--package"));
    if picked {
        return Vec::new();
    }
    let mut scope = vec!["--workspace".to_owned()];
    scope.extend(features.all());
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn without_a_package_the_whole_workspace_is_tested() {
        let features = Features::of(&Workspace::load().unwrap());
        for args in ["", "breaker --no-capture", "-- -p"] {
            let scope = scope(&words(args), &features);
            assert_eq!(
                (scope[0].as_str(), &scope[1..]),
                ("--workspace", features.all().as_slice()),
                "{args}"
            );
        }
    }

    #[test]
    fn a_picked_package_is_not_widened_to_the_workspace() {
        for args in ["-p remote-core", "--package=remote-core", "-premote-core breaker"] {
            let features = Features::of(&Workspace::load().unwrap());
            assert!(scope(&words(args), &features).is_empty(), "{args}");
        }
    }

    #[test]
    fn an_empty_list_of_tests_counts_as_none() {
        assert_eq!(count_listed("\n0 tests, 0 benchmarks\n"), 0);
        assert_eq!(count_listed("a::b: test\nc: benchmark\nd: test\n\n2 tests, 1 benchmark\n"), 2);
    }
}
