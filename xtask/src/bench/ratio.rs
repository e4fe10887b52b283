//! Two sets of measurements, compared turn by turn.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::table;

/// What is measured: the scenario, of what, in which unit.
type Key = (String, String, String);
/// A number for each thing measured, in the order of the benchmark.
type Medians = Vec<(Key, f64)>;

/// Reported by the benchmark to read the others by: more of it is not worse.
const NO_COST: &str = "chunks per wake";

/// The medians of this workspace's client in what the benchmark prints with `--json`.
///
/// # Errors
/// When the text is not of that form, or measures nothing.
pub(super) fn parse(text: &str) -> Result<Medians> {
    let report: Value = serde_json::from_str(text).context("the benchmark printed what is no JSON")?;
    let rows = report.get("rows").and_then(Value::as_array).context("the benchmark printed no rows")?;
    let mut medians = Medians::new();
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let key = text("scenario").zip(text("per")).zip(text("unit"));
        let ((scenario, per), unit) = key.with_context(|| format!("a row without a name: {row}"))?;
        let key = (scenario, per, unit);
        // One measurement held to two targets has two rows; without this client there is nothing to compare.
        let Some(median) = row.pointer("/ours/median").and_then(Value::as_f64) else { continue };
        if !medians.iter().any(|(known, _)| *known == key) {
            medians.push((key, median));
        }
    }
    anyhow::ensure!(!medians.is_empty(), "the benchmark measured nothing of this workspace");
    Ok(medians)
}

/// What was measured so far, in pairs of turns that followed each other.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    order: Vec<Key>,
    turns: BTreeMap<Key, Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    there: Vec<f64>,
    here: Vec<f64>,
    /// Of the turns that both took part in.
    ratios: Vec<f64>,
}

impl Comparison {
    /// Adds one turn of each.
    pub(super) fn add(&mut self, there: Medians, here: Medians) {
        for (key, _) in there.iter().chain(&here) {
            if !self.order.contains(key) {
                self.order.push(key.clone());
            }
        }
        let here: BTreeMap<Key, f64> = here.into_iter().collect();
        let there: BTreeMap<Key, f64> = there.into_iter().collect();
        for key in &self.order {
            let turns = self.turns.entry(key.clone()).or_default();
            let (before, after) = (there.get(key).copied(), here.get(key).copied());
            turns.there.extend(before);
            turns.here.extend(after);
            turns.ratios.extend(before.zip(after).and_then(|(before, after)| ratio(before, after)));
        }
    }

    /// A line for each thing measured: both medians, the median ratio, and the least and most of it.
    pub(super) fn table(&self, most: Option<f64>) -> String {
        let head = ["scenario", "per", "there", "here", "ratio", ""].map(str::to_owned);
        let rows = self.order.iter().filter_map(|key| Some((key, self.turns.get(key)?)));
        let rows = rows.map(|((scenario, per, unit), turns)| {
            let ratio = median(&turns.ratios);
            let verdict = match (ratio, most) {
                (Some(ratio), Some(most)) if is_cost(per) && ratio > most => "above",
                _ => "",
            };
            [
                scenario.clone(),
                format!("{per} [{unit}]"),
                median(&turns.there).map_or("-".to_owned(), digits),
                median(&turns.here).map_or("-".to_owned(), digits),
                ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}{}", spread(&turns.ratios))),
                verdict.to_owned(),
            ]
        });
        table::aligned(std::iter::once(head).chain(rows))
    }

    /// What takes more than `most` times what it took there.
    pub(super) fn above(&self, most: f64) -> Vec<String> {
        let rows = self.order.iter().filter_map(|key| Some((key, median(&self.turns.get(key)?.ratios)?)));
        rows.filter(|((_, per, _), ratio)| is_cost(per) && *ratio > most)
            .map(|((scenario, per, _), ratio)| format!("{scenario}, {per}: {ratio:.3}"))
            .collect()
    }
}

fn is_cost(per: &str) -> bool {
    per != NO_COST
}

/// How many times `before` is `after`; `None` when that is no number.
fn ratio(before: f64, after: f64) -> Option<f64> {
    if before == after {
        return Some(1.0);
    }
    Some(after / before).filter(|ratio| ratio.is_finite())
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// The least and the most, which show how far to trust what is between them.
fn spread(numbers: &[f64]) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if numbers.len() < 2 { String::new() } else { format!(" ({least:.3}..{most:.3})") }
}

fn digits(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{number:.2}"),
        size if size < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(scenario: &str, per: &str) -> Key {
        (scenario.to_owned(), per.to_owned(), "µs".to_owned())
    }

    fn of(turns: &[(f64, f64)]) -> Comparison {
        let mut comparison = Comparison::default();
        for (there, here) in turns {
            comparison.add(vec![(key("unary", "call"), *there)], vec![(key("unary", "call"), *here)]);
        }
        comparison
    }

    #[test]
    fn medians_are_read_once_for_each_measurement_and_rows_of_other_clients_are_left_out() {
        let text = r#"{"rows":[
            {"scenario":"unary","per":"call","unit":"µs","floor":{"median":9.0},"ours":{"median":2.5,"min":2,"max":3}},
            {"scenario":"unary","per":"call","unit":"µs","ours":{"median":2.5}},
            {"scenario":"unary","per":"allocations","unit":"number","ours":{"median":4}},
            {"scenario":"large","per":"call","unit":"ms","ours":null}]}"#;
        let expected =
            [(key("unary", "call"), 2.5), (("unary".into(), "allocations".into(), "number".into()), 4.0)];
        assert_eq!(parse(text).unwrap(), expected);
        for bad in ["", "[]", r#"{"rows":[]}"#, r#"{"rows":[{"ours":{"median":1}}]}"#, "measuring ..."] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_disturbed_turn_does_not_decide() {
        let comparison = of(&[(10.0, 10.5), (10.0, 90.0), (40.0, 42.0)]);
        assert!(comparison.above(1.10).is_empty());
        assert_eq!(comparison.above(1.04), ["unary, call: 1.050"]);
        let table = comparison.table(Some(1.04));
        let line = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "unary call [µs] 10.0 42.0 1.050 (1.050..9.000) above");
    }

    #[test]
    fn what_only_one_side_measures_is_shown_and_never_fails() {
        let mut comparison = Comparison::default();
        comparison.add(vec![(key("old", "call"), 1.0)], vec![(key("new", "call"), 9.0)]);
        assert!(comparison.above(0.1).is_empty());
        let table = comparison.table(Some(0.1));
        let lines: Vec<Vec<&str>> =
            table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines,
            [["old", "call", "[µs]", "1.00", "-", "-"], ["new", "call", "[µs]", "-", "9.00", "-"]]
        );
    }

    #[test]
    fn nothing_that_becomes_something_has_no_ratio_and_what_is_no_cost_does_not_fail() {
        assert!(of(&[(0.0, 3.0)]).above(1.0).is_empty());
        assert_eq!(ratio(0.0, 0.0), Some(1.0));
        let mut comparison = Comparison::default();
        comparison.add(vec![(key("flushed", NO_COST), 1.0)], vec![(key("flushed", NO_COST), 9.0)]);
        assert!(comparison.above(1.0).is_empty());
    }

    proptest! {
        // A machine that is slow for both sides of each turn changes no ratio.
        #[test]
        fn what_disturbs_both_alike_changes_nothing(
            turns in proptest::collection::vec((1.0..1e6_f64, 1.0..1e6_f64, 1.0..100.0_f64), 1..9),
        ) {
            let calm: Vec<_> = turns.iter().map(|(there, here, _)| (*there, *here)).collect();
            let busy: Vec<_> = turns.iter().map(|(there, here, by)| (there * by, here * by)).collect();
            let ratio = |turns: &[(f64, f64)]| median(&of(turns).turns[&key("unary", "call")].ratios).unwrap();
            prop_assert!((ratio(&calm) / ratio(&busy) - 1.0).abs() < 1e-9);
        }
    }
}
