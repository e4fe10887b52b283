//! Stops asking an upstream that keeps failing, and finds out when it is well again.
//!
//! A pure state machine: time and jitter are arguments, nobody sleeps. Every state change begins a new *epoch*; a call
//! carries the epoch it was admitted in, so a result that comes late changes nothing.

use std::collections::VecDeque;
use std::time::Duration;

use infer_core::{BreakerEffect, duration};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::provider::Operation;

/// When to stop asking a failing upstream, and when to ask again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Whether failures open it. An operator can open it either way.
    pub enabled: bool,
    /// Failures in a row that open it. 10.
    pub consecutive_failures: u32,
    /// The share of failures within `window` that opens it, from 0 to 1. 0.5.
    pub failure_rate: f64,
    /// The fewest calls within `window` for the share to count. 20.
    pub min_calls: u32,
    /// How long a result counts. 30 s.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How long it stays open the first time. 5 s.
    #[serde(with = "duration")]
    pub open: Duration,
    /// How long it stays open at the most; each failed probe doubles the time. 120 s.
    #[serde(with = "duration")]
    pub open_max: Duration,
    /// Calls let through at once to find out whether the upstream is well. 1.
    pub probes: u32,
    /// Successes in a row that close it. 3.
    pub successes_to_close: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: 10,
            failure_rate: 0.5,
            min_calls: 20,
            window: Duration::from_secs(30),
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(120),
            probes: 1,
            successes_to_close: 3,
        }
    }
}

impl BreakerConfig {
    /// Checks every value; what does not fit goes into `faults` by path.
    pub(crate) fn validate(&self, path: &str, faults: &mut Vec<String>) {
        for (key, count) in [
            ("consecutive_failures", self.consecutive_failures),
            ("min_calls", self.min_calls),
            ("probes", self.probes),
            ("successes_to_close", self.successes_to_close),
        ] {
            if count == 0 {
                faults.push(format!("{path}.{key}: must be at least 1, got 0"));
            }
        }
        if !(self.failure_rate > 0.0 && self.failure_rate <= 1.0) {
            faults.push(format!(
                "{path}.failure_rate: must be above 0 and at most 1, got {}",
                self.failure_rate
            ));
        }
        for (key, time) in [("window", self.window), ("open", self.open)] {
            if time.is_zero() {
                faults.push(format!("{path}.{key}: must be above 0s"));
            }
        }
        if self.open_max < self.open {
            faults.push(format!(
                "{path}.open_max: must not be below open ({:?}), got {:?}",
                self.open, self.open_max
            ));
        }
    }
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// A few calls go through to find out whether the upstream is well.
    HalfOpen,
    /// An operator lets no call through.
    ForcedOpen,
    /// An operator lets every call through.
    ForcedClosed,
}

impl BreakerState {
    /// The name in logs and metrics: `half_open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

/// A breaker does something else than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerChange<'a> {
    /// The provider's name in this process.
    pub provider: &'a str,
    /// Which of its breakers.
    pub operation: Operation,
    /// What it did.
    pub from: BreakerState,
    /// What it does.
    pub to: BreakerState,
}

impl<'a> BreakerChange<'a> {
    /// The change of one breaker.
    pub const fn new(provider: &'a str, operation: Operation, from: BreakerState, to: BreakerState) -> Self {
        Self { provider, operation, from, to }
    }

    /// The same, told of `provider`.
    #[must_use]
    pub const fn of(self, provider: &'a str) -> Self {
        Self { provider, ..self }
    }
}

/// Permission for one call. Give it back with [`Breaker::settle`], whatever became of the call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an unsettled ticket keeps a probe's place"]
pub struct Ticket {
    epoch: u64,
    probe: bool,
    begun: Option<Begun>,
}

/// What counted when a call's answer began, to be taken back if it breaks.
#[derive(Debug, PartialEq, Eq)]
struct Begun {
    slice: Instant,
    /// The row that it ended, and the how manieth end of a row that was.
    in_a_row: u32,
    ended: u64,
}

/// The state machine. See the module.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    epoch: u64,
    phase: Phase,
    /// How long it stays open the next time.
    hold: Duration,
}

#[derive(Debug)]
enum Phase {
    Closed { row: Row, window: Window },
    Open { until: Instant },
    HalfOpen { probing: u32, successes: u32 },
    ForcedOpen { until: Option<Instant> },
    ForcedClosed,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        let hold = config.open;
        Self { config, epoch: 0, phase: closed(), hold }
    }

    /// Whether a call would be let through now, without taking a probe's place.
    ///
    /// # Errors
    /// The wait after which to ask again.
    pub fn peek(&self, now: Instant) -> Result<(), Duration> {
        match &self.phase {
            Phase::Closed { .. } | Phase::ForcedClosed => Ok(()),
            Phase::Open { until } if now < *until => Err(*until - now),
            Phase::Open { .. } => Ok(()),
            Phase::HalfOpen { probing, .. } if *probing < self.config.probes => Ok(()),
            Phase::HalfOpen { .. } => Err(self.config.open),
            Phase::ForcedOpen { until: Some(until) } if now >= *until => Ok(()),
            Phase::ForcedOpen { until } => Err(until.map_or(self.config.open_max, |until| until - now)),
        }
    }

    /// Lets a call through, or says how long to wait.
    ///
    /// # Errors
    /// As for [`Breaker::peek`]; nothing changes then.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        self.peek(now)?;
        match self.phase {
            // Without results there is nothing to probe for.
            Phase::ForcedOpen { .. } if !self.config.enabled => self.enter(closed()),
            Phase::Open { .. } | Phase::ForcedOpen { .. } => {
                self.enter(Phase::HalfOpen { probing: 0, successes: 0 });
            }
            _ => {}
        }
        let probe = match &mut self.phase {
            Phase::HalfOpen { probing, .. } => {
                *probing += 1;
                true
            }
            _ => false,
        };
        Ok(Ticket { epoch: self.epoch, probe, begun: None })
    }

    /// The call's answer has begun, which counts as a success from now on, and as a failure instead if the call is settled as
    /// one. Without this, many long answers and a few quick failures would look like failures alone. A probe counts at its
    /// end.
    pub fn begun(&mut self, ticket: &mut Ticket, now: Instant) {
        if ticket.epoch != self.epoch || !self.config.enabled || ticket.begun.is_some() {
            return;
        }
        if let Phase::Closed { row, window } = &mut self.phase {
            let slice = window.add(now, self.config.window, false);
            let in_a_row = row.end();
            ticket.begun = Some(Begun { slice, in_a_row, ended: row.ended });
        }
    }

    /// Takes a call's result. `None` for a call that was given up: it frees its place and says nothing.
    ///
    /// Of a call that had [begun](Breaker::begun) to answer, anything but a failure changes nothing any more.
    ///
    /// `roll`, from 0 to 1, spreads the time the breaker stays open, so that many processes do not come back at once.
    pub fn settle(&mut self, ticket: Ticket, effect: Option<BreakerEffect>, now: Instant, roll: f64) {
        if ticket.epoch != self.epoch || !self.config.enabled {
            return;
        }
        let limits = (self.config.consecutive_failures, self.config.window);
        let mut trips = false;
        let mut heals = false;
        match &mut self.phase {
            Phase::Closed { row, window } => match effect {
                Some(BreakerEffect::Failure) => {
                    if let Some(begun) = ticket.begun {
                        window.turn(begun.slice, now, limits.1);
                        if begun.ended == row.ended {
                            // No other call ended the row, so this one has not either.
                            row.failures = row.failures.saturating_add(begun.in_a_row);
                        }
                    } else {
                        window.add(now, limits.1, true);
                    }
                    row.failures = row.failures.saturating_add(1);
                    let (calls, failures) = window.sums();
                    let share = f64::from(failures) / f64::from(calls.max(1));
                    trips = row.failures >= limits.0
                        || calls >= self.config.min_calls && share >= self.config.failure_rate;
                }
                Some(BreakerEffect::Success) if ticket.begun.is_none() => {
                    row.end();
                    window.add(now, limits.1, false);
                }
                _ => {}
            },
            Phase::HalfOpen { probing, successes } if ticket.probe => {
                *probing = probing.saturating_sub(1);
                match effect {
                    Some(BreakerEffect::Failure) => trips = true,
                    Some(BreakerEffect::Success) => {
                        *successes += 1;
                        heals = *successes >= self.config.successes_to_close;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if trips {
            self.open(now, roll);
        } else if heals {
            self.hold = self.config.open;
            self.enter(closed());
        }
    }

    fn open(&mut self, now: Instant, roll: f64) {
        // Up to a tenth longer, never above the cap.
        let spread = self.hold.mul_f64(0.1 * roll.clamp(0.0, 1.0));
        let until = now + (self.hold + spread).min(self.config.open_max);
        self.hold = (self.hold * 2).min(self.config.open_max);
        self.enter(Phase::Open { until });
    }

    fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
    }

    /// What it is doing now.
    pub fn state(&self, now: Instant) -> BreakerState {
        match &self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < *until => BreakerState::Open,
            Phase::ForcedOpen { until } if until.is_none_or(|until| now < until) => BreakerState::ForcedOpen,
            Phase::ForcedOpen { .. } if !self.config.enabled => BreakerState::Closed,
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::ForcedOpen { .. } => BreakerState::HalfOpen,
            Phase::ForcedClosed => BreakerState::ForcedClosed,
        }
    }

    /// Lets no call through, for a time or until told otherwise; afterwards it probes.
    pub fn force_open(&mut self, now: Instant, time: Option<Duration>) {
        self.enter(Phase::ForcedOpen { until: time.and_then(|time| now.checked_add(time)) });
    }

    /// Lets every call through until told otherwise.
    pub fn force_closed(&mut self) {
        self.enter(Phase::ForcedClosed);
    }

    /// Begins anew, closed.
    pub fn reset(&mut self) {
        self.hold = self.config.open;
        self.enter(closed());
    }
}

fn closed() -> Phase {
    Phase::Closed { row: Row::default(), window: Window::default() }
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Row {
    failures: u32,
    /// How many rows a success has ended.
    ended: u64,
}

impl Row {
    /// Ends it; says how long it was.
    fn end(&mut self) -> u32 {
        self.ended += 1;
        std::mem::take(&mut self.failures)
    }
}

/// Results of the last `window`, counted in ten slices.
#[derive(Debug, Default)]
struct Window {
    slices: VecDeque<(Instant, u32, u32)>,
}

impl Window {
    /// Adds a result; says in which slice it counts.
    fn add(&mut self, now: Instant, length: Duration, failed: bool) -> Instant {
        self.forget(now, length);
        let fresh =
            self.slices.back().is_none_or(|(begun, ..)| now.saturating_duration_since(*begun) >= length / 10);
        if fresh {
            self.slices.push_back((now, 0, 0));
        }
        if let Some((_, calls, failures)) = self.slices.back_mut() {
            *calls = calls.saturating_add(1);
            *failures = failures.saturating_add(u32::from(failed));
        }
        self.slices.back().map_or(now, |(begun, ..)| *begun)
    }

    /// Turns a success that was added to `slice` into a failure; a new one where it is forgotten already.
    fn turn(&mut self, slice: Instant, now: Instant, length: Duration) {
        self.forget(now, length);
        match self.slices.iter_mut().find(|(begun, ..)| *begun == slice) {
            Some((_, _, failures)) => *failures = failures.saturating_add(1),
            None => _ = self.add(now, length, true),
        }
    }

    fn forget(&mut self, now: Instant, length: Duration) {
        while self.slices.front().is_some_and(|(begun, ..)| now.saturating_duration_since(*begun) >= length) {
            self.slices.pop_front();
        }
    }

    /// All calls and failures that are not forgotten.
    fn sums(&self) -> (u32, u32) {
        self.slices.iter().fold((0, 0), |(calls, failures), (_, c, f)| {
            (calls.saturating_add(*c), failures.saturating_add(*f))
        })
    }
}
