//! What an operator can set about calling a provider. Every default is what a careful operator would pick.

use std::time::Duration;

use infer_core::{InferenceError, duration};
use serde::{Deserialize, Serialize};

pub use crate::breaker::BreakerConfig;
pub use crate::hedge::HedgeConfig;
pub use crate::limit::RateLimitConfig;
pub use crate::outbound::NetworkConfig;
pub use crate::retry::{BudgetConfig, RetryConfig};

/// Settings shared by all providers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConfig {
    /// How long to wait for what.
    pub timeouts: TimeoutConfig,
    /// How much an upstream may send.
    pub limits: SizeLimits,
    /// Whether and how calls are repeated.
    pub retry: RetryConfig,
    /// How much may be asked of the upstream.
    pub rate_limits: RateLimitConfig,
    /// When to stop asking a failing upstream.
    pub circuit_breaker: BreakerConfig,
    /// When to send a request a second time because no answer has begun.
    pub hedge: HedgeConfig,
    /// How the upstream is reached.
    pub network: NetworkConfig,
}

/// How long to wait for what. Each limit that passes is an [`InferenceError::Timeout`] that names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutConfig {
    /// Connecting, TLS included. 5 s, as the official OpenAI clients have it.
    #[serde(with = "duration")]
    pub connect: Duration,
    /// The head of a streamed response. 60 s: queues at an upstream are seldom longer.
    #[serde(with = "duration")]
    pub head_streamed: Duration,
    /// The head of a response in one piece. 600 s: it comes only when the whole answer is written.
    #[serde(with = "duration")]
    pub head_unary: Duration,
    /// The first piece of output, from the head. 120 s.
    #[serde(with = "duration")]
    pub first_content: Duration,
    /// The same for models that think before they answer. 600 s.
    #[serde(with = "duration")]
    pub first_content_reasoning: Duration,
    /// Between two reads of bytes; keep-alive comments count. 90 s: upstreams send keep-alives every 10 to 30 s.
    #[serde(with = "duration")]
    pub idle_bytes: Duration,
    /// Between two pieces of output; keep-alive comments do not count. 300 s.
    #[serde(with = "duration")]
    pub idle_content: Duration,
    /// A whole health check. 10 s: what answers later is of no use.
    #[serde(with = "duration")]
    pub health: Duration,
    /// The whole call, when the caller sets no deadline of its own. None: a long answer is not a fault.
    #[serde(with = "duration::optional")]
    pub total: Option<Duration>,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head_streamed: Duration::from_secs(60),
            head_unary: Duration::from_secs(600),
            first_content: Duration::from_secs(120),
            first_content_reasoning: Duration::from_secs(600),
            idle_bytes: Duration::from_secs(90),
            idle_content: Duration::from_secs(300),
            health: Duration::from_secs(10),
            total: None,
        }
    }
}

/// How much an upstream may send, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SizeLimits {
    /// One event of a stream. 8 MiB: a picture or a minute of sound fits.
    pub max_event_bytes: usize,
    /// A body in one piece. 64 MiB.
    pub max_body_bytes: usize,
    /// What is read of an error response; errors keep 512 bytes of it. 64 KiB.
    pub max_error_bytes: usize,
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self { max_event_bytes: 8 << 20, max_body_bytes: 64 << 20, max_error_bytes: 64 << 10 }
    }
}

impl RemoteConfig {
    /// Checks every value and reports all faults at once, by path.
    ///
    /// # Errors
    /// [`InferenceError::Config`].
    pub fn validate(&self) -> Result<(), InferenceError> {
        let mut faults = Vec::new();
        let times = &self.timeouts;
        for (key, time) in [
            ("connect", times.connect),
            ("head_streamed", times.head_streamed),
            ("head_unary", times.head_unary),
            ("first_content", times.first_content),
            ("first_content_reasoning", times.first_content_reasoning),
            ("idle_bytes", times.idle_bytes),
            ("idle_content", times.idle_content),
            ("health", times.health),
            ("total", times.total.unwrap_or(Duration::MAX)),
        ] {
            if time.is_zero() {
                faults.push(format!("timeouts.{key}: must be above 0s"));
            }
        }
        for (key, bytes, least) in [
            ("max_event_bytes", self.limits.max_event_bytes, 1 << 10),
            ("max_body_bytes", self.limits.max_body_bytes, 1 << 10),
            ("max_error_bytes", self.limits.max_error_bytes, 512),
        ] {
            if bytes < least {
                faults.push(format!("limits.{key}: must be at least {least}, got {bytes}"));
            }
        }
        self.network.validate("network", &mut faults);
        self.retry.validate("retry", &mut faults);
        self.rate_limits.validate("rate_limits", &mut faults);
        self.circuit_breaker.validate("circuit_breaker", &mut faults);
        if self.hedge.after.is_some_and(|after| after.is_zero()) {
            faults.push("hedge.after: must be above 0s: leave it out to send requests once".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(InferenceError::config(faults.join("; "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_by_path() {
        let mut config = RemoteConfig::default();
        config.timeouts.connect = Duration::ZERO;
        config.limits.max_event_bytes = 3;
        config.retry.attempts = 0;
        config.rate_limits.max_in_flight = Some(0);
        config.circuit_breaker.failure_rate = 2.0;
        let error = config.validate().unwrap_err().to_string();
        for part in [
            "timeouts.connect",
            "limits.max_event_bytes",
            "got 3",
            "retry.attempts",
            "max_in_flight",
            "failure_rate",
        ] {
            assert!(error.contains(part), "{part} missing in {error}");
        }
        assert!(RemoteConfig::default().validate().is_ok());
    }

    #[test]
    fn durations_are_text_both_ways() {
        let config: RemoteConfig =
            serde_json::from_str(r#"{"timeouts":{"connect":"1m 30s","total":"2h"}}"#).unwrap();
        assert_eq!(config.timeouts.connect, Duration::from_secs(90));
        assert_eq!(config.timeouts.total, Some(Duration::from_secs(7200)));
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains("\"1m 30s\""), "{text}");
        assert_eq!(serde_json::from_str::<RemoteConfig>(&text).unwrap(), config);
        let error = serde_json::from_str::<RemoteConfig>(r#"{"timeouts":{"connect":"soon"}}"#).unwrap_err();
        assert!(error.to_string().contains("\"soon\" is not a duration"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = serde_json::from_str::<RemoteConfig>(r#"{"timeout":{}}"#).unwrap_err().to_string();
        assert!(error.contains("`timeout`") && error.contains("`timeouts`"), "{error}");
    }
}
