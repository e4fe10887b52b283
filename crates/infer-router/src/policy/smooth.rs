//! Shares by weight, evenly spread over time instead of in runs or by chance.
//!
//! Smooth weighted round robin: with every choice each candidate earns its weight, the one with the most credit is
//! taken and pays what all earned. So the credit of all together never changes, and after n choices nobody is more than
//! a few choices away from its share.

/// Weights count in 2^32nds of the largest, so that credit is exact and shares do not drift.
const WHOLE: f64 = 4_294_967_296.0;

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Smooth {
    weights: Vec<i64>,
    credits: Vec<i64>,
}

impl Smooth {
    /// Nobody has credit. `weights` are above 0 and finite.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^32")]
        let weights: Vec<i64> =
            weights.iter().map(|weight| ((weight / largest * WHOLE) as i64).max(1)).collect();
        Self { credits: vec![0; weights.len()], weights }
    }

    /// Takes one of `eligible`, which are places in the list of weights; the first of several with equal credit.
    pub(crate) fn pick(&mut self, eligible: &[u32]) -> Option<u32> {
        let mut all = 0_i64;
        let mut best: Option<(i64, u32)> = None;
        for &place in eligible {
            let index = place as usize;
            let (Some(weight), Some(credit)) = (self.weights.get(index), self.credits.get_mut(index)) else {
                continue;
            };
            all = all.saturating_add(*weight);
            *credit = credit.saturating_add(*weight);
            if best.is_none_or(|(most, _)| *credit > most) {
                best = Some((*credit, place));
            }
        }
        let (_, taken) = best?;
        if let Some(credit) = self.credits.get_mut(taken as usize) {
            *credit = credit.saturating_sub(all);
        }
        Some(taken)
    }

    /// Undoes the latest [`Smooth::pick`] of `taken` among `eligible`, since it cannot be used after all.
    pub(crate) fn undo(&mut self, eligible: &[u32], taken: u32) {
        let mut all = 0_i64;
        for &place in eligible {
            let index = place as usize;
            if let (Some(weight), Some(credit)) = (self.weights.get(index), self.credits.get_mut(index)) {
                all = all.saturating_add(*weight);
                *credit = credit.saturating_sub(*weight);
            }
        }
        if let Some(credit) = self.credits.get_mut(taken as usize) {
            *credit = credit.saturating_add(all);
        }
    }

    /// The credit at `place`, to carry it over to a machine with other candidates.
    pub(crate) fn credit(&self, place: usize) -> Option<i64> {
        self.credits.get(place).copied()
    }

    /// Sets the credit at `place`.
    pub(crate) fn set_credit(&mut self, place: usize, credit: i64) {
        if let Some(known) = self.credits.get_mut(place) {
            *known = credit;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(count: usize) -> Vec<u32> {
        (0..u32::try_from(count).unwrap()).collect()
    }

    fn run(weights: &[f64], draws: usize) -> Vec<u32> {
        let mut machine = Smooth::new(weights);
        let eligible = all(weights.len());
        (0..draws).map(|_| machine.pick(&eligible).unwrap()).collect()
    }

    #[test]
    fn a_heavy_one_is_not_taken_in_a_run() {
        assert_eq!(run(&[5.0, 1.0, 1.0], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(run(&[0.5, 0.25, 0.25], 4), [0, 1, 2, 0]);
    }

    #[test]
    fn nobody_to_choose_from_is_no_choice() {
        assert_eq!(Smooth::new(&[1.0]).pick(&[]), None);
        assert_eq!(Smooth::new(&[1.0]).pick(&[7]), None);
    }

    #[test]
    fn the_shares_over_a_hundred_thousand_draws_are_the_weights_within_one_percent() {
        let weights = [0.7, 0.2, 0.1, 3.0, 0.05];
        let sum: f64 = weights.iter().sum();
        let draws = run(&weights, 100_000);
        for (place, weight) in weights.iter().enumerate() {
            let taken = draws.iter().filter(|draw| **draw as usize == place).count() as f64;
            let due = 100_000.0 * weight / sum;
            assert!((taken - due).abs() <= 0.01 * due, "{place}: {taken} of {due}");
        }
    }

    proptest! {
        /// The law of smoothness: after any number of choices each has had its share, give or take a few choices.
        #[test]
        fn nobody_is_ever_far_from_its_share(weights in prop::collection::vec(0.01_f64..100.0, 1..12)) {
            let sum: f64 = weights.iter().sum();
            let mut counts = vec![0.0_f64; weights.len()];
            for (nth, draw) in run(&weights, 2_000).into_iter().enumerate() {
                counts[draw as usize] += 1.0;
                for (count, weight) in counts.iter().zip(&weights) {
                    let due = (nth + 1) as f64 * weight / sum;
                    prop_assert!((count - due).abs() < 1.0 + weights.len() as f64 / 2.0);
                }
            }
        }

        /// The lightest of several, with less than half of the weight, never gets two calls in a row.
        #[test]
        fn the_lightest_never_comes_twice_in_a_row(weights in prop::collection::vec(1.0_f64..100.0, 2..12)) {
            let lightest = weights.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            prop_assume!(weights.iter().enumerate().all(|(place, weight)| place == lightest || *weight > weights[lightest]));
            let draws = run(&weights, 1_000);
            let twice = draws.windows(2).any(|pair| pair.iter().all(|draw| *draw as usize == lightest));
            prop_assert!(!twice);
        }

        /// A choice undone leaves no trace, whoever was eligible.
        #[test]
        fn a_choice_undone_leaves_no_trace(
            weights in prop::collection::vec(0.01_f64..100.0, 2..12),
            masks in prop::collection::vec(any::<u16>(), 1..50),
        ) {
            let (mut tried, mut plain) = (Smooth::new(&weights), Smooth::new(&weights));
            for mask in masks {
                let some: Vec<u32> = all(weights.len()).into_iter().filter(|place| mask >> place & 1 == 1).collect();
                if let Some(taken) = tried.pick(&some) {
                    tried.undo(&some, taken);
                }
                prop_assert_eq!(&tried.credits, &plain.credits);
                let rest = all(weights.len());
                prop_assert_eq!(tried.pick(&rest), plain.pick(&rest));
                prop_assert_eq!(plain.credits.iter().sum::<i64>(), 0);
            }
        }

        /// Only an eligible one is ever taken, whatever was eligible before.
        #[test]
        fn only_an_eligible_one_is_taken(masks in prop::collection::vec(1_u16..4096, 1..200)) {
            let mut machine = Smooth::new(&[1.0, 9.0, 2.0, 0.1, 4.0, 4.0, 7.0, 1.0, 3.0, 3.0, 3.0, 50.0]);
            for mask in masks {
                let some: Vec<u32> = all(12).into_iter().filter(|place| mask >> place & 1 == 1).collect();
                prop_assert!(some.contains(&machine.pick(&some).unwrap()));
            }
        }
    }
}
