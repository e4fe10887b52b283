//! An answer as it stands on the wire, whole or one event of a stream, borrowed from its bytes.
//!
//! Shapes after Anthropic's API reference and its Python client's types, read 2026-11-21. Members are read only when
//! somebody wants them, so one of an unexpected type spoils nothing but itself.

use std::borrow::Cow;

use infer_core::{DecodeKind, Served, WireFault, raw};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fault;
use crate::json::{filled, string, trim};

/// A whole answer, or the one in `message_start`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) stop_details: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// One event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) index: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// One block of content, whole or as it starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawBlock<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
}

/// What an event adds to a block, or to the message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Delta<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) signature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) stop_details: Option<&'a RawValue>,
}

impl Answer<'_> {
    /// Who answers, without the tier, which stands in the counts.
    pub(crate) fn served(&self) -> Served {
        let mut served = Served::default();
        served.id = filled(self.id).map(Cow::into_owned);
        served.model = filled(self.model).map(Cow::into_owned);
        served
    }
}

/// Reads `text`, which must be one JSON object. `what` names it in the fault.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, WireFault> {
    if !text.starts_with('{') {
        return Err(WireFault::malformed(DecodeKind::Json, format!("{what} is not an object")));
    }
    serde_json::from_str(text).map_err(|error| WireFault::unreadable(what, &error))
}

/// A text that may be left out and must not be anything else: a piece that cannot be read would leave a hole.
pub(crate) fn said<'a>(raw: Option<&'a RawValue>, member: &str) -> Result<Cow<'a, str>, WireFault> {
    match raw {
        None => Ok(Cow::Borrowed("")),
        Some(raw) => {
            string(raw).ok_or_else(|| WireFault::malformed(DecodeKind::Json, format!("{member} is not text")))
        }
    }
}

/// `bytes` as text, trimmed.
pub(crate) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, WireFault> {
    raw::utf8(bytes, what).map(trim)
}

/// A fault for the error that `body` reports under a success status.
pub(crate) fn reported(body: &str) -> WireFault {
    WireFault::Reported(Box::new(fault::read_in_success(body.as_bytes())))
}

/// Whether a server means something by this value.
pub(crate) fn is_truthy(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "0" | "\"\"" | "{}" | "[]")
}
