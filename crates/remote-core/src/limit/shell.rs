//! The limiter's shell: it owns the clock and the lock, and wakes who is to be woken.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use infer_core::{Priority, RateLimits};
use tokio::time::Instant;

use super::ask::{Ask, Grant, Reserve};
use super::machine::Limiter;
use super::waiting::Waiting;
use super::{LimitState, RateLimitConfig, Refused, nanos};

/// One upstream's limits for one model. Cheap to clone; clones share everything.
///
/// No task and no channel stands behind it: whoever waits is polled in place.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    /// Never held while anything is awaited, woken or dropped.
    machine: Mutex<Limiter<Waker>>,
    beginning: Instant,
}

impl Limits {
    /// Limits of which nothing is used.
    pub fn new(config: &RateLimitConfig) -> Self {
        let machine = Mutex::new(Limiter::new(config));
        Self(Arc::new(Shared { machine, beginning: Instant::now() }))
    }

    /// Waits for the turn of a call that is expected to use `tokens`, input and output together.
    ///
    /// A cost above the burst starts when the whole burst is there and is charged whole. Dropping the future gives up the
    /// place at once.
    ///
    /// # Errors
    /// [`Refused::QueueFull`] at once when too many wait, or when the call could not start within `max_wait` and before
    /// `deadline`; also later, once it has waited for `max_wait`. [`Refused::Deadline`] when `deadline` has passed.
    pub async fn acquire(
        &self,
        tokens: u64,
        priority: Priority,
        deadline: Option<Instant>,
    ) -> Result<Permit, Refused> {
        let ask = Ask { tokens, priority, deadline: deadline.map(|time| self.at(time)) };
        // Nobody can wake us before the turn below, which brings the real waker.
        let reserved = self.with(|machine, now| machine.reserve(now, ask, Waker::noop().clone()));
        let grant = match reserved {
            Reserve::Ready(grant) => grant,
            Reserve::Queued(ticket) => Waiting::new(self, ticket).await?,
            Reserve::Refused(refused) => return Err(refused),
        };
        Ok(Permit { limits: self.clone(), grant: Some(grant) })
    }

    /// Lowers what is left to what the upstream says is left.
    pub fn learn(&self, limits: &RateLimits) {
        self.with(|machine, now| machine.learn(now, limits));
    }

    /// The upstream refused a call for coming too fast: pauses for `hint`, cut at `max_pause`, or else for
    /// `default_pause`, and halves rates and bursts once for each pause. Drop the call's permit as well.
    ///
    /// Calls that would have to wait too long now are refused at once.
    pub fn throttled(&self, hint: Option<Duration>) {
        self.with(|machine, now| machine.throttled(now, hint));
    }

    /// Starts nothing before `time`. A pause never becomes shorter.
    pub fn pause_until(&self, time: Instant) {
        let time = self.at(time);
        self.with(|machine, _| machine.pause_until(time));
    }

    /// What is going on.
    pub fn state(&self) -> LimitState {
        self.with(|machine, now| machine.state(now))
    }

    /// Whether nobody else holds these limits and new ones would behave the same.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.with(|machine, now| machine.is_at_rest(now))
    }

    /// Changes the machine, then wakes who is to be woken, outside the lock.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Limiter<Waker>, u64) -> R) -> R {
        let now = self.at(Instant::now());
        let mut machine = self.lock();
        let result = change(&mut machine, now);
        let mut woken = machine.next_wake(now);
        drop(machine);
        while let Some(waker) = woken {
            waker.wake();
            woken = self.lock().next_wake(now);
        }
        result
    }

    /// The moment at which the machine's clock shows `time`; `None` beyond all clocks.
    pub(super) fn instant(&self, time: u64) -> Option<Instant> {
        self.0.beginning.checked_add(Duration::from_nanos(time))
    }

    fn at(&self, time: Instant) -> u64 {
        nanos(time.saturating_duration_since(self.0.beginning))
    }

    /// A panic elsewhere leaves a valid machine behind, so poisoning means nothing here.
    fn lock(&self) -> MutexGuard<'_, Limiter<Waker>> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limits").field(&self.state()).finish()
    }
}

/// The right to make one call. Dropping it means that nothing was used: the tokens are given back, the request stays
/// counted.
#[derive(Debug)]
#[must_use = "dropping a permit ends the call it stands for"]
pub struct Permit {
    limits: Limits,
    /// `None` once handed in.
    grant: Option<Grant>,
}

impl Permit {
    /// Ends the call, which used `actual_tokens`: the difference to what was asked for is charged or given back.
    pub fn settle(mut self, actual_tokens: u64) {
        if let Some(grant) = self.grant.take() {
            self.limits.with(|machine, now| machine.settle(now, grant, actual_tokens));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.limits.with(|machine, now| machine.release(now, grant));
        }
    }
}
