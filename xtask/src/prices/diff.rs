//! What differs between two price tables, rate by rate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use infer_core::PriceTable;
use serde_json::Value;

use crate::table::aligned;

use super::table::{cell, columns, tiers};

/// One rate that is not what it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) model: String,
    pub(super) tier: String,
    /// The column.
    pub(super) rate: &'static str,
    /// USD per million tokens; `None` when there was no such rate.
    pub(super) before: Option<f64>,
    /// USD per million tokens; `None` when there is none any more.
    pub(super) after: Option<f64>,
}

/// All changes, by model, tier and column in the order of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Diff {
    pub(super) changes: Vec<Change>,
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
}

/// Tiers in the order of a file; those for long inputs follow.
const NAMED_TIERS: [&str; 4] = ["standard", "batch", "flex", "priority"];

/// Where a rate stands in a file, then what names it.
type Place = (String, usize, String, usize, &'static str);

impl Diff {
    /// What turns `before` into `after`; days and sources aside.
    pub(super) fn between(before: &PriceTable, after: &PriceTable) -> Self {
        let (old, new) = (rates_of(before), rates_of(after));
        let places: BTreeSet<&Place> = old.keys().chain(new.keys()).collect();
        let changes = places.into_iter().filter_map(|place| {
            let (before, after) = (old.get(place).copied(), new.get(place).copied());
            let (model, _, tier, _, rate) = place;
            (before != after).then(|| Change {
                model: model.clone(),
                tier: tier.clone(),
                rate,
                before,
                after,
            })
        });
        let models = |table: &PriceTable| table.iter().map(|(model, _)| model.to_owned()).collect();
        let (old_models, new_models): (BTreeSet<String>, BTreeSet<String>) = (models(before), models(after));
        Self {
            changes: changes.collect(),
            added: new_models.difference(&old_models).cloned().collect(),
            removed: old_models.difference(&new_models).cloned().collect(),
        }
    }

    /// Every change as an object, rates as numbers.
    pub(super) fn json(&self) -> Value {
        let object = |change: &Change| {
            serde_json::json!({
                "model": change.model, "tier": change.tier, "rate": change.rate,
                "before": change.before, "after": change.after,
            })
        };
        self.changes.iter().map(object).collect()
    }

    /// A line for each change and one that sums up.
    pub(super) fn text(&self) -> String {
        if self.changes.is_empty() {
            return "Every rate is the same.\n".to_owned();
        }
        let head = ["model", "tier", "rate", "before", "after", ""].map(str::to_owned);
        let rows = self.changes.iter().map(|change| {
            let remark = if self.added.contains(&change.model) {
                "new model".to_owned()
            } else if self.removed.contains(&change.model) {
                "model is gone".to_owned()
            } else {
                by(change.before, change.after)
            };
            let Change { model, tier, rate, before, after } = change;
            [model.clone(), tier.clone(), (*rate).to_owned(), cell(*before), cell(*after), remark]
        });
        let mut text = aligned(std::iter::once(head).chain(rows));
        let touched: BTreeSet<&str> = self.changes.iter().map(|change| change.model.as_str()).collect();
        _ = writeln!(
            text,
            "\n{} changed of {}; {} new, {} gone.",
            counted(self.changes.len(), "rate"),
            counted(touched.len(), "model"),
            self.added.len(),
            self.removed.len()
        );
        text
    }
}

fn rates_of(table: &PriceTable) -> BTreeMap<Place, f64> {
    let mut rates = BTreeMap::new();
    for (model, price) in table.iter() {
        for (tier, of_tier) in tiers(price) {
            // A tier keeps its place whether or not those before it are there.
            let row = NAMED_TIERS.iter().position(|name| *name == tier).unwrap_or(NAMED_TIERS.len());
            for (column, (rate, value)) in columns(&of_tier).into_iter().enumerate() {
                if let Some(value) = value {
                    rates.insert((model.to_owned(), row, tier.clone(), column, rate), value);
                }
            }
        }
    }
    rates
}

/// By how much a rate rose or fell.
fn by(before: Option<f64>, after: Option<f64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before > 0.0 => format!("{:+.1}%", (after / before - 1.0) * 100.0),
        (None, Some(_)) => "new".to_owned(),
        (Some(_), None) => "gone".to_owned(),
        _ => String::new(),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::table::PriceFile;
    use super::super::table::tests::file;
    use super::*;

    fn table(rows: &str) -> PriceTable {
        PriceTable::parse(&format!("# source: x\n# as-of: 2026-01-01\n{rows}")).unwrap()
    }

    proptest! {
        #[test]
        fn a_table_does_not_differ_from_itself(file in file()) {
            prop_assert_eq!(Diff::between(file.prices(), file.prices()), Diff::default());
        }

        #[test]
        fn the_way_back_is_the_way_there_with_sides_exchanged(a in file(), b in file()) {
            let (there, back) = (Diff::between(a.prices(), b.prices()), Diff::between(b.prices(), a.prices()));
            let turned = back.changes.into_iter().map(|c| Change { before: c.after, after: c.before, ..c });
            prop_assert_eq!(there.changes, turned.collect::<Vec<_>>());
            prop_assert_eq!((there.added, there.removed), (back.removed, back.added));
        }

        // A diff leaves nothing out: tables without a difference are written alike.
        #[test]
        fn tables_differ_exactly_when_their_rows_do(a in file(), b in file()) {
            let rows = |file: &PriceFile| {
                file.write().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
            };
            let same = Diff::between(a.prices(), b.prices()).changes.is_empty();
            prop_assert_eq!(same, rows(&a) == rows(&b));
        }
    }

    #[test]
    fn each_change_names_model_tier_rate_and_both_numbers() {
        let before = table("a\tstandard\t2\t1\t-\t8\nb\tstandard\t1\t-\t-\t2\n");
        let after = table("a\tstandard\t2.5\t-\t-\t8\na\tbatch\t1\t-\t-\t4\nc\tstandard\t0\t-\t-\t0\n");
        let text = Diff::between(&before, &after).text();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "model tier rate before after",
                "a standard input 2 2.5 +25.0%",
                "a standard cached input 1 - gone",
                "a batch input - 1 new",
                "a batch output - 4 new",
                "b standard input 1 - model is gone",
                "b standard output 2 - model is gone",
                "c standard input - 0 new model",
                "c standard output - 0 new model",
                "",
                "8 rates changed of 3 models; 1 new, 1 gone.",
            ]
        );
    }

    #[test]
    fn rates_for_long_inputs_are_the_same_whichever_tiers_stand_before_them() {
        let before = table("a\tstandard\t1\t-\t-\t1\na\tlong>9\t2\t-\t-\t2\n");
        let after = table("a\tstandard\t1\t-\t-\t1\na\tbatch\t1\t-\t-\t1\na\tlong>9\t2\t-\t-\t2\n");
        let tiers: Vec<_> = Diff::between(&before, &after).changes.into_iter().map(|c| c.tier).collect();
        assert_eq!(tiers, ["batch", "batch"]);
    }

    #[test]
    fn a_limit_for_long_inputs_that_moves_is_one_row_gone_and_one_new() {
        let before = table("a\tstandard\t1\t-\t-\t1\na\tlong>100\t2\t-\t-\t2\n");
        let after = table("a\tstandard\t1\t-\t-\t1\na\tlong>200\t2\t-\t-\t2\n");
        let changes = Diff::between(&before, &after).changes;
        let tiers: Vec<_> = changes.iter().map(|c| (c.tier.as_str(), c.before.is_some())).collect();
        assert_eq!(tiers, [("long>100", true), ("long>100", true), ("long>200", false), ("long>200", false)]);
    }
}
