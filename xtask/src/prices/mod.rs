//! `cargo xtask prices`: the price tables of the providers, checked, compared and brought up to date.
//!
//! [`table`] is a file and how it is written, [`mod@diff`] what differs between two, [`mod@check`] what every file must hold to
//! and [`mod@update`] how new rows come in. All of them are pure; this file reads, asks and writes.

mod check;
mod diff;
mod table;
mod update;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use self::check::{Age, Checked};
use self::diff::Diff;
use self::table::PriceFile;
use self::update::Incoming;
use crate::workspace::Workspace;

/// Check, compare and update the price tables of the providers.
///
/// A table is `crates/*/prices.tsv` or `crates/*/prices/*.tsv`: rates in USD per million tokens, with
/// their source and the day they were read. `check` is part of `cargo xtask ci`. Nothing is fetched:
/// whoever read a price page brings the rows.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask prices check --max-age-days 90\n  \
                  cargo xtask prices diff HEAD:crates/runtime-openai/prices.tsv crates/runtime-openai/prices.tsv\n  \
                  cargo xtask prices update crates/runtime-openai/prices.tsv --from new.tsv --write\n\n\
                  Exit codes: 0 all is well, 1 a table is wrong or cannot be read, 2 bad command line.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check that every table can be read, is in order, and names its source and its day
    ///
    /// Rows stand by model and tier, each once, with the shortest numbers, so that a change of a price is a
    /// change of one line. A table that is half a year old is remarked on; it fails only when asked to.
    #[command(after_help = "Exit codes: 0 all are in order, 1 there are faults, 2 bad command line.")]
    Check {
        /// Fail when a table was read more days ago than this
        #[arg(long, value_name = "N")]
        max_age_days: Option<u32>,
    },
    /// Show what changed from one table to another, rate by rate
    ///
    /// Each is a file, or REVISION:PATH as git writes it. Days and sources are shown and not compared.
    #[command(
        after_help = "Exit codes: 0 shown, whether or not they differ, 1 a table cannot be read, 2 bad command line."
    )]
    Diff {
        /// The table before
        a: String,
        /// The table after
        b: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put new rows into a table; shows what would change, and writes it when told to
    ///
    /// A new row takes the place of the one of the same model and tier; all others stay as they are. A
    /// model needs its standard row among the new ones. The table takes over their day, and their source
    /// where they name one. What is no longer sold is taken out by hand.
    #[command(
        after_help = "Exit codes: 0 shown or written, 1 the rows cannot be read or are older, 2 bad command line."
    )]
    Update {
        /// The table to change
        file: PathBuf,
        /// The new rows, in the same format; standard input if nothing is said
        #[arg(long, value_name = "NEW")]
        from: Option<PathBuf>,
        /// The day the new rows were read; goes before what they say themselves
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
        /// Where the new rows were read; goes before what they say themselves
        #[arg(long, value_name = "TEXT")]
        source: Option<String>,
        /// Write the table
        #[arg(long)]
        write: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Check { max_age_days } => check(&Workspace::load()?, *max_age_days),
        Action::Diff { a, b, json } => diff(&Workspace::load()?, a, b, *json),
        Action::Update { file, from, as_of, source, write } => {
            let given = update::Given { as_of: as_of.as_deref(), source: source.as_deref() };
            update(file, from.as_deref(), given, *write)
        }
    }
}

/// Holds every table to the rules; with `max_age_days` also to an age.
///
/// # Errors
/// With all faults, one a line.
pub(crate) fn check(workspace: &Workspace, max_age_days: Option<u32>) -> Result<()> {
    let files: Vec<String> = workspace.files()?.into_iter().filter(|file| check::is_table(file)).collect();
    anstream::eprintln!("prices: checking {} tables", files.len());
    let today = check::today();
    let (mut faults, mut models) = (Vec::new(), 0);
    for file in &files {
        let text =
            fs::read_to_string(workspace.root.join(file)).with_context(|| format!("cannot read {file}"))?;
        match check::check(file, &text, today) {
            Ok(Checked { models: count, age }) => {
                models += count;
                match age.of(max_age_days) {
                    Age::Fresh => {}
                    Age::Remarkable(remark) => anstream::eprintln!("note: {file}: {remark}"),
                    Age::TooOld(fault) => faults.push(format!("{file}: {fault}")),
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if files.is_empty() {
        bail!("there is no price table below crates/, though providers have some");
    }
    if !faults.is_empty() {
        let noun = if faults.len() == 1 { "fault" } else { "faults" };
        bail!("{} {noun}:\n  {}", faults.len(), faults.join("\n  "));
    }
    anstream::eprintln!("prices: {} tables with {models} models are in order", files.len());
    Ok(())
}

fn diff(workspace: &Workspace, a: &str, b: &str, json: bool) -> Result<()> {
    let (before, after) = (table_at(workspace, a)?, table_at(workspace, b)?);
    let diff = Diff::between(before.prices(), after.prices());
    if json {
        let side = |at: &str, table: &PriceFile| serde_json::json!({ "table": at, "as_of": table.prices().as_of(), "source": table.prices().source() });
        let object = serde_json::json!({
            "a": side(a, &before), "b": side(b, &after), "changes": diff.json(),
        });
        anstream::println!("{}", serde_json::to_string_pretty(&object)?);
    } else {
        anstream::println!("{a}, as of {}\n{b}, as of {}\n", before.prices().as_of(), after.prices().as_of());
        anstream::print!("{}", diff.text());
    }
    Ok(())
}

/// The table in a file, or in a revision as `REVISION:PATH`.
fn table_at(workspace: &Workspace, at: &str) -> Result<PriceFile> {
    let text = match at.split_once(':') {
        Some(_) if !Path::new(at).exists() => {
            let shell = workspace.shell()?;
            // Without `trim`, which `read` does to the end: a table is compared as it stands.
            let shown = xshell::cmd!(shell, "git show {at}").quiet().output();
            String::from_utf8(shown.with_context(|| format!("git has no {at}"))?.stdout)?
        }
        _ => fs::read_to_string(at).with_context(|| format!("cannot read {at}"))?,
    };
    PriceFile::parse(&text).map_err(|error| anyhow::anyhow!("{at}:{}: {}", error.line, error.what))
}

fn update(path: &Path, from: Option<&Path>, given: update::Given<'_>, write: bool) -> Result<()> {
    let shown = path.display();
    let new_name = from.map_or("standard input".to_owned(), |from| from.display().to_string());
    let doing = if write { "putting" } else { "showing what it would be to put" };
    anstream::eprintln!("prices: {doing} the rows of {new_name} into {shown}");
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let before =
        PriceFile::parse(&text).map_err(|error| anyhow::anyhow!("{shown}:{}: {}", error.line, error.what))?;
    let rows = match from {
        Some(from) => fs::read_to_string(from),
        None => io::read_to_string(io::stdin().lock().take(update::MAX_BYTES)),
    };
    let rows = rows.with_context(|| format!("cannot read {new_name}"))?;
    let incoming = Incoming::parse(&rows, given).with_context(|| new_name)?;
    let after = incoming.into(&before)?;
    let diff = Diff::between(before.prices(), after.prices());
    anstream::print!("{}", diff.text());
    let (was, is) = (before.prices().as_of(), after.prices().as_of());
    anstream::println!("as of {was} -> {is}");
    if !write {
        anstream::eprintln!("Nothing is written: --write does it.");
        return Ok(());
    }
    fs::write(path, after.write()).with_context(|| format!("cannot write {shown}"))?;
    anstream::eprintln!("Written: {shown}");
    Ok(())
}
