//! A runner that answers equal calls from the cache.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use infer_core::{
    Completion, Controls, CostEstimate, EmbedBatch, Embeddings, ExecuteBatch, Health, InferenceError,
    ListedModel, ModelRunner, RelayAnswer, RelayRequest, RunHandle, RunMeta, RunnerInfo, TokenChunk,
    TokenStream, Usd,
};
use tokio::time::Instant;

use super::entry::{is_deterministic, is_keepable};
use super::flight::{Flights, Seat};
use super::key::CacheKey;
use super::{Hit, ResponseCache};

/// A runner that answers equal calls from the cache and keeps what is worth keeping.
///
/// Equal calls at the same time become one: the others wait for it, and when it fails or its caller leaves, the next goes
/// ahead. A streamed answer is kept once its stream has ended honestly; one that was left early is not.
#[derive(Debug)]
pub struct CachedRunner<R> {
    inner: R,
    cache: ResponseCache,
    scope: Arc<str>,
    pub(super) flights: Arc<Flights>,
}

/// What one call wants of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheControl {
    /// Whether an answer that is there may be given.
    pub read: bool,
    /// Whether the answer may be kept.
    pub write: bool,
    /// Whose answers these are; other tenants never see them.
    pub tenant: Option<Arc<str>>,
    /// How long the answer is good, instead of the configured time.
    pub ttl: Option<Duration>,
    /// Whether to use the cache although the call may be answered differently each time.
    pub nondeterministic: bool,
}

impl Default for CacheControl {
    fn default() -> Self {
        Self { read: true, write: true, tenant: None, ttl: None, nondeterministic: false }
    }
}

impl CacheControl {
    /// Neither reads nor keeps.
    pub fn off() -> Self {
        Self { read: false, write: false, ..Self::default() }
    }

    /// Asks anew and keeps the answer.
    pub fn refresh() -> Self {
        Self { read: false, ..Self::default() }
    }

    /// Keeps answers apart from those of other tenants.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }
}

/// What the cache had to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// It answered.
    Hit {
        /// What the answer had cost, where that is known.
        saved: Option<Usd>,
    },
    /// It had no answer.
    Miss,
    /// It was not asked.
    Skipped(Skipped),
}

/// Why the cache was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// The call did not want it.
    NotWanted,
    /// Equal calls may be answered differently: there is neither a temperature of 0 nor a seed.
    Nondeterministic,
    /// The request cannot be read here.
    Unreadable,
}

impl<R: ModelRunner> CachedRunner<R> {
    /// Puts `cache` in front of `inner`, whose name keeps its answers apart from those of other runners.
    pub fn new(inner: R, cache: ResponseCache) -> Self {
        let scope = Arc::clone(&inner.info().name);
        Self { inner, cache, scope, flights: Arc::default() }
    }

    /// The cache.
    pub fn cache(&self) -> &ResponseCache {
        &self.cache
    }

    /// Shares answers with all runners of this `scope`.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Runs one request and says what the cache had to do with it.
    ///
    /// A hit made no attempt ([`RunMeta::attempts`] is 0) and costs nothing. Waiting for an equal call counts against the
    /// call's deadline.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn execute_with(
        &self,
        mut batch: ExecuteBatch,
        control: &CacheControl,
    ) -> Result<(RunHandle, CacheOutcome), InferenceError> {
        let key = match self.key(&batch, control) {
            Ok(key) => key,
            Err(skipped) => return Ok((self.inner.execute(batch).await?, CacheOutcome::Skipped(skipped))),
        };
        if control.read
            && let Some(hit) = self.cache.find(key).await
        {
            return Ok(self.hit(&batch, hit));
        }
        let mut seat = self.flights.join(key);
        if control.read && control.write {
            let began = Instant::now();
            let most =
                batch.deadline.map_or(self.cache.config().max_wait, |d| d.min(self.cache.config().max_wait));
            // Whoever waited long enough goes ahead without the turn.
            let _ = tokio::time::timeout(most, seat.turn()).await;
            if let Some(hit) = self.cache.find_in_memory(key) {
                return Ok(self.hit(&batch, hit));
            }
            batch.deadline = batch.deadline.map(|deadline| deadline.saturating_sub(began.elapsed()));
        }
        let keeper = Keeper {
            cache: self.cache.clone(),
            key,
            seat,
            choices: batch.choices(),
            ttl: control.ttl,
            wanted: control.write,
        };
        let is_streaming = batch.is_streaming();
        let run = self.inner.execute(batch).await?;
        if is_streaming {
            let meta = run.meta().clone();
            let stream =
                Recording { inner: run.into_stream(), taken: Some((keeper, Completion::default(), 0)) };
            return Ok((RunHandle::streaming(meta, stream), CacheOutcome::Miss));
        }
        let (meta, completion) = run.into_whole().await?;
        keeper.keep(&completion);
        Ok((RunHandle::collected(meta, completion), CacheOutcome::Miss))
    }

    fn key(&self, batch: &ExecuteBatch, control: &CacheControl) -> Result<CacheKey, Skipped> {
        let config = self.cache.config();
        if !control.read && !control.write {
            return Err(Skipped::NotWanted);
        }
        if !(config.nondeterministic || control.nondeterministic || is_deterministic(batch)) {
            return Err(Skipped::Nondeterministic);
        }
        self.cache.secret().key(&self.scope, control.tenant.as_deref(), batch).ok_or(Skipped::Unreadable)
    }

    fn hit(&self, batch: &ExecuteBatch, hit: Hit) -> (RunHandle, CacheOutcome) {
        let mut meta = RunMeta::new(Arc::clone(&self.inner.info().name), batch.request_id.clone());
        meta.attempts = 0;
        (RunHandle::collected(meta, hit.completion), CacheOutcome::Hit { saved: hit.saved })
    }
}

#[async_trait]
impl<R: ModelRunner> ModelRunner for CachedRunner<R> {
    fn info(&self) -> &RunnerInfo {
        self.inner.info()
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        Ok(self.execute_with(batch, &CacheControl::default()).await?.0)
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        self.inner.embed(batch).await
    }

    /// Passed on, and never kept: nobody here knows what may be answered twice.
    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        self.inner.relay(request).await
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

/// Keeps the answer of a call, and has the next equal call wait until then.
struct Keeper {
    cache: ResponseCache,
    key: CacheKey,
    seat: Seat,
    choices: u32,
    ttl: Option<Duration>,
    wanted: bool,
}

impl Keeper {
    fn keep(self, completion: &Completion) {
        let kept = self.wanted
            && is_keepable(completion, self.choices, self.cache.config())
            && self.cache.keep(self.key, completion.clone(), self.ttl);
        if !kept {
            // Equal calls will not find an answer either, so there is nothing to wait for.
            self.seat.open();
        }
    }
}

/// A stream that is noted down as it passes.
struct Recording {
    inner: TokenStream,
    /// What has passed and its size; gone once it cannot be kept any more.
    taken: Option<(Keeper, Completion, usize)>,
}

impl Stream for Recording {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = this.inner.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => this.note(chunk),
            Poll::Ready(Some(Err(_))) => drop(this.taken.take()),
            Poll::Ready(None) => {
                if let Some((keeper, whole, _)) = this.taken.take() {
                    keeper.keep(&whole);
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl Recording {
    fn note(&mut self, chunk: &TokenChunk) {
        let Some((keeper, whole, size)) = &mut self.taken else { return };
        let calls: usize = chunk.tool_calls.iter().map(|call| call.arguments.len()).sum();
        *size += chunk.text.len() + chunk.reasoning.len() + chunk.refusal.len() + calls;
        // Nothing is kept of an answer that will not be: not the too long, not sound.
        if *size > keeper.cache.config().max_entry_bytes || chunk.audio.is_some() || !keeper.wanted {
            keeper.seat.open();
            self.taken = None;
            return;
        }
        let mut piece = chunk.clone();
        piece.wire = None;
        whole.push(piece);
    }
}
