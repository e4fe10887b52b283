//! What is known about a run once it is over. Plain data, without a word of the prompt or the answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{CostEstimate, ErrorKind, FinishReason, RequestId, Routing, Served, Usage};

use crate::provider::Operation;

/// One attempt, or one whole call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunRecord {
    /// Which of the two.
    pub scope: Scope,
    /// Who asked whom for what; shared by all records of a call.
    pub subject: Arc<Subject>,
    /// Who answered; of a call, in its last attempt.
    pub served: Served,
    /// The upstream's name for the attempt; of a call, for its last one.
    pub upstream_request_id: Option<String>,
    /// The HTTP status, if a head came; of a call, in its last attempt.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why a call that failed was not tried again.
    pub stop: Option<Cow<'static, str>>,
    /// How many attempts had been made by then, this one included.
    pub attempts: u32,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub timing: Timing,
    /// The silence between pieces of content; of a call, in its last attempt.
    pub gaps: Gaps,
    /// Bytes of request bodies.
    pub bytes_out: u64,
    /// Bytes of response bodies.
    pub bytes_in: u64,
    /// Pieces decoded, with and without content; 1 for an answer in one piece.
    pub chunks: u64,
    /// Why the answer ended; of several answers, the first one.
    pub finish: Option<FinishReason>,
    /// Tokens used; of a call, the sum over its attempts. `None` when neither the upstream nor an estimate says.
    pub usage: Option<Usage>,
    /// Whether some of `usage`, and so of `cost`, was counted here and not by the upstream.
    pub estimated: bool,
    /// What it cost; of a call, the sum over its attempts.
    pub cost: Cost,
    /// Attempts of a call that used tokens, or may have, whose cost is not part of `cost`; 0 or 1 of an attempt.
    pub unpriced_attempts: u32,
}

impl RunRecord {
    /// A record of something that began and of which no more is known.
    pub fn new(scope: Scope, subject: Arc<Subject>, started: SystemTime) -> Self {
        Self {
            scope,
            subject,
            served: Served::default(),
            upstream_request_id: None,
            status: None,
            outcome: Outcome::Cancelled,
            stop: None,
            attempts: 0,
            started,
            timing: Timing::default(),
            gaps: Gaps::default(),
            bytes_out: 0,
            bytes_in: 0,
            chunks: 0,
            finish: None,
            usage: None,
            estimated: false,
            cost: Cost::Unpriced(Unpriced::Failed),
            unpriced_attempts: 0,
        }
    }

    /// The model that answered, else the one asked for.
    pub fn served_model(&self) -> &str {
        self.served.model.as_deref().unwrap_or(&self.subject.model)
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// One request to the upstream.
    Attempt {
        /// Which one of its call, from 1.
        number: u32,
    },
    /// All of them, with the waits between.
    Call,
}

/// Who asks whom for what: the same for all attempts of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The kind of provider: `openai`.
    pub kind: &'static str,
    /// The provider's name in this process.
    pub provider: Arc<str>,
    /// The upstream's host.
    pub server: Option<Arc<str>>,
    /// What is asked for.
    pub operation: Operation,
    /// Whether the upstream bills it. False of what is free, such as reading again what was made before.
    pub is_billed: bool,
    /// The model asked for; empty where none is.
    pub model: String,
    /// Our name for the call.
    pub request_id: RequestId,
    /// Bytes of the prompt's text, from which an estimate counts what was read.
    pub prompt_bytes: u64,
    /// Whom it is counted to. In no event or metric: such names are not bounded.
    pub account: Account,
}

/// Whom a call is counted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Whose key asks.
    pub key: Option<Arc<str>>,
    /// The end user.
    pub user: Option<Arc<str>>,
    /// A label of the caller's choice.
    pub tag: Option<Arc<str>>,
    /// The route that led there.
    pub route: Option<Arc<str>>,
}

impl Account {
    /// What a call says of itself.
    pub fn of(routing: &Routing, user: Option<&str>) -> Self {
        let Routing { key, tag, route, .. } = routing;
        Self { key: key.clone(), user: user.map(Arc::from), tag: tag.clone(), route: route.clone() }
    }
}

impl Subject {
    /// A call of which no more is known.
    pub fn new(
        kind: &'static str,
        provider: impl Into<Arc<str>>,
        operation: Operation,
        model: impl Into<String>,
        request_id: RequestId,
    ) -> Self {
        Self {
            kind,
            provider: provider.into(),
            server: None,
            operation,
            is_billed: operation.is_billed(),
            model: model.into(),
            request_id,
            prompt_bytes: 0,
            account: Account::default(),
        }
    }

    /// The model asked for, if any.
    pub(super) fn asked_model(&self) -> Option<&str> {
        Some(self.model.as_str()).filter(|model| !model.is_empty())
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// With a whole answer.
    Completed,
    /// With this error.
    Failed(ErrorKind),
    /// The caller left, or another attempt was faster.
    Cancelled,
    /// Of an attempt: with this error, and another attempt follows.
    Retried(ErrorKind),
}

impl Outcome {
    /// The name in logs and metrics: `completed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Retried(_) => "retried",
        }
    }

    /// The error it ended with.
    pub const fn error(self) -> Option<ErrorKind> {
        match self {
            Self::Failed(kind) | Self::Retried(kind) => Some(kind),
            Self::Completed | Self::Cancelled => None,
        }
    }
}

/// What a run cost, or why nobody can say. Unpriced is never free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// This much.
    Known(CostEstimate),
    /// Nobody can say.
    Unpriced(Unpriced),
}

impl Cost {
    /// The cost, where it is known.
    pub const fn known(&self) -> Option<&CostEstimate> {
        match self {
            Self::Known(cost) => Some(cost),
            Self::Unpriced(_) => None,
        }
    }

    /// The cost of two attempts: the sum of what is known; else the reason that is not `Failed`, the later of two such.
    #[must_use]
    pub fn plus(self, later: Self) -> Self {
        match (self, later) {
            (Self::Known(a), Self::Known(b)) => Self::Known(a.saturating_add(b)),
            (known @ Self::Known(_), Self::Unpriced(_)) => known,
            (reason, Self::Unpriced(Unpriced::Failed)) => reason,
            (_, later) => later,
        }
    }
}

/// Why a run has no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unpriced {
    /// The tokens are known and the model's price is not.
    NoPriceForModel,
    /// The answer is complete and the upstream did not say what it used.
    NoUsage,
    /// It failed, or was left, before an answer began. Upstreams do not bill that as a rule.
    Failed,
}

impl Unpriced {
    /// The name in logs and metrics: `no_usage`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPriceForModel => "no_price_for_model",
            Self::NoUsage => "no_usage",
            Self::Failed => "failed",
        }
    }
}

/// How long a run took. A call's times count from its beginning, an attempt's from when its wait in the queue was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// From the beginning of the call to the beginning of the attempt; 0 of a call.
    pub after: Duration,
    /// In the queue: of an attempt, the wait before it, which is no part of `total`; of a call, all such waits, which are.
    pub queued: Duration,
    /// To the head of the answer; of a call, of its last attempt.
    pub head: Option<Duration>,
    /// To the first piece of content, or to the whole answer; of a call, of its last attempt.
    pub first_content: Option<Duration>,
    /// To the end.
    pub total: Duration,
}

/// The silence between one piece of content and the next. Pieces that came in one read have none between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gaps {
    /// How many.
    pub count: u64,
    /// The longest.
    pub max: Duration,
    /// All together.
    pub sum: Duration,
}

impl Gaps {
    /// Counts one.
    pub fn add(&mut self, gap: Duration) {
        self.count += 1;
        self.max = self.max.max(gap);
        self.sum = self.sum.saturating_add(gap);
    }

    /// The average; `None` without any.
    pub fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| self.sum.div_f64(self.count as f64))
    }
}
