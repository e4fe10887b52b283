//! The one with the fewest calls in flight for what it can take.

use super::place;

/// One of `load`, which are (calls in flight, weight): the least loaded, and among equals the one that `roll` falls on.
pub(crate) fn least_in_flight(
    load: impl ExactSizeIterator<Item = (u32, f64)> + Clone,
    roll: u64,
) -> Option<usize> {
    let key = |(calls, weight): (u32, f64)| (f64::from(calls) + 1.0) / weight;
    let least = load.clone().map(key).fold(f64::INFINITY, f64::min);
    let equals = load.clone().filter(|one| key(*one) <= least).count();
    let nth = place(roll, equals);
    load.enumerate().filter(|(_, one)| key(*one) <= least).nth(nth).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(load: &[(u32, f64)], roll: u64) -> Option<usize> {
        least_in_flight(load.iter().copied(), roll)
    }

    #[test]
    fn a_target_of_twice_the_weight_carries_twice_the_calls() {
        assert_eq!(choose(&[(3, 1.0), (6, 2.0), (4, 1.0)], 0), Some(1));
        assert_eq!(choose(&[(3, 1.0), (8, 2.0)], 0), Some(0));
        assert_eq!(choose(&[], 5), None);
    }

    proptest! {
        /// Nobody else has fewer calls, and among equals everyone has a turn.
        #[test]
        fn nobody_has_fewer_calls(load in prop::collection::vec(0_u32..4, 1..30), roll: u64) {
            let even: Vec<_> = load.iter().map(|calls| (*calls, 1.0)).collect();
            let chosen = choose(&even, roll).unwrap();
            prop_assert!(load.iter().all(|calls| *calls >= load[chosen]));
            let equals = load.iter().filter(|calls| **calls == load[chosen]).count();
            let reached: std::collections::BTreeSet<_> =
                (0..equals).map(|nth| choose(&even, (u64::MAX / equals as u64).saturating_mul(nth as u64) + 99).unwrap()).collect();
            prop_assert_eq!(reached.len(), equals);
        }
    }
}
