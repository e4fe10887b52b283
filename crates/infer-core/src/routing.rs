//! What a caller asks of a router, for one call, and whom it is counted to. Nothing of it goes over a wire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ErrorKind;

/// How one call is to be routed. A provider's own runner reads nothing of it.
///
/// ```
/// use infer_core::{ExecuteBatch, Routing};
/// let batch = ExecuteBatch::new("fast", "Say hello")
///     .with_routing(Routing::default().pinned_to("azure").without_failover());
/// assert_eq!(batch.routing.pin.as_deref(), Some("azure"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routing {
    /// Only targets of this provider, by its name in this process.
    pub pin: Option<String>,
    /// Whether other targets may be asked.
    pub failover: Failover,
    /// Calls with equal keys go to the same target where a route is sticky, to meet the prompt cache they filled.
    pub sticky_key: Option<String>,
    /// Whose key asks, by the name its spend is counted under.
    pub key: Option<Arc<str>>,
    /// A label by which spend is counted as well.
    pub tag: Option<Arc<str>>,
    /// The route taken. Set by the router on what it hands to a target; what a caller sets is overwritten.
    pub route: Option<Arc<str>>,
}

/// Whether another target may be asked when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failover {
    /// As the class of the error says.
    #[default]
    ByClass,
    /// Never: the first target's answer or error is the call's.
    Never,
}

impl Routing {
    /// Only targets of `provider`.
    #[must_use]
    pub fn pinned_to(mut self, provider: impl Into<String>) -> Self {
        self.pin = Some(provider.into());
        self
    }

    /// One target, whatever becomes of it.
    #[must_use]
    pub fn without_failover(mut self) -> Self {
        self.failover = Failover::Never;
        self
    }

    /// Goes where other calls with this key go.
    #[must_use]
    pub fn with_sticky_key(mut self, key: impl Into<String>) -> Self {
        self.sticky_key = Some(key.into());
        self
    }

    /// Counts what it costs under this key. Not the secret itself: its name.
    #[must_use]
    pub fn for_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Counts what it costs under this label.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

/// A target that was asked, and why it is not the one that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// The provider's name in this process.
    pub provider: Arc<str>,
    /// The model asked for there.
    pub model: String,
    /// What it failed with.
    pub kind: ErrorKind,
    /// The HTTP status, or the one an error inside a 200 stands for.
    pub status: Option<u16>,
    /// From being asked to failing.
    pub elapsed: Duration,
}

impl Tried {
    /// A target that failed with `kind` after `elapsed`.
    pub fn new(
        provider: impl Into<Arc<str>>,
        model: impl Into<String>,
        kind: ErrorKind,
        elapsed: Duration,
    ) -> Self {
        Self { provider: provider.into(), model: model.into(), kind, status: None, elapsed }
    }
}

/// `azure/gpt-4o rate_limited (http 429)`
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.provider, self.model, self.kind.name())?;
        self.status.map_or(Ok(()), |status| write!(f, " (http {status})"))
    }
}
