//! A runner that a program brings, with a record of every call as the providers of this workspace make them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use infer_core::{
    Controls, CostEstimate, EmbedBatch, EmbedInput, Embeddings, ErrorKind, ExecuteBatch, Health,
    InferenceError, ListedModel, ModelRunner, RelayAnswer, RelayRequest, RequestId, RunHandle, RunnerInfo,
    Served, TokenChunk,
};
use infer_store::Clock;
use remote_core::Operation;
use remote_core::meter::{Account, AttemptTimer, CallTimer, Cost, MetricsSink, Outcome, Subject};
use tokio::time::Instant;

/// A runner whose calls are recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    inner: Arc<dyn ModelRunner>,
    sink: Arc<dyn MetricsSink>,
}

impl Recorded {
    pub(crate) fn new(inner: Arc<dyn ModelRunner>, sink: Arc<dyn MetricsSink>) -> Self {
        Self { inner, sink }
    }

    fn begin(
        &self,
        operation: Operation,
        model: &str,
        id: &RequestId,
        tokens: u64,
        account: Account,
    ) -> Watch {
        self.watch(self.subject(operation, model, id, tokens, account))
    }

    fn subject(
        &self,
        operation: Operation,
        model: &str,
        id: &RequestId,
        tokens: u64,
        account: Account,
    ) -> Subject {
        let mut subject = subject(self.inner.info(), operation, model, id, account);
        // Read back at four bytes a token.
        subject.prompt_bytes = tokens.saturating_mul(4);
        subject
    }

    fn watch(&self, subject: Subject) -> Watch {
        let now = Instant::now();
        let mut call = CallTimer::begin(subject, Clock::system().now(), now);
        let attempt = call.attempt(now);
        Watch { under_way: Some((call, attempt)), cost: None, sink: Arc::clone(&self.sink) }
    }
}

/// Who asks whom for what.
pub(crate) fn subject(
    info: &RunnerInfo,
    operation: Operation,
    model: &str,
    id: &RequestId,
    account: Account,
) -> Subject {
    let mut subject = Subject::new(info.provider, Arc::clone(&info.name), operation, model, id.clone());
    subject.account = account;
    subject
}

/// Records a call that began at `begun` and failed before anything was sent.
pub(crate) fn failed(sink: &dyn MetricsSink, subject: Subject, begun: Instant, kind: ErrorKind) {
    let mut call = CallTimer::begin(subject, Clock::system().now(), begun);
    let attempt = call.attempt(begun);
    let (now, outcome) = (Instant::now(), Outcome::Failed(kind));
    call.settle(attempt, now, outcome, None);
    sink.record(&call.finish(now, outcome));
}

/// One call under way; recorded once, however it ends.
struct Watch {
    under_way: Option<(CallTimer, AttemptTimer)>,
    cost: Option<CostEstimate>,
    sink: Arc<dyn MetricsSink>,
}

impl Watch {
    fn note(&mut self, note: impl FnOnce(&mut AttemptTimer, Instant)) {
        if let Some((_, attempt)) = &mut self.under_way {
            note(attempt, Instant::now());
        }
    }

    fn chunk(&mut self, chunk: &TokenChunk) {
        self.cost = chunk.cost.as_deref().copied().or(self.cost);
        self.note(|attempt, now| attempt.chunk(now, chunk));
    }

    fn received(&mut self, piece: &impl AsRef<[u8]>) {
        self.note(|attempt, _| attempt.received(piece.as_ref().len()));
    }

    fn end(&mut self, outcome: Outcome) {
        let Some((mut call, attempt)) = self.under_way.take() else { return };
        let now = Instant::now();
        call.settle(attempt, now, outcome, None);
        let mut record = call.finish(now, outcome);
        if let Some(cost) = self.cost {
            (record.cost, record.unpriced_attempts) = (Cost::Known(cost), 0);
        }
        self.sink.record(&record);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.note(|attempt, _| attempt.assume_read());
        self.end(Outcome::Cancelled);
    }
}

#[async_trait]
impl ModelRunner for Recorded {
    fn info(&self) -> &RunnerInfo {
        self.inner.info()
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let account = Account::of(&batch.routing, batch.user.as_deref());
        let tokens = model_facts::estimate_request(&batch);
        let mut watch = self.begin(Operation::Generate, &batch.model, &batch.request_id, tokens, account);
        let streaming = batch.is_streaming();
        let ended = async {
            let run = self.inner.execute(batch).await?;
            let meta = run.meta().clone();
            watch.note(|attempt, _| attempt.named(meta.upstream_request_id.clone()));
            if streaming {
                return Ok((meta, Err(run.into_stream())));
            }
            Ok::<_, InferenceError>((meta, Ok(run.collect().await?)))
        }
        .await;
        match ended {
            Ok((meta, Err(stream))) => {
                Ok(RunHandle::streaming(meta, Watched { inner: Some(stream), watch, note: Watch::chunk }))
            }
            Ok((meta, Ok(whole))) => {
                watch.cost = whole.cost;
                let finish = whole.finish().cloned();
                watch.note(|attempt, now| attempt.whole(now, whole.usage, whole.served.clone(), finish));
                watch.end(Outcome::Completed);
                Ok(RunHandle::collected(meta, whole))
            }
            Err(error) => {
                watch.end(Outcome::Failed(error.kind()));
                Err(error)
            }
        }
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let account = Account::of(&batch.routing, batch.user.as_deref());
        let tokens = input_tokens(&batch);
        let mut watch = self.begin(Operation::Embed, &batch.model, &batch.request_id, tokens, account);
        match self.inner.embed(batch).await {
            Ok(vectors) => {
                watch.cost = vectors.cost;
                let mut served = Served::default();
                served.model.clone_from(&vectors.model);
                watch.note(|attempt, now| attempt.whole(now, vectors.usage, served, None));
                watch.end(Outcome::Completed);
                Ok(vectors)
            }
            Err(error) => {
                watch.end(Outcome::Failed(error.kind()));
                Err(error)
            }
        }
    }

    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let account = Account::of(&request.routing, request.user.as_deref());
        let model = request.model.as_deref().unwrap_or_default();
        let tokens = request.input_tokens();
        let mut subject = self.subject(Operation::Relay, model, &request.request_id, tokens, account);
        subject.is_billed = request.method.is_billed();
        let mut watch = self.watch(subject);
        match self.inner.relay(request).await {
            Ok(answer) => {
                let RelayAnswer { meta, status, headers, body, .. } = answer;
                watch.note(|attempt, now| {
                    attempt.named(meta.upstream_request_id.clone());
                    attempt.head(now, status);
                });
                let note = Watch::received;
                Ok(RelayAnswer::new(meta, status, headers, Watched { inner: Some(body), watch, note }))
            }
            Err(error) => {
                watch.end(Outcome::Failed(error.kind()));
                Err(error)
            }
        }
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

/// About how many tokens go in.
pub(crate) fn input_tokens(batch: &EmbedBatch) -> u64 {
    let tokens = batch.input.iter().map(|input| match input {
        EmbedInput::Text(text) => model_facts::estimate_tokens(text),
        EmbedInput::Tokens(ids) => ids.len() as u64,
        _ => 0,
    });
    tokens.sum()
}

type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, InferenceError>> + Send>>;

/// A stream that is recorded as it passes.
struct Watched<T> {
    /// None once it has ended.
    inner: Option<Pieces<T>>,
    watch: Watch,
    /// What a piece says.
    note: fn(&mut Watch, &T),
}

impl<T> Stream for Watched<T> {
    type Item = Result<T, InferenceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        let polled = inner.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => {
                (this.note)(&mut this.watch, chunk);
                return polled;
            }
            Poll::Ready(Some(Err(error))) => this.watch.end(Outcome::Failed(error.kind())),
            Poll::Ready(None) => this.watch.end(Outcome::Completed),
            Poll::Pending => return polled,
        }
        this.inner = None;
        polled
    }
}
