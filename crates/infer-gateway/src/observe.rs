//! What the gateway knows of a request when it is over, and who wants to know.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{CostEstimate, RequestId, Tried, Usage};
use inference::remote::meter::Histogram;

/// A request that is over: answered, refused, failed or left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Our name for it.
    pub request_id: RequestId,
    /// The kind of route: `chat`, `embeddings`, `messages`, `relay`. One of a fixed set.
    pub endpoint: &'static str,
    /// When it came.
    pub began: SystemTime,
    /// The name of the key.
    pub key: Option<Arc<str>>,
    /// The model as the client named it; anything at all, so never a label.
    pub model: Option<String>,
    /// The provider that answered.
    pub provider: Option<Arc<str>>,
    /// The model that answered.
    pub served_model: Option<String>,
    /// The status it was answered with; 499 where the client left before there was one.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// Whether the answer came from the cache; `None` where there is none or it was not asked.
    pub cached: Option<bool>,
    /// Whether there is a cache that was not asked.
    pub cache_skipped: bool,
    /// Targets that failed before the one that answered.
    pub tried: Vec<Tried>,
    /// Attempts at upstreams, of the target that answered.
    pub attempts: u32,
    /// From its arrival to the first content.
    pub first_content: Option<Duration>,
    /// From its arrival to its end.
    pub total: Duration,
    /// The part of `total` that no upstream took, nor a client that reads a stream: reading the request, checking, waiting in
    /// our own queue, choosing a target, writing the answer or the head of its stream. All of it where no upstream was asked.
    /// Of embeddings, what routing took is not known and not part of it.
    pub overhead: Duration,
    /// The part of `overhead` that it waited for its turn.
    pub queued: Duration,
    /// Pieces of the answer that were sent.
    pub chunks: u64,
    /// The silences between pieces of a streamed answer. Pieces that came together have none between them, and a client that
    /// reads slowly makes them longer.
    pub silences: Histogram,
    /// Tokens, as far as the answer said.
    pub usage: Option<Usage>,
    /// What they cost; `None` when the price is not known.
    pub cost: Option<CostEstimate>,
}

impl Seen {
    /// A request that arrived and of which no more is known: its client left.
    pub fn new(endpoint: &'static str, request_id: RequestId, began: SystemTime) -> Self {
        Self {
            request_id,
            endpoint,
            began,
            key: None,
            model: None,
            provider: None,
            served_model: None,
            status: 499,
            ending: Ending::Left,
            streamed: false,
            cached: None,
            cache_skipped: false,
            tried: Vec::new(),
            attempts: 0,
            first_content: None,
            total: Duration::ZERO,
            overhead: Duration::ZERO,
            queued: Duration::ZERO,
            chunks: 0,
            silences: Histogram::default(),
            usage: None,
            cost: None,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// With a whole answer.
    Answered,
    /// With an error of this name: one of the gateway's codes, or of the kinds of errors. One of a fixed set.
    Failed(&'static str),
    /// The answer broke after it had begun; the client was told by an error event of this name.
    Broken(&'static str),
    /// The client left.
    Left,
}

impl Ending {
    /// The name in logs and metrics: `answered`, `failed`, `broken`, `left`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
            Self::Left => "left",
        }
    }

    /// The name of the error; none where there was none.
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::Failed(code) | Self::Broken(code) => Some(code),
            Self::Answered | Self::Left => None,
        }
    }
}

/// Is told of every request once it is over, on the task that served it: it must be quick.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A request has begun.
    fn began(&self, _endpoint: &'static str) {}

    /// It is over.
    fn ended(&self, seen: &Seen);
}
