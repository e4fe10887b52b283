//! An answer as it stands on the wire, whole or one event of a stream, borrowed from its bytes.
//!
//! One set of types serves both: a whole answer says `message` where an event says `delta`. Members are read only as
//! far as every answer needs; what is rare or can be large stays [`RawValue`] until somebody wants it.

use std::borrow::Cow;

use infer_core::{DecodeKind, Served, WireFault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Count, Few, Text, is_truthy};

/// The most choices of one answer. OpenAI's limit for `n` is the same (its API description, read 2026-11-21).
pub(crate) const MAX_CHOICES: usize = 128;

/// A whole answer, or one event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    pub(crate) created: Count,
    #[serde(borrow)]
    pub(crate) model: Text<'a>,
    #[serde(borrow)]
    pub(crate) system_fingerprint: Text<'a>,
    #[serde(borrow)]
    pub(crate) service_tier: Text<'a>,
    #[serde(borrow)]
    pub(crate) choices: Few<RawChoice<'a>, MAX_CHOICES>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    /// OpenAI's random padding, another in every event.
    #[serde(borrow)]
    pub(crate) obfuscation: Option<&'a RawValue>,
    /// Azure's; `prompt_annotations` in older versions (its documents, read 2026-11-21).
    #[serde(alias = "prompt_annotations", borrow)]
    pub(crate) prompt_filter_results: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
    #[serde(borrow)]
    base_resp: Option<&'a RawValue>,
    status_code: Count,
}

/// One choice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawChoice<'a> {
    pub(crate) index: Count,
    #[serde(borrow)]
    pub(crate) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) finish_reason: Text<'a>,
    #[serde(borrow)]
    pub(crate) logprobs: Option<&'a RawValue>,
    /// Together repeats the text here (its API description, read 2026-11-21).
    #[serde(borrow)]
    pub(crate) text: Option<&'a RawValue>,
    #[serde(alias = "content_filter_result", borrow)]
    pub(crate) content_filter_results: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// What a choice says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reasoning_details: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) audio: Option<&'a RawValue>,
}

/// Groq's own member (its client's source, read 2026-11-21).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Groq<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BaseResp {
    status_code: Count,
}

impl<'a> RawChoice<'a> {
    /// What `raw`, its delta or message, says.
    pub(crate) fn said(raw: Option<&'a RawValue>) -> Result<Option<Said<'a>>, WireFault> {
        let read = |raw: &'a RawValue| serde_json::from_str(raw.get());
        raw.map(read).transpose().map_err(|error| WireFault::unreadable("delta or message", &error))
    }
}

impl<'a> Answer<'a> {
    /// Reads `text`, which must be one JSON object.
    pub(crate) fn read(text: &'a str, what: &str) -> Result<Self, WireFault> {
        if !text.starts_with('{') {
            return Err(WireFault::malformed(DecodeKind::Json, format!("{what} is not an object")));
        }
        serde_json::from_str(text).map_err(|error| WireFault::unreadable(what, &error))
    }

    /// Whether it reports an error, however its server does that.
    pub(crate) fn is_error(&self) -> bool {
        self.error.is_some_and(is_truthy)
            || self.groq().error.is_some_and(is_truthy)
            || self.status_code.0.is_some_and(|status| status >= 400)
            || self.base_resp.is_some_and(|raw| {
                let base: BaseResp = serde_json::from_str(raw.get()).unwrap_or_default();
                base.status_code.0.is_some_and(|code| code != 0)
            })
    }

    /// The token counts, wherever they stand.
    pub(crate) fn usage(&self) -> Option<&'a RawValue> {
        self.usage.or_else(|| self.groq().usage)
    }

    fn groq(&self) -> Groq<'a> {
        self.x_groq.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// What this adds to what is known of who answers; `None` when it adds nothing.
    ///
    /// Empty names and a time of 0 stand for "not known yet": Azure's first event has them (its documents, read
    /// 2026-11-21).
    pub(crate) fn news(&self, known: &Served) -> Option<Box<Served>> {
        let created = self.created.0.filter(|created| *created > 0);
        let is_new = (known.id.is_none() && self.id.filled().is_some())
            || (known.model.is_none() && self.model.filled().is_some())
            || (known.fingerprint.is_none() && self.system_fingerprint.filled().is_some())
            || (known.created.is_none() && created.is_some())
            || (self.service_tier.filled().is_some()
                && known.service_tier.as_deref() != self.service_tier.filled());
        is_new.then(|| {
            let own = |text: &Text<'_>| text.filled().map(str::to_owned);
            let mut served = Served::default();
            served.id = own(&self.id);
            served.model = own(&self.model);
            served.fingerprint = own(&self.system_fingerprint);
            served.service_tier = own(&self.service_tier);
            served.created = created;
            Box::new(served)
        })
    }
}

/// A fault for a member of the wrong type.
pub(crate) fn wrong_type(member: &str, expected: &str) -> WireFault {
    WireFault::malformed(DecodeKind::Json, format!("{member} is not {expected}"))
}

/// `{"error":…}` around an error found elsewhere.
pub(crate) fn as_error(raw: &RawValue) -> Cow<'static, str> {
    Cow::Owned(format!(r#"{{"error":{}}}"#, raw.get()))
}
