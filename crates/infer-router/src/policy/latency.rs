//! How slow a target is: a moving average that rises at once and falls slowly, and the choice by it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Rolls, place};

/// How long an average takes to fall to about a third without new samples. 10 s: soon enough to try a target again that
/// was slow, and longer than most answers take to begin.
const FADE: f64 = 10.0;

/// What an unknown target counts as. About what the first content of a hosted model takes, so that a new target gets its
/// share and not everything.
const UNKNOWN: f64 = 0.5;

/// The least that a failure counts as, and the most that failures in a row add up to.
const FAILURE: (f64, f64) = (1.0, 60.0);

/// A moving average that rises at once and falls slowly, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeakEwma(Option<(f64, Instant)>);

impl PeakEwma {
    /// Takes a sample.
    pub(crate) fn observe(&mut self, now: Instant, sample: Duration) {
        let sample = sample.as_secs_f64();
        let value = match self.0 {
            Some((value, as_of)) => {
                let value = value.max(0.0);
                if sample >= faded(value, as_of, now) {
                    sample
                } else {
                    let kept = keeps(as_of, now);
                    value.mul_add(kept, sample * (1.0 - kept))
                }
            }
            None => sample,
        };
        self.0 = Some((value, self.0.map_or(now, |(_, as_of)| as_of.max(now))));
    }

    /// Counts a failure: at least as slow as it took, and twice as slow as it was, so that failing fast does not attract.
    pub(crate) fn fail(&mut self, now: Instant, took: Duration) {
        let (least, most) = FAILURE;
        let value = (2.0 * self.seconds(now).unwrap_or(UNKNOWN)).max(least).min(most).max(took.as_secs_f64());
        self.0 = Some((value, now));
    }

    /// The average at `now`; `None` while nothing was observed. It fades towards nothing while nothing is.
    pub(crate) fn seconds(&self, now: Instant) -> Option<f64> {
        self.0.map(|(value, as_of)| faded(value, as_of, now))
    }

    /// What one more call costs with `calls` in flight at a target that can take `weight`.
    pub(crate) fn cost(&self, now: Instant, calls: u32, weight: f64) -> f64 {
        self.seconds(now).unwrap_or(UNKNOWN).max(1e-6) * (f64::from(calls) + 1.0) / weight
    }
}

/// A moving average of what was measured, in seconds, for people to read: failures are no part of it, and it stays as it is
/// while nothing is measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured(Option<(f64, Instant)>);

impl Measured {
    /// Takes a sample.
    pub(crate) fn observe(&mut self, now: Instant, sample: Duration) {
        let sample = sample.as_secs_f64();
        let (value, as_of) = self.0.unwrap_or((sample, now));
        let kept = keeps(as_of, now);
        self.0 = Some((value.mul_add(kept, sample * (1.0 - kept)), as_of.max(now)));
    }

    /// The average; `None` while nothing was measured.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.0.and_then(|(value, _)| Duration::try_from_secs_f64(value).ok())
    }
}

fn keeps(as_of: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(as_of).as_secs_f64() / FADE).exp()
}

fn faded(value: f64, as_of: Instant, now: Instant) -> f64 {
    value * keeps(as_of, now)
}

/// The cheaper of two that `rolls` fall on, out of `count`: enough to avoid the slow, and no crowd at the fastest.
pub(crate) fn two_choices(count: usize, rolls: Rolls, cost: impl Fn(usize) -> f64) -> Option<usize> {
    if count < 2 {
        return (count == 1).then_some(0);
    }
    let first = place(rolls.0, count);
    let second = (first + 1 + place(rolls.1, count - 1)) % count;
    Some(if cost(second) < cost(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let begun = Instant::now();
        let mut average = PeakEwma::default();
        assert_eq!(average.seconds(begun), None);
        average.observe(begun, seconds(0.2));
        average.observe(begun, seconds(3.0));
        assert_eq!(average.seconds(begun), Some(3.0));
        average.observe(begun + seconds(1.0), seconds(0.2));
        let after = average.seconds(begun + seconds(1.0)).unwrap();
        assert!((2.0..2.9).contains(&after), "{after}");
        let later = average.seconds(begun + seconds(60.0)).unwrap();
        assert!(later < 0.05, "{later}");
    }

    #[test]
    fn failing_fast_does_not_make_it_look_fast() {
        let begun = Instant::now();
        let mut average = PeakEwma::default();
        average.observe(begun, seconds(0.3));
        average.fail(begun, seconds(0.001));
        assert_eq!(average.seconds(begun), Some(1.0));
        for _ in 0..20 {
            average.fail(begun, seconds(0.001));
        }
        assert_eq!(average.seconds(begun), Some(60.0));
    }

    #[test]
    fn what_was_measured_stays_while_nothing_is_and_follows_what_is() {
        let begun = Instant::now();
        let mut measured = Measured::default();
        assert_eq!(measured.time(), None);
        measured.observe(begun, seconds(0.4));
        assert_eq!(measured.time(), Some(seconds(0.4)));
        measured.observe(begun + seconds(10.0), seconds(0.2));
        let after = measured.time().unwrap();
        assert!(after > seconds(0.26) && after < seconds(0.29), "{after:?}");
        measured.observe(begun + seconds(3_600.0), seconds(0.1));
        assert!(measured.time().unwrap() < seconds(0.101));
    }

    proptest! {
        /// The slowest of all is never chosen, and everyone else can be.
        #[test]
        fn the_slowest_is_never_chosen(count in 2_usize..40, rolls: (u64, u64)) {
            let chosen = two_choices(count, Rolls(rolls.0, rolls.1), |index| index as f64).unwrap();
            prop_assert!(chosen < count - 1);
        }

        /// The average stays between the smallest and the largest sample while it does not fade.
        #[test]
        fn the_average_stays_within_its_samples(samples in prop::collection::vec(0.001_f64..100.0, 1..40)) {
            let begun = Instant::now();
            let mut average = PeakEwma::default();
            for sample in &samples {
                average.observe(begun, seconds(*sample));
            }
            let value = average.seconds(begun).unwrap();
            let largest = samples.iter().copied().fold(0.0, f64::max);
            prop_assert!(value <= largest + 1e-6 && value >= samples[samples.len() - 1] - 1e-6);
        }
    }
}
