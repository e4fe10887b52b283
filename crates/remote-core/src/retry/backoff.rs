//! How long to wait before the next attempt. The only file that names the `backoff` crate.
//!
//! The crate gives the curve. Its own jitter is switched off: it is added after the cap, so that waits exceed it, and
//! cannot be seeded. Full jitter is applied here instead, from a number the caller draws.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// A curve that doubles from `base` and never exceeds `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Curve {
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl Curve {
    /// The wait before retry `retry`, from 0, spread evenly over 0 to the curve by `roll`, from 0 to 1.
    pub(crate) fn wait(self, retry: u32, roll: f64) -> Duration {
        let mut schedule = ExponentialBackoff {
            current_interval: self.base.min(self.cap),
            initial_interval: self.base.min(self.cap),
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: self.cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        // Beyond 32 doublings every curve is at its cap.
        let full = (0..=retry.min(32)).filter_map(|_| schedule.next_backoff()).last().unwrap_or(self.cap);
        full.min(self.cap).mul_f64(roll.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_doubles_to_its_cap_and_stays_there() {
        let curve = Curve { base: Duration::from_millis(500), cap: Duration::from_secs(8) };
        let waits: Vec<u128> = (0..7).map(|retry| curve.wait(retry, 1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(curve.wait(u32::MAX, 1.0), Duration::from_secs(8));
        assert_eq!(curve.wait(3, 0.0), Duration::ZERO);
        assert_eq!(curve.wait(3, 0.5), Duration::from_secs(2));
    }
}
