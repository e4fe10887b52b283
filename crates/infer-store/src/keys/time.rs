//! Moments as people write them in files: `2027-01-01T00:00:00Z`, or the day alone.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::{micros, moment};

/// The moment that `text` names; a day alone is its midnight of UTC.
pub(super) fn parse(text: &str) -> Result<SystemTime, String> {
    let day = || {
        // Longer texts may hold a time, which would be passed over.
        let day: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let timestamp = text.parse::<Timestamp>().ok().or_else(day);
    let fault = || format!("{text:?} is no moment such as 2027-01-01 or 2027-01-01T12:00:00Z");
    timestamp.map(|timestamp| moment(micros(timestamp.into()))).ok_or_else(fault)
}

/// The text that [`parse`] reads.
pub(super) fn text(at: SystemTime) -> String {
    let micros = i64::try_from(micros(at)).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_string()
}

/// Moments that may be absent.
pub(super) mod maybe {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "what serde calls")]
    pub(in crate::keys) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&super::text(*at)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::keys) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is written is read back, to the microsecond.
        #[test]
        fn every_moment_survives(at in 0..253_402_207_000_000_000_u64) {
            prop_assert_eq!(parse(&text(moment(at))), Ok(moment(at)));
        }
    }

    #[test]
    fn a_day_is_its_midnight_and_other_texts_are_refused_with_an_example() {
        assert_eq!(parse("2027-01-01"), parse("2027-01-01T01:00:00+01:00"));
        assert!(parse("2027-01-01T12:00").is_err());
        assert!(parse("tomorrow").unwrap_err().contains("2027-01-01"));
    }
}
