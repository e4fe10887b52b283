//! Whether a failed attempt is followed by another, and after which wait.
//!
//! A pure state machine: the time and the dice are arguments. The error's own [`Retryability`] says whether repeating can
//! help at all; this adds how often, how long, and at whose expense.

mod backoff;
mod budget;

use std::fmt;
use std::time::Duration;

use infer_core::{ErrorClass, ErrorKind, InferenceError, Retryability, TimeoutPhase, duration};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::backoff::Curve;
pub use self::budget::{Budget, BudgetConfig};

/// Whether and how calls are repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Attempts in all, the first included. 4.
    pub attempts: u32,
    /// The most time from the first send to the last retry's begin. 60 s, or the call's deadline if sooner.
    #[serde(with = "duration")]
    pub total: Duration,
    /// The first wait, before jitter; it doubles with each retry. 500 ms.
    #[serde(with = "duration")]
    pub base: Duration,
    /// The longest wait. 8 s.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// The first wait after throttling that names none. 1 s.
    #[serde(with = "duration")]
    pub throttle_base: Duration,
    /// The longest wait after throttling that names none. 30 s.
    #[serde(with = "duration")]
    pub throttle_max_delay: Duration,
    /// The longest wait an upstream may ask for; a longer one ends the call at once. 60 s.
    #[serde(with = "duration")]
    pub max_hint: Duration,
    /// Whether calls whose answer did not come in time are repeated, although the upstream may bill both. No.
    pub timeouts: bool,
    /// Whether repeating a call that may have been executed is harmless. Yes: generating text changes nothing.
    pub idempotent: bool,
    /// How many retries all calls of the runner may have.
    pub budget: BudgetConfig,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 4,
            total: Duration::from_secs(60),
            base: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
            throttle_base: Duration::from_secs(1),
            throttle_max_delay: Duration::from_secs(30),
            max_hint: Duration::from_secs(60),
            timeouts: false,
            idempotent: true,
            budget: BudgetConfig::default(),
        }
    }
}

impl RetryConfig {
    /// Checks every value; what does not fit goes into `faults` by path.
    pub(crate) fn validate(&self, path: &str, faults: &mut Vec<String>) {
        if self.attempts == 0 {
            faults.push(format!("{path}.attempts: must be at least 1, got 0"));
        }
        for (key, time) in
            [("base", self.base), ("throttle_base", self.throttle_base), ("max_delay", self.max_delay)]
        {
            if time.is_zero() {
                faults.push(format!(
                    "{path}.{key}: must be above 0s: without a wait, retries melt an upstream"
                ));
            }
        }
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Wait, then try again.
    RetryAfter(Duration),
    /// Get a fresh credential, then try again at once.
    RefreshThenRetry,
    /// Give up, for this reason.
    Stop(StopReason),
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StopReason {
    /// Repeating cannot help, or must not be done.
    NotRetryable,
    /// All attempts are used.
    Attempts,
    /// The next attempt would begin too late.
    Total {
        /// The wait it would have taken.
        wait: Duration,
    },
    /// The upstream asks for a longer wait than allowed.
    HintTooLong {
        /// What it asks for.
        hint: Duration,
        /// What is allowed.
        limit: Duration,
    },
    /// The runner's retry budget is used up.
    Budget,
}

impl StopReason {
    /// What an error should say about it beyond how often was tried.
    pub(crate) fn note(self) -> Option<String> {
        match self {
            Self::NotRetryable | Self::Attempts => None,
            other => Some(other.to_string()),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRetryable => f.write_str("not worth repeating"),
            Self::Attempts => f.write_str("all attempts used (retry.attempts)"),
            Self::Total { wait } => write!(f, "the next try in {wait:?} would be too late (retry.total)"),
            Self::HintTooLong { hint, limit } => {
                write!(f, "the upstream asks to wait {hint:?}, more than {limit:?} (retry.max_hint)")
            }
            Self::Budget => f.write_str("too many calls are being repeated (retry.budget)"),
        }
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub struct RetryState<'a> {
    config: &'a RetryConfig,
    /// No attempt begins after this.
    until: Instant,
    attempts: u32,
    refreshed: bool,
    /// Retries by curve: each kind of failure grows by its own count.
    waits: [u32; 3],
    paid: u32,
}

impl<'a> RetryState<'a> {
    /// A call that begins now; `deadline` is its own, if it has one.
    pub fn new(config: &'a RetryConfig, now: Instant, deadline: Option<Instant>) -> Self {
        let total = now.checked_add(config.total);
        let until = deadline.into_iter().chain(total).min().unwrap_or(now);
        Self { config, until, attempts: 0, refreshed: false, waits: [0; 3], paid: 0 }
    }

    /// No attempt begins after this.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// An attempt begins; says which one it is, from 1.
    pub fn begin(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts
    }

    /// Whether the call may have another attempt at all.
    pub fn has_attempts(&self) -> bool {
        self.attempts < self.config.attempts
    }

    /// What the last retry cost, for [`Budget::deposit`] when the call succeeds.
    pub fn paid(&self) -> u32 {
        self.paid
    }

    /// What follows `error`. `roll` is from 0 to 1.
    pub fn decide(
        &mut self,
        error: &InferenceError,
        budget: &mut Budget,
        roll: f64,
        now: Instant,
    ) -> Decision {
        let retry = error.retryability();
        let allowed = match retry {
            Retryability::AfterRefresh => !self.refreshed,
            Retryability::BackoffIfAllowed => self.config.timeouts && self.config.idempotent,
            Retryability::AfterHint => true,
            Retryability::Backoff => self.config.idempotent || never_executed(error),
            _ => false,
        };
        if !allowed {
            return Decision::Stop(StopReason::NotRetryable);
        }
        if self.attempts >= self.config.attempts {
            return Decision::Stop(StopReason::Attempts);
        }
        if retry == Retryability::AfterRefresh {
            self.refreshed = true;
            return Decision::RefreshThenRetry;
        }
        let throttled = is_throttling(error);
        let wait = match error.retry_after() {
            Some(hint) if hint > self.config.max_hint => {
                return Decision::Stop(StopReason::HintTooLong { hint, limit: self.config.max_hint });
            }
            // A little more than asked for, so that many callers do not come back at the same moment.
            Some(hint) => hint + hint.mul_f64(0.1 * roll.clamp(0.0, 1.0)),
            None => self.curve(error, throttled).wait(self.next(error, throttled), roll),
        };
        if now.checked_add(wait).is_none_or(|begin| begin > self.until) {
            return Decision::Stop(StopReason::Total { wait });
        }
        match budget.pay(throttled) {
            Some(cost) => {
                self.paid = cost;
                Decision::RetryAfter(wait)
            }
            None => Decision::Stop(StopReason::Budget),
        }
    }

    fn curve(&self, error: &InferenceError, throttled: bool) -> Curve {
        if throttled {
            Curve { base: self.config.throttle_base, cap: self.config.throttle_max_delay }
        } else if never_executed(error) {
            Curve { base: Duration::from_millis(50).min(self.config.base), cap: self.config.max_delay }
        } else {
            Curve { base: self.config.base, cap: self.config.max_delay }
        }
    }

    fn next(&mut self, error: &InferenceError, throttled: bool) -> u32 {
        let kind = if throttled { 0 } else { 1 + usize::from(never_executed(error)) };
        let count = self.waits.get_mut(kind).map(|count| std::mem::replace(count, count.saturating_add(1)));
        count.unwrap_or_default()
    }
}

fn is_throttling(error: &InferenceError) -> bool {
    error.class() == ErrorClass::Throttle || error.kind() == ErrorKind::Overloaded
}

/// Whether the request cannot have reached the upstream.
fn never_executed(error: &InferenceError) -> bool {
    use infer_core::TransportKind::{Connect, Dns, Tls};
    matches!(
        error,
        InferenceError::Transport { kind: Connect | Dns | Tls, .. }
            | InferenceError::Timeout { phase: TimeoutPhase::Connect, .. }
    )
}
