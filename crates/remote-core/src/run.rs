//! One call under way: what it holds, and that it is settled exactly once however it ends.
//!
//! A [`Run`] belongs to the pipeline until the commit point and to the stream after it. Dropping it, because the caller
//! left, frees the permits and writes the records, with what was used estimated from what came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use infer_core::{CostEstimate, ErrorClass, InferenceError, Price, Served, Usage};
use tokio::time::Instant;
use tracing::Span;

use crate::breakers::{BreakerPermit, Breakers};
use crate::limit::{LimitTable, Limits, Permit};
use crate::meter::{AttemptTimer, CallTimer, MetricsSink, Outcome, RunRecord, Subject, complete_span};
use crate::provider::RemoteProvider;
use crate::retry::Budget;

/// What all calls of a runner share besides the provider.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) limits: LimitTable,
    pub(crate) budget: Mutex<Budget>,
    pub(crate) dice: Mutex<fastrand::Rng>,
    pub(crate) sink: Arc<dyn MetricsSink>,
}

impl Gates {
    pub(crate) fn with_budget<T>(&self, change: impl FnOnce(&mut Budget) -> T) -> T {
        change(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn roll(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// Leave to send one request.
#[derive(Debug)]
pub(crate) struct Admission {
    /// None for a call that no breaker stops.
    pub(crate) breaker: Option<BreakerPermit>,
    /// None for a call that counts against no limit.
    pub(crate) leave: Option<Leave>,
}

/// Leave from the limits.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) limits: Limits,
    pub(crate) permit: Permit,
    /// What was reserved.
    pub(crate) tokens: u64,
}

/// One call, and the attempt that is under way.
pub(crate) struct Run<P: RemoteProvider> {
    subject: Arc<Subject>,
    provider: Arc<P>,
    gates: Arc<Gates>,
    /// `None` once the call is over.
    call: Option<CallTimer>,
    live: Option<Live>,
    /// A second attempt in a race with the first.
    hedge: Option<Box<Live>>,
    span: Span,
    /// The credential of the attempt under way.
    pub(crate) generation: u64,
    /// How the attempt before failed.
    pub(crate) last_error: Option<InferenceError>,
    /// Whether output was handed over, so that leaving now says that the upstream was well.
    committed: bool,
}

/// An attempt and its permits.
struct Live {
    timer: AttemptTimer,
    admission: Admission,
}

impl<P: RemoteProvider> Run<P> {
    pub(crate) fn new(provider: Arc<P>, gates: Arc<Gates>, call: CallTimer, span: Span) -> Self {
        Self {
            subject: Arc::clone(call.subject()),
            provider,
            gates,
            call: Some(call),
            live: None,
            hedge: None,
            span,
            generation: 0,
            last_error: None,
            committed: false,
        }
    }

    /// Who asks whom for what.
    pub(crate) fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    pub(crate) fn queued(&mut self, wait: Duration) {
        if let Some(call) = &mut self.call {
            call.queued(wait);
        }
    }

    /// How many attempts have begun.
    pub(crate) fn attempts(&self) -> u32 {
        self.call.as_ref().map_or(0, CallTimer::attempts)
    }

    /// A request is about to be sent.
    pub(crate) fn begin_attempt(&mut self, admission: Admission, generation: u64, now: Instant) {
        self.generation = generation;
        if let Some(call) = &mut self.call {
            self.live = Some(Live { timer: call.attempt(now), admission });
        }
    }

    /// A second request is about to be sent, in a race with the first.
    pub(crate) fn begin_hedge(&mut self, admission: Admission, body_bytes: usize, now: Instant) {
        if let Some(call) = &mut self.call {
            let mut timer = call.attempt(now);
            timer.sent(body_bytes);
            self.hedge = Some(Box::new(Live { timer, admission }));
        }
    }

    /// One of two attempts is given up, or has failed with `error`; the other one goes on alone.
    pub(crate) fn end_race(&mut self, first_goes_on: bool, error: Option<&InferenceError>, now: Instant) {
        let Some(hedge) = self.hedge.take().map(|hedge| *hedge) else { return };
        let goes_on = if first_goes_on { self.live.replace(hedge) } else { Some(hedge) };
        let outcome = error.map_or(Outcome::Cancelled, |error| Outcome::Retried(error.kind()));
        if error.is_none() {
            self.note(AttemptTimer::assume_read);
        }
        self.end_attempt(outcome, error, now);
        self.live = goes_on;
    }

    /// Takes note of something about the attempt under way.
    pub(crate) fn note(&mut self, note: impl FnOnce(&mut AttemptTimer)) {
        if let Some(live) = &mut self.live {
            note(&mut live.timer);
        }
    }

    /// What the attempt under way would cost with `usage`.
    pub(crate) fn cost(&self, usage: &Usage) -> Option<CostEstimate> {
        let timer = &self.live.as_ref()?.timer;
        let price = self.provider.price(timer.served_model())?;
        Some(price.cost(usage, timer.served().service_tier.as_deref()))
    }

    /// The limits the attempt under way counts against.
    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.live.as_ref().and_then(|live| Some(&live.admission.leave.as_ref()?.limits))
    }

    /// The first content is about to be handed over.
    pub(crate) fn commit(&mut self, now: Instant) {
        self.committed = true;
        if let Some(breaker) = self.live.as_mut().and_then(|live| live.admission.breaker.as_mut()) {
            breaker.begun(now);
        }
    }

    /// The attempt failed and another one follows.
    pub(crate) fn retried(&mut self, error: InferenceError, now: Instant) {
        self.end_attempt(Outcome::Retried(error.kind()), Some(&error), now);
        self.last_error = Some(error);
    }

    /// The call is over, with a whole answer; returns who gave it and what that answer cost.
    pub(crate) fn complete(&mut self, now: Instant) -> (Served, Option<CostEstimate>) {
        self.end(Outcome::Completed, None, now)
    }

    /// The call is over, with an error. `stop` says why it was not tried again.
    pub(crate) fn fail(&mut self, error: &InferenceError, stop: Option<String>, now: Instant) {
        if let (Some(call), Some(stop)) = (&mut self.call, stop) {
            call.stopped(stop);
        }
        self.end(Outcome::Failed(error.kind()), Some(error), now);
    }

    fn end(
        &mut self,
        outcome: Outcome,
        error: Option<&InferenceError>,
        now: Instant,
    ) -> (Served, Option<CostEstimate>) {
        self.end_race(true, None, now);
        let cost = self.end_attempt(outcome, error, now);
        let Some(call) = self.call.take() else { return (Served::default(), cost) };
        let record = call.finish(now, outcome);
        complete_span(&self.span, &record);
        self.gates.sink.record(&record);
        (record.served, cost)
    }

    /// Returns what the attempt cost.
    fn end_attempt(
        &mut self,
        outcome: Outcome,
        error: Option<&InferenceError>,
        now: Instant,
    ) -> Option<CostEstimate> {
        let (Some(call), Some(live)) = (&mut self.call, self.live.take()) else { return None };
        let Live { timer, admission: Admission { breaker, leave } } = live;
        match (breaker, error, outcome) {
            (None, ..) => {}
            (Some(breaker), Some(error), _) => breaker.fail(error, now),
            (Some(breaker), None, Outcome::Cancelled) if !self.committed => drop(breaker),
            (Some(breaker), None, _) => breaker.succeed(now),
        }
        // Before the permit is handed in, so that nobody starts in between.
        if let (Some(leave), Some(error)) = (&leave, error)
            && error.class() == ErrorClass::Throttle
        {
            leave.limits.throttled(error.retry_after());
        }
        let record = settle(call, timer, now, outcome, &*self.provider);
        match (leave, record.usage.map(billed)) {
            (Some(leave), Some(used)) => leave.permit.settle(used),
            // The upstream counts an answer whether or not it says what it used.
            (Some(leave), None) if outcome == Outcome::Completed => leave.permit.settle(leave.tokens),
            (leave, None) => drop(leave),
            (None, Some(_)) => {}
        }
        self.gates.sink.record(record);
        record.cost.known().copied()
    }
}

fn settle<'a, P: RemoteProvider>(
    call: &'a mut CallTimer,
    timer: AttemptTimer,
    now: Instant,
    outcome: Outcome,
    provider: &P,
) -> &'a RunRecord {
    let price: Option<&Price> = provider.price(timer.served_model());
    call.settle(timer, now, outcome, price)
}

/// The tokens an upstream's limit counts.
fn billed(usage: Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.billed_output_tokens())
}

impl<P: RemoteProvider> Drop for Run<P> {
    fn drop(&mut self) {
        if self.call.is_some() {
            // A request that was sent is read by the upstream whether or not anybody waits for the answer.
            self.note(AttemptTimer::assume_read);
            self.end(Outcome::Cancelled, None, Instant::now());
        }
    }
}
