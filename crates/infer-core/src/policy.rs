//! The one table that says what follows from an error.
//!
//! Retry, breaker, router and gateway ask this table and nothing else, so they cannot disagree. `docs/errors.md` is
//! printed from it.

/// Every kind of [`InferenceError`](crate::InferenceError), without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong.
    InvalidRequest,
    /// One request alone is over a size or rate limit.
    RequestTooLarge,
    /// The conversation is longer than the model's context.
    ContextLengthExceeded,
    /// A filter refused the request.
    ContentFiltered,
    /// No such model, deployment or path.
    ModelNotFound,
    /// The credential was not accepted.
    Unauthenticated,
    /// The credential is good and not allowed to do this.
    PermissionDenied,
    /// Too many requests or tokens in a period.
    RateLimited,
    /// Money or a quota is used up.
    QuotaExhausted,
    /// The upstream has no capacity right now.
    Overloaded,
    /// The upstream failed.
    Upstream,
    /// Nothing came in time.
    Timeout,
    /// The network failed.
    Transport,
    /// The answer cannot be read.
    Decode,
    /// The answer ended early.
    StreamInterrupted,
    /// The breaker is open.
    CircuitOpen,
    /// The queue is full.
    QueueFull,
    /// One of our own budgets is used up.
    BudgetExhausted,
    /// The caller's time is up.
    DeadlineExceeded,
    /// The configuration is wrong.
    Config,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The caller.
    Caller,
    /// Whoever holds the credential.
    Credential,
    /// Nobody: wait.
    Throttle,
    /// Whoever pays.
    Quota,
    /// The upstream.
    Upstream,
    /// The network.
    Network,
    /// Whoever maintains the codec, or the upstream.
    Protocol,
    /// This process.
    Local,
}

/// Whether the same upstream may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retryability {
    /// No.
    Never,
    /// Once, with a fresh credential.
    AfterRefresh,
    /// After the wait the upstream named, or a default one.
    AfterHint,
    /// After a growing wait.
    Backoff,
    /// After a growing wait, if the operator allows repeating calls that may be billed twice.
    BackoffIfAllowed,
}

/// What the error says about the upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerEffect {
    /// It answered promptly and sanely.
    Success,
    /// Nothing.
    Neutral,
    /// It is failing.
    Failure,
}

/// What follows from one kind of error while no output has been handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Who has to act.
    pub class: ErrorClass,
    /// Whether the same upstream may be asked again.
    pub retry: Retryability,
    /// What it says about the upstream's health.
    pub breaker: BreakerEffect,
    /// Whether another upstream may be asked instead.
    pub fails_over: bool,
    /// Whether the cause passes by itself.
    pub transient: bool,
    /// The status a gateway answers with; 0 where only an error event inside a stream is possible.
    pub gateway_status: u16,
}

impl ErrorKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::RequestTooLarge,
        Self::ContextLengthExceeded,
        Self::ContentFiltered,
        Self::ModelNotFound,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Overloaded,
        Self::Upstream,
        Self::Timeout,
        Self::Transport,
        Self::Decode,
        Self::StreamInterrupted,
        Self::CircuitOpen,
        Self::QueueFull,
        Self::BudgetExhausted,
        Self::DeadlineExceeded,
        Self::Config,
    ];

    /// The row of the table.
    pub const fn policy(self) -> Policy {
        use BreakerEffect::{Failure, Neutral, Success};
        use ErrorClass::{Caller, Credential, Local, Network, Protocol, Quota, Throttle, Upstream};
        use Retryability::{AfterHint, AfterRefresh, Backoff, BackoffIfAllowed, Never};
        let (class, retry, breaker, fails_over, transient, gateway_status) = match self {
            Self::InvalidRequest | Self::ContextLengthExceeded | Self::ContentFiltered => {
                (Caller, Never, Success, false, false, 400)
            }
            Self::RequestTooLarge => (Caller, Never, Success, true, false, 413),
            Self::ModelNotFound => (Caller, Never, Success, true, false, 404),
            Self::Unauthenticated => (Credential, AfterRefresh, Neutral, true, false, 500),
            Self::PermissionDenied => (Credential, Never, Neutral, true, false, 500),
            Self::RateLimited => (Throttle, AfterHint, Neutral, true, true, 429),
            Self::QuotaExhausted => (Quota, Never, Neutral, true, false, 429),
            Self::Overloaded => (Upstream, Backoff, Failure, true, true, 503),
            Self::Upstream => (Upstream, Backoff, Failure, true, true, 502),
            Self::Timeout => (Network, BackoffIfAllowed, Failure, true, true, 504),
            Self::Transport => (Network, Backoff, Failure, true, true, 502),
            Self::Decode => (Protocol, Never, Failure, true, true, 502),
            Self::StreamInterrupted => (Network, Backoff, Failure, true, true, 502),
            Self::CircuitOpen => (Local, Never, Neutral, true, true, 503),
            Self::QueueFull => (Local, Never, Neutral, true, true, 429),
            Self::BudgetExhausted => (Quota, Never, Neutral, false, false, 429),
            Self::DeadlineExceeded => (Local, Never, Neutral, false, true, 504),
            Self::Config => (Local, Never, Neutral, false, false, 500),
        };
        Policy { class, retry, breaker, fails_over, transient, gateway_status }
    }

    /// The kind an HTTP status stands for when nothing else is known; `None` for success.
    ///
    /// 498 is Groq's "flex tier at capacity", 529 "overloaded" at several vendors (their documents, read 2026-11-21).
    pub const fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            200..=299 => return None,
            401 => Self::Unauthenticated,
            402 => Self::QuotaExhausted,
            403 | 407 => Self::PermissionDenied,
            404 => Self::ModelNotFound,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimited,
            498 | 503 | 529 => Self::Overloaded,
            408 | 409 | 424 | 425 | 499 | 500.. => Self::Upstream,
            400..=499 => Self::InvalidRequest,
            0..=199 => Self::Decode,
            300..=399 => Self::Transport,
        })
    }

    /// The name in logs, metrics and JSON: `rate_limited`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::RequestTooLarge => "request_too_large",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::ContentFiltered => "content_filtered",
            Self::ModelNotFound => "model_not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Overloaded => "overloaded",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Decode => "decode",
            Self::StreamInterrupted => "stream_interrupted",
            Self::CircuitOpen => "circuit_open",
            Self::QueueFull => "queue_full",
            Self::BudgetExhausted => "budget_exhausted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Config => "config",
        }
    }
}

impl ErrorClass {
    /// The name in logs, metrics and JSON: `throttle`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Credential => "credential",
            Self::Throttle => "throttle",
            Self::Quota => "quota",
            Self::Upstream => "upstream",
            Self::Network => "network",
            Self::Protocol => "protocol",
            Self::Local => "local",
        }
    }
}

/// The statuses an upstream failure is worth repeating for, of those that count as upstream failures.
pub(crate) const fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 409 | 424 | 425 | 498 | 499 | 500 | 502 | 503 | 504 | 520..=524 | 529)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_outside_success_has_a_kind() {
        for status in (0..200).chain(300..1000) {
            assert!(ErrorKind::of_status(status).is_some(), "{status}");
        }
        assert!((200..300).all(|status| ErrorKind::of_status(status).is_none()));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn what_the_caller_did_wrong_is_never_repeated_and_never_blamed_on_the_upstream() {
        for policy in ErrorKind::ALL.map(ErrorKind::policy) {
            if policy.class == ErrorClass::Caller {
                assert_eq!(policy.retry, Retryability::Never);
                assert_eq!(policy.breaker, BreakerEffect::Success);
            }
            if policy.retry != Retryability::Never && policy.retry != Retryability::AfterRefresh {
                assert!(policy.transient);
            }
        }
    }
}
