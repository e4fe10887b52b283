//! What an operator may see of a runner at work, and do to it.

use std::time::Duration;

use crate::{ErrorKind, InferenceError, Origin};

/// The breakers and limits of a runner, for whoever operates it.
///
/// Operations have the names of logs and metrics: `chat`, `embeddings`, `relay`, `models`. Changes hold for this process and for the
/// life of the runner.
pub trait Controls: Send + Sync {
    /// Every breaker there is, in a fixed order: that before answers first.
    fn breakers(&self) -> Vec<BreakerReport>;

    /// Lets no call through, for `time` or until told otherwise; afterwards it probes. `None` means every operation.
    ///
    /// Returns how many breakers that were: 0 when there is no such operation.
    fn force_open(&self, operation: Option<&str>, time: Option<Duration>) -> usize;

    /// Lets every call through until told otherwise, whatever becomes of them. As for [`Controls::force_open`].
    fn force_closed(&self, operation: Option<&str>) -> usize;

    /// Begins anew, closed, with nothing forced. As for [`Controls::force_open`].
    fn reset(&self, operation: Option<&str>) -> usize;

    /// What is going on in the limits of `model`; `None` where there are none.
    fn limits(&self, model: &str) -> Option<LimitReport>;
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerPhase {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// A few calls go through to find out whether the upstream is well.
    HalfOpen,
}

impl BreakerPhase {
    /// The name in logs, metrics and JSON: `half_open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One breaker, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerReport {
    /// What kind of calls it stands before.
    pub operation: &'static str,
    /// What it is doing.
    pub state: BreakerPhase,
    /// Whether an operator said so.
    pub forced: bool,
    /// The wait until a call is let through again; `None` while calls go through.
    pub next_try: Option<Duration>,
    /// What opened it, while it is not closed; `None` where an operator did.
    pub last_failure: Option<LastFailure>,
}

impl BreakerReport {
    /// A breaker of which nothing but its state is known.
    pub const fn new(operation: &'static str, state: BreakerPhase) -> Self {
        Self { operation, state, forced: false, next_try: None, last_failure: None }
    }
}

/// What an upstream said when it last failed. Bounded, and as free of secrets as an [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastFailure {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The HTTP status of a refusal, from 400 to 599; `None` where the upstream gave none.
    pub status: Option<u16>,
    /// The upstream's error code.
    pub code: Option<String>,
    /// The upstream's error type.
    pub error_type: Option<String>,
    /// The upstream's own words.
    pub message: Option<String>,
}

impl LastFailure {
    /// What is worth keeping of `error`.
    pub fn of(error: &InferenceError) -> Self {
        let unsaid = Origin::default();
        let at = error.origin().unwrap_or(&unsaid);
        let kept = |text: &Option<String>| text.as_deref().map(Origin::excerpt);
        Self {
            kind: error.kind(),
            status: at.status.filter(|status| (400..600).contains(status)),
            code: kept(&at.code),
            error_type: kept(&at.error_type),
            message: kept(&at.message),
        }
    }

    /// Says in `at` what the upstream said, where it gave a status: who was not asked hears what the last one heard.
    pub fn tell(&self, at: &mut Origin) {
        if self.status.is_some() {
            at.status = self.status;
            at.code.clone_from(&self.code);
            at.error_type.clone_from(&self.error_type);
            at.message.clone_from(&self.message);
        }
    }
}

/// The limits of one model, as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitReport {
    /// Calls that run.
    pub in_flight: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// How long nothing will start, as the upstream asked.
    pub paused_for: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_said_is_kept_within_bounds_and_only_with_a_status() {
        let mut at = Origin::default();
        at.status = Some(503);
        at.code = Some("c".repeat(10_000));
        at.message = Some("busy".to_owned());
        let kept = LastFailure::of(&InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None));
        assert_eq!((kept.kind, kept.status), (ErrorKind::Overloaded, Some(503)));
        assert!(kept.code.as_ref().is_some_and(|code| code.len() <= 512));
        let mut told = Origin::default();
        kept.tell(&mut told);
        assert_eq!((told.status, told.message.as_deref()), (Some(503), Some("busy")));

        let mut at = Origin::default();
        (at.status, at.message) = (Some(200), Some("half an answer".to_owned()));
        let kept = LastFailure::of(&InferenceError::reported(ErrorKind::Upstream, Box::new(at), None));
        let mut told = Origin::default();
        kept.tell(&mut told);
        assert_eq!(told, Origin::default(), "an answer that broke is no refusal");
    }
}
