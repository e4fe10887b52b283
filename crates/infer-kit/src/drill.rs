//! Failures on purpose, so that an operator sees what fallback, alarms and clients do about real ones.
//!
//! A drill stands before a provider: its breaker, limits and connections know nothing of it. It lasts for a time, and a
//! restart ends it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use infer_core::{
    Controls, CostEstimate, EmbedBatch, Embeddings, ErrorKind, ExecuteBatch, Health, InferenceError,
    ListedModel, ModelRunner, Origin, RelayAnswer, RelayRequest, RequestId, RunHandle, RunnerInfo,
    TimeoutPhase, TokenChunk, TokenStream,
};
use remote_core::Operation;
use remote_core::meter::{Account, MetricsSink};
use tokio::time::{Instant, sleep};

use crate::recorded;

/// The longest that a drill may last, and that it may delay a call.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How calls of a provider are to fail.
///
/// ```
/// use inference::{Drill, DrillFault};
///
/// let mut drill = Drill::new(DrillFault::Refuse { status: 503, retry_after: None });
/// drill.share = 0.5;
/// assert!(drill.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Drill {
    /// What happens to a call.
    pub fault: DrillFault,
    /// The share of calls it happens to, above 0 and at most 1, spread evenly: of 0.25, every fourth. 1.
    pub share: f64,
    /// How long such a call takes until it fails. 0 s.
    pub delay: Duration,
    /// How long the drill lasts, at most a day. 10 min.
    pub time: Duration,
}

/// What happens to a call in a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrillFault {
    /// It is refused with this status, as if the upstream had said so. The upstream is not asked.
    Refuse {
        /// From 400 to 599.
        status: u16,
        /// The wait that is asked for.
        retry_after: Option<Duration>,
    },
    /// No answer comes. The upstream is not asked.
    Timeout,
    /// A streamed answer breaks off after so many pieces, at least 1; what came is billed. An answer in one piece breaks off
    /// before it came, and the upstream is not asked.
    Cut {
        /// How many pieces pass.
        pieces: u64,
    },
}

impl DrillFault {
    /// The name in logs and JSON: `refuse`, `timeout`, `cut`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse { .. } => "refuse",
            Self::Timeout => "timeout",
            Self::Cut { .. } => "cut",
        }
    }
}

impl Drill {
    /// Every call, at once, for ten minutes.
    pub const fn new(fault: DrillFault) -> Self {
        Self { fault, share: 1.0, delay: Duration::ZERO, time: Duration::from_secs(600) }
    }

    /// Checks every value and reports all faults at once.
    ///
    /// # Errors
    /// [`InferenceError::Config`].
    pub fn validate(&self) -> Result<(), InferenceError> {
        let mut faults = Vec::new();
        match self.fault {
            DrillFault::Refuse { status, .. } if !(400..600).contains(&status) => {
                faults.push(format!("status: must be from 400 to 599, got {status}"));
            }
            DrillFault::Cut { pieces: 0 } => faults.push("pieces: must be at least 1, got 0".to_owned()),
            _ => {}
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            faults.push(format!("share: must be above 0 and at most 1, got {}", self.share));
        }
        if self.delay > LONGEST {
            faults.push(format!("delay: must be at most a day, got {:?}", self.delay));
        }
        if self.time.is_zero() || self.time > LONGEST {
            faults.push(format!("for: must be above 0s and at most a day, got {:?}", self.time));
        }
        if faults.is_empty() { Ok(()) } else { Err(InferenceError::config(faults.join("; "))) }
    }
}

/// A drill that is on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DrillReport {
    /// The provider whose calls fail.
    pub provider: String,
    /// How.
    pub drill: Drill,
    /// How much longer.
    pub left: Duration,
}

/// The drills of one [`Inference`](crate::Inference), by provider.
#[derive(Debug, Default)]
pub(crate) struct Drills(Mutex<BTreeMap<String, Arc<Switch>>>);

impl Drills {
    /// That of `provider`, which outlives its runners.
    pub(crate) fn of(&self, provider: &str) -> Arc<Switch> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(provider.to_owned()).or_default())
    }

    /// Those that are on.
    pub(crate) fn on(&self) -> Vec<DrillReport> {
        let now = Instant::now();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = |(provider, switch): (&String, &Arc<Switch>)| {
            let (drill, until) = switch.now(now)?;
            let left = until.saturating_duration_since(now);
            Some(DrillReport { provider: provider.clone(), drill, left })
        };
        known.iter().filter_map(report).collect()
    }
}

/// Whether a provider's calls fail, and how.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// All that a call looks at while no drill is on.
    is_on: AtomicBool,
    set: Mutex<Option<Set>>,
}

#[derive(Debug)]
struct Set {
    drill: Drill,
    until: Instant,
    /// The part of a failure that is due already.
    due: f64,
}

impl Switch {
    /// Begins a drill in place of the one before, or ends it.
    pub(crate) fn turn(&self, drill: Option<Drill>, now: Instant) {
        let set = drill.map(|drill| Set { until: now + drill.time, drill, due: 0.0 });
        let mut current = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_on.store(set.is_some(), Ordering::Relaxed);
        *current = set;
    }

    fn now(&self, now: Instant) -> Option<(Drill, Instant)> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.as_ref().filter(|set| now < set.until).map(|set| (set.drill.clone(), set.until))
    }

    /// What is to happen to a call that begins now.
    fn strike(&self, now: Instant) -> Option<(DrillFault, Duration)> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut current = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let set = current.as_mut()?;
        if now >= set.until {
            self.is_on.store(false, Ordering::Relaxed);
            *current = None;
            return None;
        }
        set.due += set.drill.share;
        // Sums of fractions are never quite whole.
        if set.due < 1.0 - 1e-9 {
            return None;
        }
        set.due -= 1.0;
        Some((set.drill.fault, set.drill.delay))
    }
}

/// A runner whose calls fail while a drill is on.
#[derive(Debug)]
pub(crate) struct Drilled {
    pub(crate) inner: Arc<dyn ModelRunner>,
    pub(crate) switch: Arc<Switch>,
    pub(crate) sink: Arc<dyn MetricsSink>,
}

impl Drilled {
    /// Fails a call that is never sent, and records that it failed.
    async fn fail(&self, fault: DrillFault, delay: Duration, call: Failing<'_>) -> InferenceError {
        let begun = Instant::now();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let mut at = Box::<Origin>::default();
        at.provider = Some(Arc::clone(&self.inner.info().name));
        at.model = Some(call.model.to_owned());
        at.request_id = Some(call.id.clone());
        at.attempts = 1;
        at.elapsed = begun.elapsed();
        let error = match fault {
            DrillFault::Refuse { status, retry_after } => {
                at.status = Some(status);
                at.message = Some("a drill of this gateway's operator".to_owned());
                let kind = ErrorKind::of_status(status).unwrap_or(ErrorKind::Upstream);
                InferenceError::reported(kind, at, retry_after)
            }
            DrillFault::Timeout => InferenceError::Timeout { at, phase: TimeoutPhase::Head, limit: delay },
            DrillFault::Cut { .. } => InferenceError::StreamInterrupted { at, source: None },
        };
        let subject = recorded::subject(self.inner.info(), call.operation, call.model, call.id, call.account);
        recorded::failed(&*self.sink, subject, begun, error.kind());
        error
    }

    /// An answer while a drill is on.
    async fn answer(
        &self,
        batch: ExecuteBatch,
        (fault, delay): (DrillFault, Duration),
    ) -> Result<RunHandle, InferenceError> {
        if let DrillFault::Cut { pieces } = fault
            && batch.is_streaming()
        {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            let mut at = Origin::default();
            at.provider = Some(Arc::clone(&self.inner.info().name));
            at.model = Some(batch.model.clone());
            at.request_id = Some(batch.request_id.clone());
            let run = self.inner.execute(batch).await?;
            let meta = run.meta().clone();
            let cut = CutShort { inner: Some(run.into_stream()), passed: 0, pieces, at: Box::new(at) };
            return Ok(RunHandle::streaming(meta, cut));
        }
        let account = Account::of(&batch.routing, batch.user.as_deref());
        let (model, id) = (&*batch.model, &batch.request_id);
        Err(self.fail(fault, delay, Failing { operation: Operation::Generate, model, id, account }).await)
    }
}

/// A call that is about to fail.
struct Failing<'a> {
    operation: Operation,
    model: &'a str,
    id: &'a RequestId,
    account: Account,
}

#[async_trait]
impl ModelRunner for Drilled {
    fn info(&self) -> &RunnerInfo {
        self.inner.info()
    }

    fn execute<'a, 'f>(
        &'a self,
        batch: ExecuteBatch,
    ) -> Pin<Box<dyn Future<Output = Result<RunHandle, InferenceError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        // Outside a drill nothing is put around a call.
        match self.switch.strike(Instant::now()) {
            Some(struck) => Box::pin(self.answer(batch, struck)),
            None => self.inner.execute(batch),
        }
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let Some((fault, delay)) = self.switch.strike(Instant::now()) else {
            return self.inner.embed(batch).await;
        };
        let account = Account::of(&batch.routing, batch.user.as_deref());
        let (model, id) = (&*batch.model, &batch.request_id);
        Err(self.fail(fault, delay, Failing { operation: Operation::Embed, model, id, account }).await)
    }

    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let Some((fault, delay)) = self.switch.strike(Instant::now()) else {
            return self.inner.relay(request).await;
        };
        let account = Account::of(&request.routing, request.user.as_deref());
        let (model, id) = (request.model.as_deref().unwrap_or_default(), &request.request_id);
        Err(self.fail(fault, delay, Failing { operation: Operation::Relay, model, id, account }).await)
    }

    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        self.inner.models().await
    }

    async fn health(&self) -> Result<Health, InferenceError> {
        self.inner.health().await
    }

    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        self.inner.estimate(batch)
    }

    fn ready_in(&self, model: &str) -> Duration {
        self.inner.ready_in(model)
    }

    fn controls(&self) -> Option<&dyn Controls> {
        self.inner.controls()
    }
}

/// A stream that breaks off. The upstream's own ends with it.
struct CutShort {
    /// None once it has ended.
    inner: Option<TokenStream>,
    passed: u64,
    pieces: u64,
    at: Box<Origin>,
}

impl Stream for CutShort {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        if this.passed >= this.pieces {
            this.inner = None;
            let mut at = std::mem::take(&mut this.at);
            at.chunks = this.passed;
            return Poll::Ready(Some(Err(InferenceError::StreamInterrupted { at, source: None })));
        }
        let polled = inner.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => this.passed += 1,
            Poll::Ready(_) => this.inner = None,
            Poll::Pending => {}
        }
        polled
    }
}

impl fmt::Debug for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutShort")
            .field("passed", &self.passed)
            .field("pieces", &self.pieces)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAULT: DrillFault = DrillFault::Timeout;

    proptest! {
        /// However small the share, so many of the calls fail as it says, give or take one, at any moment.
        #[test]
        fn the_share_is_kept_all_along(percent in 1_u32..=100, calls in 1_u32..400) {
            let switch = Switch::default();
            let now = Instant::now();
            switch.turn(Some(Drill { share: f64::from(percent) / 100.0, ..Drill::new(FAULT) }), now);
            let mut struck = 0;
            for call in 1..=calls {
                struck += u32::from(switch.strike(now).is_some());
                prop_assert!(struck * 100 <= call * percent && (struck + 1) * 100 >= call * percent);
            }
        }
    }

    #[test]
    fn it_ends_by_itself_or_when_told() {
        let switch = Switch::default();
        let now = Instant::now();
        assert!(switch.strike(now).is_none());
        switch.turn(Some(Drill::new(FAULT)), now);
        let late = now + Duration::from_secs(600);
        assert!(switch.strike(now).is_some() && switch.now(now).is_some());
        assert!(switch.now(late).is_none() && switch.strike(late).is_none());
        assert!(!switch.is_on.load(Ordering::Relaxed));
        switch.turn(Some(Drill::new(FAULT)), now);
        switch.turn(None, now);
        assert!(switch.strike(now).is_none());
    }

    #[test]
    fn all_faults_of_a_drill_are_reported_at_once() {
        let mut drill = Drill::new(DrillFault::Refuse { status: 200, retry_after: None });
        (drill.share, drill.time) = (f64::NAN, Duration::ZERO);
        let line = drill.validate().unwrap_err().to_string();
        for words in ["status: must be from 400 to 599, got 200", "share: must be", "for: must be"] {
            assert!(line.contains(words), "{words} is not in {line}");
        }
    }
}
