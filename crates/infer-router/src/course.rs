//! One call on its way from target to target, until one answers or none is left.
//!
//! This is the shell: it waits and asks. Who is next is decided by the route (`route.rs`), what follows from an error by
//! the one table of `infer-core`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use infer_core::{ErrorKind, Failover, InferenceError, Tried};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Level;
use tracing::{Span, debug, debug_span, enabled, info, trace};

use crate::ask::Ask;
use crate::gate::{Gate, Permit, Plea, Spent, Verdict};
use crate::policy::Rolls;
use crate::registry::Provider;
use crate::route::{Pick, Route};
use crate::stream::Held;
use crate::table::Table;
use crate::target::{Flight, Passed, Refusal, TargetStats};
use crate::verdict;
use crate::work::{Copies, Work};

/// One call.
pub(crate) struct Course<'a, W> {
    pub(crate) table: &'a Table,
    pub(crate) route: Arc<Route>,
    pub(crate) ask: Ask,
    pub(crate) work: Copies<W>,
    pub(crate) gate: Option<&'a dyn Gate>,
    pub(crate) dice: &'a Mutex<fastrand::Rng>,
    pub(crate) failover: Failover,
    pub(crate) begun: Instant,
    /// When it must be over, and the time the caller gave.
    pub(crate) due: Option<(Instant, Duration)>,
    pub(crate) so_far: SoFar,
}

/// What came of it so far.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    pub(crate) passed: Passed,
    pub(crate) tried: Vec<Tried>,
    /// The error of the last of those tried.
    pub(crate) last: Option<InferenceError>,
    /// What a gate said last.
    pub(crate) denial: Option<String>,
    /// The error of a gate that may let the call through later.
    pub(crate) refused: Option<Box<InferenceError>>,
    /// The wait that was too long.
    pub(crate) cooling: Option<Duration>,
    waited: Duration,
    /// Routes that a gate sent it away from.
    left: Vec<Arc<str>>,
}

/// A target that answered.
pub(crate) struct Won<T> {
    pub(crate) answer: T,
    pub(crate) held: Held,
    pub(crate) provider: Arc<str>,
    /// Targets that failed before.
    pub(crate) tried: Vec<Tried>,
}

/// A target about to be asked.
struct Start<B> {
    who: Who,
    batch: Box<B>,
    permit: Option<Box<dyn Permit>>,
}

struct Who {
    provider: Arc<Provider>,
    model: String,
    stats: Arc<TargetStats>,
    context_window: Option<u64>,
}

/// A target that was asked.
struct Ended<T> {
    who: Who,
    took: Duration,
    result: Result<(T, Held), InferenceError>,
}

impl<'a, W: Work> Course<'a, W> {
    /// The course of `batch`, which begins now.
    pub(crate) fn new(
        table: &'a Table,
        route: Arc<Route>,
        ask: Ask,
        gate: Option<&'a dyn Gate>,
        dice: &'a Mutex<fastrand::Rng>,
        batch: Box<W>,
    ) -> Self {
        let begun = Instant::now();
        Self {
            table,
            route,
            ask,
            gate,
            dice,
            failover: batch.routing().failover,
            begun,
            due: batch.deadline().and_then(|limit| Some((begun.checked_add(limit)?, limit))),
            so_far: SoFar::default(),
            work: Copies::new(batch),
        }
    }

    /// What its targets are asked in.
    pub(crate) fn span(&self) -> Span {
        debug_span!("route", request_id = %self.work.request_id, route = &*self.route.name)
    }

    /// Asks one target after another.
    ///
    /// # Errors
    /// The last target's error, with those tried before it.
    pub(crate) async fn run(&mut self) -> Result<Won<W::Out>, InferenceError> {
        let Some((due, limit)) = self.due else { return self.race().await };
        if due > Instant::now()
            && let Ok(result) = timeout_at(due, self.race()).await
        {
            return result;
        }
        Err(verdict::late(self, limit))
    }

    async fn race(&mut self) -> Result<Won<W::Out>, InferenceError> {
        let mut running = FuturesUnordered::new();
        let mut next_at: Option<Instant> = None;
        loop {
            let mut ended = None;
            if running.is_empty() || next_at.is_some_and(|at| at <= Instant::now()) {
                next_at = None;
                let start = if running.is_empty() {
                    self.next(true).await
                } else {
                    // A gate may take its time, and those that run must not stand still meanwhile.
                    match select(running.next(), Box::pin(self.next(false))).await {
                        Either::Left((first, _)) => {
                            (ended, next_at) = (first, Some(Instant::now()));
                            None
                        }
                        Either::Right((start, _)) => start,
                    }
                };
                if let Some(start) = start {
                    let may_race = W::MAY_RACE && self.failover != Failover::Never;
                    let hold_back = self.route.hold_back.filter(|_| may_race);
                    next_at = hold_back.and_then(|time| Instant::now().checked_add(time));
                    running.push(self.begin(start));
                } else if running.is_empty() && ended.is_none() {
                    return Err(verdict::nobody(self));
                }
            }
            let ended = match (ended, next_at) {
                (Some(ended), _) => Some(ended),
                (None, Some(at)) => timeout_at(at, running.next()).await.ok().flatten(),
                (None, None) => running.next().await,
            };
            let Some(ended) = ended else { continue };
            match ended.result {
                Ok((answer, held)) => {
                    let provider = Arc::clone(ended.who.provider.name());
                    let tried = std::mem::take(&mut self.so_far.tried);
                    return Ok(Won { answer, held, provider, tried });
                }
                Err(error) => self.after(ended.who, ended.took, error)?,
            }
        }
    }

    /// Chooses whom to ask next, waiting for it if that is worth it and `may_wait`.
    async fn next(&mut self, may_wait: bool) -> Option<Start<W>> {
        loop {
            let route = Arc::clone(&self.route);
            let rolls = || {
                let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
                Rolls(dice.u64(..), dice.u64(..))
            };
            if enabled!(Level::TRACE) {
                let passed_over = route.reasons(&self.ask, &self.so_far.passed);
                trace!(request_id = %self.work.request_id, route = %route.name, passed_over, "choosing");
            }
            let target = match route.pick(&self.ask, &self.so_far.passed, Instant::now(), &rolls) {
                Pick::Ready(target) => target,
                Pick::Nobody => return None,
                Pick::Cooling(wait) => {
                    if !may_wait || !self.is_worth(wait) {
                        self.so_far.cooling = Some(wait);
                        return None;
                    }
                    // Not less than a timer can tell, so that a wait of nearly nothing is not asked for ever.
                    let wait = wait.max(Duration::from_millis(1));
                    self.so_far.waited += wait;
                    debug!(request_id = %self.work.request_id, route = %route.name, ?wait, "every target cools down: waiting");
                    sleep(wait).await;
                    continue;
                }
            };
            let model = target.model.name(&self.ask.rest).into_owned();
            let is_last =
                self.gate.is_none() && (self.failover == Failover::Never || route.targets().nth(1).is_none());
            let batch = self.work.take(&model, &route.name, target.changes, is_last)?;
            let who = Who {
                provider: Arc::clone(&target.provider),
                model,
                stats: Arc::clone(&target.stats),
                context_window: target.facts(&self.ask.rest).context_window,
            };
            if let Some(start) = self.admit(&route, who, batch, may_wait).await {
                return Some(start);
            }
        }
    }

    /// Whether `wait` is short enough for the operator and the caller.
    fn is_worth(&self, wait: Duration) -> bool {
        let in_time =
            |(due, _): (Instant, Duration)| Instant::now().checked_add(wait).is_some_and(|ready| ready < due);
        self.so_far.waited.saturating_add(wait) <= self.table.max_cooldown_wait
            && self.due.is_none_or(in_time)
    }

    /// Asks the gate, and notes that this target had its turn.
    async fn admit(
        &mut self,
        route: &Arc<Route>,
        who: Who,
        batch: Box<W>,
        may_wait: bool,
    ) -> Option<Start<W>> {
        let provider = Arc::clone(who.provider.name());
        let verdict = match self.gate {
            None => Verdict::Allow,
            Some(gate) => {
                let request = batch.request();
                let left = self.due.map(|(due, _)| due.saturating_duration_since(Instant::now()));
                let patience = if may_wait { left } else { Some(Duration::ZERO) };
                let plea =
                    Plea::new(&route.name, &provider, &who.model, request, patience, who.provider.runner());
                gate.ask(&plea).await
            }
        };
        let permit = match verdict {
            Verdict::Allow => None,
            Verdict::Permit(permit) => Some(permit),
            Verdict::Deny(reason) => {
                debug!(request_id = %self.work.request_id, route = %route.name, %provider, model = who.model, reason, "not allowed");
                self.so_far.denial = Some(reason);
                self.so_far.passed.seen.push((provider, who.model, Refusal::Denied));
                return None;
            }
            Verdict::Refuse(error) => {
                debug!(request_id = %self.work.request_id, route = %route.name, %provider, model = who.model, %error, "not allowed now");
                let wait = |error: &InferenceError| error.retry_after().unwrap_or(Duration::MAX);
                let is_sooner = |before: &InferenceError| wait(&error) < wait(before);
                if self.so_far.refused.as_deref().is_none_or(is_sooner) {
                    self.so_far.refused = Some(error);
                }
                self.so_far.passed.seen.push((provider, who.model, Refusal::Denied));
                return None;
            }
            Verdict::Downgrade { route: other, reason } => {
                let left = &mut self.so_far.left;
                left.push(Arc::clone(&route.name));
                let next = self.table.exact(&other).filter(|next| !left.contains(&next.name));
                if let Some(next) = next {
                    info!(request_id = %self.work.request_id, from = %route.name, to = %next.name, reason, "downgraded");
                    self.route = Arc::clone(next);
                    self.ask.rest.clear();
                } else {
                    self.so_far.passed.seen.push((provider, who.model, Refusal::Denied));
                }
                self.so_far.denial = Some(reason);
                return None;
            }
        };
        debug!(request_id = %self.work.request_id, route = %route.name, %provider, model = who.model, "asking");
        self.so_far.passed.seen.push((provider, who.model.clone(), Refusal::Tried));
        Some(Start { who, batch, permit })
    }

    /// Asks a target.
    fn begin(&self, start: Start<W>) -> BoxFuture<'static, Ended<W::Out>> {
        let Start { who, batch, permit } = start;
        let mut held = Held::new(Flight::begin(&who.stats), permit);
        let begun = Instant::now();
        let time = self.due.map(|(due, _)| due.saturating_duration_since(begun));
        let streaming = self.ask.streaming;
        let work = batch.run(Arc::clone(who.provider.runner()), time);
        Box::pin(async move {
            let result = work.await;
            let now = Instant::now();
            let took = now.saturating_duration_since(begun);
            let result = match result {
                Ok(answer) => {
                    who.stats.answered(streaming, now, took);
                    Ok((answer, held))
                }
                Err(error) => {
                    if error.fails_over() {
                        who.stats.failed(streaming, now, took);
                    }
                    held.settle(Spent::failed(error.kind()));
                    Err(error)
                }
            };
            Ended { who, took, result }
        })
    }

    /// Notes an error; fails with it if nobody else may be asked.
    fn after(&mut self, who: Who, took: Duration, error: InferenceError) -> Result<(), InferenceError> {
        let mut tried = Tried::new(Arc::clone(who.provider.name()), who.model, error.kind(), took);
        tried.status = error.origin().and_then(|at| at.status);
        let was_handed_over = error.origin().is_some_and(|at| at.chunks > 0);
        let wants_larger = error.kind() == ErrorKind::ContextLengthExceeded && !was_handed_over;
        let goes_on = self.failover != Failover::Never && (error.fails_over() || wants_larger);
        if goes_on {
            info!(request_id = %self.work.request_id, route = %self.route.name, provider = %tried.provider, model = tried.model, %error, "failed: looking for another target");
        }
        if wants_larger {
            let known = who.context_window.unwrap_or_else(|| self.ask.least_tokens(None));
            let before = self.so_far.passed.too_small.unwrap_or(0);
            self.so_far.passed.too_small = Some(known.max(before));
        }
        if goes_on {
            self.so_far.tried.push(tried);
            self.so_far.last = Some(error);
            return Ok(());
        }
        Err(verdict::last(self, error))
    }
}
