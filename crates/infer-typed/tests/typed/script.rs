//! A runner that answers from a list and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use infer_core::{
    Choice, Completion, CostEstimate, ExecuteBatch, FinishKind, InferenceError, ModelRunner, RunHandle,
    RunMeta, RunnerInfo, TokenChunk, ToolCall, Usage, Usd,
};

/// What comes back for one request.
#[derive(Debug)]
pub(crate) enum Reply {
    Whole(Completion),
    Pieces(Vec<Result<TokenChunk, InferenceError>>),
    Error(InferenceError),
    /// Takes this long before it answers.
    Late(Duration, Completion),
}

#[derive(Debug)]
pub(crate) struct Script {
    info: RunnerInfo,
    replies: Mutex<VecDeque<Reply>>,
    asked: Arc<Mutex<Vec<ExecuteBatch>>>,
}

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            info: RunnerInfo::new("script", "script"),
            replies: Mutex::new(replies.into_iter().collect()),
            asked: Arc::default(),
        }
    }

    pub(crate) fn of(completions: impl IntoIterator<Item = Completion>) -> Self {
        Self::new(completions.into_iter().map(Reply::Whole))
    }

    pub(crate) fn asked(&self) -> Vec<ExecuteBatch> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl ModelRunner for Script {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let meta = RunMeta::new("script", batch.request_id.clone());
        self.asked.lock().unwrap().push(batch);
        let reply = self.replies.lock().unwrap().pop_front();
        match reply.unwrap_or_else(|| panic!("asked more often than scripted")) {
            Reply::Whole(completion) => Ok(RunHandle::collected(meta, completion)),
            Reply::Pieces(pieces) => Ok(RunHandle::streaming(meta, futures_util::stream::iter(pieces))),
            Reply::Error(error) => Err(error),
            Reply::Late(wait, completion) => {
                tokio::time::sleep(wait).await;
                Ok(RunHandle::collected(meta, completion))
            }
        }
    }
}

/// An answer of text that used 10 tokens in and 5 out, for 7 pico-dollars.
pub(crate) fn says(text: &str) -> Completion {
    ends(text, FinishKind::Stop)
}

pub(crate) fn ends(text: &str, finish: FinishKind) -> Completion {
    let mut choice = Choice::new(0);
    text.clone_into(&mut choice.text);
    choice.finish = Some(finish.into());
    paid(choice)
}

/// An answer that asks for calls, at the same price.
pub(crate) fn calls(calls: impl IntoIterator<Item = ToolCall>) -> Completion {
    let mut choice = Choice::new(0);
    choice.tool_calls = calls.into_iter().collect();
    choice.finish = Some(FinishKind::ToolCalls.into());
    paid(choice)
}

pub(crate) fn paid(choice: Choice) -> Completion {
    let mut completion = Completion::default();
    completion.choices = vec![choice];
    completion.usage = Some(Usage::new(10, 5));
    let mut cost = CostEstimate::default();
    cost.output = Usd::from_picos(7);
    completion.cost = Some(cost);
    completion
}

/// Drives a future that waits for nothing.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
