//! The cheapest one for a call of this length.

use infer_core::{ExecuteBatch, ModelRunner};

/// What a thousand tokens cost, in pico-dollars.
///
/// Learned from the runner's own estimates when routes are built, since asking a hundred runners with every call would take
/// longer than choosing. So what depends on the length of a prompt beyond its tokens, or on the service tier, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitPrice {
    input: u64,
    output: u64,
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
        let price = |picos: u128| u64::try_from(picos).unwrap_or(u64::MAX);
        Some(Self { input: price(input), output: price(both.saturating_sub(input)) })
    }

    /// What a call costs by this, in thousandths of a pico-dollar.
    pub(crate) fn cost(self, input_tokens: u64, output_tokens: Option<u64>) -> u128 {
        let output = output_tokens.unwrap_or(USUAL_OUTPUT);
        let input = u128::from(self.input) * u128::from(input_tokens);
        input.saturating_add(u128::from(self.output) * u128::from(output))
    }
}

/// The cheapest of `offers`; equals by `calls` in flight, and those without a cost last.
pub(crate) fn cheapest(
    offers: impl Iterator<Item = Option<u128>>,
    calls: impl Fn(usize) -> u32,
) -> Option<usize> {
    let mut best: Option<(u128, usize)> = None;
    for (nth, offer) in offers.enumerate() {
        let offer = offer.unwrap_or(u128::MAX);
        let is_better = match best {
            None => true,
            Some((cost, other)) => offer < cost || (offer == cost && calls(nth) < calls(other)),
        };
        if is_better {
            best = Some((offer, nth));
        }
    }
    best.map(|(_, nth)| nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_is_cheaper_depends_on_what_is_read_and_written() {
        let (reader, writer) = (UnitPrice { input: 1, output: 9 }, UnitPrice { input: 3, output: 3 });
        let choose = |input, output| {
            cheapest([reader, writer].into_iter().map(|price| Some(price.cost(input, output))), |_| 0)
        };
        assert_eq!(choose(10_000, Some(10)), Some(0));
        assert_eq!(choose(10, Some(10_000)), Some(1));
        assert_eq!(choose(10, None), Some(1));
    }

    #[test]
    fn what_has_no_price_comes_last_and_equals_go_to_the_idle_one() {
        let among = |offers: &[(Option<u128>, u32)]| {
            cheapest(offers.iter().map(|offer| offer.0), |nth| offers[nth].1)
        };
        assert_eq!(among(&[(None, 0), (Some(9), 5), (Some(9), 2)]), Some(2));
        assert_eq!(among(&[(None, 3), (None, 1)]), Some(1));
        assert_eq!(among(&[]), None);
    }

    #[test]
    fn the_largest_numbers_are_survived() {
        let dear = UnitPrice { input: u64::MAX, output: u64::MAX };
        assert_eq!(dear.cost(u64::MAX, Some(u64::MAX)), u128::MAX);
    }
}
