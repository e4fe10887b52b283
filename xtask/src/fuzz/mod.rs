//! `cargo xtask fuzz`: inputs that nobody thought of, against the laws of `fuzz/laws`.
//!
//! [`table`] is what there is to fuzz, [`mod@run`] one run of libFuzzer, [`report`] what came of it.

mod report;
mod run;
mod table;

use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use self::report::Report;
use self::run::{Ground, Run};
use self::table::Target;
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};

/// Try inputs that nobody thought of, against everything that reads what comes from outside.
///
/// Each target is a law, such as "events do not depend on how the bytes were cut", and a program that feeds it: the laws stand
/// in fuzz/laws, the targets in fuzz/targets.tsv. One after the other is built with the address sanitizer and run for as long
/// as is said, beginning with the fixtures of the crates and fuzz/corpus; an input that takes longer than five seconds, or a
/// gigabyte of memory, counts as found. What is found is copied to fuzz/findings, which ordinary tests replay, so that a
/// finding fails `cargo xtask ci` until it is mended.
///
/// Needs cargo-fuzz (`cargo install cargo-fuzz`) and a C++ compiler. Where one is missing the laws are replayed as tests with
/// the inputs that are known, and it says so.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask fuzz --list\n  cargo xtask fuzz sse_framing --seconds 600\n\n\
                  Exit codes: 0 every law held, 1 one was broken or could not be run and was named, 2 bad command line."
)]
pub(crate) struct Args {
    /// Run this target alone; --list names them
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// How long each target runs, without its build
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Name the targets and what they check, and run none
    #[arg(long)]
    list: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let targets = table::read(&workspace.root, args.target.as_deref())?;
    if args.list {
        return list(&targets, args.json);
    }
    if let Some(missing) = missing() {
        return replay(&workspace, &targets, args, &missing);
    }
    let ground = Ground::of(&workspace);
    let mut report = Report::default();
    let mut steps = Steps::default();
    for target in &targets {
        let way_out = format!("Repeat with `cargo xtask fuzz {} --seconds {}`.", target.name, args.seconds);
        let done = steps.run(&target.name, &way_out, || held(ground.run(target, args.seconds)?, &mut report));
        if let Err(error) = done {
            report.failed(format!("{error:#}"));
        }
    }
    report.print(args.json)?;
    let broken = report.failures();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// Notes the run; one with findings is a failure that says what to do about them.
fn held(run: Run, report: &mut Report) -> Result<()> {
    let findings = run.findings.clone();
    let name = run.target.clone();
    report.add(run);
    if findings.is_empty() {
        return Ok(());
    }
    bail!(
        "the law is broken by {}: `cargo test -p infer-fuzz-laws --test corpus {name}` repeats it; mend the crate, write the \
         test that shows it there, and commit the input",
        findings.join(", "),
    )
}

fn list(targets: &[Target], json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = targets
            .iter()
            .map(|target| {
                serde_json::json!({"name": target.name, "max_bytes": target.max_bytes, "law": target.law})
            })
            .collect();
        anstream::println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let width = targets.iter().map(|target| target.name.len()).max().unwrap_or(0);
    for Target { name, law, .. } in targets {
        anstream::println!("{name:<width$}  {law}");
    }
    Ok(())
}

/// What is needed for fuzzing and not there, with the way to get it.
fn missing() -> Option<String> {
    if !answers("cargo-fuzz", &["--version"]) {
        return Some("cargo-fuzz is missing: `cargo install cargo-fuzz` brings it".to_owned());
    }
    let named = std::env::var("CXX").ok();
    let compilers = named.iter().map(String::as_str).chain(["c++", "clang++", "g++"]);
    let is_there = { compilers }.any(|compiler| answers(compiler, &["--version"]));
    (!is_there)
        .then(|| "a C++ compiler is missing, which libFuzzer is built with: install clang or g++".to_owned())
}

fn answers(program: &str, question: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(question).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The laws with the inputs that are known, as tests.
fn replay(workspace: &Workspace, targets: &[Target], args: &Args, missing: &str) -> Result<()> {
    anstream::eprintln!("not fuzzed: {missing}\nreplaying the inputs that are known, as tests\n");
    let shell = workspace.shell()?;
    let test = cargo(&shell).args(["test", "-p", "infer-fuzz-laws", "--test", "corpus"]);
    let filter = args.target.as_ref().map(|name| vec!["--", "--exact", name.as_str()]).unwrap_or_default();
    let test = test.args(filter);
    if args.json { test.ignore_stdout().run() } else { test.run() }?;
    if args.json {
        let names: Vec<_> = targets.iter().map(|target| &target.name).collect();
        let said = serde_json::json!({"fuzzed": false, "why": missing, "replayed": names});
        anstream::println!("{said}");
    }
    Ok(())
}
