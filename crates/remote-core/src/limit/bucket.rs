//! One rate as a leaking bucket in integer nanoseconds (GCRA).

/// A rate of units a minute, with a burst.
///
/// The state is one number: the moment at which the bucket is full again. Taking units moves it away, time brings it
/// nearer. Rounding is always against the caller, so no sequence of small takes exceeds the rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_minute: u64,
    burst: u64,
    /// The share of the rate in force, in sixteenths: below 16 while the upstream asks for less.
    share: u64,
    /// Nanoseconds since the limiter's beginning at which the bucket is full.
    full_at: u64,
}

const MINUTE: u128 = 60_000_000_000;

impl Bucket {
    pub(crate) fn new(per_minute: u64, burst: u64) -> Self {
        Self { per_minute: per_minute.max(1), burst: burst.max(1), share: 16, full_at: 0 }
    }

    /// How long the bucket needs for `units`, rounded up.
    pub(crate) fn time(&self, units: u64) -> u64 {
        let rate = u128::from(self.per_minute) * u128::from(self.share);
        let time = (u128::from(units) * MINUTE * 16).div_ceil(rate);
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// When `units` can be taken, as if `ahead` nanoseconds' worth were taken before.
    ///
    /// More than the burst can be taken once the bucket is full.
    pub(crate) fn ready_at(&self, units: u64, ahead: u64) -> u64 {
        let needed = self.time(units.min(self.burst));
        let room = self.time(self.burst);
        self.full_at.saturating_add(ahead).saturating_add(needed).saturating_sub(room)
    }

    /// Takes `units`, whether they are there or not.
    pub(crate) fn take(&mut self, units: u64, now: u64) {
        self.full_at = self.full_at.max(now).saturating_add(self.time(units));
    }

    /// Gives `units` back; the bucket never holds more than its burst, since time before now counts as full.
    pub(crate) fn give_back(&mut self, units: u64) {
        self.full_at = self.full_at.saturating_sub(self.time(units));
    }

    /// Leaves at most `left` units to take now, as the upstream says.
    pub(crate) fn learn_left(&mut self, left: u64, now: u64) {
        let missing = self.time(self.burst.saturating_sub(left.min(self.burst)));
        self.full_at = self.full_at.max(now.saturating_add(missing));
    }

    /// Units that can be taken now.
    pub(crate) fn left(&self, now: u64) -> u64 {
        let missing = u128::from(self.full_at.saturating_sub(now));
        let rate = u128::from(self.per_minute) * u128::from(self.share);
        let taken = (missing * rate).div_ceil(MINUTE * 16);
        self.burst.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX))
    }

    /// Halves the rate, to a sixteenth at the least.
    pub(crate) fn slow_down(&mut self) {
        self.share = (self.share / 2).max(1);
    }

    /// Raises the rate by a sixteenth of what is configured.
    pub(crate) fn speed_up(&mut self) {
        self.share = (self.share + 1).min(16);
    }
}
