//! Asks somebody else whether a target may be asked: budgets, keys, rules of the house.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use infer_core::{
    CostEstimate, EmbedBatch, ErrorKind, ExecuteBatch, InferenceError, ModelRunner, RelayRequest, Usage,
};

/// Says whether a call may go to a target. Asked right before every try, so what it reserves is about to be spent.
///
/// ```
/// use infer_router::gate::{Gate, Plea, Verdict};
///
/// /// Lets nothing out of the house at night.
/// #[derive(Debug)]
/// struct Curfew {
///     is_night: bool,
/// }
///
/// #[async_trait::async_trait]
/// impl Gate for Curfew {
///     async fn ask(&self, plea: &Plea<'_>) -> Verdict {
///         if self.is_night && plea.provider != "local" {
///             return Verdict::Deny("only local models at night".to_owned());
///         }
///         Verdict::Allow
///     }
/// }
/// ```
#[async_trait]
pub trait Gate: Send + Sync + fmt::Debug {
    /// The verdict on one try. Dropping the future cancels; nothing must stay reserved then.
    async fn ask(&self, plea: &Plea<'_>) -> Verdict;
}

/// What is about to be sent, and where.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Plea<'a> {
    /// The route.
    pub route: &'a str,
    /// The provider's name.
    pub provider: &'a str,
    /// The model there.
    pub model: &'a str,
    /// The request as it will be sent.
    pub request: Request<'a>,
    /// How long the gate may take at most to let the call through; none where the caller set no time. It is nothing where
    /// another target is being asked already.
    pub patience: Option<Duration>,
    runner: &'a dyn ModelRunner,
}

/// A request of any kind.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Request<'a> {
    /// For an answer.
    Answer(&'a ExecuteBatch),
    /// For vectors.
    Vectors(&'a EmbedBatch),
    /// One that is passed on as it is.
    Relay(&'a RelayRequest),
}

impl<'a> Plea<'a> {
    pub(crate) fn new(
        route: &'a str,
        provider: &'a str,
        model: &'a str,
        request: Request<'a>,
        patience: Option<Duration>,
        runner: &'a dyn ModelRunner,
    ) -> Self {
        Self { route, provider, model, request, patience, runner }
    }

    /// What the call would cost at least, as far as the provider knows. `None` for all but answers.
    pub fn estimate(&self) -> Option<CostEstimate> {
        match self.request {
            Request::Answer(batch) => self.runner.estimate(batch),
            Request::Vectors(_) | Request::Relay(_) => None,
        }
    }
}

/// What a gate says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It may, and nobody wants to hear how it went.
    Allow,
    /// It may; the permit is told how it went.
    Permit(Box<dyn Permit>),
    /// Not this target; others may be asked. The reason is one line for the caller: `budget "team" is used up`.
    Deny(String),
    /// Not this target now; others may be asked. If none is left, the error is the call's, with the shortest wait of all
    /// such errors.
    Refuse(Box<InferenceError>),
    /// Not by this route: by the one of that name instead, if there is one that was not taken yet; else it is a denial.
    Downgrade {
        /// The other route.
        route: String,
        /// Why, as in a denial.
        reason: String,
    },
}

/// Is told how a try went, once. Dropped untold, the try was given up before content: the caller left, or another target
/// was faster.
pub trait Permit: Send + fmt::Debug {
    /// Takes what is known.
    fn settle(self: Box<Self>, spent: Spent);
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// What ended it.
    pub end: End,
    /// Tokens, as far as the upstream told by then.
    pub usage: Option<Usage>,
    /// What they cost; `None` when the price or the usage is not known.
    pub cost: Option<CostEstimate>,
}

/// What ended a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The answer was whole.
    Whole,
    /// It failed, before content or after.
    Failed(ErrorKind),
    /// The caller left in the middle of the answer.
    Left,
}

impl Spent {
    pub(crate) const fn failed(kind: ErrorKind) -> Self {
        Self { end: End::Failed(kind), usage: None, cost: None }
    }
}
