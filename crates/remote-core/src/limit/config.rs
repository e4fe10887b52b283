//! What an operator can set about how much is asked of an upstream.

use std::time::Duration;

use infer_core::duration;
use serde::{Deserialize, Serialize};

/// How much may be asked of an upstream, for each model. Without a number there is no limit but what the upstream itself
/// asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Requests a minute, from 1. None: accounts differ too much for a guess.
    pub requests_per_minute: Option<u32>,
    /// Requests that may start together after a pause, from 1. None: a tenth of a minute's, since upstreams measure over
    /// spans of 1 to 10 s.
    pub requests_burst: Option<u32>,
    /// Tokens a minute, input and output together, from 1. None, as above.
    pub tokens_per_minute: Option<u32>,
    /// Tokens that may start together after a pause, from 1. None: a minute's, since upstreams let a whole minute's be
    /// spent at once. A call that needs more starts when this much is there, and those after it wait for the rest.
    pub tokens_burst: Option<u32>,
    /// Calls at once, from 1. None.
    pub max_in_flight: Option<u32>,
    /// The longest wait for a turn; a call that would wait longer is refused at once. 30 s: about as long as somebody
    /// watches an empty line. With 0 s nothing waits.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Calls that may wait. 10,000: less than 2 MB. With 0 nothing waits.
    pub max_queue: u32,
    /// The pause after an upstream says "too many" without saying for how long. 1 s, from which retries grow.
    #[serde(with = "duration")]
    pub default_pause: Duration,
    /// The longest pause an upstream can ask for. 5 min: a limit may be lifted sooner than was said, and finding out costs
    /// one refused call.
    #[serde(with = "duration")]
    pub max_pause: Duration,
    /// How long calls must succeed before a rate lowered by an upstream's "too many" rises by a sixteenth. 5 s: from the
    /// lowest to the whole in 75 s, a little more than the minute over which limits are counted.
    #[serde(with = "duration")]
    pub recovery_step: Duration,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            requests_burst: None,
            tokens_per_minute: None,
            tokens_burst: None,
            max_in_flight: None,
            max_wait: Duration::from_secs(30),
            max_queue: 10_000,
            default_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(300),
            recovery_step: Duration::from_secs(5),
        }
    }
}

impl RateLimitConfig {
    /// Adds what is wrong to `faults`, each by its path below `path`.
    pub fn validate(&self, path: &str, faults: &mut Vec<String>) {
        for (key, number) in [
            ("requests_per_minute", self.requests_per_minute),
            ("requests_burst", self.requests_burst),
            ("tokens_per_minute", self.tokens_per_minute),
            ("tokens_burst", self.tokens_burst),
            ("max_in_flight", self.max_in_flight),
        ] {
            if number == Some(0) {
                faults.push(format!("{path}.{key}: must be at least 1, got 0; leave it out for no limit"));
            }
        }
        for (burst, rate, set, needed) in [
            ("requests_burst", "requests_per_minute", self.requests_burst, self.requests_per_minute),
            ("tokens_burst", "tokens_per_minute", self.tokens_burst, self.tokens_per_minute),
        ] {
            if set.is_some() && needed.is_none() {
                faults.push(format!("{path}.{burst}: has no effect without {rate}: set both or neither"));
            }
        }
        for (key, time) in [
            ("default_pause", self.default_pause),
            ("max_pause", self.max_pause),
            ("recovery_step", self.recovery_step),
        ] {
            if time.is_zero() {
                faults.push(format!("{path}.{key}: must be above 0s"));
            }
        }
    }

    /// Requests a minute and at once, where there is a limit.
    pub fn requests(&self) -> Option<(u32, u32)> {
        self.requests_per_minute.map(|rate| (rate, self.requests_burst.unwrap_or((rate / 10).max(1))))
    }

    /// Tokens a minute and at once, where there is a limit.
    pub fn tokens(&self) -> Option<(u32, u32)> {
        self.tokens_per_minute.map(|rate| (rate, self.tokens_burst.unwrap_or(rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_by_its_path() {
        let config: RateLimitConfig = serde_json::from_str(
            r#"{"requests_per_minute": 0, "tokens_burst": 5, "max_in_flight": 0, "default_pause": "0s"}"#,
        )
        .unwrap();
        let mut faults = Vec::new();
        config.validate("rate_limits", &mut faults);
        let starts = ["requests_per_minute", "max_in_flight", "tokens_burst", "default_pause"];
        assert_eq!(faults.len(), starts.len(), "{faults:?}");
        for (fault, key) in faults.iter().zip(starts) {
            assert!(fault.starts_with(&format!("rate_limits.{key}: ")), "{fault}");
        }
    }

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let mut faults = Vec::new();
        let config = RateLimitConfig::default();
        config.validate("rate_limits", &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RateLimitConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<RateLimitConfig>(r#"{"rpm": 3}"#).is_err());
    }
}
