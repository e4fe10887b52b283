//! One request under way: what is known of it, told once to whoever wants to know, however it ends.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{CostEstimate, Origin, RequestId, RunMeta, Tried, Usage};
use infer_store::cache::CacheOutcome;
use tokio::time::Instant;
use tracing::Span;

use crate::admission::Admitted;
use crate::observe::{Ending, Observer, Seen};
use crate::span;

/// Told of every request once it is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observers(pub(crate) Arc<[Arc<dyn Observer>]>);

/// One request under way. Dropped untold, the client left.
pub(crate) struct Watch {
    seen: Seen,
    arrived: Instant,
    observers: Observers,
    admitted: Option<Admitted>,
    told: bool,
    /// When the upstream was asked, and when its answer or its error came.
    asked: Option<Instant>,
    came: Option<Instant>,
    /// When the piece before was taken.
    piece: Option<Instant>,
    span: Span,
}

impl Watch {
    /// A request that arrives now.
    pub(crate) fn begin(
        endpoint: &'static str,
        id: RequestId,
        now: SystemTime,
        observers: Observers,
    ) -> Self {
        for observer in &*observers.0 {
            observer.began(endpoint);
        }
        let seen = Seen::new(endpoint, id, now);
        Self {
            seen,
            arrived: Instant::now(),
            observers,
            admitted: None,
            told: false,
            asked: None,
            came: None,
            piece: None,
            span: Span::none(),
        }
    }

    /// The same, told to `span` as well.
    pub(crate) fn within(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// The span to run it in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.seen.request_id
    }

    pub(crate) fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }

    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Holds what lets the call in until it is over.
    pub(crate) fn admitted(&mut self, admitted: Admitted, waited: Duration) {
        self.admitted = Some(admitted);
        self.seen.queued += waited;
    }

    /// An upstream is asked now; what came before was ours.
    pub(crate) fn asked(&mut self) {
        self.asked = Some(Instant::now());
        self.seen.overhead = self.arrived().elapsed();
    }

    /// It has answered, or failed, after `upstream` of its own time; the rest was ours.
    fn came(&mut self, upstream: Duration) {
        let now = Instant::now();
        if let Some(asked) = self.asked
            && self.came.is_none()
        {
            self.seen.overhead += now.saturating_duration_since(asked).saturating_sub(upstream);
            self.came = Some(now);
        }
    }

    /// What followed the answer up to now was ours too.
    pub(crate) fn written(&mut self) {
        if let Some(came) = self.came.take() {
            self.seen.overhead += came.elapsed();
        }
    }

    /// The call failed, and that is where.
    pub(crate) fn failed_at(&mut self, at: &Origin) {
        self.seen.tried.clone_from(&at.tried);
        self.seen.attempts = at.attempts;
        self.came(at.elapsed);
    }

    /// What the cache had to do with it, where there is one.
    pub(crate) fn cached(&mut self, outcome: Option<CacheOutcome>) {
        (self.seen.cached, self.seen.cache_skipped) = match outcome {
            Some(CacheOutcome::Hit { .. }) => (Some(true), false),
            Some(CacheOutcome::Miss) => (Some(false), false),
            Some(_) => (None, true),
            None => (None, false),
        };
    }

    /// A piece of the answer that did not come together with the one before.
    pub(crate) fn piece(&mut self) {
        let now = Instant::now();
        if let Some(before) = self.piece.replace(now) {
            self.seen.silences.add(now.saturating_duration_since(before));
        }
    }

    /// The upstream has answered, at least with its first content.
    pub(crate) fn answered_by(&mut self, meta: &RunMeta) {
        self.seen.provider = Some(Arc::clone(&meta.provider));
        self.seen.attempts = meta.attempts;
        self.seen.tried.clone_from(&meta.tried);
        let failed: Duration = meta.tried.iter().map(|tried: &Tried| tried.elapsed).sum();
        self.came(failed + meta.time_to_first_chunk.unwrap_or_default());
        self.seen.first_content = Some(self.arrived.elapsed());
    }

    /// What it used and cost, as far as the answer says.
    pub(crate) fn used(&mut self, usage: Option<Usage>, cost: Option<CostEstimate>) {
        self.seen.usage = usage.or(self.seen.usage);
        self.seen.cost = cost.or(self.seen.cost);
    }

    /// The end: told once.
    pub(crate) fn end(&mut self, status: u16, ending: Ending) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        self.seen.status = status;
        self.seen.ending = ending;
        self.seen.total = self.arrived.elapsed();
        if self.asked.is_none() {
            self.seen.overhead = self.seen.total;
        }
        if !self.seen.streamed {
            self.written();
        }
        if let Some(admitted) = self.admitted.take() {
            let told = self.seen.usage.map(|usage| usage.input_tokens.saturating_add(usage.output_tokens));
            // Nothing was handed over: nothing was used.
            admitted.settle(told.or((self.seen.chunks == 0).then_some(0)));
        }
        for observer in &*self.observers.0 {
            observer.ended(&self.seen);
        }
        span::close(&self.span, &self.seen);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let status = self.seen.status;
        self.end(status, Ending::Left);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish_non_exhaustive()
    }
}
