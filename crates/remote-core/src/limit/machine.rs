//! The limiter: who may start now, who waits until when, and who is refused.

use std::time::Duration;

use infer_core::RateLimits;

use super::ask::{Ask, Grant, Reserve, Ticket, Turn};
use super::bucket::{Bucket, WHOLE};
use super::order::Order;
use super::pace::Pace;
use super::queue::{Ahead, Queue};
use super::{LimitState, RateLimitConfig, Refused, nanos};

/// How long after its time the first in the queue may ask before it is set aside. Far above a busy runtime's delays, and
/// not worth mentioning in a queue.
const PATIENCE: u64 = 100_000_000;

/// Requests a minute, tokens a minute and calls at once: a call gets all three or none.
///
/// A pure state machine. Time is an argument: nanoseconds since any one beginning; a time before one already seen counts
/// as that one. `W` is whatever a waiting call is woken by; the machine only stores it. After every change, call
/// [`Limiter::next_wake`] until it gives nothing, and wake whom it names.
///
/// Only the first in the queue acts on the clock, and whoever leaves has the next one woken, so nobody wakes in vain. Those
/// behind look at the clock when they should have started long ago, to set aside a first one that does not come: a future
/// that is neither polled nor dropped must not hold up the others. It has its old place again as soon as it asks.
#[derive(Debug)]
pub struct Limiter<W> {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    max_in_flight: u32,
    in_flight: u32,
    /// How long calls have run, as a moving average.
    usual_run: u64,
    pace: Pace,
    order: Order,
    queue: Queue<W>,
    max_wait: u64,
    max_queue: u32,
    /// When the first in the queue is expected to ask; [`u64::MAX`] when nobody told it to.
    expected: u64,
    now: u64,
}

impl<W: Clone> Limiter<W> {
    /// A limiter at rest: every bucket is full.
    pub fn new(config: &RateLimitConfig) -> Self {
        let bucket = |(rate, burst)| Bucket::new(rate, burst);
        Self {
            requests: config.requests().map(bucket),
            tokens: config.tokens().map(bucket),
            max_in_flight: config.max_in_flight.unwrap_or(u32::MAX),
            in_flight: 0,
            usual_run: 0,
            pace: Pace::new(config),
            order: Order::default(),
            queue: Queue::new(),
            max_wait: nanos(config.max_wait),
            max_queue: config.max_queue,
            expected: u64::MAX,
            now: 0,
        }
    }

    /// Starts a call, queues it, or refuses it.
    ///
    /// It is refused when it could not start within the longest wait or before its deadline, as far as the limits and the
    /// calls before it tell; running calls that end and calls with a higher priority to come are not foreseen.
    pub fn reserve(&mut self, now: u64, ask: Ask, waiter: W) -> Reserve {
        let now = self.tick(now);
        let deadline = ask.deadline.unwrap_or(u64::MAX);
        if deadline <= now {
            return Reserve::Refused(Refused::Deadline);
        }
        let place = self.order.place(now, ask.priority);
        let ahead = self.queue.ahead(place);
        if ahead.calls == 0 && self.admits(now, ask.tokens) {
            return Reserve::Ready(self.start(now, ask.tokens));
        }
        let ready = self.ready_at(now, ask.tokens, ahead);
        let expires = now.saturating_add(self.max_wait).saturating_add(1).min(deadline);
        if ready >= expires || self.max_wait == 0 || self.queue.len() >= self.max_queue {
            return Reserve::Refused(self.refused(now, ask.tokens, ahead));
        }
        self.order.take(place);
        let ticket = Ticket { place, ask, expires };
        self.join(now, &ticket, waiter);
        Reserve::Queued(ticket)
    }

    /// What a waiting call is to do. `waiter` is kept; the one kept before is put in its place, so that the caller can drop
    /// it where no lock is held.
    pub fn turn(&mut self, now: u64, ticket: &Ticket, waiter: &mut W) -> Turn {
        let now = self.tick(now);
        if ticket.expires <= now.max(self.pace.paused_until()) {
            self.hand_back(ticket, waiter);
            return Turn::Refused(self.refused_late(now, ticket.ask));
        }
        match self.queue.waiter(ticket.place) {
            Some(kept) => std::mem::swap(kept, waiter),
            None => self.join(now, ticket, waiter.clone()),
        }
        let tokens = ticket.ask.tokens;
        let ahead = self.queue.ahead(ticket.place);
        if ahead.calls == 0 && self.admits(now, tokens) {
            self.hand_back(ticket, waiter);
            return Turn::Ready(self.start(now, tokens));
        }
        let mut next = if self.has_slot() { self.ready_at(now, tokens, ahead) } else { u64::MAX };
        if ahead.calls == 0 {
            self.expected = next.min(ticket.expires);
        } else {
            next = next.saturating_add(PATIENCE);
        }
        Turn::At(next.min(ticket.expires))
    }

    /// Gives up a place in the queue, if it is still there. Nothing else is left of it.
    pub fn leave(&mut self, ticket: &Ticket) -> Option<W> {
        self.drop_out(ticket.place)
    }

    /// Who is to be woken next: those who have waited too long or were set aside, who are out of the queue then, and the
    /// first in the queue when it may start sooner than it knows.
    pub fn next_wake(&mut self, now: u64) -> Option<W> {
        if self.queue.is_empty() {
            return None;
        }
        let now = self.tick(now);
        if let Some(place) = self.queue.expired(now.max(self.pace.paused_until())) {
            return self.drop_out(place);
        }
        let (place, tokens) = self.queue.first()?;
        if self.expected.saturating_add(PATIENCE) <= now {
            return self.drop_out(place);
        }
        if !self.has_slot() || self.ready_at(now, tokens, Ahead::default()) >= self.expected {
            return None;
        }
        self.expected = now;
        self.queue.first_waiter().cloned()
    }

    /// Ends a call that used `actual` tokens: charges or gives back the difference. That it came so far counts as a sign
    /// that the upstream can take more.
    pub fn settle(&mut self, now: u64, grant: Grant, actual: u64) {
        let now = self.tick(now);
        self.end(now, grant, actual);
        if self.pace.succeeded(now) {
            self.rescale(now);
        }
    }

    /// Ends a call that used nothing. Its tokens are given back, its request stays counted: upstreams count it too.
    pub fn release(&mut self, now: u64, grant: Grant) {
        let now = self.tick(now);
        self.end(now, grant, 0);
    }

    /// Lowers what is left to what the upstream says is left.
    pub fn learn(&mut self, now: u64, limits: &RateLimits) {
        let now = self.tick(now);
        for (bucket, left) in
            [(&mut self.requests, limits.remaining_requests), (&mut self.tokens, limits.remaining_tokens)]
        {
            if let (Some(bucket), Some(left)) = (bucket, left) {
                bucket.leave_at_most(now, left);
            }
        }
    }

    /// The upstream refused a call for coming too fast: pauses for `hint` or the default, and halves rates and bursts, to a
    /// sixteenth at the least. They rise again while calls succeed.
    pub fn throttled(&mut self, now: u64, hint: Option<Duration>) {
        let now = self.tick(now);
        if self.pace.throttled(now, hint) {
            self.rescale(now);
        }
    }

    /// Starts nothing before `time`. A pause never becomes shorter.
    pub fn pause_until(&mut self, time: u64) {
        self.pace.pause_until(time);
    }

    /// What is going on.
    pub fn state(&self, now: u64) -> LimitState {
        let now = now.max(self.now);
        LimitState {
            in_flight: self.in_flight,
            waiting: self.queue.len(),
            paused_for: Duration::from_nanos(self.pace.paused_until().saturating_sub(now)),
            sixteenths: self.pace.share(),
            requests_left: self.requests.as_ref().map(|bucket| bucket.left(now)),
            tokens_left: self.tokens.as_ref().map(|bucket| bucket.left(now)),
        }
    }

    /// Whether a new limiter would behave the same.
    pub fn is_at_rest(&self, now: u64) -> bool {
        let now = now.max(self.now);
        self.in_flight == 0
            && self.queue.is_empty()
            && self.pace.paused_until() <= now
            && self.pace.share() == WHOLE
            && [&self.requests, &self.tokens].into_iter().flatten().all(|bucket| bucket.is_full(now))
    }

    fn tick(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        self.now
    }

    fn admits(&self, now: u64, tokens: u64) -> bool {
        self.has_slot()
            && self.pace.paused_until() <= now
            && self.requests.as_ref().is_none_or(|bucket| bucket.admits(now, 1))
            && self.tokens.as_ref().is_none_or(|bucket| bucket.admits(now, tokens))
    }

    fn start(&mut self, now: u64, tokens: u64) -> Grant {
        self.in_flight += 1;
        if let Some(bucket) = &mut self.requests {
            bucket.take(now, 1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(now, tokens);
        }
        Grant { tokens, since: now }
    }

    fn end(&mut self, now: u64, Grant { tokens, since }: Grant, actual: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let ran = now.saturating_sub(since);
        self.usual_run =
            if self.usual_run == 0 { ran } else { self.usual_run - self.usual_run / 8 + ran / 8 };
        let Some(bucket) = &mut self.tokens else { return };
        if actual > tokens {
            bucket.take(now, actual - tokens);
        } else {
            bucket.give_back(now, tokens - actual);
        }
    }

    /// When pauses and rates let a call start, once those ahead of it have. With one rate it is exact, but for the nanosecond
    /// to which the start of each of them is rounded up; with two it is never too late.
    fn ready_at(&self, now: u64, tokens: u64, ahead: Ahead) -> u64 {
        let from = now.max(self.pace.paused_until());
        let requests = self.requests.as_ref().map_or(from, |bucket| bucket.ready_at(from, 1, ahead.calls));
        let tokens = self.tokens.as_ref().map_or(from, |bucket| bucket.ready_at(from, tokens, ahead.tokens));
        requests.max(tokens)
    }

    fn has_slot(&self) -> bool {
        self.in_flight < self.max_in_flight
    }

    fn join(&mut self, now: u64, ticket: &Ticket, waiter: W) {
        self.queue.insert(ticket.place, ticket.ask.tokens, ticket.expires, waiter);
        if self.queue.first().is_some_and(|(first, _)| first == ticket.place) {
            self.expected = now;
        }
    }

    fn hand_back(&mut self, ticket: &Ticket, waiter: &mut W) {
        if let Some(kept) = self.leave(ticket) {
            *waiter = kept;
        }
    }

    fn drop_out(&mut self, place: u64) -> Option<W> {
        let first = self.queue.first();
        if first.is_some_and(|(first, _)| first == place) {
            self.expected = u64::MAX;
        }
        self.queue.remove(place)
    }

    fn rescale(&mut self, now: u64) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.set_share(now, self.pace.share());
        }
    }

    /// A refusal with the wait that would have been needed. Where all slots are taken, how long calls usually run says how
    /// long that might be.
    fn refused(&self, now: u64, tokens: u64, ahead: Ahead) -> Refused {
        let certain = self.ready_at(now, tokens, ahead) - now;
        let rounds = if self.has_slot() { 0 } else { ahead.calls / u64::from(self.max_in_flight.max(1)) + 1 };
        let wait = certain.max(self.usual_run.saturating_mul(rounds));
        Refused::QueueFull { wait: Duration::from_nanos(wait) }
    }

    fn refused_late(&self, now: u64, ask: Ask) -> Refused {
        if ask.deadline.is_some_and(|deadline| deadline <= now) {
            return Refused::Deadline;
        }
        let ahead = self.queue.ahead(self.order.place(now, ask.priority));
        self.refused(now, ask.tokens, ahead)
    }
}
