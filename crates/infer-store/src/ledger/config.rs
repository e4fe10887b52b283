//! What an operator can set about the ledger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{StoreError, clock};

/// Settings of the ledger. Every default keeps a year of a million calls a day under 1 GiB; the crate's documentation has
/// the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// How long single rows are kept. 5 days: long enough to look into a bill; after that only sums are left.
    #[serde(with = "clock::text")]
    pub keep_rows: Duration,
    /// How long sums by hour are kept, at least a day. 31 days; sums by day are kept for ever.
    #[serde(with = "clock::text")]
    pub keep_hours: Duration,
    /// How many rows may wait to be written, and calls be under way that will leave one, before new calls wait. 16384,
    /// about 8 MiB.
    pub queue_rows: usize,
    /// How long a new call waits for a place while there is none, such as while the disk is full. 2 seconds.
    #[serde(with = "clock::text")]
    pub max_wait: Duration,
    /// What becomes of new calls when there still is no place. They are refused.
    pub when_full: WhenFull,
    /// How many groups one hour may have. Beyond it users and tags are counted together as `(other)`. 1000.
    pub max_groups_per_hour: usize,
    /// The same for a day. 5000.
    pub max_groups_per_day: usize,
    /// How many different names each of key, user, tag, route, model and provider may have over the life of the ledger.
    /// What comes after is counted as `(other)`. 200000, about 20 MiB of memory when used up.
    pub max_names: usize,
    /// Memory for pages read from disk, in bytes. 16 MiB.
    pub cache_bytes: usize,
}

/// What becomes of new calls while no more rows fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// They wait for a place and are refused when none comes. No row is ever lost.
    #[default]
    Refuse,
    /// They go on at once, and their rows are lost, counted and logged, unless a place has come by their end.
    Lose,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            keep_rows: Duration::from_secs(5 * 86_400),
            keep_hours: Duration::from_secs(31 * 86_400),
            queue_rows: 16_384,
            max_wait: Duration::from_secs(2),
            when_full: WhenFull::Refuse,
            max_groups_per_hour: 1_000,
            max_groups_per_day: 5_000,
            max_names: 200_000,
            cache_bytes: 16 << 20,
        }
    }
}

impl LedgerConfig {
    /// Checks every value and reports all faults at once.
    ///
    /// # Errors
    /// [`StoreError::Config`].
    pub fn validate(&self) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        if self.keep_hours < Duration::from_secs(86_400) {
            let got = humantime::format_duration(self.keep_hours);
            faults.push(format!("ledger.keep_hours: must be at least 1day, got {got}"));
        }
        for (key, value, most) in [
            ("queue_rows", self.queue_rows, 1 << 24),
            ("max_groups_per_hour", self.max_groups_per_hour, 1 << 20),
            ("max_groups_per_day", self.max_groups_per_day, 1 << 20),
            ("max_names", self.max_names, 1 << 28),
            ("cache_bytes", self.cache_bytes, 1 << 40),
        ] {
            if !(1..=most).contains(&value) {
                faults.push(format!("ledger.{key}: must be from 1 to {most}, got {value}"));
            }
        }
        StoreError::faults(&faults)
    }

    /// Whether an open ledger with these settings can go on with `other`: how long what is kept, and groups, may change.
    ///
    /// # Errors
    /// [`StoreError::Config`] with all settings that may not.
    pub fn may_become(&self, other: &Self) -> Result<(), StoreError> {
        let sized = [
            ("queue_rows", self.queue_rows, other.queue_rows),
            ("max_names", self.max_names, other.max_names),
            ("cache_bytes", self.cache_bytes, other.cache_bytes),
        ];
        let faults: Vec<_> = { sized.iter() }
            .filter(|(_, before, after)| before != after)
            .map(|(key, ..)| format!("ledger.{key}: is fixed once the ledger is open: start anew"))
            .collect();
        StoreError::faults(&faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_by_key_and_value() {
        let config =
            LedgerConfig { keep_hours: Duration::from_secs(60), queue_rows: 0, ..LedgerConfig::default() };
        let line = config.validate().unwrap_err().to_string();
        assert!(line.contains("ledger.keep_hours: must be at least 1day, got 1m"), "{line}");
        assert!(line.contains("ledger.queue_rows: must be from 1 to 16777216, got 0"), "{line}");
        assert!(LedgerConfig::default().validate().is_ok());
    }

    #[test]
    fn an_unknown_key_is_refused_and_durations_are_text() {
        assert!(serde_json::from_str::<LedgerConfig>(r#"{"keep_row": "1day"}"#).is_err());
        let config: LedgerConfig = serde_json::from_str(r#"{"keep_rows": "1day"}"#).unwrap();
        assert_eq!(config.keep_rows, Duration::from_secs(86_400));
        let config: LedgerConfig =
            serde_json::from_str(r#"{"max_wait": "500ms", "when_full": "lose"}"#).unwrap();
        assert_eq!((config.max_wait, config.when_full), (Duration::from_millis(500), WhenFull::Lose));
    }
}
