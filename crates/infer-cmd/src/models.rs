//! `infer models`.

use std::io;

use anstream::{AutoStream, ColorChoice};
use infer_core::{ListedModel, ModelRunner as _};

use crate::args::AskArgs;
use crate::failure::Failure;
use crate::json;
use crate::output::Printer;
use crate::signals::Signals;
use crate::terminal::{DIM, one_line};
use crate::upstream::{Given, Upstream};

/// Asks once, and prints a table.
pub(crate) async fn run(args: &AskArgs, given: &Given, signals: &mut Signals) -> Result<(), Failure> {
    let upstream = Upstream::find(&args.whom, given).await?;
    let mut models = tokio::select! {
        biased;
        stop = signals.stop() => return Err(Failure::stopped(stop)),
        models = upstream.runner.models() => models.map_err(Failure::call)?,
    };
    let mut printer = Printer::new();
    if args.json {
        let name = &upstream.runner.info().name;
        return Ok(printer.line(&json::models(&models, name, upstream.is_simulated())).await?);
    }
    models.sort_by(|a, b| a.id.cmp(&b.id));
    let rows = table(&models);
    for (at, row) in rows.iter().enumerate() {
        let is_head = at == 0 && AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        if is_head {
            printer.line(&format!("{DIM}{row}{DIM:#}")).await?;
        } else {
            printer.line(row).await?;
        }
    }
    Ok(())
}

/// What is said of a model, one column each; what no model has is no column.
fn table(models: &[ListedModel]) -> Vec<String> {
    type Cell = fn(&ListedModel) -> Option<String>;
    let columns: [(&str, Cell); 5] = [
        ("MODEL", |model| Some(model.id.clone())),
        ("CONTEXT", |model| model.context_window.map(|tokens| tokens.to_string())),
        ("MAX OUTPUT", |model| model.max_output_tokens.map(|tokens| tokens.to_string())),
        ("OWNER", |model| model.owned_by.clone()),
        ("ENDS", |model| model.shutdown.clone()),
    ];
    let mut rows = vec![String::new(); models.len() + 1];
    for (place, (title, cell)) in columns.into_iter().enumerate() {
        let cells: Vec<_> = models.iter().map(cell).collect();
        if place > 0 && cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells.into_iter().map(|cell| cell.as_deref().map_or("-".to_owned(), one_line));
        let cells: Vec<_> = std::iter::once(title.to_owned()).chain(cells).collect();
        // Where the columns before this one end.
        let start = rows.iter().map(|row| row.chars().count()).max().filter(|width| *width > 0);
        let start = start.map_or(0, |width| width + 2);
        for (row, cell) in rows.iter_mut().zip(cells) {
            let gap = start.saturating_sub(row.chars().count());
            row.extend(std::iter::repeat_n(' ', gap));
            row.push_str(&cell);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_columns_that_some_model_fills_and_no_row_of_an_upstreams_making() {
        let mut one = ListedModel::new("short");
        one.context_window = Some(131_072);
        let mut two = ListedModel::new("a/longer:name");
        two.shutdown = Some("2027-01-01\n\u{1b}[2Jfake".into());
        let rows = table(&[one, two]);
        assert_eq!(
            rows,
            [
                "MODEL          CONTEXT  ENDS",
                "short          131072   -",
                "a/longer:name  -        2027-01-01 \u{fffd}[2Jfake",
            ]
        );
        assert_eq!(table(&[]), ["MODEL"]);
    }
}
