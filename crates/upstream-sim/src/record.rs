//! What arrived, and who left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use infer_core::Usage;
use tokio::sync::watch;

use crate::sim::State;

const KEPT_REQUESTS: usize = 1_000;
const KEPT_BODY_BYTES: usize = 1 << 20;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, in the order they arrived. Nothing is hidden, keys included.
    pub headers: Vec<(String, String)>,
    /// At most the first mebibyte.
    pub body: Bytes,
}

impl Recorded {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn new(head: &Parts, body: &Bytes) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            // Copied, so that a kept excerpt does not keep the whole body.
            body: Bytes::copy_from_slice(body.get(..KEPT_BODY_BYTES).unwrap_or(body)),
        }
    }
}

/// Everything a simulator remembers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: Mutex<VecDeque<Recorded>>,
    turns: Mutex<HashMap<String, usize>>,
    calls: watch::Sender<u64>,
    cancelled: watch::Sender<u64>,
    answered: Mutex<Answered>,
}

/// Answers that were handed over whole, and what they said they used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// Answers of chat completions; those that broke off, or reported an error, are none.
    pub answers: u64,
    /// Tokens read for them.
    pub input_tokens: u64,
    /// Tokens written in them.
    pub output_tokens: u64,
}

impl Log {
    /// Keeps a request and gives its number, from 1.
    pub(crate) fn keep(&self, request: Recorded) -> u64 {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == KEPT_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
        self.calls.send_modify(|calls| *calls += 1);
        self.calls()
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// How often this was asked for `model` before.
    pub(crate) fn next_turn(&self, model: &str) -> usize {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(model.to_owned()).or_default();
        *turn += 1;
        *turn - 1
    }

    pub(crate) fn calls(&self) -> u64 {
        *self.calls.borrow()
    }

    pub(crate) fn cancelled(&self) -> u64 {
        *self.cancelled.borrow()
    }

    pub(crate) fn answered(&self) -> Answered {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, usage: Usage) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.answers += 1;
        answered.input_tokens = answered.input_tokens.saturating_add(usage.input_tokens);
        answered.output_tokens = answered.output_tokens.saturating_add(usage.output_tokens);
    }

    pub(crate) async fn until_calls(&self, count: u64) {
        // Fails only when the sender is gone, and it is borrowed here.
        _ = self.calls.subscribe().wait_for(|calls| *calls >= count).await;
    }

    pub(crate) async fn until_cancelled(&self, count: u64) {
        _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled >= count).await;
    }
}

/// One call while it is answered: counts as cancelled when dropped before [`Live::done`].
#[derive(Debug)]
pub(crate) struct Live {
    state: Option<Arc<State>>,
    usage: Option<Usage>,
}

impl Live {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state: Some(state), usage: None }
    }

    /// What the answer says that it used, where it will be a whole one.
    pub(crate) fn will_use(&mut self, usage: Option<Usage>) {
        self.usage = usage;
    }

    /// The answer, or as much of it as was planned, is handed over.
    pub(crate) fn done(&mut self) {
        if let (Some(state), Some(usage)) = (self.state.take(), self.usage) {
            state.log.count(usage);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.log.cancelled.send_modify(|cancelled| *cancelled += 1);
        }
    }
}
