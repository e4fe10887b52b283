//! One piece of an answer as it streams.

use std::fmt;

use bytes::Bytes;

use crate::{CostEstimate, Filters, RawJson, ToolCallDelta, Usage, Wire, WireFormat};

/// One piece of an answer.
///
/// Most pieces carry text. A piece that carries nothing a reader would notice (a role, filter results, usage) still
/// appears, because a gateway passes its `wire` on; printing `text` of every piece is always right.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TokenChunk {
    /// Which answer it belongs to, from 0.
    pub index: u32,
    /// More text.
    pub text: String,
    /// More reasoning, where the upstream shows it.
    pub reasoning: String,
    /// Whole blocks of reasoning that the upstream wants back unread in the next turn, such as signed ones.
    pub reasoning_blocks: Vec<RawJson>,
    /// More of a refusal.
    pub refusal: String,
    /// More of tool calls.
    pub tool_calls: Vec<ToolCallDelta>,
    /// More sound.
    pub audio: Option<Box<Audio>>,
    /// Probabilities of the tokens of this piece.
    pub logprobs: Option<Box<Logprobs>>,
    /// What content filters found; those of the request come with index 0.
    pub filters: Option<Box<Filters>>,
    /// Set once for every answer, on its last piece with content.
    pub finish: Option<FinishReason>,
    /// Tokens used so far. A snapshot: the last one counts, they are never added up.
    pub usage: Option<Usage>,
    /// What `usage` costs; set beside it where the price is known.
    pub cost: Option<Box<CostEstimate>>,
    /// Who answers; on the first piece that knows, and again when more becomes known.
    pub served: Option<Box<Served>>,
    /// The event as received, on the first piece decoded from it; further pieces of the same event have an empty one.
    ///
    /// `None` means that this piece was made here, so whoever passes it on has to encode it.
    pub wire: Option<Wire>,
}

impl TokenChunk {
    /// A piece of text.
    pub fn text(index: u32, text: impl Into<String>) -> Self {
        Self { index, text: text.into(), ..Self::default() }
    }

    /// The last piece of an answer.
    pub fn finish(index: u32, finish: impl Into<FinishReason>) -> Self {
        Self { index, finish: Some(finish.into()), ..Self::default() }
    }

    /// The event as received, if it came in `format`.
    pub fn wire_in(&self, format: WireFormat) -> Option<&Bytes> {
        self.wire.as_ref()?.in_format(format)
    }

    /// Whether it carries something a caller would notice, so that the call must not be repeated after it.
    pub fn is_content(&self) -> bool {
        !self.text.is_empty()
            || !self.reasoning.is_empty()
            || !self.refusal.is_empty()
            || !self.tool_calls.is_empty()
            || self.audio.is_some()
            || self.finish.is_some()
    }
}

/// Who answers, as far as the upstream says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// The upstream's name for the answer; not unique at every upstream.
    pub id: Option<String>,
    /// The model that answers.
    pub model: Option<String>,
    /// The upstream's configuration, to compare repeatable answers.
    pub fingerprint: Option<String>,
    /// How the call was processed, which is what it is billed by.
    pub service_tier: Option<String>,
    /// When, in seconds since 1970.
    pub created: Option<u64>,
}

impl Served {
    /// Takes over what is not known yet; the first word stands, except for the tier, where the last does.
    pub fn learn(&mut self, later: &Self) {
        let first = |known: &mut Option<String>, new: &Option<String>| {
            if known.is_none() {
                known.clone_from(new);
            }
        };
        first(&mut self.id, &later.id);
        first(&mut self.model, &later.model);
        first(&mut self.fingerprint, &later.fingerprint);
        self.created = self.created.or(later.created);
        if later.service_tier.is_some() {
            self.service_tier.clone_from(&later.service_tier);
        }
    }
}

/// Sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audio {
    /// The upstream's name for it, to refer to it in later turns.
    pub id: Option<String>,
    /// The bytes, base64; a piece may end inside a group.
    pub data: String,
    /// What is said.
    pub transcript: String,
    /// Until when `id` is good, in seconds since 1970.
    pub expires_at: Option<u64>,
}

impl Audio {
    /// Adds the next piece.
    pub fn append(&mut self, more: &Self) {
        if more.id.is_some() {
            self.id.clone_from(&more.id);
        }
        self.data.push_str(&more.data);
        self.transcript.push_str(&more.transcript);
        self.expires_at = more.expires_at.or(self.expires_at);
    }
}

/// Probabilities of tokens.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Logprobs {
    /// Of the text.
    pub content: Vec<TokenLogprob>,
    /// Of the refusal.
    pub refusal: Vec<TokenLogprob>,
}

/// The probability of one token.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The token as text.
    pub token: String,
    /// Its natural logarithm; -9999 stands for "not among the most likely".
    pub logprob: f64,
    /// The token's bytes, where it has any.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// Alternatives, most likely first; theirs are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TokenLogprob>,
}

/// Why an answer ended: a kind to decide by, and the upstream's own word.
///
/// ```
/// use infer_core::{FinishKind, FinishReason};
/// let finish = FinishReason::new(FinishKind::Stop, "eos");
/// assert_eq!(finish.kind(), FinishKind::Stop);
/// assert_eq!(finish.as_str(), "eos");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishReason {
    kind: FinishKind,
    /// Only where it differs from the kind's own word, so that the usual case allocates nothing.
    word: Option<Box<str>>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishKind {
    /// The model was done, or a stop text came.
    Stop,
    /// A limit on tokens or the context was reached: the answer is incomplete.
    Length,
    /// The model wants tools called.
    ToolCalls,
    /// A filter cut the answer.
    ContentFilter,
    /// The upstream could not go on: the answer is incomplete.
    Error,
    /// A word this crate does not know.
    Other,
}

impl FinishKind {
    /// The usual word: `tool_calls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
            Self::Other => "other",
        }
    }
}

impl FinishReason {
    /// A kind and the upstream's word for it.
    pub fn new(kind: FinishKind, word: &str) -> Self {
        Self { kind, word: (word != kind.as_str()).then(|| word.into()) }
    }

    /// The kind.
    pub fn kind(&self) -> FinishKind {
        self.kind
    }

    /// The upstream's word.
    pub fn as_str(&self) -> &str {
        self.word.as_deref().unwrap_or(self.kind.as_str())
    }
}

impl From<FinishKind> for FinishReason {
    fn from(kind: FinishKind) -> Self {
        Self { kind, word: None }
    }
}

impl PartialEq<FinishKind> for FinishReason {
    fn eq(&self, kind: &FinishKind) -> bool {
        self.kind == *kind
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
