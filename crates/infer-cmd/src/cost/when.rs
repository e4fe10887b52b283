//! Days and hours as they are written on the command line.

use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A day of UTC, or a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// As it was written.
    pub(crate) text: String,
    /// Where it begins.
    pub(crate) start: SystemTime,
    /// Where it ends; for a moment, where it begins.
    pub(crate) end: SystemTime,
}

impl When {
    /// Reads `2026-11-01` or `2026-11-01T15:00Z`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "must be a day such as 2026-11-01, or a moment such as 2026-11-01T15:00Z";
        let (start, end) = if text.contains(['T', 't']) {
            let moment: Timestamp = text.parse().map_err(|_| SHAPE.to_owned())?;
            (moment, moment)
        } else {
            day(text).ok_or_else(|| SHAPE.to_owned())?
        };
        if start < Timestamp::UNIX_EPOCH {
            return Err("must not lie before 1970".to_owned());
        }
        Ok(Self { text: text.to_owned(), start: start.into(), end: end.into() })
    }
}

fn day(text: &str) -> Option<(Timestamp, Timestamp)> {
    // Longer texts may hold a time, which would be passed over.
    let date: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
    let midnight = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    Some((midnight(date)?, midnight(date.checked_add(1.day()).ok()?)?))
}

/// `2026-11-01T00:00:00Z`.
pub(super) fn moment(at: SystemTime) -> String {
    stamp(at).to_string()
}

/// `2026-11-01`, with the hour where it is not midnight.
pub(super) fn short(at: SystemTime) -> String {
    let text = stamp(at).strftime("%Y-%m-%d %H:%M").to_string();
    text.strip_suffix(" 00:00").map(str::to_owned).unwrap_or(text)
}

/// `2026-11-01 15:00`.
pub(super) fn hour(at: SystemTime) -> String {
    stamp(at).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `2026-11`.
pub(super) fn month(at: SystemTime) -> String {
    stamp(at).strftime("%Y-%m").to_string()
}

/// What the ledger says lies between 1970 and 9999.
fn stamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_whole_day_of_utc_and_a_moment_has_no_length() {
        let day = When::parse("2026-11-01").unwrap();
        assert_eq!(
            (moment(day.start), moment(day.end)),
            ("2026-11-01T00:00:00Z".into(), "2026-11-02T00:00:00Z".into())
        );
        let at = When::parse("2026-11-01T15:00+02:00").unwrap();
        assert_eq!((at.start, moment(at.end).as_str()), (at.end, "2026-11-01T13:00:00Z"));
        assert_eq!((short(day.start).as_str(), short(at.start).as_str()), ("2026-11-01", "2026-11-01 13:00"));
    }

    #[test]
    fn what_is_no_date_is_refused_with_its_shape() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-11-1",
            "2026-11-01T15:00",
            "2026-11-01 15:00",
            "20261101T15",
        ] {
            assert!(When::parse(text).unwrap_err().contains("such as 2026-11-01"), "{text}");
        }
        assert!(When::parse("1969-12-31").unwrap_err().contains("1970"));
        assert!(When::parse("9999-12-31").is_err() && When::parse("9999-12-29").is_ok());
    }
}
