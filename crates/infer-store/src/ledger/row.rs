//! One settled call.

use std::time::SystemTime;

use infer_core::{ErrorKind, InferenceError, Usage, Usd};

/// One settled call.
///
/// ```
/// use std::time::SystemTime;
/// use infer_core::{Usage, Usd};
/// use infer_store::ledger::{LedgerRow, RowCost};
///
/// let mut row = LedgerRow::new(SystemTime::UNIX_EPOCH, "gpt-4o-mini", "req-1");
/// row.key = Some("team-a".into());
/// row.usage = Usage::new(1_000, 20);
/// row.cost = RowCost::Priced(Usd::from_picos(162_000_000));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LedgerRow {
    /// When it was settled. Kept to the microsecond, from 1970 to 9999.
    pub at: SystemTime,
    /// Whose key asked.
    pub key: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// A label of the caller's choice.
    pub tag: Option<String>,
    /// The name that was routed.
    pub route: Option<String>,
    /// The provider that answered or failed last.
    pub provider: Option<String>,
    /// The model asked of the provider.
    pub model: String,
    /// The model the provider says it served.
    pub served_model: Option<String>,
    /// Tokens by kind.
    pub usage: Usage,
    /// What it cost.
    pub cost: RowCost,
    /// Whether usage or cost were counted here because the provider did not say.
    pub estimated: bool,
    /// Our name for the call.
    pub request_id: String,
    /// The provider's name for the attempt that answered.
    pub upstream_request_id: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a call cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowCost {
    /// This much.
    Priced(Usd),
    /// Nobody knows, and why. Unpriced is never free.
    Unpriced(String),
    /// Nothing was bought: refused, failed before an answer began, or answered from the cache.
    #[default]
    Nothing,
}

impl RowCost {
    /// The known amount.
    pub fn usd(&self) -> Usd {
        match self {
            Self::Priced(usd) => *usd,
            Self::Unpriced(_) | Self::Nothing => Usd::ZERO,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With an answer.
    #[default]
    Answered,
    /// With an answer from the cache.
    Cached,
    /// The caller left before the end.
    Left,
    /// With an error of this kind, by [`ErrorKind::name`].
    Failed(String),
}

impl Outcome {
    /// The outcome of a call that ended in `error`.
    pub fn of(error: &InferenceError) -> Self {
        Self::failed(error.kind())
    }

    /// The outcome of a call that ended in an error of `kind`.
    pub fn failed(kind: ErrorKind) -> Self {
        Self::Failed(kind.name().to_owned())
    }

    /// The word for it: `answered`, `cached`, `left`, or the kind of error.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Answered => "answered",
            Self::Cached => "cached",
            Self::Left => "left",
            Self::Failed(kind) => kind,
        }
    }
}

impl LedgerRow {
    /// A call to `model` that used and cost nothing so far.
    pub fn new(at: SystemTime, model: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self {
            at,
            key: None,
            user: None,
            tag: None,
            route: None,
            provider: None,
            model: model.into(),
            served_model: None,
            usage: Usage::default(),
            cost: RowCost::Nothing,
            estimated: false,
            request_id: request_id.into(),
            upstream_request_id: None,
            outcome: Outcome::Answered,
        }
    }
}
