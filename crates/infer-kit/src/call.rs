//! One call as the ledger sees it: it has a place for its row before it begins, and leaves one however it ends.
//!
//! Whoever runs a call for a provider writes the row, from its record. The call itself writes only where no provider was
//! asked: refused by a budget, without a route, out of time, or left before.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use infer_core::{
    Controls, CostEstimate, EmbedBatch, Embeddings, ErrorKind, ExecuteBatch, Health, InferenceError,
    ListedModel, ModelRunner, Origin, RelayAnswer, RelayRequest, RequestId, RunHandle, RunnerInfo,
};
use infer_store::StoreError;
use infer_store::ledger::{LedgerRow, Outcome, RowPermit};
use remote_core::meter::Account;
use tokio::time::Instant;

use crate::books::{self, Books};

tokio::task_local! {
    /// The call on whose behalf something runs. Nothing below runs in tasks of its own, so it is always the right one.
    static UNDER_WAY: Arc<Call>;
}

/// When to ask again while no more rows fit.
const AGAIN: Duration = Duration::from_secs(1);

/// A call with a place in the ledger.
pub(crate) struct Call {
    books: Arc<Books>,
    permit: RowPermit,
    /// Of what the row tells that it leaves if nobody else writes one.
    model: Box<str>,
    id: RequestId,
    account: Account,
    failed: OnceLock<ErrorKind>,
}

impl Call {
    /// The call on whose behalf this runs, if it is one of `books`.
    pub(crate) fn under_way(books: &Books) -> Option<Arc<Self>> {
        let call = UNDER_WAY.try_with(Arc::clone).ok()?;
        std::ptr::eq(&raw const *call.books, &raw const *books).then_some(call)
    }

    /// Hands in a row of this call.
    pub(crate) fn write(&self, row: LedgerRow) {
        self.permit.write(row);
    }

    /// It was answered from the cache.
    pub(crate) fn cached(&self) {
        self.write(self.own(Outcome::Cached));
    }

    fn own(&self, outcome: Outcome) -> LedgerRow {
        let mut row = LedgerRow::new(self.books.now(), &*self.model, self.id.as_str());
        books::fill(&mut row, &self.account);
        row.route = row.route.or_else(|| Some(self.model.to_string()));
        row.outcome = outcome;
        row
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.permit.rows() == 0 {
            self.write(self.own(self.failed.get().copied().map_or(Outcome::Left, Outcome::failed)));
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("permit", &self.permit).finish_non_exhaustive()
    }
}

/// What a call says of itself before it begins.
pub(crate) struct Caller<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) model: &'a str,
    pub(crate) account: Account,
    /// What is left of it is less by the time waited.
    pub(crate) deadline: &'a mut Option<Duration>,
}

impl<'a> Caller<'a> {
    pub(crate) fn of_answer(batch: &'a mut ExecuteBatch) -> Self {
        let account = Account::of(&batch.routing, batch.user.as_deref());
        Self { id: &batch.request_id, model: &batch.model, account, deadline: &mut batch.deadline }
    }

    pub(crate) fn of_vectors(batch: &'a mut EmbedBatch) -> Self {
        let account = Account::of(&batch.routing, batch.user.as_deref());
        Self { id: &batch.request_id, model: &batch.model, account, deadline: &mut batch.deadline }
    }

    pub(crate) fn of_relay(request: &'a mut RelayRequest) -> Self {
        let account = Account::of(&request.routing, request.user.as_deref());
        let model = request.model.as_deref().unwrap_or_default();
        Self { id: &request.request_id, model, account, deadline: &mut request.deadline }
    }
}

/// Waits for a place in the ledger; `None` where there is no ledger.
pub(crate) async fn admit(
    books: &Arc<Books>,
    caller: Caller<'_>,
) -> Result<Option<Arc<Call>>, InferenceError> {
    let Some(ledger) = &books.ledger else { return Ok(None) };
    let begun = Instant::now();
    let permit = ledger.reserve(*caller.deadline).await.map_err(|error| full(&error, caller.id))?;
    *caller.deadline = caller.deadline.map(|left| left.saturating_sub(begun.elapsed()));
    Ok(Some(Arc::new(Call {
        books: Arc::clone(books),
        permit,
        model: caller.model.into(),
        id: caller.id.clone(),
        account: caller.account,
        failed: OnceLock::new(),
    })))
}

fn full(error: &StoreError, id: &RequestId) -> InferenceError {
    let mut at = Origin::default();
    at.message = Some(Origin::excerpt(&error.to_string()));
    at.request_id = Some(id.clone());
    InferenceError::QueueFull { at: Box::new(at), retry_after: AGAIN }
}

/// Runs `work` on behalf of `call`, and ends it so when it is left. It comes in a box: moved in here by itself, it would take
/// its room twice.
pub(crate) async fn within<T>(
    call: Option<&Arc<Call>>,
    work: Pin<Box<impl Future<Output = Result<T, InferenceError>> + ?Sized>>,
) -> Result<T, InferenceError> {
    let Some(call) = call else { return work.await };
    let result = UNDER_WAY.scope(Arc::clone(call), work).await;
    result.inspect_err(|error| {
        // A call fails once.
        _ = call.failed.set(error.kind());
    })
}

/// The answer as its caller gets it: one in pieces keeps the call under way until it ends.
pub(crate) fn answered(call: Option<Arc<Call>>, run: RunHandle, streaming: bool) -> RunHandle {
    match call {
        Some(call) if streaming => {
            let meta = run.meta().clone();
            RunHandle::streaming(meta, Streamed { inner: Some(run.into_stream()), call })
        }
        _ => run,
    }
}

/// The same for what is passed on.
pub(crate) fn passed_on(call: Option<Arc<Call>>, answer: RelayAnswer) -> RelayAnswer {
    let Some(call) = call else { return answer };
    let RelayAnswer { meta, status, headers, body, .. } = answer;
    RelayAnswer::new(meta, status, headers, Streamed { inner: Some(body), call })
}

/// Pieces of an answer, of whatever kind.
type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, InferenceError>> + Send>>;

/// An answer on its way, on behalf of its call.
struct Streamed<T> {
    /// None once it is being dropped.
    inner: Option<Pieces<T>>,
    call: Arc<Call>,
}

impl<T> Stream for Streamed<T> {
    type Item = Result<T, InferenceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        UNDER_WAY.sync_scope(Arc::clone(&this.call), || inner.as_mut().poll_next(cx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}

impl<T> Drop for Streamed<T> {
    fn drop(&mut self) {
        // What is left in the middle is recorded now.
        let inner = self.inner.take();
        UNDER_WAY.sync_scope(Arc::clone(&self.call), || drop(inner));
    }
}

/// A provider's runner past all routes, whose calls have their places like all others.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) inner: Arc<dyn ModelRunner>,
    pub(crate) books: Arc<Books>,
}

#[async_trait]
impl ModelRunner for Direct {
    fn info(&self) -> &RunnerInfo {
        self.inner.info()
    }

    async fn execute(&self, mut batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let call = admit(&self.books, Caller::of_answer(&mut batch)).await?;
        let streaming = batch.is_streaming();
        let run = within(call.as_ref(), self.inner.execute(batch)).await?;
        Ok(answered(call, run, streaming))
    }

    async fn embed(&self, mut batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let call = admit(&self.books, Caller::of_vectors(&mut batch)).await?;
        within(call.as_ref(), self.inner.embed(batch)).await
    }

    async fn relay(&self, mut request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let call = admit(&self.books, Caller::of_relay(&mut request)).await?;
        let answer = within(call.as_ref(), self.inner.relay(request)).await?;
        Ok(passed_on(call, answer))
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
