//! Durations in settings, as people write them: `30s`, `1h 30m`, `500ms`.
//!
//! ```
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Waits {
//!     #[serde(with = "infer_core::duration")]
//!     connect: Duration,
//!     #[serde(default, with = "infer_core::duration::optional")]
//!     total: Option<Duration>,
//! }
//!
//! let waits: Waits = serde_json::from_str(r#"{"connect": "1m 30s"}"#).unwrap();
//! assert_eq!((waits.connect, waits.total), (Duration::from_secs(90), None));
//! assert_eq!(serde_json::to_string(&waits).unwrap(), r#"{"connect":"1m 30s","total":null}"#);
//! ```

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Writes `time` as text, to the nanosecond.
///
/// # Errors
/// Only those of `serializer`.
pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*time))
}

/// Reads a duration that is written as text.
///
/// # Errors
/// When there is no text, or one that is no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("{text:?} is not a duration such as 30s or 500ms: {error}"))
    })
}

/// The same for a duration that may be `null`. Give the field a `default` too if it may be left out.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    /// Writes `time` as text, or as `null`.
    ///
    /// # Errors
    /// Only those of `serializer`.
    pub fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration that is written as text, or `null`.
    ///
    /// # Errors
    /// When there is anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Text(#[serde(with = "super")] Duration);
        Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Waits {
        #[serde(with = "super")]
        one: Duration,
        #[serde(default, with = "super::optional")]
        other: Option<Duration>,
    }

    proptest! {
        // Law: what is written is read back to the nanosecond.
        #[test]
        fn durations_are_text_both_ways(one: Duration, other: Option<Duration>) {
            let waits = Waits { one, other };
            let text = serde_json::to_string(&waits).unwrap();
            prop_assert_eq!(serde_json::from_str::<Waits>(&text).unwrap(), waits);
        }
    }

    #[test]
    fn what_is_no_duration_is_named_with_two_that_are() {
        for json in [r#"{"one": "soon"}"#, r#"{"one": "1s", "other": "soon"}"#] {
            let error = serde_json::from_str::<Waits>(json).unwrap_err().to_string();
            assert!(error.starts_with("\"soon\" is not a duration such as 30s or 500ms: "), "{error}");
        }
        assert!(serde_json::from_str::<Waits>(r#"{"one": 30}"#).is_err(), "a number has no unit");
    }
}
