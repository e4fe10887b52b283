//! One request under way: what is known of it, told once to whoever wants to know, however it ends.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{CostEstimate, RequestId, RunMeta, Usage};
use tokio::time::Instant;

use crate::admission::Admitted;
use crate::observe::{Ending, Observer, Seen};

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
        let seen = Seen {
            request_id: id,
            endpoint,
            began: now,
            key: None,
            model: None,
            provider: None,
            served_model: None,
            status: 499,
            ending: Ending::Left,
            streamed: false,
            cached: None,
            tried: Vec::new(),
            attempts: 0,
            first_content: None,
            total: Duration::ZERO,
            overhead: Duration::ZERO,
            queued: Duration::ZERO,
            chunks: 0,
            usage: None,
            cost: None,
        };
        Self { seen, arrived: Instant::now(), observers, admitted: None, told: false }
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
        self.seen.overhead += waited;
    }

    /// The upstream has answered, at least with its first content.
    pub(crate) fn answered_by(&mut self, meta: &RunMeta) {
        self.seen.provider = Some(Arc::clone(&meta.provider));
        self.seen.attempts = meta.attempts;
        self.seen.tried.clone_from(&meta.tried);
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
        if let Some(admitted) = self.admitted.take() {
            let told = self.seen.usage.map(|usage| usage.input_tokens.saturating_add(usage.output_tokens));
            // Nothing was handed over: nothing was used.
            admitted.settle(told.or((self.seen.chunks == 0).then_some(0)));
        }
        for observer in &*self.observers.0 {
            observer.ended(&self.seen);
        }
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
