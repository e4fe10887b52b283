//! The cheapest one for a call of this length.

use infer_core::{ExecuteBatch, ModelRunner};

/// What a thousand tokens cost, in pico-dollars.
///
/// Learned from the runner's own estimates when routes are built, since asking a hundred runners with every call would take
/// longer than choosing. So what depends on the length of a prompt beyond its tokens, or on the service tier, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitPrice {
    input: u128,
    output: u128,
}

/// What an answer without a limit counts as.
const USUAL_OUTPUT: u64 = 500;

const BYTES_PER_TOKEN: usize = 4;

impl UnitPrice {
    /// What `runner` says of `model`; `None` when it knows no price.
    pub(crate) fn of(runner: &dyn ModelRunner, model: &str) -> Option<Self> {
        let prompt = "four".repeat(1000 * BYTES_PER_TOKEN / "four".len());
        let silent = ExecuteBatch::new(model, prompt);
        let total = |batch: &ExecuteBatch| Some(runner.estimate(batch)?.total().picos());
        let input = total(&silent)?;
        let both = total(&silent.with_max_output_tokens(1000))?;
        Some(Self { input, output: both.saturating_sub(input) })
    }

    /// What a call costs by this, in thousandths of a pico-dollar.
    pub(crate) fn cost(self, input_tokens: u64, output_tokens: Option<u64>) -> u128 {
        let output = u128::from(output_tokens.unwrap_or(USUAL_OUTPUT));
        let input = self.input.saturating_mul(u128::from(input_tokens));
        input.saturating_add(self.output.saturating_mul(output))
    }
}

/// The cheapest of `offers`, which are (cost, calls in flight); equals by calls, and those without a cost last.
pub(crate) fn cheapest(offers: impl Iterator<Item = (Option<u128>, u32)>) -> Option<usize> {
    offers
        .enumerate()
        .min_by_key(|(_, (cost, calls))| (cost.is_none(), *cost, *calls))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_is_cheaper_depends_on_what_is_read_and_written() {
        let (reader, writer) = (UnitPrice { input: 1, output: 9 }, UnitPrice { input: 3, output: 3 });
        let choose = |input, output| {
            cheapest([reader, writer].into_iter().map(|price| (Some(price.cost(input, output)), 0)))
        };
        assert_eq!(choose(10_000, Some(10)), Some(0));
        assert_eq!(choose(10, Some(10_000)), Some(1));
        assert_eq!(choose(10, None), Some(1));
    }

    #[test]
    fn what_has_no_price_comes_last_and_equals_go_to_the_idle_one() {
        assert_eq!(cheapest([(None, 0), (Some(9), 5), (Some(9), 2)].into_iter()), Some(2));
        assert_eq!(cheapest([(None, 3), (None, 1)].into_iter()), Some(1));
        assert_eq!(cheapest(std::iter::empty()), None);
    }

    #[test]
    fn the_largest_numbers_are_survived() {
        let dear = UnitPrice { input: u128::MAX, output: u128::MAX };
        assert_eq!(dear.cost(u64::MAX, Some(u64::MAX)), u128::MAX);
    }
}
