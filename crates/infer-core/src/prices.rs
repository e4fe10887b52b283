//! Prices as data: a dated table of rates by model.
//!
//! A table is text with tabs, so that a price change is a diff of one line and can be checked without building an HTTP
//! stack. What a model costs is never guessed: an unknown model has no price.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::Usage;
use crate::cost::{CostEstimate, Rates, from_rates};

/// The rates of one model, by how its calls are processed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// Ordinary calls.
    pub standard: Rates,
    /// Calls through the batch interface.
    pub batch: Option<Rates>,
    /// Calls that may wait.
    pub flex: Option<Rates>,
    /// Calls that may not.
    pub priority: Option<Rates>,
    /// Calls with a long input, which are billed at these rates as a whole.
    pub long_context: Option<LongContext>,
}

/// Rates for calls whose input is longer than a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LongContext {
    /// The rates hold above this many input tokens.
    pub above_input_tokens: u64,
    /// For the whole call.
    pub rates: Rates,
}

impl LongContext {
    /// Rates for inputs above a number of tokens.
    pub const fn new(above_input_tokens: u64, rates: Rates) -> Self {
        Self { above_input_tokens, rates }
    }
}

impl Price {
    /// A price that does not depend on how calls are processed.
    pub fn flat(rates: Rates) -> Self {
        Self { standard: rates, ..Self::default() }
    }

    /// The rates a call is billed at.
    ///
    /// `tier` is the service tier the upstream says it used. A tier without a published rate bills as the standard one.
    /// A table has no rates of a tier for long inputs; such calls bill at the higher of the two, part by part.
    pub fn rates(&self, tier: Option<&str>, input_tokens: u64) -> Rates {
        let tier = match tier {
            Some("priority" | "fast") => self.priority,
            Some("flex") => self.flex,
            Some("batch") => self.batch,
            _ => None,
        };
        let long = self.long_context.filter(|long| input_tokens > long.above_input_tokens);
        match (tier, long) {
            (None, None) => self.standard,
            (Some(rates), None) => rates,
            (None, Some(long)) => long.rates,
            (Some(tier), Some(long)) => higher(&tier, &long.rates),
        }
    }

    /// What a call cost.
    pub fn cost(&self, usage: &Usage, tier: Option<&str>) -> CostEstimate {
        from_rates(&self.rates(tier, usage.input_tokens), usage)
    }
}

fn higher(a: &Rates, b: &Rates) -> Rates {
    Rates {
        input_per_mtok_usd: a.input_per_mtok_usd.max(b.input_per_mtok_usd),
        cached_input_per_mtok_usd: Some(a.cached_input().max(b.cached_input())),
        cache_write_per_mtok_usd: Some(a.cache_write().max(b.cache_write())),
        long_cache_write_per_mtok_usd: Some(a.long_cache_write().max(b.long_cache_write())),
        output_per_mtok_usd: a.output_per_mtok_usd.max(b.output_per_mtok_usd),
    }
}

/// Prices by model.
///
/// ```
/// use infer_core::PriceTable;
/// let table = PriceTable::parse(
///     "# source: the vendor's price page\n# as-of: 2026-11-21\ngpt-4o\tstandard\t2.5\t1.25\t-\t10\n",
/// )?;
/// assert_eq!(table.get("gpt-4o-2024-08-06").unwrap().output_per_mtok_usd, 10.0);
/// assert_eq!(table.get("gpt-4o-next"), None);
/// # Ok::<(), infer_core::PriceError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceTable {
    source: String,
    as_of: String,
    models: BTreeMap<String, Price>,
}

impl PriceTable {
    /// Reads a table.
    ///
    /// Lines starting with `#` are comments; two of them are required, `# source:` and `# as-of: YYYY-MM-DD`. Every
    /// other line is `model`, `tier`, `input`, `cached input`, `cache write`, `output` and, where there is one, `long cache
    /// write`, separated by tabs, in USD per million tokens, with `-` for a rate that is not published. The tier is `standard`, `batch`, `flex`, `priority`
    /// or `long>N` for inputs above N tokens. A model needs its standard row first.
    ///
    /// # Errors
    /// The first line that does not fit, by number.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            let fault = |what: String| PriceError { line: index + 1, what };
            if let Some(comment) = line.strip_prefix('#') {
                let comment = comment.trim();
                if let Some(source) = comment.strip_prefix("source:") {
                    source.trim().clone_into(&mut table.source);
                } else if let Some(as_of) = comment.strip_prefix("as-of:") {
                    as_of.trim().clone_into(&mut table.as_of);
                }
            } else if !line.trim().is_empty() {
                table.read_row(line).map_err(fault)?;
            }
        }
        if !is_iso_date(&table.as_of) {
            return Err(PriceError { line: 1, what: "needs a line `# as-of: YYYY-MM-DD`".into() });
        }
        if table.source.is_empty() {
            return Err(PriceError { line: 1, what: "needs a line `# source: …`".into() });
        }
        Ok(table)
    }

    fn read_row(&mut self, line: &str) -> Result<(), String> {
        let columns: Vec<&str> = line.split('\t').collect();
        let (model, tier, input, cached, write, output, long_write) = match columns.as_slice() {
            [model, tier, input, cached, write, output] => (model, tier, input, cached, write, output, &"-"),
            [model, tier, input, cached, write, output, long] => {
                (model, tier, input, cached, write, output, long)
            }
            _ => return Err(format!("needs 6 or 7 columns separated by tabs, got {}", columns.len())),
        };
        let number = |name: &str, text: &str| {
            text.parse::<f64>().map_err(|_| format!("{name}: not a number: {text:?}"))
        };
        let optional =
            |name: &str, text: &str| if text == "-" { Ok(None) } else { number(name, text).map(Some) };
        let rates = Rates {
            input_per_mtok_usd: number("input", input)?,
            cached_input_per_mtok_usd: optional("cached input", cached)?,
            cache_write_per_mtok_usd: optional("cache write", write)?,
            long_cache_write_per_mtok_usd: optional("long cache write", long_write)?,
            output_per_mtok_usd: number("output", output)?,
        };
        rates.validate()?;
        if *tier == "standard" {
            let price = Price::flat(rates);
            return match self.models.insert((*model).to_owned(), price) {
                None => Ok(()),
                Some(_) => Err(format!("{model}: standard row given twice")),
            };
        }
        let Some(price) = self.models.get_mut(*model) else {
            return Err(format!("{model}: tier {tier} before the standard row"));
        };
        let slot = match *tier {
            "batch" => &mut price.batch,
            "flex" => &mut price.flex,
            "priority" => &mut price.priority,
            long => {
                let above = long.strip_prefix("long>").and_then(|above| above.parse().ok());
                let Some(above_input_tokens) = above else {
                    return Err(format!(
                        "{model}: unknown tier {long:?}: use standard, batch, flex, priority or long>N"
                    ));
                };
                if price.long_context.replace(LongContext { above_input_tokens, rates }).is_some() {
                    return Err(format!("{model}: long row given twice"));
                }
                return Ok(());
            }
        };
        match slot.replace(rates) {
            None => Ok(()),
            Some(_) => Err(format!("{model}: {tier} row given twice")),
        }
    }

    /// The standard rates of `model`: by its exact name, else by the name without a trailing date.
    ///
    /// `gpt-4o-2024-08-06` finds `gpt-4o` unless it has a row of its own. `None` is "not known", never "free".
    pub fn get(&self, model: &str) -> Option<&Rates> {
        self.price(model).map(|price| &price.standard)
    }

    /// The price of `model` in all tiers, found as by [`PriceTable::get`].
    pub fn price(&self, model: &str) -> Option<&Price> {
        self.models.get(model).or_else(|| self.models.get(Self::family(model)?))
    }

    /// The name without a trailing date, or `None` where there is none: what tables of models look up next.
    ///
    /// A date has a year: `2024-08-06`, or `20240806` as Anthropic writes it. Shorter forms are left alone:
    /// `gpt-3.5-turbo-0613` did not cost what its family does.
    ///
    /// ```
    /// use infer_core::PriceTable;
    /// assert_eq!(PriceTable::family("gpt-4o-2024-08-06"), Some("gpt-4o"));
    /// assert_eq!(PriceTable::family("claude-sonnet-4-5-20250929"), Some("claude-sonnet-4-5"));
    /// assert_eq!(PriceTable::family("gpt-3.5-turbo-0613"), None);
    /// ```
    pub fn family(model: &str) -> Option<&str> {
        let before = |length: usize, is_date: fn(&str) -> bool| {
            let (name, date) = model.split_at_checked(model.len().checked_sub(length + 1)?)?;
            (!name.is_empty() && date.strip_prefix('-').is_some_and(is_date)).then_some(name)
        };
        before(10, is_iso_date).or_else(|| before(8, is_compact_date))
    }

    /// Sets or replaces the price of a model, exact name only.
    ///
    /// # Errors
    /// The rate that is not a price, by name.
    pub fn set(&mut self, model: impl Into<String>, price: Price) -> Result<(), String> {
        let tiers = [price.batch, price.flex, price.priority, price.long_context.map(|long| long.rates)];
        price.standard.validate()?;
        tiers.iter().flatten().try_for_each(Rates::validate)?;
        self.models.insert(model.into(), price);
        Ok(())
    }

    /// An operator's own prices; what is none goes into `faults` by model and rate.
    pub fn of_rates(rates: impl IntoIterator<Item = (String, Rates)>, faults: &mut Vec<String>) -> Self {
        let mut table = Self::default();
        for (model, rates) in rates {
            if let Err(fault) = table.set(&*model, Price::flat(rates)) {
                faults.push(format!("{model}.{fault}"));
            }
        }
        table
    }

    /// Takes over every row of `other`, replacing rows of the same name.
    pub fn merge(&mut self, other: Self) {
        self.models.extend(other.models);
    }

    /// The day the prices were read, `YYYY-MM-DD`; empty for a table made by hand.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Where the prices were read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every model with its price, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Price)> {
        self.models.iter().map(|(model, price)| (model.as_str(), price))
    }

    /// How many models have a price.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether no model has a price.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }
}

fn is_iso_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// `YYYYMMDD`, of a month and day that exist in this century: eight digits can be something else.
fn is_compact_date(text: &str) -> bool {
    let number =
        |range: Range<usize>| text.get(range).and_then(|part| part.parse::<u8>().ok()).unwrap_or_default();
    text.len() == 8
        && text.starts_with("20")
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=12).contains(&number(4..6))
        && (1..=31).contains(&number(6..8))
}

/// A line of a price table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "price table line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for PriceError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# source: here\n# as-of: 2026-11-21\n";

    fn table(rows: &str) -> Result<PriceTable, PriceError> {
        PriceTable::parse(&format!("{HEAD}{rows}"))
    }

    #[test]
    fn a_dated_name_finds_its_family_unless_it_has_a_row_of_its_own() {
        let table = table("m\tstandard\t1\t-\t-\t2\nm-2024-05-13\tstandard\t5\t-\t-\t15\n").unwrap();
        assert_eq!(table.get("m-2024-08-06").unwrap().input_per_mtok_usd, 1.0);
        assert_eq!(table.get("m-2024-05-13").unwrap().input_per_mtok_usd, 5.0);
        assert_eq!(table.get("m-20240806").unwrap().input_per_mtok_usd, 1.0);
        for unknown in ["m-0613", "m-2024", "n", "ft:m:acme", "", "-2024-05-13", "é-2024-05-13"] {
            assert_eq!(table.get(unknown), None, "{unknown}");
        }
        for unknown in
            ["m-19990806", "m-20241306", "m-20240832", "m-20240800", "m20240806", "m-2024080", "-20240806"]
        {
            assert_eq!(table.get(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_seventh_column_is_what_longer_keeping_costs() {
        let rows =
            "m\tstandard\t3\t0.3\t3.75\t15\t6\nm\tlong>9\t6\t-\t7\t20\t12\nn\tstandard\t1\t-\t-\t2\t-\n";
        let table = table(rows).unwrap();
        let price = table.price("m").unwrap();
        assert_eq!(price.standard.long_cache_write_per_mtok_usd, Some(6.0));
        assert_eq!(price.rates(None, 10).long_cache_write_per_mtok_usd, Some(12.0));
        assert_eq!(table.get("n"), Some(&Rates::new(1.0, 2.0)));
    }

    #[test]
    fn the_tier_used_and_a_long_input_change_the_rates() {
        let rows = "m\tstandard\t2\t0.2\t2.5\t10\nm\tpriority\t4\t0.4\t-\t20\nm\tlong>100\t5\t0.1\t-\t15\n";
        let table = table(rows).unwrap();
        let price = table.price("m").unwrap();
        assert_eq!(price.rates(None, 100).input_per_mtok_usd, 2.0);
        assert_eq!(price.rates(Some("fast"), 100).output_per_mtok_usd, 20.0);
        assert_eq!(price.rates(Some("default"), 101).output_per_mtok_usd, 15.0);
        let both = price.rates(Some("priority"), 101);
        assert_eq!((both.input_per_mtok_usd, both.output_per_mtok_usd), (5.0, 20.0));
        assert_eq!(both.cached_input_per_mtok_usd, Some(0.4));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (rows, line, what) in [
            ("m\tstandard\t1\n", 3, "6 or 7 columns"),
            ("m\tstandard\t1\t-\t-\t2\t-\t-\n", 3, "6 or 7 columns"),
            ("m\tstandard\t1\t-\t-\t2\tx\n", 3, "long cache write: not a number"),
            ("m\tstandard\tx\t-\t-\t2\n", 3, "input: not a number"),
            ("m\tstandard\t-1\t-\t-\t2\n", 3, "must be from 0"),
            ("m\tbatch\t1\t-\t-\t2\n", 3, "before the standard row"),
            ("m\tstandard\t1\t-\t-\t2\nm\tstandard\t1\t-\t-\t2\n", 4, "twice"),
            ("m\tstandard\t1\t-\t-\t2\nm\tnight\t1\t-\t-\t2\n", 4, "unknown tier"),
        ] {
            let error = table(rows).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.what.contains(what), "{error}");
        }
        assert!(PriceTable::parse("# source: x\n").unwrap_err().what.contains("as-of"));
    }

    #[test]
    fn an_operators_price_replaces_the_published_one_and_must_be_one() {
        let mut prices = table("m\tstandard\t1\t-\t-\t2\n").unwrap();
        prices.set("m", Price::flat(Rates::new(0.5, 1.0))).unwrap();
        assert_eq!(prices.get("m").unwrap().input_per_mtok_usd, 0.5);
        assert!(prices.set("m", Price::flat(Rates::new(-0.5, 1.0))).is_err());
    }
}
