//! Times to the first token of the last minutes, in buckets narrow enough for a quantile.

use std::fmt;
use std::time::Duration;

use super::ring::Part;

/// Buckets an octave, as a power of two: a time is known to a sixteenth.
const BITS: u32 = 4;
const IN_OCTAVE: usize = 1 << BITS;
/// Up to 2³² µs, which is 71 minutes.
const BUCKETS: usize = (32 - BITS as usize + 1) * IN_OCTAVE;

/// Times counted by bucket.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Times {
    count: u32,
    /// None while nothing is counted.
    buckets: Vec<u32>,
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Times").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Part for Times {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Times {
    /// Counts one.
    pub(crate) fn add(&mut self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.buckets.resize(BUCKETS, 0);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(micros)) {
            *bucket = bucket.saturating_add(1);
            self.count = self.count.saturating_add(1);
        }
    }

    /// Counts all that `other` counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.buckets.resize(BUCKETS, 0);
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The time that this share of them does not exceed, to a sixteenth; `None` when there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = (f64::from(self.count) * share).ceil().max(1.0);
        let mut passed = 0.0;
        let found = self.buckets.iter().position(|bucket| {
            passed += f64::from(*bucket);
            passed >= rank
        });
        found.map(|bucket| Duration::from_micros(middle_of(bucket)))
    }
}

fn bucket_of(micros: u32) -> usize {
    if micros < 1 << BITS {
        return micros as usize;
    }
    let octave = micros.ilog2() - BITS;
    (octave as usize + 1) * IN_OCTAVE + ((micros >> octave) as usize & (IN_OCTAVE - 1))
}

fn middle_of(bucket: usize) -> u64 {
    let (octave, part) = (bucket / IN_OCTAVE, (bucket % IN_OCTAVE) as u64);
    match octave.checked_sub(1) {
        None => part,
        Some(octave) => ((part + IN_OCTAVE as u64) << octave) + (1 << octave) / 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_time_has_a_bucket_and_no_time_has_no_quantile() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), None);
        times.add(Duration::MAX);
        assert_eq!(times.count(), 1);
        assert!(times.quantile(0.5).unwrap() > Duration::from_secs(60 * 60));
        times.clear();
        assert_eq!(times, Times::default());
    }

    proptest! {
        /// A quantile is the one of the sorted times, to a sixteenth.
        #[test]
        fn a_quantile_is_true_to_a_sixteenth(
            mut micros in proptest::collection::vec(0_u32.., 1..200),
            share in 0.0_f64..=1.0,
        ) {
            let (mut one, mut other) = (Times::default(), Times::default());
            for (place, time) in micros.iter().enumerate() {
                let half = if place % 2 == 0 { &mut one } else { &mut other };
                half.add(Duration::from_micros(u64::from(*time)));
            }
            one.merge(&other);
            micros.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 200")]
            let rank = (micros.len() as f64 * share).ceil().max(1.0) as usize;
            let (truth, told) = (f64::from(micros[rank - 1]), one.quantile(share).unwrap().as_micros() as f64);
            prop_assert!((truth - told).abs() <= truth / 16.0, "{told} is not near {truth}");
        }
    }
}
