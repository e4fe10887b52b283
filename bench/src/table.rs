//! What was found, as a table for people and as JSON for programs.

use serde::Serialize;

use crate::clients::Who;

/// The median of several rounds, and the least and most of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// Of `values`; `None` when there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), min: *values.first()?, max: *values.last()? })
    }
}

/// What `ours` must not exceed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Reported only.
    None,
    /// So many times what another takes.
    Times(Who, f64),
    /// So much more than another takes.
    Over(Who, f64),
    /// A number of its own.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The scenario.
    pub(crate) scenario: &'static str,
    /// Of what, and what is counted.
    pub(crate) per: &'static str,
    /// The unit of the numbers.
    pub(crate) unit: &'static str,
    /// The numbers, in the order of [`Who::ALL`].
    pub(crate) found: [Option<Spread>; 3],
    /// What they must hold to.
    pub(crate) target: Target,
}

impl Row {
    fn median(&self, who: Who) -> Option<f64> {
        let place = Who::ALL.iter().position(|other| *other == who)?;
        self.found.get(place).copied().flatten().map(|spread| spread.median)
    }

    /// What is compared with the target.
    fn compared(&self) -> Option<f64> {
        let ours = self.median(Who::Ours)?;
        match self.target {
            Target::None => None,
            Target::Times(who, _) => Some(ours / self.median(who)?),
            Target::Over(who, _) => Some(ours - self.median(who)?),
            Target::AtMost(_) => Some(ours),
        }
    }

    /// Whether the target is met; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let (Target::Times(_, most) | Target::Over(_, most) | Target::AtMost(most)) = self.target else {
            return None;
        };
        Some(self.compared()? <= most)
    }

    fn cells(&self) -> [String; 8] {
        let [floor, plain, ours] = self.found.map(|spread| spread.map_or("-".to_owned(), show));
        let phrase = |number: f64| match self.target {
            Target::None => String::new(),
            Target::Times(who, _) => format!("{number:.2} x {}", who.name()),
            Target::Over(who, _) => format!("{} + {}", who.name(), digits(number)),
            Target::AtMost(_) => digits(number),
        };
        let most = match self.target {
            Target::None => String::new(),
            Target::Times(_, most) | Target::Over(_, most) | Target::AtMost(most) => phrase(most),
        };
        let verdict = self.is_met().map_or("", |met| if met { "ok" } else { "over" });
        let per = format!("{} [{}]", self.per, self.unit);
        let compared = self.compared().map(phrase).unwrap_or_default();
        [self.scenario.to_owned(), per, floor, plain, ours, compared, most, verdict.to_owned()]
    }
}

/// The median, and beside it the least and the most, which show how noisy the machine was.
fn show(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if min == max {
        return digits(median);
    }
    format!("{} ({}..{})", digits(median), digits(min), digits(max))
}

fn digits(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{number:.2}"),
        size if size < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// The table for people.
pub(crate) fn text(rows: &[Row]) -> String {
    let head = ["scenario", "per", "floor", "plain", "ours", "found", "target", ""].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// The same for programs: one object with `rows`, each with what was compared and whether it was met.
pub(crate) fn json(rows: &[Row]) -> serde_json::Result<String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "scenario": row.scenario, "per": row.per, "unit": row.unit,
                "floor": row.found[0], "plain": row.found[1], "ours": row.found[2],
                "target": row.target, "compared": row.compared(), "met": row.is_met(),
            })
        })
        .collect();
    serde_json::to_string_pretty(&serde_json::json!({ "rows": rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, target: Target) -> Row {
        let found = [10.0, 20.0, ours].map(|number| Spread::of(vec![number]));
        Row { scenario: "unary", per: "call", unit: "µs", found, target }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn each_kind_of_target_is_held_against_its_own_number() {
        for (target, ours, met) in [
            (Target::Times(Who::Plain, 0.5), 10.0, Some(true)),
            (Target::Times(Who::Plain, 0.5), 10.1, Some(false)),
            (Target::Over(Who::Floor, 3.0), 13.0, Some(true)),
            (Target::Over(Who::Floor, 3.0), 13.1, Some(false)),
            (Target::AtMost(5.0), 5.1, Some(false)),
            (Target::None, 99.0, None),
        ] {
            assert_eq!(row(ours, target).is_met(), met, "{target:?} {ours}");
        }
    }

    #[test]
    fn a_row_says_what_was_found_and_what_was_wanted() {
        let text = text(&[row(25.0, Target::Times(Who::Floor, 1.15))]);
        assert!(text.contains("2.50 x floor  1.15 x floor  over"), "{text}");
    }
}
