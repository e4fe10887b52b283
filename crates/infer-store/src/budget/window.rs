//! The stretch of the calendar that a budget holds for.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound};

use super::config::Every;

/// A stretch of time; one without an end holds for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: SystemTime,
    pub(crate) end: Option<SystemTime>,
}

impl Window {
    /// The window around `now`.
    pub(crate) fn around(now: SystemTime, every: Every, zone: &TimeZone) -> Self {
        let total = Self { start: SystemTime::UNIX_EPOCH, end: None };
        if every == Every::Total {
            return total;
        }
        let found =
            Timestamp::try_from(now).ok().and_then(|at| Self::in_calendar(&at.to_zoned(zone.clone()), every));
        // Outside the calendar's years there are still hours.
        found.filter(|window| window.start <= now && window.end.is_some_and(|end| now < end)).unwrap_or_else(
            || {
                let into = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() % 3_600;
                let start = now.checked_sub(Duration::from_secs(into)).unwrap_or(now);
                Self { start, end: start.checked_add(Duration::from_secs(3_600)) }
            },
        )
    }

    fn in_calendar(now: &Zoned, every: Every) -> Option<Self> {
        let (start, end) = match every {
            Every::Hour => {
                let start = now.round(ZonedRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc)).ok()?;
                let end = start.checked_add(1.hour()).ok()?;
                (start, end)
            }
            Every::Day => (now.start_of_day().ok()?, now.tomorrow().ok()?.start_of_day().ok()?),
            Every::Month => {
                let first = now.first_of_month().ok()?;
                let next = first.checked_add(1.month()).ok()?;
                (first.start_of_day().ok()?, next.start_of_day().ok()?)
            }
            Every::Total => return None,
        };
        Some(Self { start: start.timestamp().into(), end: Some(end.timestamp().into()) })
    }

    /// Whether another window has begun at `now`. A clock that steps back by less than the window's length does not begin
    /// one, so nobody gets a second allowance; one that was far ahead and is set right does, or the budget would be shut
    /// until then.
    pub(crate) fn is_over(&self, now: SystemTime) -> bool {
        let Some(end) = self.end else { return false };
        now >= end || self.is_far_ahead(now)
    }

    /// Whether the window lies ahead of `now` by more than its own length.
    pub(crate) fn is_far_ahead(&self, now: SystemTime) -> bool {
        let length = self.end.and_then(|end| end.duration_since(self.start).ok()).unwrap_or(Duration::MAX);
        self.start.duration_since(now).is_ok_and(|ahead| ahead > length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn days_and_months_begin_at_midnight_of_the_zone_even_where_clocks_change() {
        let berlin = zone("Europe/Berlin");
        // On 2026-03-29 the day has 23 hours there.
        let day = Window::around(at("2026-03-29T10:00:00Z"), Every::Day, &berlin);
        assert_eq!((day.start, day.end), (at("2026-03-28T23:00:00Z"), Some(at("2026-03-29T22:00:00Z"))));
        let month = Window::around(at("2026-10-31T23:30:00Z"), Every::Month, &berlin);
        assert_eq!((month.start, month.end), (at("2026-10-31T23:00:00Z"), Some(at("2026-11-30T23:00:00Z"))));
        let hour = Window::around(at("2026-01-01T10:15:00Z"), Every::Hour, &zone("Asia/Kolkata"));
        assert_eq!(hour.start, at("2026-01-01T09:30:00Z"));
    }

    proptest! {
        /// A moment lies in its window, and the window after begins where this one ends.
        #[test]
        fn windows_follow_each_other_without_gaps(
            seconds in 0_u64..8_000_000_000,
            name in proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"]),
            every in proptest::sample::select(vec![Every::Hour, Every::Day, Every::Month]),
        ) {
            let zone = zone(name);
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let window = Window::around(now, every, &zone);
            let end = window.end.unwrap();
            prop_assert!(window.start <= now && now < end);
            if every != Every::Hour {
                prop_assert_eq!(Window::around(end, every, &zone).start, end);
                prop_assert_eq!(Window::around(end - Duration::from_nanos(1), every, &zone), window);
            }
        }
    }
}
