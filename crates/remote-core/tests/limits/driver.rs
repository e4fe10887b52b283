//! Drives a limiter as a runtime does: wakes, timers, polls. Time passes only when told.

use std::collections::BTreeMap;

use infer_core::Priority;
use remote_core::limit::{Ask, Grant, Limiter, RateLimitConfig, Refused, Reserve, Ticket, Turn};

/// A call by number.
pub(crate) type Id = usize;

pub(crate) struct Driver {
    pub(crate) limiter: Limiter<Id>,
    pub(crate) now: u64,
    /// Who waits, and when each will ask by itself.
    pub(crate) waiting: BTreeMap<Id, (Ticket, u64)>,
    pub(crate) running: BTreeMap<Id, Grant>,
    /// Who started when, in order.
    pub(crate) started: Vec<(Id, u64)>,
    /// Who was refused when, in order.
    pub(crate) refused: Vec<(Id, u64, Refused)>,
    /// Polls of waiting calls.
    pub(crate) turns: usize,
    pub(crate) calls: usize,
    /// Who gave up waiting.
    pub(crate) left: Vec<Id>,
}

impl Driver {
    pub(crate) fn new(config: &RateLimitConfig) -> Self {
        Self {
            limiter: Limiter::new(config),
            now: 0,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            started: Vec::new(),
            refused: Vec::new(),
            turns: 0,
            calls: 0,
            left: Vec::new(),
        }
    }

    /// A call arrives.
    pub(crate) fn call(&mut self, tokens: u64, priority: Priority, deadline: Option<u64>) -> Id {
        let id = self.calls;
        self.calls += 1;
        match self.limiter.reserve(self.now, Ask { tokens, priority, deadline }, id) {
            Reserve::Ready(grant) => self.start(id, grant),
            Reserve::Refused(refused) => self.refused.push((id, self.now, refused)),
            Reserve::Queued(ticket) => {
                self.waiting.insert(id, (ticket, u64::MAX));
                self.poll(id);
            }
        }
        self.wake();
        id
    }

    pub(crate) fn settle(&mut self, id: Id, actual: u64) {
        if let Some(grant) = self.running.remove(&id) {
            self.limiter.settle(self.now, grant, actual);
            self.wake();
        }
    }

    pub(crate) fn release(&mut self, id: Id) {
        if let Some(grant) = self.running.remove(&id) {
            self.limiter.release(self.now, grant);
            self.wake();
        }
    }

    pub(crate) fn leave(&mut self, id: Id) {
        if let Some((ticket, _)) = self.waiting.remove(&id) {
            self.limiter.leave(&ticket);
            self.left.push(id);
            self.wake();
        }
    }

    /// Time passes; whoever has a timer asks on time.
    pub(crate) fn advance(&mut self, span: u64) {
        let until = self.now.saturating_add(span);
        while let Some((&id, &(_, timer))) = self.waiting.iter().min_by_key(|(_, (_, timer))| *timer) {
            if timer > until {
                break;
            }
            self.now = timer;
            self.poll(id);
            self.wake();
        }
        self.now = until;
        self.wake();
    }

    /// Polls whoever is to be woken.
    pub(crate) fn wake(&mut self) {
        while let Some(id) = self.limiter.next_wake(self.now) {
            self.poll(id);
        }
    }

    fn poll(&mut self, id: Id) {
        let Some((ticket, timer)) = self.waiting.get_mut(&id) else { return };
        self.turns += 1;
        match self.limiter.turn(self.now, ticket, &mut { id }) {
            Turn::At(time) => {
                // Law: `At(t)` is strictly after now.
                assert!(time > self.now, "call {id} told at {} to come at {time}", self.now);
                *timer = time;
            }
            Turn::Ready(grant) => {
                self.waiting.remove(&id);
                self.start(id, grant);
            }
            Turn::Refused(refused) => {
                self.waiting.remove(&id);
                self.refused.push((id, self.now, refused));
            }
        }
    }

    fn start(&mut self, id: Id, grant: Grant) {
        self.running.insert(id, grant);
        self.started.push((id, self.now));
    }
}
