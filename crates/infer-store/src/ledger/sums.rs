//! What a group of rows adds up to.

use infer_core::Usd;
use serde::{Deserialize, Serialize};

use super::row::{LedgerRow, Outcome, RowCost};
use crate::codec::{Reader, put_number};

/// What a group of calls adds up to, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// Of them, those that ended in an error.
    pub failed: u64,
    /// Of them, those answered from the cache.
    pub cached: u64,
    /// Of them, those without a known price; their cost is not in `cost`.
    pub unpriced: u64,
    /// Of them, those whose usage or cost was estimated.
    pub estimated: u64,
    /// Tokens read, for which somebody was paid or may have been.
    pub input_tokens: u64,
    /// Tokens written, as billed.
    pub output_tokens: u64,
    /// Part of the input served from a prompt cache.
    pub cached_input_tokens: u64,
    /// Part of the input written to a prompt cache.
    pub cache_write_tokens: u64,
    /// Hidden reasoning, part of the output.
    pub reasoning_tokens: u64,
    /// Known cost; in JSON as text of whole pico-dollars, which loses no digit.
    #[serde(rename = "cost_picos", with = "picos")]
    pub cost: Usd,
}

impl Sums {
    /// What one row adds. Tokens of an answer from the cache were not bought again and count as none.
    pub fn of(row: &LedgerRow) -> Self {
        let cached = row.outcome == Outcome::Cached;
        let usage = if cached { infer_core::Usage::default() } else { row.usage };
        Self {
            calls: 1,
            failed: u64::from(matches!(row.outcome, Outcome::Failed(_))),
            cached: u64::from(cached),
            unpriced: u64::from(matches!(row.cost, RowCost::Unpriced(_))),
            estimated: u64::from(row.estimated),
            input_tokens: usage.input_tokens,
            output_tokens: usage.billed_output_tokens(),
            cached_input_tokens: usage.cached_input_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost: row.cost.usd(),
        }
    }

    /// Adds another group; counts stop at their maximum.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts_mut().into_iter().zip(other.counts()) {
            *sum = sum.saturating_add(more);
        }
        self.cost = self.cost.saturating_add(other.cost);
    }

    /// Tokens read and written.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    fn counts(&self) -> [u64; 10] {
        [
            self.calls,
            self.failed,
            self.cached,
            self.unpriced,
            self.estimated,
            self.input_tokens,
            self.output_tokens,
            self.cached_input_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
        ]
    }

    fn counts_mut(&mut self) -> [&mut u64; 10] {
        [
            &mut self.calls,
            &mut self.failed,
            &mut self.cached,
            &mut self.unpriced,
            &mut self.estimated,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.cached_input_tokens,
            &mut self.cache_write_tokens,
            &mut self.reasoning_tokens,
        ]
    }

    /// A bit for every count that is not 0, then those counts, then the cost.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let counts = self.counts();
        let present = counts
            .iter()
            .zip(0_u32..)
            .fold(0_u32, |bits, (count, place)| if *count == 0 { bits } else { bits | 1 << place });
        put_number(out, present);
        for count in counts.into_iter().filter(|count| *count != 0) {
            put_number(out, count);
        }
        put_number(out, self.cost.picos());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut sums = Self::default();
        let present = reader.id()?;
        for (count, place) in sums.counts_mut().into_iter().zip(0_u32..) {
            if present & (1 << place) != 0 {
                *count = reader.number()?;
            }
        }
        sums.cost = Usd::from_picos(reader.large()?);
        Some(sums)
    }
}

mod picos {
    use infer_core::Usd;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(cost: &Usd, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&cost.picos())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Usd, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Usd::from_picos).map_err(de::Error::custom)
    }
}
