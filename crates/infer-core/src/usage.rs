//! How many tokens a call used.

use crate::Usd;

/// Token counts as the upstream reported them.
///
/// A count the upstream left out is 0. Detail counts are parts of `input_tokens` or `output_tokens`, never added to
/// them; `uncounted_output_tokens` alone stands beside `output_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written, hidden reasoning included at almost every upstream.
    pub output_tokens: u64,
    /// The upstream's own total.
    pub total_tokens: u64,
    /// Part of the input served from a prompt cache.
    pub cached_input_tokens: u64,
    /// Part of the input written to a prompt cache.
    pub cache_write_tokens: u64,
    /// Part of `cache_write_tokens` that is to be kept for longer than usual, which costs more: an hour at Anthropic.
    pub long_cache_write_tokens: u64,
    /// Hidden reasoning.
    pub reasoning_tokens: u64,
    /// Output that the upstream bills and leaves out of `output_tokens`; 0 almost everywhere.
    ///
    /// xAI counts reasoning outside the output and inside the total (its clients' source, read 2026-11-21).
    pub uncounted_output_tokens: u64,
    /// Sound in the input.
    pub input_audio_tokens: u64,
    /// Sound in the output.
    pub output_audio_tokens: u64,
    /// Predicted tokens that were used.
    pub accepted_prediction_tokens: u64,
    /// Predicted tokens that were not, billed as output.
    pub rejected_prediction_tokens: u64,
    /// What the upstream itself says the call cost.
    pub reported_cost: Option<Usd>,
}

impl Usage {
    /// Input and output counts, with their sum as total.
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self {
            input_tokens,
            output_tokens,
            total_tokens: input_tokens.saturating_add(output_tokens),
            cached_input_tokens: 0,
            cache_write_tokens: 0,
            long_cache_write_tokens: 0,
            reasoning_tokens: 0,
            uncounted_output_tokens: 0,
            input_audio_tokens: 0,
            output_audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
            reported_cost: None,
        }
    }

    /// The output to bill.
    pub const fn billed_output_tokens(&self) -> u64 {
        self.output_tokens.saturating_add(self.uncounted_output_tokens)
    }

    /// The sum over two calls; counts stop at their maximum instead of wrapping.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        let mut counts = self.counts();
        for (count, more) in counts.iter_mut().zip(other.counts()) {
            *count = count.saturating_add(more);
        }
        let cost = match (self.reported_cost, other.reported_cost) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        Self { reported_cost: cost, ..Self::from_counts(counts) }
    }
}

/// The one list of counts. Leaving a field out of it does not compile.
macro_rules! counts {
    ($($count:ident),+ $(,)?) => {
        impl Usage {
            /// The names of all counts, in the order of [`Usage::counts`].
            ///
            /// A count keeps its place for ever and a new one comes last, so numbers written in this order read back the
            /// same by later versions.
            pub const COUNTS: [&'static str; [$(stringify!($count)),+].len()] = [$(stringify!($count)),+];

            /// Every count, in the order of [`Usage::COUNTS`].
            pub const fn counts(&self) -> [u64; Self::COUNTS.len()] {
                let Self { $($count,)+ reported_cost: _ } = *self;
                [$($count),+]
            }

            /// Usage of these counts, in the order of [`Usage::COUNTS`], with no cost reported.
            pub const fn from_counts(counts: [u64; Self::COUNTS.len()]) -> Self {
                let [$($count),+] = counts;
                Self { $($count,)+ reported_cost: None }
            }
        }
    };
}

counts!(
    input_tokens,
    output_tokens,
    total_tokens,
    cached_input_tokens,
    cache_write_tokens,
    reasoning_tokens,
    uncounted_output_tokens,
    input_audio_tokens,
    output_audio_tokens,
    accepted_prediction_tokens,
    rejected_prediction_tokens,
    long_cache_write_tokens,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_but_the_cost_is_a_count_and_keeps_its_place() {
        let numbers = std::array::from_fn(|place| place as u64 + 1);
        let usage = Usage::from_counts(numbers);
        assert_eq!(usage.counts(), numbers);
        let debug = format!("{usage:?}");
        for (name, number) in Usage::COUNTS.iter().zip(numbers) {
            assert!(debug.contains(&format!(" {name}: {number},")), "{name}: {debug}");
        }
        assert_eq!(debug.matches(": ").count(), Usage::COUNTS.len() + 1, "{debug}");
        // Written to disk in this order.
        assert_eq!((usage.input_tokens, usage.rejected_prediction_tokens), (1, 11));
        assert_eq!(usage.long_cache_write_tokens, 12);
    }

    #[test]
    fn output_left_out_of_the_count_is_billed() {
        let usage = Usage { uncounted_output_tokens: 200, ..Usage::new(100, 20) };
        assert_eq!(usage.billed_output_tokens(), 220);
    }

    #[test]
    fn sums_stop_at_the_maximum() {
        let sum = Usage::new(u64::MAX, 1).saturating_add(Usage::new(5, 1));
        assert_eq!((sum.input_tokens, sum.output_tokens), (u64::MAX, 2));
    }
}
