//! What the meter wants to know of a body that is passed on: who answers, tokens, errors, and whether it is whole.
//!
//! Read are the members that the known formats have in common, wherever one of them puts it; what is not understood is
//! passed on all the same. Event names and members as OpenAI's API description 2.3.0 and Anthropic's API reference have
//! them (read 2026-11-21).

use std::borrow::Cow;

use bytes::Bytes;
use infer_core::{FinishKind, FinishReason, Served, TokenChunk, Usage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How the events of one kind of stream begin, and the last one of them.
struct Ends {
    prefix: &'static str,
    last: &'static [&'static str],
    /// Whether nothing that counts can follow the last event.
    is_final: bool,
}

const RESPONSES: &Ends = &Ends {
    prefix: "response.",
    last: &["response.completed", "response.incomplete", "response.failed"],
    is_final: true,
};

const ENDS: [&Ends; 5] = [
    RESPONSES,
    &Ends { prefix: "message_start", last: &["message_stop"], is_final: true },
    &Ends { prefix: "speech.", last: &["speech.audio.done"], is_final: true },
    &Ends { prefix: "transcript.", last: &["transcript.text.done"], is_final: true },
    // One for every picture asked for.
    &Ends {
        prefix: "image_",
        last: &["image_generation.completed", "image_edit.completed"],
        is_final: false,
    },
];

/// Reads the events of one stream, in order.
#[derive(Default)]
pub(crate) struct RelayReader {
    /// Known once an event of that kind came, or from the path.
    ends: Option<&'static Ends>,
    /// Whether the events are those of completions, which `[DONE]` ends.
    is_chat: bool,
    /// Whether the last event came.
    has_ended: bool,
}

/// What one event says.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// For the meter.
    pub(crate) chunk: TokenChunk,
    /// An error, as the wire formats write one.
    pub(crate) error: Option<Bytes>,
    /// Whether the stream is over with it.
    pub(crate) is_done: bool,
    /// Whether it is the honest end of an answer that failed.
    pub(crate) is_failure: bool,
}

impl RelayReader {
    /// A reader for what was asked for at `path`.
    pub(crate) fn new(path: &str) -> Self {
        let is_response = path == "/responses" || path.starts_with("/responses/");
        Self { ends: is_response.then_some(RESPONSES), ..Self::default() }
    }

    /// Reads one event.
    pub(crate) fn event(&mut self, name: &str, data: &Bytes) -> Noted {
        let mut noted = Noted::default();
        if data.trim_ascii() == b"[DONE]" {
            self.has_ended = true;
            noted.is_done = true;
            return noted;
        }
        let said: Said<'_> = serde_json::from_slice(data).unwrap_or_default();
        let kind = text(said.r#type).unwrap_or(Cow::Borrowed(name));
        self.ends = self.ends.or_else(|| ENDS.into_iter().find(|ends| kind.starts_with(ends.prefix)));
        self.is_chat |= self.ends.is_none() && said.choices.is_some();
        self.has_ended |= self.ends.is_some_and(|ends| ends.last.contains(&&*kind));
        noted.is_failure = kind == "response.failed";
        noted.error = said.error_of(&kind, data);
        let response: Said<'_> =
            said.response.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let chunk = &mut noted.chunk;
        chunk.text = text(said.delta).unwrap_or_default().into_owned();
        chunk.usage = said.usage.or(response.usage).and_then(usage);
        chunk.finish = response.finish().filter(|_| self.has_ended);
        let served = if said.response.is_some() { response.served() } else { said.served() };
        chunk.served = (served != Served::default()).then(|| Box::new(served));
        noted
    }

    /// Whether the body may end here.
    pub(crate) fn may_end(&self) -> bool {
        self.has_ended || self.ends.is_none() && !self.is_chat
    }

    /// Whether the answer is whole, whatever becomes of the connection.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_ended && self.ends.is_none_or(|ends| ends.is_final)
    }
}

/// Reads an answer that came in one piece.
pub(crate) fn read_whole(body: &Bytes) -> Noted {
    let said: Said<'_> = serde_json::from_slice(body).unwrap_or_default();
    let mut noted = Noted::default();
    noted.error = said.error.filter(|raw| is_error(raw)).map(|raw| wrapped(raw.get().as_bytes()));
    noted.chunk.usage = said.usage.and_then(usage);
    noted.chunk.finish = said.finish();
    noted.chunk.served = Some(Box::new(said.served()));
    noted
}

/// The members that are looked at. None of them is read further than it has to be.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Said<'a> {
    r#type: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    service_tier: Option<&'a RawValue>,
    status: Option<&'a RawValue>,
    delta: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
    response: Option<&'a RawValue>,
    choices: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl Said<'_> {
    fn served(&self) -> Served {
        let [id, model, service_tier] =
            [self.id, self.model, self.service_tier].map(|raw| text(raw).map(Cow::into_owned));
        let mut served = Served::default();
        (served.id, served.model, served.service_tier) = (id, model, service_tier);
        served
    }

    /// Why it ended, of an answer that says so itself.
    fn finish(&self) -> Option<FinishReason> {
        let word = text(self.status)?;
        let kind = match &*word {
            "completed" => FinishKind::Stop,
            "incomplete" => FinishKind::Length,
            "failed" => FinishKind::Error,
            _ => return None,
        };
        Some(FinishReason::new(kind, &word))
    }

    /// What an event of this kind says about an error.
    fn error_of(&self, kind: &str, event: &Bytes) -> Option<Bytes> {
        match kind {
            "response.failed" => {
                let inner: Said<'_> = serde_json::from_str(self.response?.get()).ok()?;
                Some(wrapped(inner.error.map_or("null", RawValue::get).as_bytes()))
            }
            // It stands in the event, or is the event.
            "error" if self.error.is_some_and(is_error) => Some(event.clone()),
            "error" => Some(wrapped(event)),
            kind if kind.ends_with(".failed") && self.ends_a_stream(kind) => {
                Some(self.error.map_or_else(|| wrapped(event), |raw| wrapped(raw.get().as_bytes())))
            }
            "" => self.error.filter(|raw| is_error(raw)).map(|_| event.clone()),
            _ => None,
        }
    }

    /// A part of an answer can fail without the answer, as a tool of the upstream's own does.
    fn ends_a_stream(&self, kind: &str) -> bool {
        kind.starts_with("image_") && self.response.is_none()
    }
}

fn wrapped(error: &[u8]) -> Bytes {
    [b"{\"error\":", error, b"}"].concat().into()
}

/// Whether it says something: words, or an object with words or a code in it.
fn is_error(raw: &RawValue) -> bool {
    let says = |raw: Option<&RawValue>| raw.is_some_and(|raw| !matches!(raw.get(), "null" | "\"\""));
    match raw.get().bytes().next() {
        Some(b'"') => says(Some(raw)),
        Some(b'{') => {
            #[derive(Default, Deserialize)]
            #[serde(default, bound(deserialize = "'de: 'a"))]
            struct Inner<'a> {
                message: Option<&'a RawValue>,
                code: Option<&'a RawValue>,
            }
            let inner: Inner<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
            says(inner.message) || says(inner.code)
        }
        _ => false,
    }
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw?.get()).ok().map(|text| text.0)
}

/// Counts in either vocabulary. `None` for what counts no tokens, such as seconds of sound.
fn usage(raw: &RawValue) -> Option<Usage> {
    let counts: Value = serde_json::from_str(raw.get()).ok()?;
    let count = |names: [&str; 2]| names.iter().find_map(|name| counts.pointer(name)?.as_u64());
    let input = count(["/input_tokens", "/prompt_tokens"]);
    let output = count(["/output_tokens", "/completion_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let detail = |names| count(names).unwrap_or(0);
    // Anthropic counts what a cache gave or took beside the input, all others inside it.
    let read = detail(["/cache_read_input_tokens", "/cache_read_input_tokens"]);
    let written = detail(["/cache_creation_input_tokens", "/cache_creation_input_tokens"]);
    let input = input.unwrap_or(0).saturating_add(read).saturating_add(written);
    let mut usage = Usage::new(input, output.unwrap_or(0));
    usage.total_tokens = count(["/total_tokens", "/total_tokens"]).unwrap_or(usage.total_tokens);
    let cached = detail(["/input_tokens_details/cached_tokens", "/prompt_tokens_details/cached_tokens"]);
    usage.cached_input_tokens = cached.saturating_add(read);
    usage.cache_write_tokens = written;
    usage.long_cache_write_tokens =
        detail(["/cache_creation/ephemeral_1h_input_tokens", "/cache_creation/ephemeral_1h_input_tokens"]);
    usage.reasoning_tokens =
        detail(["/output_tokens_details/reasoning_tokens", "/completion_tokens_details/reasoning_tokens"]);
    usage.input_audio_tokens =
        detail(["/input_tokens_details/audio_tokens", "/prompt_tokens_details/audio_tokens"]);
    usage.output_audio_tokens =
        detail(["/output_tokens_details/audio_tokens", "/completion_tokens_details/audio_tokens"]);
    Some(usage)
}
