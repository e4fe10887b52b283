//! When a credential is fetched again. Time and randomness are arguments; nobody waits here.

use std::time::Duration;

/// At least this long before expiry the next credential is fetched; the fifth of it that is jitter counts too. 5 min.
const LEAD: Duration = Duration::from_secs(300);

/// The pause after a failed fetch. 30 s, doubling.
const RETRY: Duration = Duration::from_secs(30);

/// The longest pause after failed fetches. 5 min.
const RETRY_CAP: Duration = Duration::from_secs(300);

/// The shortest pause, however short the credentials live and however often a source wants to be looked at. 1 s.
pub(super) const LEAST: Duration = Duration::from_secs(1);

/// How long after a credential arrived the next one is fetched, when it lives for `life`. `roll` is in `0..1`.
///
/// That is 5 min before the end and up to 60 s later, so that many processes do not ask at once; the half of a life
/// shorter than 10 min and up to a tenth more.
pub(super) fn refresh_after(life: Duration, roll: f64) -> Duration {
    let lead = LEAD.min(life / 2);
    (life.saturating_sub(lead) + (lead / 5).mul_f64(roll.clamp(0.0, 1.0))).max(LEAST)
}

/// How long after the last of `failures` fetches in a row the next one is due.
pub(super) fn retry_after(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(RETRY_CAP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_long_life_is_renewed_five_to_four_minutes_before_its_end() {
        assert_eq!(refresh_after(s(3600), 0.0), s(3300));
        assert_eq!(refresh_after(s(3600), 1.0), s(3360));
    }

    #[test]
    fn a_short_life_is_renewed_at_half() {
        assert_eq!(refresh_after(s(60), 0.0), s(30));
        assert_eq!(refresh_after(s(60), 1.0), s(36));
        assert_eq!(refresh_after(Duration::ZERO, 0.5), s(1));
    }

    #[test]
    fn failures_double_the_pause_up_to_a_cap() {
        assert_eq!([1, 2, 3, 4, 5, 99].map(retry_after), [s(30), s(60), s(120), s(240), s(300), s(300)]);
    }

    proptest! {
        /// A refresh is never late for a life of two seconds or more, and never at once.
        #[test]
        fn a_refresh_falls_into_the_second_half_of_a_life(life in 2u64..u64::from(u32::MAX), roll in 0.0f64..=1.0) {
            let after = refresh_after(s(life), roll);
            prop_assert!(after >= s(life) / 2 && after < s(life));
            prop_assert!(s(life) <= after + s(300));
        }
    }
}
