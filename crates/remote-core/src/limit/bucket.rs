//! One rate: units that come back at a steady pace, up to a burst.
//!
//! The law of the generic cell rate algorithm, kept as what is missing instead of as the moment when nothing is. What is
//! missing is counted in units times nanoseconds, so nothing is ever rounded: no sequence of small takes gains anything,
//! giving back what was taken is exact, and the rate can change without moving what is owed. Only a wait is rounded, up.

const MINUTE: u128 = 60_000_000_000;

/// What the rate is divided by: [`Bucket::set_share`] counts in these.
pub(super) const WHOLE: u32 = 16;

/// One unit, in the measure in which the bucket counts.
const UNIT: u128 = MINUTE * WHOLE as u128;

/// A rate of units a minute, with a burst.
#[derive(Debug)]
pub(super) struct Bucket {
    per_minute: u32,
    burst: u32,
    /// The share of rate and burst in force, in sixteenths.
    share: u32,
    /// What was missing at `as_of`. More than the burst while a large cost is paid off.
    missing: u128,
    as_of: u64,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_minute: u32, burst: u32) -> Self {
        Self { per_minute: per_minute.max(1), burst: burst.max(1), share: WHOLE, missing: 0, as_of: 0 }
    }

    /// Whether `units` can be taken now. More than the burst can be taken from a full bucket.
    pub(super) fn admits(&self, now: u64, units: u64) -> bool {
        self.missing_at(now) <= self.most_missing(units)
    }

    /// The first moment from `from` on at which `units` can be taken, if `ahead` units are taken before.
    pub(super) fn ready_at(&self, from: u64, units: u64, ahead: u64) -> u64 {
        let missing = self.missing_at(from).saturating_add(u128::from(ahead) * UNIT);
        let wait = missing.saturating_sub(self.most_missing(units)).div_ceil(self.pace());
        from.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Takes `units`, whether they are there or not.
    pub(super) fn take(&mut self, now: u64, units: u64) {
        self.advance(now);
        self.missing = self.missing.saturating_add(u128::from(units) * UNIT);
    }

    /// Gives `units` back. A full bucket stays full: the burst is never exceeded.
    pub(super) fn give_back(&mut self, now: u64, units: u64) {
        self.advance(now);
        self.missing = self.missing.saturating_sub(u128::from(units) * UNIT);
    }

    /// Leaves at most `left` units to take now.
    pub(super) fn leave_at_most(&mut self, now: u64, left: u64) {
        self.advance(now);
        self.missing = self.missing.max(self.room().saturating_sub(u128::from(left) * UNIT));
    }

    /// Scales rate and burst to `share` sixteenths of what is configured. What is missing stays missing.
    pub(super) fn set_share(&mut self, now: u64, share: u32) {
        self.advance(now);
        self.share = share.clamp(1, WHOLE);
    }

    /// Units that can be taken now.
    pub(super) fn left(&self, now: u64) -> u64 {
        let left = self.room().saturating_sub(self.missing_at(now)) / UNIT;
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// Whether nothing is missing.
    pub(super) fn is_full(&self, now: u64) -> bool {
        self.missing_at(now) == 0
    }

    /// What comes back in a nanosecond.
    fn pace(&self) -> u128 {
        u128::from(self.per_minute) * u128::from(self.share)
    }

    /// The burst in force.
    fn room(&self) -> u128 {
        u128::from(self.burst) * MINUTE * u128::from(self.share)
    }

    /// How much may be missing for `units` to be taken.
    fn most_missing(&self, units: u64) -> u128 {
        self.room().saturating_sub(u128::from(units) * UNIT)
    }

    fn missing_at(&self, now: u64) -> u128 {
        self.missing.saturating_sub(u128::from(now.saturating_sub(self.as_of)) * self.pace())
    }

    fn advance(&mut self, now: u64) {
        self.missing = self.missing_at(now);
        self.as_of = self.as_of.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_wait_is_rounded_up_to_the_nanosecond_that_suffices() {
        let mut bucket = Bucket::new(7, 1);
        bucket.take(0, 1);
        let ready = bucket.ready_at(0, 1, 0);
        assert_eq!(ready, 8_571_428_572);
        assert!(bucket.admits(ready, 1) && !bucket.admits(ready - 1, 1));
    }

    #[test]
    fn a_cost_above_the_burst_waits_for_a_full_bucket_and_is_charged_whole() {
        let mut bucket = Bucket::new(60, 10);
        assert!(bucket.admits(0, 1_000));
        bucket.take(0, 1_000);
        assert_eq!(bucket.ready_at(0, 1, 0), 991 * SECOND);
        assert_eq!(bucket.ready_at(0, 500, 0), 1_000 * SECOND);
    }

    #[test]
    fn a_smaller_share_slows_the_return_and_keeps_what_is_owed() {
        let mut bucket = Bucket::new(60, 16);
        bucket.take(0, 16);
        bucket.set_share(0, 8);
        assert_eq!(bucket.ready_at(0, 8, 0), 32 * SECOND);
        assert_eq!(bucket.left(32 * SECOND), 8);
    }

    #[test]
    fn the_largest_numbers_are_survived() {
        let mut bucket = Bucket::new(u32::MAX, u32::MAX);
        for _ in 0..3 {
            bucket.take(0, u64::MAX);
        }
        assert_eq!(Bucket::new(1, 1).ready_at(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(bucket.left(u64::MAX - 1), 0);
        bucket.give_back(u64::MAX, u64::MAX);
        assert!(bucket.ready_at(0, 1, u64::MAX) > 0);
    }
}
