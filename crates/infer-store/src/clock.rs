//! The one clock of this crate, and moments as the counts that are stored.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use infer_core::duration as text;

/// Where the time comes from. Calendars need the wall clock, which may step in either direction.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the shell's one clock")]
        Self(Arc::new(SystemTime::now))
    }

    /// Any other source, such as one that a test moves.
    pub fn new(source: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

const MICROS_PER_HOUR: u64 = 3_600_000_000;

/// Microseconds since 1970; what lies before counts as 0.
pub(crate) fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).min(MAX_MICROS)
}

/// The last hours of the year 9999: later moments could not be printed.
const MAX_MICROS: u64 = 253_402_207_200_000_000;

/// The moment that [`micros`] counted.
pub(crate) fn moment(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.min(MAX_MICROS))
}

/// Hours since 1970.
#[expect(clippy::cast_possible_truncation, reason = "the year 9999 is hour 70 million")]
pub(crate) fn hour(at: SystemTime) -> u32 {
    (micros(at) / MICROS_PER_HOUR) as u32
}

/// The start of an hour.
pub(crate) fn hour_start(hour: u32) -> SystemTime {
    moment(u64::from(hour).saturating_mul(MICROS_PER_HOUR))
}

/// Moments in UTC as programs write them: `2026-11-01T00:00:00Z`, drawn to the ends of what is stored.
pub(crate) mod moments {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

    use super::{micros, moment};

    pub(crate) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Timestamp::try_from(moment(micros(*at))).map_err(ser::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse::<Timestamp>().map_err(de::Error::custom)?.into())
    }

    /// The same, or nothing.
    pub(crate) mod maybe {
        use super::{Deserializer, SystemTime};
        use serde::{Deserialize, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Moment(#[serde(with = "super")] SystemTime);

        #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
        pub(crate) fn serialize<S: Serializer>(
            at: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            at.map(Moment).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Ok(Option::<Moment>::deserialize(deserializer)?.map(|moment| moment.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_outside_the_calendar_are_drawn_to_its_ends() {
        assert_eq!(micros(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), 0);
        assert_eq!(micros(moment(u64::MAX)), MAX_MICROS);
        assert_eq!(hour(hour_start(495_000)), 495_000);
        let last = jiff::Timestamp::try_from(moment(u64::MAX)).unwrap();
        assert_eq!(last, last.to_string().parse().unwrap());
    }
}
