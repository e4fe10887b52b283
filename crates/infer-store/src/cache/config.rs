//! What an operator can set about the response cache.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{StoreError, clock};

/// Settings of the response cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How long an answer is good. 1 h.
    #[serde(with = "clock::text")]
    pub ttl: Duration,
    /// Memory for answers, in bytes. 64 MiB.
    pub memory_bytes: u64,
    /// Disk for answers, in bytes; 0 keeps them in memory alone, which is the default. The file may be twice as large.
    pub disk_bytes: u64,
    /// The largest answer kept, in bytes. 1 MiB.
    pub max_entry_bytes: usize,
    /// Whether to keep answers of calls that may be answered differently each time: those with neither a temperature of
    /// 0 nor a seed. No: whoever leaves the temperature open wants variety.
    pub nondeterministic: bool,
    /// Whether to keep answers that call tools. No: a tool call is an action, and repeating it is for the model to decide.
    pub tool_calls: bool,
    /// How long a call waits for an equal one that is under way before it goes ahead itself. 30 s.
    #[serde(with = "clock::text")]
    pub max_wait: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3_600),
            memory_bytes: 64 << 20,
            disk_bytes: 0,
            max_entry_bytes: 1 << 20,
            nondeterministic: false,
            tool_calls: false,
            max_wait: Duration::from_secs(30),
        }
    }
}

impl CacheConfig {
    /// Checks every value and reports all faults at once.
    ///
    /// # Errors
    /// [`StoreError::Config`].
    pub fn validate(&self) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        let century = Duration::from_secs(100 * 365 * 86_400);
        if self.ttl.is_zero() || self.ttl > century {
            let got = humantime::format_duration(self.ttl);
            faults.push(format!("cache.ttl: must be above 0s and at most 100years, got {got}"));
        }
        if self.memory_bytes < 1 << 20 {
            faults.push(format!("cache.memory_bytes: must be at least 1048576, got {}", self.memory_bytes));
        }
        if self.disk_bytes > 0 && self.disk_bytes < 1 << 20 {
            faults.push(format!("cache.disk_bytes: must be 0 or at least 1048576, got {}", self.disk_bytes));
        }
        if !(1..=1 << 28).contains(&self.max_entry_bytes) {
            let got = self.max_entry_bytes;
            faults.push(format!("cache.max_entry_bytes: must be from 1 to 268435456, got {got}"));
        }
        StoreError::faults(&faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_by_key_and_value() {
        let text = r#"{"ttl": "0s", "memory_bytes": 1, "disk_bytes": 2, "max_entry_bytes": 0}"#;
        let config: CacheConfig = serde_json::from_str(text).unwrap();
        let line = config.validate().unwrap_err().to_string();
        for key in ["cache.ttl", "cache.memory_bytes", "cache.disk_bytes", "cache.max_entry_bytes"] {
            assert!(line.contains(key), "{key} is not in: {line}");
        }
        assert!(CacheConfig::default().validate().is_ok());
        assert!(serde_json::from_str::<CacheConfig>(r#"{"max_age": "1s"}"#).is_err());
    }
}
