//! What one call used and how long it took, over all its attempts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{Price, Usage};
use tokio::time::Instant;

use super::record::{Outcome, RunRecord, Scope, Subject};
use super::timer::AttemptTimer;

/// One call that is under way.
///
/// Sans I/O: the shell reads the clock, hands the records to its sink and, where a caller may leave, settles and
/// finishes on drop. Strings are shared between the records of a call or moved from one to the next.
#[derive(Debug)]
#[must_use = "a call that is not finished is in no record"]
pub struct CallTimer {
    record: RunRecord,
    begun: Instant,
    /// Waited since the last attempt.
    queued: Duration,
    settled: bool,
    latest: Option<RunRecord>,
}

impl CallTimer {
    /// A call begins. `started` is `now` on the wall clock.
    pub fn begin(subject: Subject, started: SystemTime, now: Instant) -> Self {
        let record = RunRecord::new(Scope::Call, Arc::new(subject), started);
        Self { record, begun: now, queued: Duration::ZERO, settled: false, latest: None }
    }

    /// Who asks whom for what.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.record.subject
    }

    /// How many attempts have begun.
    pub fn attempts(&self) -> u32 {
        self.record.attempts
    }

    /// The call waited in the queue for its next attempt.
    pub fn queued(&mut self, wait: Duration) {
        self.queued = self.queued.saturating_add(wait);
        self.record.timing.queued = self.record.timing.queued.saturating_add(wait);
    }

    /// An attempt begins. Several may be under way at once.
    pub fn attempt(&mut self, now: Instant) -> AttemptTimer {
        self.record.attempts += 1;
        let number = self.record.attempts;
        let after = now.saturating_duration_since(self.begun);
        let started = self.record.started.checked_add(after).unwrap_or(self.record.started);
        let subject = Arc::clone(&self.record.subject);
        let mut record = RunRecord::new(Scope::Attempt { number }, subject, started);
        record.attempts = number;
        record.timing.after = after;
        record.timing.queued = std::mem::take(&mut self.queued);
        AttemptTimer::new(record, now)
    }

    /// An attempt is over; returns its record, for the sink.
    ///
    /// `price` is that of [`AttemptTimer::served_model`]. The call's record takes who answered and how from the attempt
    /// that is settled last, so the loser of a race is settled before the winner.
    pub fn settle(
        &mut self,
        attempt: AttemptTimer,
        now: Instant,
        outcome: Outcome,
        price: Option<&Price>,
    ) -> &RunRecord {
        let attempt = attempt.settle(now, outcome, price);
        let call = &mut self.record;
        call.bytes_out += attempt.bytes_out;
        call.bytes_in += attempt.bytes_in;
        call.chunks += attempt.chunks;
        call.usage = match (call.usage, attempt.usage) {
            (Some(a), Some(b)) => Some(Usage::saturating_add(a, b)),
            (a, b) => a.or(b),
        };
        call.estimated |= attempt.estimated;
        call.cost = if self.settled { call.cost.plus(attempt.cost) } else { attempt.cost };
        call.unpriced_attempts += attempt.unpriced_attempts;
        self.settled = true;
        self.latest.insert(attempt)
    }

    /// Why the call is not tried again.
    pub fn stopped(&mut self, reason: impl Into<Cow<'static, str>>) {
        self.record.stop = Some(reason.into());
    }

    /// The call is over; returns its record, for the sink.
    pub fn finish(self, now: Instant, outcome: Outcome) -> RunRecord {
        let Self { mut record, begun, latest, .. } = self;
        record.outcome = outcome;
        record.timing.total = now.saturating_duration_since(begun);
        if let Some(latest) = latest {
            let after = latest.timing.after;
            record.timing.head = latest.timing.head.map(|head| after + head);
            record.timing.first_content = latest.timing.first_content.map(|first| after + first);
            record.gaps = latest.gaps;
            record.served = latest.served;
            record.upstream_request_id = latest.upstream_request_id;
            record.status = latest.status;
            record.finish = latest.finish;
        }
        record
    }
}
