//! Money: exact sums in pico-dollars, and the step from rates people write to rates that can be added.
//!
//! Rates are `f64` where people and YAML write them, USD per million tokens as price pages print them. One
//! multiplication turns them into whole pico-dollars a token; everything after is integer arithmetic.

use std::fmt;
use std::iter::Sum;

use crate::Usage;

/// An amount in US dollars, counted in pico-dollars (10⁻¹² USD).
///
/// Sums stop at the maximum, about 3.4 × 10²⁶ dollars, instead of wrapping.
///
/// ```
/// use infer_core::Usd;
/// let price = Usd::from_picos(1_500_000);
/// assert_eq!(price.to_string(), "$0.0000015");
/// assert_eq!(Usd::from_usd(0.25).unwrap().picos(), 250_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u128);

const PICOS_PER_USD: u128 = 1_000_000_000_000;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount in pico-dollars.
    pub const fn from_picos(picos: u128) -> Self {
        Self(picos)
    }

    /// An amount in dollars, rounded to the nearest pico-dollar; `None` when negative or not a number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be finite and not negative"
    )]
    pub fn from_usd(usd: f64) -> Option<Self> {
        (usd.is_finite() && usd >= 0.0).then(|| Self((usd * 1e12).round() as u128))
    }

    /// In pico-dollars.
    pub const fn picos(self) -> u128 {
        self.0
    }

    /// In dollars, for display and JSON; exact up to about 15 digits.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / PICOS_PER_USD as f64
    }

    /// The sum.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of `self` after `other`, at least nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

/// Dollars with as many digits as the amount has: `$0`, `$1.5`, `$0.0000015`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / PICOS_PER_USD, self.0 % PICOS_PER_USD);
        if part == 0 {
            return write!(f, "${whole}");
        }
        let digits = format!("{part:012}");
        write!(f, "${whole}.{}", digits.trim_end_matches('0'))
    }
}

/// What a million tokens cost in USD, as price pages print it.
///
/// Numbers must be finite and not negative: [`Rates::validate`] says which one is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input.
    pub input_per_mtok_usd: f64,
    /// Input served from a prompt cache; the input rate when absent.
    #[serde(default)]
    pub cached_input_per_mtok_usd: Option<f64>,
    /// Input written to a prompt cache; the input rate when absent.
    #[serde(default)]
    pub cache_write_per_mtok_usd: Option<f64>,
    /// Input written to a prompt cache to be kept for longer than usual. At least the rate of other writes, which it is
    /// when absent.
    #[serde(default)]
    pub long_cache_write_per_mtok_usd: Option<f64>,
    /// Output, reasoning included.
    pub output_per_mtok_usd: f64,
}

impl Rates {
    /// Input and output; cached input costs the same as other input.
    pub const fn new(input_per_mtok_usd: f64, output_per_mtok_usd: f64) -> Self {
        Self {
            input_per_mtok_usd,
            cached_input_per_mtok_usd: None,
            cache_write_per_mtok_usd: None,
            long_cache_write_per_mtok_usd: None,
            output_per_mtok_usd,
        }
    }

    /// What is read from a prompt cache costs.
    pub(crate) fn cached_input(&self) -> f64 {
        self.cached_input_per_mtok_usd.unwrap_or(self.input_per_mtok_usd)
    }

    /// What is written to a prompt cache costs.
    pub(crate) fn cache_write(&self) -> f64 {
        self.cache_write_per_mtok_usd.unwrap_or(self.input_per_mtok_usd)
    }

    /// What is written to a prompt cache for longer costs. A lower rate would be a mistake, and is not believed.
    pub(crate) fn long_cache_write(&self) -> f64 {
        match self.long_cache_write_per_mtok_usd {
            // Not `max`, which would pass over a rate that is no number instead of charging for it.
            Some(long) if long < self.cache_write() => self.cache_write(),
            Some(long) => long,
            None => self.cache_write(),
        }
    }

    /// Says which rate is negative, not a number or above a million dollars.
    ///
    /// # Errors
    /// The first such rate, by name and value.
    pub fn validate(&self) -> Result<(), String> {
        let rates = [
            ("input_per_mtok_usd", Some(self.input_per_mtok_usd)),
            ("cached_input_per_mtok_usd", self.cached_input_per_mtok_usd),
            ("cache_write_per_mtok_usd", self.cache_write_per_mtok_usd),
            ("long_cache_write_per_mtok_usd", self.long_cache_write_per_mtok_usd),
            ("output_per_mtok_usd", Some(self.output_per_mtok_usd)),
        ];
        match rates.into_iter().find(|(_, rate)| rate.is_some_and(|rate| !(0.0..=1e6).contains(&rate))) {
            Some((name, rate)) => {
                Err(format!("{name}: must be from 0 to 1000000, got {}", rate.unwrap_or_default()))
            }
            None => Ok(()),
        }
    }
}

/// A cost by what caused it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CostEstimate {
    /// Fresh input.
    pub input: Usd,
    /// Input from a prompt cache.
    pub cached_input: Usd,
    /// Input written to a prompt cache.
    pub cache_write: Usd,
    /// Output.
    pub output: Usd,
}

impl CostEstimate {
    /// All of it.
    pub fn total(&self) -> Usd {
        [self.input, self.cached_input, self.cache_write, self.output].into_iter().sum()
    }

    /// The sum of two costs, part by part.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
        }
    }
}

/// What `usage` costs at `rates`, exactly.
///
/// Rates count to six decimals; the seventh is rounded. Details that exceed the input are cut to it, so an upstream's
/// miscount cannot make a bill negative. A rate that [`Rates::validate`] refuses counts as the largest valid one, so
/// that a mistake shows instead of making calls free.
///
/// ```
/// use infer_core::{cost::{from_rates, Rates}, Usage};
/// let cost = from_rates(&Rates::new(0.15, 0.60), &Usage::new(1_000_000, 500_000));
/// assert_eq!(cost.total().to_string(), "$0.45");
/// ```
pub fn from_rates(rates: &Rates, usage: &Usage) -> CostEstimate {
    let cached = usage.cached_input_tokens.min(usage.input_tokens);
    let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
    let long = usage.long_cache_write_tokens.min(written);
    let fresh = usage.input_tokens - cached - written;
    let charge = |tokens: u64, rate: f64| Usd(u128::from(tokens) * u128::from(picos_per_token(rate)));
    CostEstimate {
        input: charge(fresh, rates.input_per_mtok_usd),
        cached_input: charge(cached, rates.cached_input()),
        cache_write: charge(written - long, rates.cache_write())
            .saturating_add(charge(long, rates.long_cache_write())),
        output: charge(usage.billed_output_tokens(), rates.output_per_mtok_usd),
    }
}

/// USD per million tokens is 10⁶ pico-dollars a token.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 10^12")]
fn picos_per_token(usd_per_mtok: f64) -> u64 {
    let rate = if (0.0..=1e6).contains(&usd_per_mtok) { usd_per_mtok } else { 1e6 };
    (rate * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_is_no_price_is_refused_by_name_and_never_free() {
        let rates = Rates::new(f64::NAN, 1.0);
        assert!(rates.validate().unwrap_err().starts_with("input_per_mtok_usd"));
        assert!(from_rates(&rates, &Usage::new(1, 0)).total() > Usd::from_usd(0.5).unwrap());
        assert!(Rates::new(1.0, -0.1).validate().is_err());
    }

    #[test]
    fn cached_input_costs_its_own_rate_and_the_full_rate_where_none_is_known() {
        let usage = Usage { cached_input_tokens: 400, cache_write_tokens: 100, ..Usage::new(1000, 10) };
        let mut rates = Rates::new(2.0, 8.0);
        assert_eq!(from_rates(&rates, &usage).total().picos(), 1000 * 2_000_000 + 10 * 8_000_000);
        rates.cached_input_per_mtok_usd = Some(0.5);
        rates.cache_write_per_mtok_usd = Some(2.5);
        let expect = 500 * 2_000_000 + 400 * 500_000 + 100 * 2_500_000 + 10 * 8_000_000;
        assert_eq!(from_rates(&rates, &usage).total().picos(), expect);
    }

    #[test]
    fn what_is_kept_for_longer_costs_its_own_rate_and_never_less_than_what_is_not() {
        let mut usage = Usage { cache_write_tokens: 500, ..Usage::new(1000, 0) };
        usage.long_cache_write_tokens = 200;
        let mut rates = Rates::new(3.0, 15.0);
        let cost = |rates: &Rates| from_rates(rates, &usage).cache_write.picos();
        assert_eq!(cost(&rates), 500 * 3_000_000);
        rates.cache_write_per_mtok_usd = Some(3.75);
        assert_eq!(cost(&rates), 500 * 3_750_000);
        rates.long_cache_write_per_mtok_usd = Some(6.0);
        assert_eq!(cost(&rates), 300 * 3_750_000 + 200 * 6_000_000);
        rates.long_cache_write_per_mtok_usd = Some(0.1);
        assert_eq!(cost(&rates), 500 * 3_750_000);
        rates.long_cache_write_per_mtok_usd = Some(f64::NAN);
        assert!(cost(&rates) > 200 * 1_000_000_000);
        assert!(rates.validate().unwrap_err().starts_with("long_cache_write_per_mtok_usd"));
    }

    #[test]
    fn details_above_the_input_do_not_charge_for_tokens_that_were_never_read() {
        let mut usage = Usage { cached_input_tokens: 50, cache_write_tokens: 50, ..Usage::new(10, 0) };
        assert_eq!(from_rates(&Rates::new(1.0, 1.0), &usage).total().picos(), 10 * 1_000_000);
        (usage.cached_input_tokens, usage.long_cache_write_tokens) = (0, 70);
        let rates = Rates { long_cache_write_per_mtok_usd: Some(2.0), ..Rates::new(1.0, 1.0) };
        assert_eq!(from_rates(&rates, &usage).total().picos(), 10 * 2_000_000);
    }

    #[test]
    fn amounts_print_without_rounding() {
        assert_eq!(Usd::ZERO.to_string(), "$0");
        assert_eq!(Usd::from_usd(12.5).unwrap().to_string(), "$12.5");
        assert_eq!(Usd::from_picos(1).to_string(), "$0.000000000001");
        assert_eq!(Usd::from_usd(-1.0), None);
    }
}
