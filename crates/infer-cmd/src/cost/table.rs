//! Spend as a table.

use comfy_table::{Attribute, Cell, CellAlignment};
use infer_store::ledger::Sums;

use super::groups::{Spend, known};
use crate::look::{Look, text};
use crate::terminal::one_line;

/// What is said of calls that had no name.
pub(super) const NO_NAME: &str = "(none)";

type Count = fn(&Sums) -> u64;

/// The counts; whether a column without any is left out.
const COUNTS: [(&str, Count, bool); 7] = [
    ("CALLS", |sums| sums.calls, false),
    ("FAILED", |sums| sums.failed, true),
    ("CACHED", |sums| sums.cached, true),
    ("ESTIMATED", |sums| sums.estimated, true),
    ("INPUT", |sums| sums.input_tokens, false),
    ("OUTPUT", |sums| sums.output_tokens, false),
    ("UNPRICED", |sums| sums.unpriced, true),
];

/// One row a group, and their total.
pub(super) fn draw(spend: &Spend, look: Look) -> String {
    let names = spend.by();
    let counts: Vec<_> = COUNTS
        .into_iter()
        .filter(|(_, count, is_left_out)| !is_left_out || count(&spend.total) > 0)
        .collect();
    let row = |labels: Vec<String>, sums: &Sums| -> Vec<Cell> {
        let labels = labels.into_iter().map(Cell::new);
        let counts = counts.iter().map(|(_, count, _)| right(count(sums).to_string()));
        labels.chain(counts).chain([right(cost(sums))]).collect()
    };
    let mut table = look.table();
    let titles = names.iter().map(|name| Cell::new(name.to_uppercase()));
    let counted =
        counts.iter().map(|(title, ..)| *title).chain(["COST"]).map(|title| right(title.to_owned()));
    table.set_header(titles.chain(counted).map(|cell| cell.add_attribute(Attribute::Dim)));
    for group in &spend.groups {
        let labels = spend.labels(group);
        let label = |label: Option<String>| one_line(label.as_deref().unwrap_or(NO_NAME));
        table.add_row(row(labels.into_iter().map(label).collect(), &group.sums));
    }
    if spend.groups.len() > 1 {
        let labels =
            names.iter().enumerate().map(|(place, _)| if place == 0 { "total" } else { "" }.to_owned());
        table.add_row(
            row(labels.collect(), &spend.total).into_iter().map(|cell| cell.add_attribute(Attribute::Bold)),
        );
    }
    text(&mut table)
}

/// What is known of it.
pub(super) fn cost(sums: &Sums) -> String {
    known(sums).map_or_else(|| "unpriced".to_owned(), |usd| usd.to_string())
}

pub(super) fn right(text: String) -> Cell {
    Cell::new_owned(text).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::super::groups::By;
    use super::super::groups::tests::spend;
    use super::*;

    #[test]
    fn columns_stand_under_their_titles_and_what_is_unpriced_is_never_shown_as_nothing() {
        let rows: [(&[&str], _, _, _); 3] = [
            (&["gpt-4o-mini", "team-a"], 2, 0, 162_000_000),
            (&["日本", "a\nb\u{1b}[2J"], 1, 1, 0),
            (&["free"], 1, 0, 0),
        ];
        assert_eq!(
            draw(&spend(&[By::Model, By::Key], &rows), Look::default()),
            "\
MODEL        KEY      CALLS  INPUT  OUTPUT  UNPRICED       COST
gpt-4o-mini  team-a       2     20       4         0  $0.000162
free         (none)       1     10       2         0         $0
日本         a b\u{fffd}[2J      1     10       2         1   unpriced
total                     4     40       8         1  $0.000162"
        );
    }

    #[test]
    fn a_narrow_terminal_is_kept_to_and_colours_come_only_when_wanted() {
        let spend = spend(&[By::Model], &[(&["a-model-with-a-rather-long-name-of-its-own"], 1, 0, 7)]);
        let drawn = draw(&spend, Look { width: Some(50), is_styled: false });
        assert!(drawn.lines().all(|line| line.chars().count() <= 50), "{drawn}");
        assert!(drawn.lines().count() > 2 && !drawn.contains('\u{1b}'), "{drawn}");
        assert!(draw(&spend, Look { width: Some(50), is_styled: true }).contains('\u{1b}'));
    }
}
