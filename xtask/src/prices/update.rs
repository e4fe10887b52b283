//! New rows for a price table.

use anyhow::{Result, anyhow, bail, ensure};
use infer_core::{Price, PriceTable};

use super::check::day;
use super::table::{PriceFile, comment};

/// The most that is read from standard input; the longest table has a hundredth of it.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// What the command line says of the new rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'a> {
    pub(super) as_of: Option<&'a str>,
    pub(super) source: Option<&'a str>,
}

/// New rows, the day they were read and, where it is said, their source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Incoming {
    prices: PriceTable,
    source: Option<String>,
}

impl Incoming {
    /// Reads rows in the format of a table; what the command line says goes before what stands in them.
    ///
    /// # Errors
    /// The first line that is no row, or the day that is missing.
    pub(super) fn parse(text: &str, given: Given<'_>) -> Result<Self> {
        let stated = |name: &str| text.lines().rev().filter_map(comment).find(|(key, _)| *key == name);
        let stated = |name: &str| stated(name).map(|(_, value)| value).filter(|value| !value.is_empty());
        let Some(as_of) = given.as_of.or_else(|| stated("as-of")) else {
            bail!(
                "does not say when its prices were read: add a line `# as-of: YYYY-MM-DD`, or give --as-of"
            );
        };
        ensure!(day(as_of).is_some(), "as-of: there is no day {as_of:?}: write YYYY-MM-DD");
        let source = given.source.or_else(|| stated("source"));
        ensure!(source.is_none_or(|source| !source.contains('\n')), "--source: must be one line");
        // Last, so that lines keep their numbers; the last line of a name is the one that counts.
        let head = format!("# as-of: {as_of}\n# source: {}\n", source.unwrap_or("-"));
        let whole = format!("{}\n{head}", text.trim_end_matches('\n'));
        let prices =
            PriceTable::parse(&whole).map_err(|error| anyhow!("line {}: {}", error.line, error.what))?;
        ensure!(!prices.is_empty(), "holds no row");
        Ok(Self { prices, source: source.map(str::to_owned) })
    }

    /// `file` with these rows in place of those of the same model and tier; every other row stays.
    ///
    /// # Errors
    /// When the rows are older than the table.
    pub(super) fn into(self, file: &PriceFile) -> Result<PriceFile> {
        let (was, is) = (file.prices().as_of(), self.prices.as_of().to_owned());
        // Days of this form sort as they follow each other.
        ensure!(is.as_str() >= was, "the new rows are of {is}, and the table is already of {was}");
        let source = self.source.unwrap_or_else(|| file.prices().source().to_owned());
        let mut prices = file.prices().clone();
        for (model, new) in self.prices.iter() {
            let old = prices.iter().find(|(name, _)| *name == model).map(|(_, price)| price);
            let price = old.map_or(*new, |old| laid_over(old, new));
            prices.set(model, price).map_err(|fault| anyhow!("{model}: {fault}"))?;
        }
        file.with(prices, &is, &source).map_err(|error| anyhow!("{}", error.what))
    }
}

/// A tier that the new rows do not name keeps its rates: a page for one tier says nothing of the others.
fn laid_over(old: &Price, new: &Price) -> Price {
    let mut price = *new;
    price.batch = new.batch.or(old.batch);
    price.flex = new.flex.or(old.flex);
    price.priority = new.priority.or(old.priority);
    price.long_context = new.long_context.or(old.long_context);
    price
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use infer_core::Rates;

    use proptest::prelude::*;

    use super::super::diff::{Change, Diff};
    use super::super::table::tests::file;
    use super::super::table::tiers;
    use super::*;

    fn parse(text: &str) -> Result<Incoming> {
        Incoming::parse(text, Given::default())
    }

    const OLD: &str = "# USD\n# source: page\n# as-of: 2026-01-01\n# columns\na\tstandard\t1\t-\t-\t2\na\tbatch\t0.5\t-\t-\t1\nb\tstandard\t3\t-\t-\t4\n";

    /// Tiers have their names, and a model has one limit for long inputs whatever it is.
    fn slot(tier: &str) -> String {
        if tier.starts_with("long>") { "long".to_owned() } else { tier.to_owned() }
    }

    /// A table as its rows, by model and place.
    fn rows(table: &PriceTable) -> BTreeMap<(String, String), (String, Rates)> {
        let of = |(model, price): (&str, &Price)| -> Vec<_> {
            let rows = tiers(price).into_iter();
            rows.map(|(tier, rates)| ((model.to_owned(), slot(&tier)), (tier, rates))).collect()
        };
        table.iter().flat_map(of).collect()
    }

    proptest! {
        // Whatever is put in, the table afterwards has the new rows as they came and every other row as it was.
        #[test]
        fn an_update_changes_exactly_what_the_new_rows_say(old in file(), new in file()) {
            let given = Given { as_of: Some("2027-01-01"), source: None };
            prop_assume!(!new.prices().is_empty());
            let after = Incoming::parse(&new.write(), given).unwrap().into(&old).unwrap();
            prop_assert_eq!(after.prices().as_of(), "2027-01-01");

            let mut expected = rows(old.prices());
            expected.extend(rows(new.prices()));
            prop_assert_eq!(rows(after.prices()), expected);

            // What the diff shows is what was asked for: rows that are new or not as they were.
            let asked = Diff::between(old.prices(), new.prices());
            let is_named = |c: &Change| rows(new.prices()).contains_key(&(c.model.clone(), slot(&c.tier)));
            let asked: Vec<_> = asked.changes.into_iter().filter(is_named).collect();
            prop_assert_eq!(Diff::between(old.prices(), after.prices()).changes, asked);
            prop_assert_eq!(PriceFile::parse(&after.write()).unwrap(), after);
        }
    }

    #[test]
    fn comments_stay_and_the_day_moves_on() {
        let old = PriceFile::parse(OLD).unwrap();
        let new = parse("# as-of: 2026-02-03\naa\tstandard\t9\t-\t-\t9\na\tstandard\t7\t-\t-\t8\n").unwrap();
        assert_eq!(
            new.into(&old).unwrap().write(),
            "# USD\n# source: page\n# as-of: 2026-02-03\n# columns\na\tstandard\t7\t-\t-\t8\na\tbatch\t0.5\t-\t-\t1\naa\tstandard\t9\t-\t-\t9\n\
             b\tstandard\t3\t-\t-\t4\n"
        );
    }

    #[test]
    fn the_command_line_goes_before_the_rows_and_the_rows_before_the_table() {
        let old = PriceFile::parse(OLD).unwrap();
        let rows = "# source: theirs\n# as-of: 2026-02-03\nc\tstandard\t1\t-\t-\t1\n";
        let theirs = parse(rows).unwrap().into(&old).unwrap();
        assert_eq!((theirs.prices().source(), theirs.prices().as_of()), ("theirs", "2026-02-03"));
        let given = Given { as_of: Some("2026-02-04"), source: Some("mine") };
        let mine = Incoming::parse(rows, given).unwrap().into(&old).unwrap();
        assert_eq!((mine.prices().source(), mine.prices().as_of()), ("mine", "2026-02-04"));
    }

    #[test]
    fn rows_without_a_day_or_older_than_the_table_are_refused() {
        let row = "c\tstandard\t1\t-\t-\t1\n";
        assert!(parse(row).unwrap_err().to_string().contains("give --as-of"));
        assert!(parse(&format!("# as-of: 2026-13-01\n{row}")).unwrap_err().to_string().contains("no day"));
        assert!(parse("# as-of: 2026-03-01\n").unwrap_err().to_string().contains("holds no row"));
        assert!(
            parse("# as-of: 2026-03-01\nc\tstandard\t1\n").unwrap_err().to_string().starts_with("line 2: ")
        );
        let early = parse(&format!("# as-of: 2025-12-31\n{row}")).unwrap();
        let refused = early.into(&PriceFile::parse(OLD).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("already of 2026-01-01"), "{refused}");
    }
}
