//! What Acme sends: one object for whole answers and for events, in which every member may be missing.

use infer_core::{DecodeKind, FinishKind, FinishReason, Served, Usage, WireFault};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A whole answer, or one event of a stream. Members that nobody knows are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) tokens: Option<Tokens>,
    /// Only in events: nothing follows.
    pub(crate) last: Option<bool>,
    pub(crate) error: Option<serde::de::IgnoredAny>,
}

/// Counts. Those of the last event that has some are those of the whole answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tokens {
    input: u64,
    cached: u64,
    output: u64,
}

impl Tokens {
    pub(crate) fn usage(self) -> Usage {
        let mut usage = Usage::new(self.input, self.output);
        usage.cached_input_tokens = self.cached;
        usage
    }
}

impl Answer {
    /// Who answers, if it says so.
    pub(crate) fn served(&self) -> Option<Served> {
        let mut served = Served::default();
        served.id.clone_from(&self.id);
        served.model.clone_from(&self.model);
        (served != Served::default()).then_some(served)
    }

    /// Why it ended, if it says so: a kind to decide by, and Acme's own word.
    pub(crate) fn finish(&self) -> Option<FinishReason> {
        let word = self.end.as_deref()?;
        let kind = match word {
            "stop" => FinishKind::Stop,
            "max_tokens" => FinishKind::Length,
            "filtered" => FinishKind::ContentFilter,
            _ => FinishKind::Other,
        };
        Some(FinishReason::new(kind, word))
    }
}

/// Reads JSON. `what` it is stands in the fault, the upstream's text does not: it may be anything.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, WireFault> {
    if bytes.trim_ascii().is_empty() {
        return Err(WireFault::malformed(DecodeKind::Empty, format!("no {what}")));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        WireFault::malformed(DecodeKind::Json, format!("{what}, line {line}, column {column}"))
    })
}
