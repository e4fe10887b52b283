//! What an upstream offers, and whether it is there.

use std::time::Duration;

use crate::RawJson;

/// A model as its upstream lists it. What a list does not say is `None`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedModel {
    /// The name to ask for.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: Option<u64>,
    /// Who offers it.
    pub owned_by: Option<String>,
    /// Tokens of input and output together.
    pub context_window: Option<u64>,
    /// Tokens of one answer.
    pub max_output_tokens: Option<u64>,
    /// The day on which it is switched off, as the upstream writes it.
    pub shutdown: Option<String>,
    /// The entry as received.
    pub wire: Option<RawJson>,
}

impl ListedModel {
    /// A model of which only the name is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            created: None,
            owned_by: None,
            context_window: None,
            max_output_tokens: None,
            shutdown: None,
            wire: None,
        }
    }
}

/// An upstream that answered. It does not prove that a model can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// From the request to the end of the answer.
    pub latency: Duration,
}

impl Health {
    /// An answer that took so long.
    pub const fn new(latency: Duration) -> Self {
        Self { latency }
    }
}
