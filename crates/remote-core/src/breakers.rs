//! The breakers of a runner, one for each kind of call, and the permit that settles exactly once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infer_core::{BreakerEffect, BreakerPhase, BreakerReport, InferenceError, LastFailure, Origin};
use tokio::time::Instant;
use tracing::info;

use crate::breaker::{Breaker, BreakerChange, BreakerConfig, BreakerState, Ticket};
use crate::meter::MetricsSink;
use crate::provider::{Call, Operation};

/// A breaker for every operation: embeddings may be down while answers are fine.
#[derive(Debug)]
pub(crate) struct Breakers {
    provider: Arc<str>,
    each: [Mutex<Told>; Operation::ALL.len()],
    dice: Mutex<fastrand::Rng>,
    sink: Arc<dyn MetricsSink>,
}

/// A breaker, and the state that was last told.
#[derive(Debug)]
struct Told {
    breaker: Breaker,
    state: BreakerState,
    /// How the upstream failed last, while that is why it is not asked.
    last: Option<Box<LastFailure>>,
}

impl Breakers {
    pub(crate) fn new(
        provider: Arc<str>,
        config: &BreakerConfig,
        seed: u64,
        sink: Arc<dyn MetricsSink>,
    ) -> Self {
        let each = Operation::ALL.map(|_| {
            let breaker = Breaker::new(config.clone());
            Mutex::new(Told { breaker, state: BreakerState::Closed, last: None })
        });
        Self { provider, each, dice: Mutex::new(fastrand::Rng::with_seed(seed)), sink }
    }

    fn of(&self, operation: Operation) -> MutexGuard<'_, Told> {
        #[expect(clippy::indexing_slicing, reason = "there is one for each operation")]
        self.each[operation as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call would be let through now; takes nothing.
    pub(crate) fn peek(&self, call: Call<'_>, now: Instant) -> Result<(), Duration> {
        self.of(call.operation()).breaker.peek(now)
    }

    /// Lets a call through, or says how long to wait.
    pub(crate) fn admit(self: &Arc<Self>, call: Call<'_>, now: Instant) -> Result<BreakerPermit, Duration> {
        let operation = call.operation();
        let ticket = self.change(operation, now, |breaker| breaker.admit(now))?;
        Ok(BreakerPermit { breakers: Arc::clone(self), operation, ticket: Some(ticket) })
    }

    /// What it is doing, and the wait until the next try if there is one.
    pub(crate) fn state(&self, operation: Operation, now: Instant) -> (BreakerState, Option<Duration>) {
        let breaker = &self.of(operation).breaker;
        (breaker.state(now), breaker.peek(now).err())
    }

    /// The same for an operator, with what opened it.
    pub(crate) fn report(&self, operation: Operation, now: Instant) -> BreakerReport {
        let told = self.of(operation);
        let (phase, forced) = match told.breaker.state(now) {
            BreakerState::Closed => (BreakerPhase::Closed, false),
            BreakerState::Open => (BreakerPhase::Open, false),
            BreakerState::HalfOpen => (BreakerPhase::HalfOpen, false),
            BreakerState::ForcedOpen => (BreakerPhase::Open, true),
            BreakerState::ForcedClosed => (BreakerPhase::Closed, true),
        };
        let mut report = BreakerReport::new(operation.name(), phase);
        report.forced = forced;
        report.next_try = told.breaker.peek(now).err();
        if phase != BreakerPhase::Closed && !forced {
            report.last_failure = told.last.as_deref().cloned();
        }
        report
    }

    /// The refusal of a call that is not let through: what the upstream said last, and how long to wait.
    pub(crate) fn refusal(&self, call: Call<'_>, mut at: Box<Origin>, wait: Duration) -> InferenceError {
        let told = self.of(call.operation());
        if let (BreakerState::Open | BreakerState::HalfOpen, Some(last)) = (told.state, told.last.as_deref())
        {
            last.tell(&mut at);
        }
        drop(told);
        InferenceError::CircuitOpen { at, retry_after: wait }
    }

    /// Changes a breaker and says so if its state is another one than was last told, also when time alone changed it.
    pub(crate) fn change<T>(
        &self,
        operation: Operation,
        now: Instant,
        change: impl FnOnce(&mut Breaker) -> T,
    ) -> T {
        let mut told = self.of(operation);
        let result = change(&mut told.breaker);
        let after = told.breaker.state(now);
        let before = std::mem::replace(&mut told.state, after);
        if before != after && !matches!(after, BreakerState::Open | BreakerState::HalfOpen) {
            told.last = None;
        }
        drop(told);
        if before != after {
            info!(provider = %self.provider, operation = operation.name(), from = ?before, to = ?after, "breaker changed");
            self.sink.breaker_changed(&BreakerChange::new(&self.provider, operation, before, after));
        }
        result
    }

    fn roll(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// Permission for one attempt. Dropped without a word, it frees its place and says nothing about the upstream.
#[derive(Debug)]
pub(crate) struct BreakerPermit {
    breakers: Arc<Breakers>,
    operation: Operation,
    ticket: Option<Ticket>,
}

impl BreakerPermit {
    /// The answer has begun.
    pub(crate) fn begun(&mut self, now: Instant) {
        if let Some(ticket) = &mut self.ticket {
            self.breakers.change(self.operation, now, |breaker| breaker.begun(ticket, now));
        }
    }

    /// The attempt went well.
    pub(crate) fn succeed(self, now: Instant) {
        self.settle(Some(BreakerEffect::Success), now);
    }

    /// The attempt ended in `error`.
    pub(crate) fn fail(self, error: &InferenceError, now: Instant) {
        let effect = error.breaker_effect();
        if effect == BreakerEffect::Failure {
            let last = Some(Box::new(LastFailure::of(error)));
            self.breakers.of(self.operation).last = last;
        }
        self.settle(Some(effect), now);
    }

    fn settle(mut self, effect: Option<BreakerEffect>, now: Instant) {
        self.give_back(effect, now);
    }

    fn give_back(&mut self, effect: Option<BreakerEffect>, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            let roll = self.breakers.roll();
            self.breakers.change(self.operation, now, |breaker| breaker.settle(ticket, effect, now, roll));
        }
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        self.give_back(None, Instant::now());
    }
}
