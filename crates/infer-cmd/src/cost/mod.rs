//! `infer cost`: what calls have cost, out of the ledger.

mod chart;
mod formats;
mod groups;
mod table;
mod when;

use std::path::{Path, PathBuf};

use infer_store::Ledger;

use crate::args::CostArgs;
use crate::config;
use crate::failure::Failure;
use crate::look::Look;
use crate::output::Printer;
use crate::signals::Signals;
use crate::terminal;

pub(crate) use groups::By;
pub(crate) use when::When;

use groups::{Question, Spend};

/// The file in a data directory that makes it a ledger's.
const FILE: &str = "ledger.redb";
const WAY_OUT: &str = "name the ledger's directory with --data-dir or INFER_DATA_DIR";

/// How spend is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One row a group, for spreadsheets
    Csv,
    /// One object, for programs
    Json,
}

/// Asks the ledger once.
pub(crate) async fn run(args: CostArgs, signals: &mut Signals) -> Result<(), Failure> {
    if args.chart && args.format != Format::Table {
        return Err(Failure::usage("--chart draws for people: leave out --format, or leave out --chart"));
    }
    let (format, is_chart) = (args.format, args.chart);
    let question = Question::new(&args.by, args.from.as_ref(), args.to.as_ref()).map_err(Failure::usage)?;
    let spend = signals.blocking(move || ask(&directory(&args)?, question)).await?;
    let look = Look::of_stdout();
    let mut printer = Printer::new();
    match format {
        Format::Csv => printer.document(&formats::csv(&spend)).await?,
        Format::Json => printer.document(&formats::json(&spend)).await?,
        Format::Table if spend.groups.is_empty() => {}
        Format::Table if is_chart => printer.line(&chart::draw(&spend, look)).await?,
        Format::Table => printer.line(&table::draw(&spend, look)).await?,
    }
    if format == Format::Table {
        for remark in spend.remarks() {
            terminal::note(&remark);
        }
    }
    Ok(())
}

fn directory(args: &CostArgs) -> Result<PathBuf, Failure> {
    config::data_directory(args.data_dir.as_ref(), args.config.as_ref(), WAY_OUT)
}

fn ask(directory: &Path, question: Question) -> Result<Spend, Failure> {
    // Opening would make what is not there.
    let fault = |what: &str| Failure::usage(format!("{}: {what}", directory.display()));
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => {
            return Err(fault("is not a directory: name the one with the ledger"));
        }
        Ok(_) => {}
        Err(error) => return Err(fault(&format!("cannot be read: {error}"))),
    }
    match directory.join(FILE).try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(fault(&format!("is not a ledger's directory: there is no {FILE} in it"))),
        Err(error) => return Err(fault(&format!("cannot be read: {error}"))),
    }
    let report = Ledger::query_at(directory, &question.query()).map_err(Failure::Store)?;
    Ok(Spend::new(question, report))
}
