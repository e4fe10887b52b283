//! A price file: its comments as they stand, its prices in the one order in which they are written.

use std::fmt::Write as _;

use infer_core::{Price, PriceError, PriceTable, Rates};

/// A table with the comments around it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PriceFile {
    /// The lines that begin with `#`, source and day among them.
    head: Vec<String>,
    prices: PriceTable,
}

impl PriceFile {
    /// Reads a file, wherever in it the comments stand.
    ///
    /// # Errors
    /// The first line that is no row, by number.
    pub(super) fn parse(text: &str) -> Result<Self, PriceError> {
        let prices = PriceTable::parse(text)?;
        let head = text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect();
        Ok(Self { head, prices })
    }

    /// The prices alone.
    pub(super) const fn prices(&self) -> &PriceTable {
        &self.prices
    }

    /// The same comments around other prices, with the day and source of those.
    pub(super) fn with(&self, prices: PriceTable, as_of: &str, source: &str) -> Result<Self, PriceError> {
        let head = self.head.iter().map(|line| match comment(line) {
            Some(("as-of", _)) => format!("# as-of: {as_of}"),
            Some(("source", _)) => format!("# source: {source}"),
            _ => line.clone(),
        });
        Self::parse(&Self { head: head.collect(), prices }.write())
    }

    /// The file: comments first, then models by name, each with its tiers in the order of [`tiers`].
    ///
    /// Numbers have as many digits as they need. The column for longer keeping is left out where it says nothing.
    pub(super) fn write(&self) -> String {
        let mut text = String::new();
        for line in &self.head {
            _ = writeln!(text, "{line}");
        }
        for (model, price) in self.prices.iter() {
            for (tier, rates) in tiers(price) {
                let [input, cached, cache_write, output, long] = columns(&rates).map(|(_, rate)| rate);
                let cells = [input, cached, cache_write, output].map(cell).join("\t");
                let last = long.map(|rate| format!("\t{rate}")).unwrap_or_default();
                _ = writeln!(text, "{model}\t{tier}\t{cells}{last}");
            }
        }
        text
    }
}

/// Name and value of a comment that has both.
pub(super) fn comment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.trim().split_once(':')?;
    Some((name, value.trim()))
}

/// The tiers a model has rates for, in the order of a file: standard, batch, flex, priority, long inputs.
pub(super) fn tiers(price: &Price) -> Vec<(String, Rates)> {
    let named = [("batch", price.batch), ("flex", price.flex), ("priority", price.priority)];
    let named = named.into_iter().filter_map(|(tier, rates)| Some((tier.to_owned(), rates?)));
    let long = price.long_context.map(|long| (format!("long>{}", long.above_input_tokens), long.rates));
    std::iter::once(("standard".to_owned(), price.standard)).chain(named).chain(long).collect()
}

/// Each rate under the name of its column; `None` where it is not published.
pub(super) const fn columns(rates: &Rates) -> [(&'static str, Option<f64>); 5] {
    [
        ("input", Some(rates.input_per_mtok_usd)),
        ("cached input", rates.cached_input_per_mtok_usd),
        ("cache write", rates.cache_write_per_mtok_usd),
        ("output", Some(rates.output_per_mtok_usd)),
        ("long cache write", rates.long_cache_write_per_mtok_usd),
    ]
}

/// A rate as a file has it: the shortest number that reads as the same, or `-`.
pub(super) fn cell(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| rate.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use infer_core::LongContext;
    use proptest::prelude::*;

    use super::*;

    /// Rates as price pages have them, and a few no page would have.
    fn rate() -> impl Strategy<Value = f64> {
        prop_oneof![(0_u32..1_000_000).prop_map(|n| f64::from(n) / 10_000.0), 0.0..1e6_f64, Just(0.0)]
    }

    fn rates() -> impl Strategy<Value = Rates> {
        let maybe = || proptest::option::of(rate());
        (rate(), maybe(), maybe(), rate(), maybe()).prop_map(|(input, cached, write, output, long)| {
            let mut rates = Rates::new(input, output);
            rates.cached_input_per_mtok_usd = cached;
            rates.cache_write_per_mtok_usd = write;
            rates.long_cache_write_per_mtok_usd = long;
            rates
        })
    }

    fn price() -> impl Strategy<Value = Price> {
        let maybe = || proptest::option::of(rates());
        (rates(), maybe(), maybe(), maybe(), proptest::option::of((1_u64..1_000_000, rates()))).prop_map(
            |(standard, batch, flex, priority, long)| {
                let mut price = Price::flat(standard);
                price.batch = batch;
                price.flex = flex;
                price.priority = priority;
                price.long_context = long.map(|(above, rates)| LongContext::new(above, rates));
                price
            },
        )
    }

    /// Any table of few models, so that two of them have some in common.
    pub(crate) fn file() -> impl Strategy<Value = PriceFile> {
        let model = proptest::sample::select(vec!["a", "b-1", "b", "c.5", "vendor/d", "e-2025-01-01"]);
        let day = (2020_u16..2027, 1_u8..13, 1_u8..29).prop_map(|(y, m, d)| format!("{y}-{m:02}-{d:02}"));
        (proptest::collection::btree_map(model, price(), 0..6), day).prop_map(|(models, day)| {
            let mut prices = PriceTable::default();
            for (model, price) in models {
                prices.set(model, price).unwrap();
            }
            let head = vec!["# USD".to_owned(), "# source: here".to_owned(), format!("# as-of: {day}")];
            PriceFile::parse(&PriceFile { head, prices }.write()).unwrap()
        })
    }

    proptest! {
        // Nothing of a table is lost, rounded or invented on its way to a file and back.
        #[test]
        fn a_table_that_is_written_and_read_is_the_same(file in file()) {
            let text = file.write();
            let read = PriceFile::parse(&text).unwrap();
            prop_assert_eq!(read.write(), text);
            prop_assert_eq!(read, file);
        }
    }

    #[test]
    fn rows_stand_by_model_and_tier_with_the_shortest_numbers_whatever_order_they_came_in() {
        let text = "# source: x\nb\tstandard\t2.50\t-\t-\t10.0\nb\tlong>9\t3\t-\t-\t4\nb\tbatch\t1\t0.0280\t-\t5\n\
                    # as-of: 2026-01-02\na\tstandard\t1\t-\t2\t3\t-\n";
        let written = PriceFile::parse(text).unwrap().write();
        assert_eq!(
            written,
            "# source: x\n# as-of: 2026-01-02\na\tstandard\t1\t-\t2\t3\nb\tstandard\t2.5\t-\t-\t10\n\
             b\tbatch\t1\t0.028\t-\t5\nb\tlong>9\t3\t-\t-\t4\n"
        );
    }
}
