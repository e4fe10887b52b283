//! One error type for everything that can go wrong with a call.
//!
//! Code that decides asks [`InferenceError::kind`] and its [`Policy`]; it does not match on variants. The text is one
//! line that says what failed, with which value, and what would fix it.

use std::time::Duration;

use crate::origin::seconds;
use crate::policy::is_passing_status;
use crate::{
    BreakerEffect, DecodeKind, ErrorClass, ErrorKind, Origin, Policy, Retryability, TimeoutPhase,
    TransportKind,
};

/// A cause, kept for `source()`.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong with a call.
///
/// Ask it what it means instead of reading its text: its kind, and what follows from that.
///
/// ```
/// use infer_core::{ErrorClass, ErrorKind, InferenceError};
///
/// let error = InferenceError::invalid_request("temperature must be at most 2, got 3");
/// assert_eq!((error.kind(), error.class()), (ErrorKind::InvalidRequest, ErrorClass::Caller));
/// assert!(!error.is_transient()); // asking again changes nothing
/// assert!(!error.fails_over()); // and nobody else would take it either
/// assert_eq!(error.policy().gateway_status, 400);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The request is wrong; the upstream's words, or ours, say how.
    #[error("{}", at.line("request refused", ""))]
    InvalidRequest {
        /// Where.
        at: Box<Origin>,
    },
    /// One request alone is over a size or rate limit; waiting does not help.
    #[error("{}", at.line("request too large", "shorten the prompt or lower the output limit"))]
    RequestTooLarge {
        /// Where.
        at: Box<Origin>,
    },
    /// The conversation is longer than the model's context.
    #[error("{}", at.line("context length exceeded", "shorten the conversation or use a model with a larger context"))]
    ContextLengthExceeded {
        /// Where.
        at: Box<Origin>,
    },
    /// A filter refused the request.
    #[error("{}", at.line("refused by a content filter", ""))]
    ContentFiltered {
        /// Where.
        at: Box<Origin>,
    },
    /// No such model, deployment or path.
    #[error("{}", at.line("not found", "check the model or deployment, the base URL and the API version"))]
    ModelNotFound {
        /// Where.
        at: Box<Origin>,
    },
    /// The credential was not accepted.
    #[error("{}", at.line("not authenticated", "check the API key"))]
    Unauthenticated {
        /// Where.
        at: Box<Origin>,
    },
    /// The credential is good and not allowed to do this.
    #[error("{}", at.line("not permitted", ""))]
    PermissionDenied {
        /// Where.
        at: Box<Origin>,
    },
    /// Too many requests or tokens in a period.
    #[error("{}", at.line("rate limited", &wait_text(*retry_after)))]
    RateLimited {
        /// Where.
        at: Box<Origin>,
        /// The wait the upstream asked for.
        retry_after: Option<Duration>,
    },
    /// Money or a quota is used up; waiting does not help.
    #[error("{}", at.line("quota exhausted", "check plan and billing with the provider"))]
    QuotaExhausted {
        /// Where.
        at: Box<Origin>,
    },
    /// The upstream has no capacity right now.
    #[error("{}", at.line("upstream overloaded", &wait_text(*retry_after)))]
    Overloaded {
        /// Where.
        at: Box<Origin>,
        /// The wait the upstream asked for.
        retry_after: Option<Duration>,
    },
    /// The upstream failed.
    #[error("{}", at.line("upstream failed", &wait_text(*retry_after)))]
    Upstream {
        /// Where.
        at: Box<Origin>,
        /// The wait the upstream asked for.
        retry_after: Option<Duration>,
    },
    /// Nothing came in time.
    #[error("{}", at.line(&format!("{} within {limit:?}", phase.missing()), &format!("raise timeouts.{} if it is this slow", phase.key())))]
    Timeout {
        /// Where.
        at: Box<Origin>,
        /// What ran out.
        phase: TimeoutPhase,
        /// The limit that passed.
        limit: Duration,
    },
    /// The network failed.
    #[error("{}", at.line(kind.what(), kind.cure()))]
    Transport {
        /// Where.
        at: Box<Origin>,
        /// How.
        kind: TransportKind,
        /// The network library's own error.
        source: Option<Cause>,
    },
    /// The answer cannot be read.
    #[error("{}", at.line(&format!("{}: {detail}", kind.what()), kind.cure()))]
    Decode {
        /// Where.
        at: Box<Origin>,
        /// Why.
        kind: DecodeKind,
        /// Which part, without upstream text.
        detail: String,
    },
    /// The answer ended before the model said it was finished.
    #[error("{}", at.line(&format!("answer cut short after {} pieces", at.chunks), "what arrived is incomplete"))]
    StreamInterrupted {
        /// Where.
        at: Box<Origin>,
        /// The network library's own error, if there was one.
        source: Option<Cause>,
    },
    /// The breaker is open: the upstream failed too often to be asked now.
    #[error("{}", at.line("circuit open", &wait_text(Some(*retry_after))))]
    CircuitOpen {
        /// Where.
        at: Box<Origin>,
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// Too many calls are waiting already.
    #[error("{}", at.line("queue full", &wait_text(Some(*retry_after))))]
    QueueFull {
        /// Where.
        at: Box<Origin>,
        /// The wait that would have been needed.
        retry_after: Duration,
    },
    /// One of our own budgets is used up; nothing was sent.
    #[error("{}", at.line("budget exhausted", ""))]
    BudgetExhausted {
        /// Where; the message names the budget and says when it begins anew.
        at: Box<Origin>,
    },
    /// The caller's time is up.
    #[error("{}", at.line(&format!("not finished within the call's deadline of {limit:?}"), ""))]
    DeadlineExceeded {
        /// Where.
        at: Box<Origin>,
        /// The time the caller gave.
        limit: Duration,
    },
    /// The configuration is wrong. The text names the key, the value and what would fix it.
    #[error("{what}")]
    Config {
        /// What is wrong.
        what: String,
    },
}

/// The place of an error, shared or exclusive as the error is held.
macro_rules! at_of {
    ($error:expr) => {
        match $error {
            Self::InvalidRequest { at }
            | Self::RequestTooLarge { at }
            | Self::ContextLengthExceeded { at }
            | Self::ContentFiltered { at }
            | Self::ModelNotFound { at }
            | Self::Unauthenticated { at }
            | Self::PermissionDenied { at }
            | Self::QuotaExhausted { at }
            | Self::BudgetExhausted { at }
            | Self::RateLimited { at, .. }
            | Self::Overloaded { at, .. }
            | Self::Upstream { at, .. }
            | Self::Timeout { at, .. }
            | Self::Transport { at, .. }
            | Self::Decode { at, .. }
            | Self::StreamInterrupted { at, .. }
            | Self::CircuitOpen { at, .. }
            | Self::QueueFull { at, .. }
            | Self::DeadlineExceeded { at, .. } => Some(at),
            Self::Config { .. } => None,
        }
    };
}

impl InferenceError {
    /// A wrong configuration; `what` names the key, the value and the way out.
    pub fn config(what: impl Into<String>) -> Self {
        Self::Config { what: what.into() }
    }

    /// A request refused before it was sent; `what` names the member and the way out.
    pub fn invalid_request(what: impl Into<String>) -> Self {
        Self::InvalidRequest { at: Box::new(Origin { message: Some(what.into()), ..Origin::default() }) }
    }

    /// An error of `kind` as an upstream reports it. Kinds that an upstream cannot report become
    /// [`InferenceError::Upstream`].
    pub fn reported(kind: ErrorKind, at: Box<Origin>, retry_after: Option<Duration>) -> Self {
        match kind {
            ErrorKind::InvalidRequest => Self::InvalidRequest { at },
            ErrorKind::RequestTooLarge => Self::RequestTooLarge { at },
            ErrorKind::ContextLengthExceeded => Self::ContextLengthExceeded { at },
            ErrorKind::ContentFiltered => Self::ContentFiltered { at },
            ErrorKind::ModelNotFound => Self::ModelNotFound { at },
            ErrorKind::Unauthenticated => Self::Unauthenticated { at },
            ErrorKind::PermissionDenied => Self::PermissionDenied { at },
            ErrorKind::RateLimited => Self::RateLimited { at, retry_after },
            ErrorKind::QuotaExhausted => Self::QuotaExhausted { at },
            ErrorKind::BudgetExhausted => Self::BudgetExhausted { at },
            ErrorKind::Overloaded => Self::Overloaded { at, retry_after },
            ErrorKind::StreamInterrupted => Self::StreamInterrupted { at, source: None },
            _ => Self::Upstream { at, retry_after },
        }
    }

    /// The kind, for every decision.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidRequest { .. } => ErrorKind::InvalidRequest,
            Self::RequestTooLarge { .. } => ErrorKind::RequestTooLarge,
            Self::ContextLengthExceeded { .. } => ErrorKind::ContextLengthExceeded,
            Self::ContentFiltered { .. } => ErrorKind::ContentFiltered,
            Self::ModelNotFound { .. } => ErrorKind::ModelNotFound,
            Self::Unauthenticated { .. } => ErrorKind::Unauthenticated,
            Self::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            Self::RateLimited { .. } => ErrorKind::RateLimited,
            Self::QuotaExhausted { .. } => ErrorKind::QuotaExhausted,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Upstream { .. } => ErrorKind::Upstream,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Transport { .. } => ErrorKind::Transport,
            Self::Decode { .. } => ErrorKind::Decode,
            Self::StreamInterrupted { .. } => ErrorKind::StreamInterrupted,
            Self::CircuitOpen { .. } => ErrorKind::CircuitOpen,
            Self::QueueFull { .. } => ErrorKind::QueueFull,
            Self::BudgetExhausted { .. } => ErrorKind::BudgetExhausted,
            Self::DeadlineExceeded { .. } => ErrorKind::DeadlineExceeded,
            Self::Config { .. } => ErrorKind::Config,
        }
    }

    /// The row of the table, before the details of this error are looked at.
    pub fn policy(&self) -> Policy {
        self.kind().policy()
    }

    /// Who has to act.
    pub fn class(&self) -> ErrorClass {
        self.policy().class
    }

    /// Whether the same upstream may be asked again. Never once output was handed over.
    ///
    /// An upstream that says no is always believed. One that says yes is believed except about what the caller or the
    /// credential did wrong.
    pub fn retryability(&self) -> Retryability {
        let at = self.origin();
        let told = at.and_then(|at| at.should_retry);
        if at.is_some_and(|at| at.chunks > 0) || told == Some(false) {
            return Retryability::Never;
        }
        if told == Some(true) && !matches!(self.class(), ErrorClass::Caller | ErrorClass::Credential) {
            return match self.policy().retry {
                Retryability::Never => Retryability::Backoff,
                retry => retry,
            };
        }
        if !self.is_transient() && !self.needs_refresh() {
            return Retryability::Never;
        }
        if matches!(self, Self::Timeout { phase: TimeoutPhase::Connect, .. }) {
            return Retryability::Backoff; // nothing was sent, so nothing can be billed twice
        }
        self.policy().retry
    }

    fn needs_refresh(&self) -> bool {
        self.policy().retry == Retryability::AfterRefresh
    }

    /// Whether the cause passes by itself, so that asking again later can work.
    ///
    /// Says nothing about whether asking again is safe; [`InferenceError::retryability`] does.
    pub fn is_transient(&self) -> bool {
        match self {
            // A success status means that the error was inside the body and says nothing about it.
            Self::Upstream { at, .. } => {
                at.status.is_none_or(|status| status < 300 || is_passing_status(status))
            }
            Self::Transport { kind, .. } => {
                !matches!(kind, TransportKind::Certificate | TransportKind::Redirect)
            }
            Self::Decode { kind, .. } => {
                matches!(kind, DecodeKind::Json | DecodeKind::Utf8 | DecodeKind::Empty)
            }
            _ => self.policy().transient,
        }
    }

    /// What it says about the upstream's health.
    pub fn breaker_effect(&self) -> BreakerEffect {
        self.policy().breaker
    }

    /// Whether another upstream may be asked instead. Never once output was handed over.
    pub fn fails_over(&self) -> bool {
        self.policy().fails_over && self.origin().is_none_or(|at| at.chunks == 0)
    }

    /// The wait that was asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::Upstream { retry_after, .. } => *retry_after,
            Self::CircuitOpen { retry_after, .. } | Self::QueueFull { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Where it happened; `None` for [`InferenceError::Config`].
    pub fn origin(&self) -> Option<&Origin> {
        at_of!(self)
    }

    /// The same, to fill in what a lower layer could not know.
    pub fn origin_mut(&mut self) -> Option<&mut Origin> {
        at_of!(self)
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("try again in {}", seconds(wait)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(change: impl FnOnce(&mut Origin)) -> Box<Origin> {
        let mut at = Origin { provider: Some("openai".into()), ..Origin::default() };
        change(&mut at);
        Box::new(at)
    }

    #[test]
    fn the_line_says_what_failed_and_what_would_fix_it() {
        let error = InferenceError::RateLimited {
            at: at(|at| {
                at.attempts = 3;
                at.elapsed = Duration::from_millis(12_400);
                at.status = Some(429);
                at.message = Some("slow\ndown\u{1b}[31m".into());
            }),
            retry_after: Some(Duration::from_secs(20)),
        };
        let expect =
            "openai: rate limited after 3 attempts in 12.4s: slow down [31m (http 429); try again in 20s";
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn a_refusal_of_a_filter_names_the_categories() {
        let error = InferenceError::ContentFiltered {
            at: at(|at| at.filtered = vec!["hate".into(), "jail\nbreak".into()]),
        };
        assert_eq!(error.to_string(), "openai: refused by a content filter (hate, jail break)");
    }

    #[test]
    fn nothing_is_repeated_once_output_was_handed_over() {
        let error = InferenceError::Upstream { at: at(|at| at.chunks = 1), retry_after: None };
        assert!(error.is_transient());
        assert_eq!(error.retryability(), Retryability::Never);
        assert!(!error.fails_over());
        let error = InferenceError::Upstream { at: at(|_| ()), retry_after: None };
        assert_eq!(error.retryability(), Retryability::Backoff);
        assert!(error.fails_over());
    }

    #[test]
    fn a_certificate_or_a_redirect_or_an_unsupported_route_does_not_cure_itself() {
        for kind in [TransportKind::Certificate, TransportKind::Redirect] {
            let error = InferenceError::Transport { at: at(|_| ()), kind, source: None };
            assert_eq!(error.retryability(), Retryability::Never);
        }
        let error = InferenceError::Upstream { at: at(|at| at.status = Some(501)), retry_after: None };
        assert_eq!(error.retryability(), Retryability::Never);
    }

    #[test]
    fn the_upstreams_own_word_on_repeating_is_obeyed_within_reason() {
        let says = |kind, word| {
            InferenceError::reported(kind, at(|at| at.should_retry = Some(word)), None).retryability()
        };
        assert_eq!(says(ErrorKind::Upstream, false), Retryability::Never);
        assert_eq!(says(ErrorKind::RateLimited, false), Retryability::Never);
        assert_eq!(says(ErrorKind::QuotaExhausted, true), Retryability::Backoff);
        assert_eq!(says(ErrorKind::RateLimited, true), Retryability::AfterHint);
        for kind in [ErrorKind::InvalidRequest, ErrorKind::ModelNotFound, ErrorKind::PermissionDenied] {
            assert_eq!(says(kind, true), Retryability::Never, "{kind:?}");
        }
        assert_eq!(says(ErrorKind::Unauthenticated, true), Retryability::AfterRefresh);
    }

    #[test]
    fn a_refused_key_is_worth_one_refresh() {
        let error = InferenceError::Unauthenticated { at: at(|_| ()) };
        assert_eq!(error.retryability(), Retryability::AfterRefresh);
        assert!(!error.is_transient());
    }
}
