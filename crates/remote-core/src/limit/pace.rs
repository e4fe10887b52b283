//! What the upstream says about our speed: pauses, and the share of the configured rate that is in force.

use std::time::Duration;

use super::RateLimitConfig;
use super::bucket::WHOLE;
use super::nanos;

/// Pauses, and a rate that halves when the upstream says "too many" and rises again in steps while calls succeed.
#[derive(Debug)]
pub(super) struct Pace {
    /// Nothing starts before this.
    paused_until: u64,
    /// Sixteenths of the configured rate.
    share: u32,
    /// When the share may rise next.
    rises_at: u64,
    default_pause: u64,
    max_pause: u64,
    step: u64,
}

impl Pace {
    pub(super) fn new(config: &RateLimitConfig) -> Self {
        Self {
            paused_until: 0,
            share: WHOLE,
            rises_at: 0,
            default_pause: nanos(config.default_pause),
            max_pause: nanos(config.max_pause),
            step: nanos(config.recovery_step),
        }
    }

    pub(super) fn paused_until(&self) -> u64 {
        self.paused_until
    }

    pub(super) fn share(&self) -> u32 {
        self.share
    }

    /// Pauses at least until `time`. A pause never becomes shorter: the strictest of several voices counts.
    pub(super) fn pause_until(&mut self, time: u64) {
        self.paused_until = self.paused_until.max(time);
    }

    /// The upstream refused a call for coming too fast. Whether the share changed.
    ///
    /// The share halves once for each pause: the calls that were under way when it began are refused for the same reason
    /// and tell nothing new.
    pub(super) fn throttled(&mut self, now: u64, hint: Option<Duration>) -> bool {
        let before = self.share;
        if now >= self.paused_until {
            self.share = (self.share / 2).max(1);
        }
        let pause = hint.map_or(self.default_pause, nanos).min(self.max_pause);
        self.pause_until(now.saturating_add(pause));
        self.rises_at = self.paused_until.saturating_add(self.step);
        self.share != before
    }

    /// A call succeeded. Whether the share changed.
    pub(super) fn succeeded(&mut self, now: u64) -> bool {
        if self.share == WHOLE || now < self.rises_at {
            return false;
        }
        self.share += 1;
        self.rises_at = now.saturating_add(self.step);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace() -> Pace {
        Pace::new(&RateLimitConfig::default())
    }

    #[test]
    fn the_share_halves_once_for_each_pause_and_no_lower_than_a_sixteenth() {
        let mut pace = pace();
        for expected in [8, 4, 2, 1, 1] {
            let now = pace.paused_until();
            let before = pace.share();
            assert_eq!(pace.throttled(now, Some(Duration::from_secs(3))), before != expected);
            assert!(!pace.throttled(now + SECOND, None));
            assert_eq!((pace.share(), pace.paused_until()), (expected, now + 3 * SECOND));
        }
    }

    #[test]
    fn the_share_rises_by_a_sixteenth_for_each_step_of_successes() {
        let mut pace = pace();
        pace.throttled(0, None);
        let mut rises = Vec::new();
        for tenth in 0..1000 {
            if pace.succeeded(tenth * SECOND / 10) {
                rises.push(tenth / 10);
            }
        }
        assert_eq!(rises, [6, 11, 16, 21, 26, 31, 36, 41]);
        assert_eq!(pace.share(), WHOLE);
    }

    #[test]
    fn a_pause_is_cut_at_the_longest_allowed() {
        let mut pace = pace();
        pace.throttled(0, Some(Duration::MAX));
        assert_eq!(pace.paused_until(), 300 * SECOND);
    }
}
