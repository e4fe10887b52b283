//! A runner that does as it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use infer_core::cost::{Rates, from_rates};
use infer_core::{
    BreakerPhase, BreakerReport, Completion, Controls, CostEstimate, EmbedBatch, Embeddings, ErrorKind,
    ExecuteBatch, FinishKind, Health, InferenceError, LastFailure, LimitReport, ListedModel, ModelRunner,
    Origin, RelayAnswer, RelayRequest, RunHandle, RunMeta, RunnerInfo, TimeoutPhase, TokenChunk,
    TransportKind, Usage,
};
use tokio::time::{Instant, sleep};

/// What to do with one call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Answer with this, after a time.
    Say(&'static str, Duration),
    /// Fail so, after a time.
    Fail(ErrorKind, Duration),
    /// Say this, then fail so.
    Break(&'static str, ErrorKind),
    /// Never answer.
    Hang,
    /// Say this and never go on.
    Stall(&'static str),
}

/// A runner that does as it is told.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) info: RunnerInfo,
    acts: Mutex<VecDeque<Act>>,
    usual: Act,
    seen: Mutex<Vec<ExecuteBatch>>,
    pub(crate) relayed: Mutex<Vec<RelayRequest>>,
    ready_at: Mutex<Option<Instant>>,
    rates: Option<Rates>,
    breaker: Mutex<Option<BreakerReport>>,
    open: Arc<()>,
}

pub(crate) fn says(name: &str, acts: impl IntoIterator<Item = Act>) -> Arc<Scripted> {
    Arc::new(Scripted::new(name, acts))
}

/// Fails so every time.
pub(crate) fn fails(name: &str, kind: ErrorKind) -> Arc<Scripted> {
    Arc::new(Scripted { usual: Act::Fail(kind, Duration::ZERO), ..Scripted::new(name, []) })
}

pub(crate) fn does(name: &str, usual: Act) -> Arc<Scripted> {
    Arc::new(Scripted { usual, ..Scripted::new(name, []) })
}

pub(crate) fn costs(name: &str, input: f64, output: f64) -> Arc<Scripted> {
    Arc::new(Scripted { rates: Some(Rates::new(input, output)), ..Scripted::new(name, []) })
}

/// An error of any kind.
pub(crate) fn error(name: &str, kind: ErrorKind, chunks: u64) -> InferenceError {
    let mut at = Origin::default();
    at.provider = Some(name.into());
    at.chunks = chunks;
    let (at, limit) = (Box::new(at), Duration::from_secs(1));
    match kind {
        ErrorKind::Timeout => InferenceError::Timeout { at, phase: TimeoutPhase::Connect, limit },
        ErrorKind::Transport => {
            InferenceError::Transport { at, kind: TransportKind::Certificate, source: None }
        }
        ErrorKind::Decode => {
            InferenceError::Decode { at, kind: infer_core::DecodeKind::Json, detail: "no".to_owned() }
        }
        ErrorKind::CircuitOpen => InferenceError::CircuitOpen { at, retry_after: limit },
        ErrorKind::QueueFull => InferenceError::QueueFull { at, retry_after: limit },
        ErrorKind::DeadlineExceeded => InferenceError::DeadlineExceeded { at, limit },
        ErrorKind::Config => InferenceError::config("wrong"),
        kind => InferenceError::reported(kind, at, None),
    }
}

/// A timer never fires at once, and a thousand calls that take no time should take none.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

impl Scripted {
    fn new(name: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            info: RunnerInfo::new("scripted", name),
            acts: Mutex::new(acts.into_iter().collect()),
            usual: Act::Say("fine", Duration::ZERO),
            seen: Mutex::default(),
            relayed: Mutex::default(),
            ready_at: Mutex::default(),
            rates: None,
            breaker: Mutex::default(),
            open: Arc::default(),
        }
    }

    pub(crate) fn seen(&self) -> Vec<ExecuteBatch> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Calls whose future or answer somebody holds.
    pub(crate) fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// Lets no call through for `time`.
    pub(crate) fn cool_down(&self, time: Duration) {
        *self.ready_at.lock().unwrap() = Some(Instant::now() + time);
    }

    /// Lets no call through for `time`, since its upstream said `status` last.
    pub(crate) fn break_open(&self, time: Duration, status: u16) {
        self.cool_down(time);
        let mut at = Origin::default();
        (at.status, at.code, at.message) =
            (Some(status), Some("busy".to_owned()), Some("come back".to_owned()));
        let failure = InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None);
        let mut report = BreakerReport::new("chat", BreakerPhase::Open);
        (report.next_try, report.last_failure) = (Some(time), Some(LastFailure::of(&failure)));
        *self.breaker.lock().unwrap() = Some(report);
    }

    fn whole(text: &str) -> Vec<TokenChunk> {
        let mut last = TokenChunk::finish(0, FinishKind::Stop);
        last.usage = Some(Usage::new(10, 2));
        vec![TokenChunk::text(0, text), last]
    }

    fn answer(
        &self,
        batch: ExecuteBatch,
        pieces: Vec<Result<TokenChunk, InferenceError>>,
        stalls: bool,
    ) -> RunHandle {
        let meta = RunMeta::new(Arc::clone(&self.info.name), batch.request_id);
        let open = Arc::clone(&self.open);
        let tail = futures_util::stream::iter(stalls.then_some(())).then(|()| std::future::pending());
        RunHandle::streaming(
            meta,
            futures_util::stream::iter(pieces).chain(tail).map(move |piece| {
                let _ = &open; // held until the stream is dropped
                piece
            }),
        )
    }
}

#[async_trait]
impl ModelRunner for Scripted {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let _open = Arc::clone(&self.open);
        self.seen.lock().unwrap().push(batch.clone());
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| self.usual.clone());
        match act {
            Act::Say(text, after) => {
                pause(after).await;
                let pieces = Self::whole(text);
                if batch.is_streaming() {
                    return Ok(self.answer(batch, pieces.into_iter().map(Ok).collect(), false));
                }
                let mut whole = Completion::default();
                for piece in pieces {
                    whole.push(piece);
                }
                Ok(RunHandle::collected(RunMeta::new(Arc::clone(&self.info.name), batch.request_id), whole))
            }
            Act::Fail(kind, after) => {
                pause(after).await;
                Err(error(&self.info.name, kind, 0))
            }
            Act::Break(text, kind) => {
                let end = error(&self.info.name, kind, 1);
                Ok(self.answer(batch, vec![Ok(TokenChunk::text(0, text)), Err(end)], false))
            }
            Act::Stall(text) => Ok(self.answer(batch, vec![Ok(TokenChunk::text(0, text))], true)),
            Act::Hang => std::future::pending().await,
        }
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let mut seen = ExecuteBatch::new(batch.model, "embed");
        seen.deadline = batch.deadline;
        self.seen.lock().unwrap().push(seen);
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| self.usual.clone());
        match act {
            Act::Fail(kind, _) => Err(error(&self.info.name, kind, 0)),
            _ => {
                let mut vectors = Embeddings::default();
                vectors.vectors = vec![vec![1.0]; batch.input.len()];
                vectors.model = Some(self.info.name.to_string());
                Ok(vectors)
            }
        }
    }

    /// Says the text in two pieces.
    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let open = Arc::clone(&self.open);
        let meta = RunMeta::new(Arc::clone(&self.info.name), request.request_id.clone());
        self.relayed.lock().unwrap().push(request);
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| self.usual.clone());
        let (text, end, stalls) = match act {
            Act::Say(text, after) => {
                pause(after).await;
                (text, None, false)
            }
            Act::Fail(kind, after) => {
                pause(after).await;
                return Err(error(&self.info.name, kind, 0));
            }
            Act::Break(text, kind) => (text, Some(Err(error(&self.info.name, kind, 1))), false),
            Act::Stall(text) => (text, None, true),
            Act::Hang => std::future::pending().await,
        };
        let (head, tail) = text.split_at(1);
        let pieces = [head, tail].map(|piece| Ok(piece.into())).into_iter().chain(end);
        let tail = futures_util::stream::iter(stalls.then_some(())).then(|()| std::future::pending());
        let body = futures_util::stream::iter(pieces).chain(tail).map(move |piece| {
            let _ = &open;
            piece
        });
        Ok(RelayAnswer::new(meta, 200, Vec::new(), body))
    }

    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        match self.usual {
            Act::Fail(kind, _) => Err(error(&self.info.name, kind, 0)),
            _ => Ok(vec![ListedModel::new("one"), ListedModel::new("two")]),
        }
    }

    async fn health(&self) -> Result<Health, InferenceError> {
        match self.usual {
            Act::Say(_, after) => Ok(Health::new(after)),
            Act::Fail(kind, _) => Err(error(&self.info.name, kind, 0)),
            _ => std::future::pending().await,
        }
    }

    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        let output = u64::from(batch.max_output_tokens.unwrap_or(0));
        let bytes: usize =
            batch.messages.typed().ok()?.iter().map(|message| message.content.text().len()).sum();
        Some(from_rates(&self.rates?, &Usage::new(bytes as u64 / 4, output)))
    }

    fn ready_in(&self, _: &str) -> Duration {
        let ready_at = *self.ready_at.lock().unwrap();
        ready_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    fn controls(&self) -> Option<&dyn Controls> {
        Some(self)
    }
}

impl Controls for Scripted {
    fn breakers(&self) -> Vec<BreakerReport> {
        self.breaker.lock().unwrap().iter().cloned().collect()
    }

    fn force_open(&self, _: Option<&str>, _: Option<Duration>) -> usize {
        0
    }

    fn force_closed(&self, _: Option<&str>) -> usize {
        0
    }

    fn reset(&self, _: Option<&str>) -> usize {
        0
    }

    fn limits(&self, _: &str) -> Option<LimitReport> {
        None
    }
}
