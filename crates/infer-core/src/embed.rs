//! Embeddings: texts in, vectors out.

use std::sync::Arc;

use crate::{CostEstimate, Extra, RawJson, RequestId, Routing, Tried, Usage};

/// One request for embeddings.
///
/// ```
/// let batch = infer_core::EmbedBatch::new("text-embedding-3-small", ["one", "two"]).with_dimensions(256);
/// assert_eq!(batch.input.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EmbedBatch {
    /// Our name for the call.
    pub request_id: RequestId,
    /// The model.
    pub model: String,
    /// What to embed.
    pub input: Vec<EmbedInput>,
    /// The length of the vectors wanted, where the model can choose.
    pub dimensions: Option<u32>,
    /// Whether to ask for base64, a third of the size of decimal numbers; either answer is understood.
    pub base64: bool,
    /// A name for the end user.
    pub user: Option<String>,
    /// The most time the whole call may take.
    pub deadline: Option<std::time::Duration>,
    /// How a router is to treat the call; never sent.
    pub routing: Routing,
    /// Members passed through unread.
    pub extra: Extra,
}

/// One thing to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmbedInput {
    /// Text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

impl From<&str> for EmbedInput {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for EmbedInput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl EmbedBatch {
    /// Embeds every input with `model`.
    pub fn new(model: impl Into<String>, input: impl IntoIterator<Item = impl Into<EmbedInput>>) -> Self {
        Self {
            request_id: RequestId::generate(),
            model: model.into(),
            input: input.into_iter().map(Into::into).collect(),
            dimensions: None,
            base64: false,
            user: None,
            deadline: None,
            routing: Routing::default(),
            extra: Extra::new(),
        }
    }

    /// The length of the vectors wanted, where the model can choose.
    #[must_use]
    pub fn with_dimensions(mut self, dimensions: u32) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// Asks for base64.
    #[must_use]
    pub fn with_base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// The most time the whole call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: std::time::Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How a router is to treat the call.
    #[must_use]
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// A member passed through unread.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<RawJson>) -> Self {
        self.extra.set(name, value.into());
        self
    }
}

/// Vectors in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    /// One vector for every input.
    pub vectors: Vec<Vec<f32>>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens used.
    pub usage: Option<Usage>,
    /// What they cost; `None` when the price is not known.
    pub cost: Option<CostEstimate>,
    /// Whose answer it is, by the provider's name in this process. Filled in by a router.
    pub provider: Option<Arc<str>>,
    /// Targets that were asked before, and what each failed with. Filled in by a router.
    pub tried: Vec<Tried>,
}
