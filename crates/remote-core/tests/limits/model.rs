//! The limiter as one would write it without caring for speed: everything is recomputed from the whole history.

use infer_core::Priority;
use remote_core::limit::RateLimitConfig;

use super::SECOND;
use super::driver::Id;

const MINUTE: i128 = 60_000_000_000;
const UNIT: i128 = MINUTE * 16;

#[derive(Clone, Copy)]
enum Event {
    Take(u64),
    Give(u64),
    Share(i128),
    AtMost(u64),
}

/// A rate as the list of all that ever happened to it.
#[derive(Clone)]
pub(crate) struct Rate {
    per_minute: i128,
    burst: i128,
    events: Vec<(u64, Event)>,
}

impl Rate {
    fn new((per_minute, burst): (u32, u32)) -> Self {
        Self { per_minute: per_minute.into(), burst: burst.into(), events: Vec::new() }
    }

    /// What is there at `time`, below 0 in debt, and the most that can be.
    fn level(&self, time: u64) -> (i128, i128) {
        let (mut share, mut last) = (16, 0);
        let most = |share| self.burst * MINUTE * share;
        let mut level = most(16);
        let refill = |level: i128, share: i128, span: u64| {
            most(share).min(level + i128::from(span) * self.per_minute * share)
        };
        for &(at, event) in &self.events {
            level = refill(level, share, at - last);
            last = at;
            match event {
                Event::Take(units) => level -= i128::from(units) * UNIT,
                Event::Give(units) => level = most(share).min(level + i128::from(units) * UNIT),
                Event::AtMost(units) => level = level.min(i128::from(units) * UNIT),
                Event::Share(new) => {
                    level -= most(share) - most(new);
                    share = new;
                }
            }
        }
        (refill(level, share, time - last), most(share))
    }

    pub(crate) fn left(&self, time: u64) -> u64 {
        u64::try_from(self.level(time).0.max(0) / UNIT).unwrap()
    }

    fn admits(&self, time: u64, units: u64) -> bool {
        let (level, most) = self.level(time);
        level >= most.min(i128::from(units) * UNIT)
    }

    fn note(&mut self, time: u64, event: Event) {
        self.events.push((time, event));
    }
}

#[derive(Clone)]
struct Waiter {
    id: Id,
    class: usize,
    /// When it would have arrived without its class's handicap.
    turn: u64,
    tokens: u64,
    expires: u64,
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) requests: Option<Rate>,
    pub(crate) tokens: Option<Rate>,
    slots: usize,
    pub(crate) running: Vec<(Id, u64)>,
    waiting: Vec<Waiter>,
    pub(crate) started: Vec<(Id, u64)>,
    pub(crate) refused: Vec<(Id, u64)>,
    pub(crate) paused_until: u64,
    pub(crate) share: i128,
    rises_at: u64,
    max_wait: u64,
}

/// Most urgent first: class and handicap.
fn class(priority: Priority) -> (usize, u64) {
    match priority {
        Priority::Critical => (0, 0),
        Priority::High => (1, 10 * SECOND),
        Priority::Normal => (2, 15 * SECOND),
        _ => (3, 35 * SECOND),
    }
}

impl Model {
    pub(crate) fn new(config: &RateLimitConfig) -> Self {
        let requests = config.requests_per_minute.map(|rate| (rate, config.requests_burst.unwrap()));
        let tokens = config.tokens_per_minute.map(|rate| (rate, config.tokens_burst.unwrap()));
        Self {
            now: 0,
            requests: requests.map(Rate::new),
            tokens: tokens.map(Rate::new),
            slots: config.max_in_flight.map_or(usize::MAX, |slots| slots as usize),
            running: Vec::new(),
            waiting: Vec::new(),
            started: Vec::new(),
            refused: Vec::new(),
            paused_until: 0,
            share: 16,
            rises_at: 0,
            max_wait: u64::try_from(config.max_wait.as_nanos()).unwrap(),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A call joins the queue; who may start does so in [`Model::step`].
    pub(crate) fn join(&mut self, id: Id, tokens: u64, priority: Priority, deadline: Option<u64>) {
        let (class, handicap) = class(priority);
        let expires = deadline.unwrap_or(u64::MAX).min(self.now + self.max_wait + 1);
        self.waiting.push(Waiter { id, class, turn: self.now + handicap, tokens, expires });
        // Stable: equals stay in the order in which they came.
        self.waiting.sort_by_key(|waiter| (waiter.turn, waiter.class));
    }

    /// How long a call that joins now would wait, if running calls took no slots.
    pub(crate) fn wait(&self, tokens: u64, priority: Priority) -> u64 {
        let mut model = self.clone();
        model.slots = usize::MAX;
        for waiter in &mut model.waiting {
            waiter.expires = u64::MAX;
        }
        model.max_wait = u64::MAX / 4;
        model.join(Id::MAX, tokens, priority, None);
        let before = model.waiting.iter().position(|waiter| waiter.id == Id::MAX).unwrap();
        model.waiting.truncate(before + 1);
        while !model.waiting.is_empty() {
            let next = model.next_start().unwrap();
            model.now = next;
            model.start_first();
        }
        model.now - self.now
    }

    /// Whoever may start now starts; whoever has waited too long is refused.
    pub(crate) fn step(&mut self) {
        let too_late = self.now.max(self.paused_until);
        for waiter in self.waiting.extract_if(.., |waiter| waiter.expires <= too_late) {
            self.refused.push((waiter.id, self.now));
        }
        while self.running.len() < self.slots && self.next_start() == Some(self.now) {
            self.start_first();
        }
    }

    pub(crate) fn advance(&mut self, span: u64) {
        let until = self.now + span;
        loop {
            self.step();
            let start = self.next_start().filter(|_| self.running.len() < self.slots);
            let expiry = self.waiting.iter().map(|waiter| waiter.expires).min();
            match start.into_iter().chain(expiry).min().filter(|next| *next <= until) {
                Some(next) => self.now = next,
                None => break,
            }
        }
        self.now = until;
        self.step();
    }

    pub(crate) fn end(&mut self, id: Id, actual: Option<u64>) {
        let Some(at) = self.running.iter().position(|(running, _)| *running == id) else { return };
        let (_, reserved) = self.running.remove(at);
        let used = actual.unwrap_or(0);
        if let Some(rate) = &mut self.tokens {
            let event =
                if used > reserved { Event::Take(used - reserved) } else { Event::Give(reserved - used) };
            rate.note(self.now, event);
        }
        if actual.is_some() && self.share < 16 && self.now >= self.rises_at {
            self.rises_at = self.now + 5 * SECOND;
            self.set_share(self.share + 1);
        }
    }

    pub(crate) fn leave(&mut self, id: Id) {
        self.waiting.retain(|waiter| waiter.id != id);
    }

    pub(crate) fn throttled(&mut self, pause: u64) {
        if self.now >= self.paused_until {
            self.set_share((self.share / 2).max(1));
        }
        self.paused_until = self.paused_until.max(self.now + pause);
        self.rises_at = self.paused_until + 5 * SECOND;
    }

    pub(crate) fn learn(&mut self, requests: Option<u64>, tokens: Option<u64>) {
        for (rate, left) in [(&mut self.requests, requests), (&mut self.tokens, tokens)] {
            if let (Some(rate), Some(left)) = (rate, left) {
                rate.note(self.now, Event::AtMost(left));
            }
        }
    }

    fn set_share(&mut self, share: i128) {
        self.share = share;
        for rate in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            rate.note(self.now, Event::Share(share));
        }
    }

    fn admits(&self, time: u64) -> bool {
        let first = &self.waiting[0];
        time >= self.paused_until
            && self.requests.as_ref().is_none_or(|rate| rate.admits(time, 1))
            && self.tokens.as_ref().is_none_or(|rate| rate.admits(time, first.tokens))
    }

    /// When rates and pauses let the first start: found by trying.
    fn next_start(&self) -> Option<u64> {
        self.waiting.first()?;
        let (mut no, mut yes) = (self.now, self.now);
        let mut span = 1;
        while !self.admits(yes) {
            no = yes;
            yes = self.now + span;
            span *= 2;
        }
        while yes - no > 1 {
            let middle = no + (yes - no) / 2;
            if self.admits(middle) { yes = middle } else { no = middle }
        }
        Some(yes)
    }

    fn start_first(&mut self) {
        let first = self.waiting.remove(0);
        for (rate, units) in [(&mut self.requests, 1), (&mut self.tokens, first.tokens)] {
            if let Some(rate) = rate {
                rate.note(self.now, Event::Take(units));
            }
        }
        self.running.push((first.id, first.tokens));
        self.started.push((first.id, self.now));
    }
}
