//! Token counts.
//!
//! `input_tokens` on this wire leaves out what was read from and written to the prompt cache; the whole input is the sum
//! of the three (Anthropic's API reference, read 2026-11-21). `infer_core` counts the whole input and the parts in it.

use std::borrow::Cow;

use infer_core::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{count, filled};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

/// What was written to the cache, by how long it is kept.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written<'a> {
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails<'a> {
    #[serde(borrow)]
    thinking_tokens: Option<&'a RawValue>,
}

/// The counts known so far. Later ones replace earlier ones, since every report gives running totals; a report that
/// leaves one out leaves it as it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    fresh: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    written_for_an_hour: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    /// How the call was processed.
    pub(crate) service_tier: Option<String>,
}

impl Tally {
    /// Takes over what a report says; gives the counts if it has any.
    pub(crate) fn learn(&mut self, report: Option<&RawValue>) -> Option<Usage> {
        let counts: Counts<'_> = serde_json::from_str(report?.get()).ok()?;
        let by_age: Written<'_> = part(counts.cache_creation);
        let hour = count(by_age.ephemeral_1h_input_tokens);
        let ages = [count(by_age.ephemeral_5m_input_tokens), hour];
        let ages = ages.into_iter().flatten().reduce(u64::saturating_add);
        let details: OutputDetails<'_> = part(counts.output_tokens_details);
        let reported = [
            (&mut self.fresh, count(counts.input_tokens)),
            (&mut self.read, count(counts.cache_read_input_tokens)),
            (&mut self.written, count(counts.cache_creation_input_tokens).or(ages)),
            (&mut self.written_for_an_hour, hour),
            (&mut self.output, count(counts.output_tokens)),
            (&mut self.thinking, count(details.thinking_tokens)),
        ];
        let mut is_any = false;
        for (known, reported) in reported {
            is_any |= reported.is_some();
            *known = reported.or(*known);
        }
        if let Some(tier) = filled(counts.service_tier) {
            self.service_tier = Some(Cow::into_owned(tier));
        }
        is_any.then(|| self.usage())
    }

    /// The format has no total of its own: it is the sum.
    fn usage(&self) -> Usage {
        let or_0 = |count: Option<u64>| count.unwrap_or(0);
        let cached = or_0(self.read);
        let written = or_0(self.written);
        let input = or_0(self.fresh).saturating_add(cached).saturating_add(written);
        let mut usage = Usage::new(input, or_0(self.output));
        usage.cached_input_tokens = cached;
        usage.cache_write_tokens = written;
        usage.long_cache_write_tokens = or_0(self.written_for_an_hour).min(written);
        usage.reasoning_tokens = or_0(self.thinking);
        usage
    }
}

fn part<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::{Rates, from_rates};

    fn learn(tally: &mut Tally, json: &str) -> Option<Usage> {
        tally.learn(serde_json::from_str(json).ok())
    }

    #[test]
    fn the_whole_input_is_fresh_read_and_written_together_and_billed_each_at_its_rate() {
        let json = r#"{"input_tokens":10,"cache_read_input_tokens":1000,"cache_creation_input_tokens":200,"output_tokens":5}"#;
        let usage = learn(&mut Tally::default(), json).unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.total_tokens), (1210, 5, 1215));
        assert_eq!((usage.cached_input_tokens, usage.cache_write_tokens), (1000, 200));
        let mut rates = Rates::new(3.0, 15.0);
        rates.cached_input_per_mtok_usd = Some(0.3);
        rates.cache_write_per_mtok_usd = Some(3.75);
        let expect = 10 * 3_000_000 + 1000 * 300_000 + 200 * 3_750_000 + 5 * 15_000_000;
        assert_eq!(from_rates(&rates, &usage).total().picos(), expect);
    }

    #[test]
    fn later_totals_replace_earlier_ones_and_are_never_added() {
        let mut tally = Tally::default();
        learn(
            &mut tally,
            r#"{"input_tokens":25,"cache_read_input_tokens":4,"output_tokens":1,"service_tier":"priority"}"#,
        );
        let last = r#"{"input_tokens":null,"cache_read_input_tokens":4,"output_tokens":15,"output_tokens_details":{"thinking_tokens":9}}"#;
        let usage = learn(&mut tally, last).unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (29, 15, 9));
        assert_eq!(tally.service_tier.as_deref(), Some("priority"));
    }

    #[test]
    fn what_was_written_is_told_by_its_parts_where_no_sum_is_given() {
        let json = r#"{"input_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}"#;
        let written = |json| {
            let usage = learn(&mut Tally::default(), json).unwrap();
            (usage.cache_write_tokens, usage.long_cache_write_tokens)
        };
        assert_eq!(written(json), (5, 3));
        let both = r#"{"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3}}"#;
        assert_eq!(written(both), (5, 3));
        let hour = r#"{"cache_creation":{"ephemeral_1h_input_tokens":3}}"#;
        assert_eq!(written(hour), (3, 3));
        let less = r#"{"cache_creation_input_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":3}}"#;
        assert_eq!(written(less), (2, 2));
    }

    #[test]
    fn what_is_kept_for_an_hour_is_billed_at_its_own_rate_also_when_only_the_start_tells_it() {
        let mut tally = Tally::default();
        let start = r#"{"input_tokens":10,"cache_creation_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1}"#;
        learn(&mut tally, start);
        let usage = learn(&mut tally, r#"{"cache_creation_input_tokens":300,"output_tokens":5}"#).unwrap();
        assert_eq!((usage.cache_write_tokens, usage.long_cache_write_tokens), (300, 200));
        let mut rates = Rates::new(3.0, 15.0);
        rates.cache_write_per_mtok_usd = Some(3.75);
        rates.long_cache_write_per_mtok_usd = Some(6.0);
        let expect = 10 * 3_000_000 + 100 * 3_750_000 + 200 * 6_000_000 + 5 * 15_000_000;
        assert_eq!(from_rates(&rates, &usage).total().picos(), expect);
    }

    #[test]
    fn a_report_without_counts_is_none() {
        for none in ["{}", "null", "[]", r#"{"service_tier":"standard"}"#, r#"{"input_tokens":"x"}"#] {
            assert_eq!(learn(&mut Tally::default(), none), None, "{none}");
        }
        let most = format!(r#"{{"input_tokens":{},"cache_read_input_tokens":9}}"#, u64::MAX);
        assert_eq!(learn(&mut Tally::default(), &most).unwrap().input_tokens, u64::MAX);
    }
}
