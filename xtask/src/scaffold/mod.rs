//! `cargo xtask new-provider`: a provider that compiles and passes the conformance suite, to start from.
//!
//! [`names`] spells the name, [`files`] makes crates of the templates, [`manifest`] names them where people look,
//! [`plan`] writes all of it or nothing, and [`check()`] holds the templates to what they promise.

mod check;
mod files;
mod manifest;
mod names;
mod plan;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde_json::json;

use self::files::Speaks;
use self::names::Name;
use self::plan::Plan;
use crate::workspace::{Workspace, cargo};

pub(crate) use self::check::check;

/// Start a provider: a crate that compiles, passes the conformance suite and waits for your vendor's facts.
///
/// Writes `crates/runtime-NAME`, with `--wire own` also `crates/wire-NAME`, and names them in the workspace's manifest,
/// the README and the changelog. Says so before, overwrites nothing, and takes everything back if it cannot finish. Then
/// runs the tests of the new crates. docs/new-provider.md goes on from there.
///
/// `--check` does nothing to the workspace: it makes both kinds in a copy and holds them to every rule of the house.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask new-provider mistral --wire chat\n  cargo xtask new-provider my-cloud --wire own --dry-run\n\n\
                  Exit codes: 0 written and its tests pass, 1 refused or failed, 2 bad command line."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
pub(crate) struct Args {
    /// The vendor in lower case: letters, digits and hyphens, beginning with a letter
    #[arg(required_unless_present = "check")]
    name: Option<Name>,
    /// What it speaks
    #[arg(long, value_enum, required_unless_present = "check")]
    wire: Option<Speaks>,
    /// The root of the workspace, if it is not this one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out running the new crates' tests
    #[arg(long)]
    no_test: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Make both kinds in a copy of the workspace and check them; part of `cargo xtask ci`
    #[arg(long, conflicts_with_all = ["name", "wire", "dir", "dry_run", "no_test", "json"])]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (Some(name), Some(wire)) = (&args.name, args.wire) else {
        return check(&Workspace::load()?);
    };
    let workspace = args.dir.as_deref().map_or_else(Workspace::load, Workspace::at)?;
    let plan = Plan::of(&workspace.root, name, wire, &today())?;
    if !args.json {
        anstream::println!("{}", announcement(&plan));
    }
    let is_tested = !args.dry_run && !args.no_test;
    if !args.dry_run {
        plan.write()?;
        layout(&workspace, &plan);
    }
    if is_tested {
        test(&workspace, &plan, args.json)?;
    }
    if args.json {
        anstream::println!("{}", report(&plan, args.dry_run, is_tested));
    } else if args.dry_run {
        anstream::println!("Nothing is written, because of --dry-run.");
    } else {
        anstream::println!("\nNext:\n  {}", next_steps(&plan).join("\n  "));
    }
    Ok(())
}

/// What will be done, before it is.
fn announcement(plan: &Plan) -> String {
    let new = plan.new.iter().map(|file| format!("  new     {}", file.path));
    let changed = plan.edits.iter().map(|edit| format!("  change  {}", edit.path));
    let lines: Vec<String> = new.chain(changed).collect();
    format!("{} in {}:\n{}", plan.crates.join(" and "), plan.root.display(), lines.join("\n"))
}

fn report(plan: &Plan, is_dry: bool, is_tested: bool) -> serde_json::Value {
    let new: Vec<&str> = plan.new.iter().map(|file| file.path.as_str()).collect();
    let changed: Vec<&str> = plan.edits.iter().map(|edit| edit.path).collect();
    json!({
        "name": plan.name.to_string(),
        "root": plan.root.display().to_string(),
        "crates": plan.crates,
        "new": new,
        "changed": changed,
        "written": !is_dry,
        "tested": is_tested,
        "next": next_steps(plan),
    })
}

fn next_steps(plan: &Plan) -> Vec<String> {
    let provider = format!("crates/runtime-{}", plan.name);
    let mut steps = vec![
        "docs/new-provider.md says what each place must hold".to_owned(),
        format!(
            "put the address, the errors and the prices of the vendor into {provider}, each with source and day"
        ),
    ];
    if plan.crates.len() > 1 {
        steps.push(format!(
            "put the vendor's format into crates/wire-{}, recorded answers into tests/data",
            plan.name
        ));
    }
    steps.push(format!("cargo xtask test -- {}", packages(plan).join(" ")));
    steps.push("cargo xtask tidy --bless  # writes down in docs/api what is public".to_owned());
    steps.push("cargo xtask ci".to_owned());
    steps
}

fn packages(plan: &Plan) -> Vec<String> {
    plan.crates.iter().flat_map(|krate| ["-p".to_owned(), krate.clone()]).collect()
}

/// A long name moves line breaks, so the formatter has the last word. Without one the crates are as good.
fn layout(workspace: &Workspace, plan: &Plan) {
    let formatted = workspace.shell().and_then(|shell| {
        cargo(&shell).arg("fmt").args(packages(plan)).quiet().run()?;
        Ok(())
    });
    if formatted.is_err() {
        anstream::eprintln!("note: not formatted, `cargo fmt` is not here or failed: run it before a commit");
    }
}

fn test(workspace: &Workspace, plan: &Plan, is_quiet: bool) -> Result<()> {
    let shell = workspace.shell()?;
    let call = cargo(&shell).arg("test").args(packages(plan));
    let call = if is_quiet { call.ignore_stdout() } else { call };
    call.run().with_context(|| {
        format!("{} stand as announced, but their tests do not pass", plan.crates.join(" and "))
    })
}

/// Today in UTC, as `2026-11-21`.
#[expect(clippy::disallowed_methods, reason = "xtask is a shell: it owns the clock it dates files from")]
pub(crate) fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(["it"].into_iter().chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn a_name_and_a_wire_are_needed_unless_it_only_checks() {
        for bad in
            ["", "mistral", "--wire chat", "mistral --wire soap", "Mistral --wire chat", "--check --json"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in ["mistral --wire chat", "my-cloud --wire own --dry-run --json", "--check"] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_guides_commands_are_those_of_the_tool() {
        let guide = include_str!("../../../docs/new-provider.md");
        let commands: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ cargo ")).collect();
        for command in &commands {
            let command = command.split('#').next().unwrap_or_default();
            let parsed = crate::Cli::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {parsed:?}");
        }
        assert!(commands.len() >= 3, "{commands:?}");
    }

    #[test]
    fn what_is_announced_is_what_the_plan_writes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let plan = Plan::of(root, &"zz-top".parse().unwrap(), Speaks::Own, "2026-11-21").unwrap();
        let said = announcement(&plan);
        assert_eq!(said.lines().count(), 1 + plan.new.len() + 3, "{said}");
        for path in
            plan.new.iter().map(|file| file.path.as_str()).chain(["Cargo.toml", "README.md", "CHANGELOG.md"])
        {
            assert!(
                said.lines().any(|line| line.ends_with(&format!("  {path}"))),
                "{path} missing in {said}"
            );
        }
        let report = report(&plan, true, false);
        assert_eq!(report["written"], false);
        assert_eq!(report["new"].as_array().unwrap().len(), plan.new.len());
    }

    #[test]
    fn a_dry_run_on_this_workspace_leaves_no_crate() {
        let args = parse("zz-top --wire own --dry-run --json").unwrap();
        run(&args).unwrap();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
        assert!(!crates.join("wire-zz-top").exists() && !crates.join("runtime-zz-top").exists());
    }

    #[test]
    fn today_is_a_day_that_a_price_table_accepts() {
        let day = today();
        let numbers: Vec<u32> = day.split('-').map(|part| part.parse().unwrap()).collect();
        assert!(
            numbers[0] >= 2026 && (1..=12).contains(&numbers[1]) && (1..=31).contains(&numbers[2]),
            "{day}"
        );
    }
}
