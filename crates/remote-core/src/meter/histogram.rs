//! How long things took, in fixed buckets.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// The upper bounds of the buckets, each included; one more bucket takes what is longer.
///
/// The ones OpenTelemetry advises for `gen_ai.client.operation.duration` (its document, read 2026-11-21).
pub const BOUNDS: [Duration; 14] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
    Duration::from_millis(640),
    Duration::from_millis(1_280),
    Duration::from_millis(2_560),
    Duration::from_millis(5_120),
    Duration::from_millis(10_240),
    Duration::from_millis(20_480),
    Duration::from_millis(40_960),
    Duration::from_millis(81_920),
];

/// Durations counted by bucket.
///
/// Serialises with bounds and sum in seconds: `{"le": [0.01, …], "counts": […], "count": 3, "sum": 1.2}`; `counts` has
/// one place more than `le`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < time);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// How many there are for each of [`BOUNDS`], and above the last one. Not cumulative.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Histogram", 4)?;
        map.serialize_field("le", &BOUNDS.map(|bound| bound.as_secs_f64()))?;
        map.serialize_field("counts", &self.counts)?;
        map.serialize_field("count", &self.count())?;
        map.serialize_field("sum", &self.sum.as_secs_f64())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_a_bound_belongs_below_it_and_the_longest_have_a_bucket_of_their_own() {
        assert!(BOUNDS.is_sorted());
        let mut times = Histogram::default();
        for millis in [0, 10, 11, 81_920, 81_921, 1_000_000] {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!((times.counts()[0], times.counts()[1]), (2, 1));
        assert_eq!((times.counts()[13], times.counts()[14]), (1, 2));
        assert_eq!((times.count(), times.sum()), (6, Duration::from_millis(1_163_862)));
    }
}
