//! What of a request is written for one upstream, and under which names.
//!
//! Decides before the first byte: what the upstream does not support is refused, or left out where that changes nothing.

use infer_core::{ExecuteBatch, InferenceError, MediaSource, Message, Part, ResponseFormat, ToolChoice};
use serde::Deserialize;

use crate::dialect::{Bounds, ImageForm, ModelRule, OnUnsupported};
use crate::json::string;
use crate::request::{has, refused};
use crate::{ChatDialect, EmbedDialect};

/// Members without which the answer is the same: labels, hints for speed, and what only the counting of a stream needs.
const HARMLESS: [&str; 11] = [
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "stream_options",
    "messages.name",
    "tools.strict",
    "encoding_format",
];

/// What the dialect makes of one request.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    dialect: &'a ChatDialect,
    left_out: Vec<&'a str>,
}

impl<'a> Outline<'a> {
    /// Holds `batch` against `dialect`.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] that names the first member the upstream does not support.
    pub(crate) fn of(batch: &ExecuteBatch, dialect: &'a ChatDialect) -> Result<Self, InferenceError> {
        let mut outline = Self { dialect, left_out: Vec::new() };
        if dialect.on_unsupported == OnUnsupported::Send {
            return Ok(outline);
        }
        let rules = dialect.unsupported_by_model.iter().filter(|rule| rule.binds(&batch.model));
        for member in dialect.unsupported.iter().chain(rules.flat_map(|rule| &rule.members)) {
            let drops = dialect.on_unsupported == OnUnsupported::Drop;
            if !drops && !is_harmless(batch, member) && is_said(batch, member) {
                return Err(unsupported(member));
            }
            outline.left_out.push(member);
        }
        if let (Some(bounds), Some(temperature)) = (&dialect.temperature, batch.sampling.temperature)
            && !bounds.hold(temperature)
        {
            if dialect.on_unsupported == OnUnsupported::Refuse {
                return Err(refused(
                    "temperature",
                    &format!("must be {} here, got {temperature}", bounds.words()),
                ));
            }
            outline.left_out.push("temperature");
        }
        Ok(outline)
    }

    /// Whether `member` is written at all.
    pub(crate) fn writes(&self, member: &str) -> bool {
        !self.left_out.contains(&member)
    }

    /// The name that `member` goes by.
    pub(crate) fn name<'b>(&'b self, member: &'b str) -> &'b str {
        self.dialect.renamed.get(member).map_or(member, String::as_str)
    }

    /// Whether a member that the caller added under `name` would say again what another one says.
    pub(crate) fn is_said_again(&self, batch: &ExecuteBatch, name: &str) -> bool {
        let mut pairs = self.dialect.renamed.iter();
        pairs.any(|(from, to)| {
            (to == name && has(batch, from)) || (from == name && batch.extra.get(to).is_some())
        })
    }
}

impl ModelRule {
    fn binds(&self, model: &str) -> bool {
        let is_in = |part: &String| model.contains(part.as_str());
        self.models.iter().any(is_in) && !self.except.iter().any(is_in)
    }
}

impl Bounds {
    fn hold(&self, number: f64) -> bool {
        self.above.is_none_or(|bound| number > bound)
            && self.min.is_none_or(|bound| number >= bound)
            && self.max.is_none_or(|bound| number <= bound)
    }

    fn words(&self) -> String {
        let bounds = [("above", self.above), ("at least", self.min), ("at most", self.max)];
        let words: Vec<_> =
            bounds.iter().filter_map(|(word, bound)| Some(format!("{word} {}", (*bound)?))).collect();
        words.join(" and ")
    }
}

/// Whether leaving `member` out changes nothing.
fn is_harmless(batch: &ExecuteBatch, member: &str) -> bool {
    let sampling = &batch.sampling;
    let is_0 = |number: Option<f64>| number == Some(0.0);
    HARMLESS.contains(&member)
        || match member {
            // Not for this member to say: neither can be left out.
            "model" | "messages" => true,
            "n" => sampling.n == Some(1),
            "logprobs" => sampling.logprobs == Some(false),
            "top_logprobs" => sampling.top_logprobs == Some(0),
            "presence_penalty" => is_0(sampling.presence_penalty),
            "frequency_penalty" => is_0(sampling.frequency_penalty),
            "tool_choice" => matches!(batch.tool_choice, Some(ToolChoice::Auto)),
            "parallel_tool_calls" => batch.parallel_tool_calls == Some(true) || batch.tools.is_empty(),
            "response_format" => matches!(batch.response_format, Some(ResponseFormat::Text)),
            "modalities" => matches!(batch.modalities.as_slice(), [only] if only == "text"),
            "service_tier" => matches!(batch.service_tier.as_deref(), Some("auto" | "default")),
            _ => false,
        }
}

/// Whether the request asks for `member`, typed or unread.
fn is_said(batch: &ExecuteBatch, member: &str) -> bool {
    let is_said = if member == "stream" { batch.is_streaming() } else { has(batch, member) };
    is_said || batch.extra.get(member).is_some_and(|value| value.get() != "null")
}

pub(crate) fn unsupported(member: &str) -> InferenceError {
    refused(
        member,
        "not supported by this upstream: leave it out, or set on_unsupported in its dialect to drop or send",
    )
}

/// Refuses pictures in a form that the upstream does not take.
pub(crate) fn check_images(messages: &[Message], dialect: &ChatDialect) -> Result<(), InferenceError> {
    if dialect.images == ImageForm::Any || dialect.on_unsupported == OnUnsupported::Send {
        return Ok(());
    }
    for (at, message) in messages.iter().enumerate() {
        let infer_core::Content::Parts(parts) = &message.content else { continue };
        if let Some(part) = parts.iter().position(is_linked) {
            return Err(refused(
                &format!("messages[{at}].content[{part}].image_url"),
                "this upstream fetches no pictures: send the bytes as base64 instead of a URL",
            ));
        }
    }
    Ok(())
}

/// Whether `part` is a picture that somebody would have to fetch.
fn is_linked(part: &Part) -> bool {
    #[derive(Deserialize)]
    struct Picture<'a> {
        #[serde(borrow)]
        image_url: &'a serde_json::value::RawValue,
    }
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        url: &'a serde_json::value::RawValue,
    }
    let is_link = |url: &str| !url.trim_start().starts_with("data:");
    match part {
        Part::Image { source: MediaSource::Url(url), .. } => is_link(url),
        // Written by hand, or with members that have no field.
        Part::Other(raw) => {
            let Ok(picture) = serde_json::from_str::<Picture<'_>>(raw.get()) else { return false };
            let inner = serde_json::from_str::<Place<'_>>(picture.image_url.get());
            let place = inner.map_or(picture.image_url, |place| place.url);
            string(place).is_some_and(|url| is_link(&url))
        }
        _ => false,
    }
}

/// Whether `member` of a request for vectors is written.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] where leaving it out would change the vectors.
pub(crate) fn writes_embed(dialect: &ChatDialect, member: &str) -> Result<bool, InferenceError> {
    let EmbedDialect { unsupported: members, .. } = &dialect.embeddings;
    match dialect.on_unsupported {
        _ if !members.iter().any(|known| known == member) => Ok(true),
        OnUnsupported::Send => Ok(true),
        OnUnsupported::Refuse if !HARMLESS.contains(&member) => Err(unsupported(member)),
        _ => Ok(false),
    }
}
