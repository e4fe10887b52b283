//! Legacy completions: a prompt in, text out. The model is asked as in a chat, with the prompt as what the user says.
//!
//! After OpenAI's API description 2.3.0 of `POST /completions`, read 2026-11-21.

use bytes::Bytes;
use infer_core::{
    Choice, Completion, ExecuteBatch, Extra, FinishReason, InferenceError, Message, RunMode, Served,
    TokenChunk, WireFormat,
};
use serde_json::value::RawValue;

use super::answer::{finish_word, head};
use super::error::write_error;
use super::members::{Fit, decimal, flag, integer, list, members, object, text, texts};
use super::request::{options, split_usage};
use crate::json::string;
use crate::request::refused;
use crate::usage;
use crate::write::{self, Object};

/// A completion request as received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// What is asked.
    pub batch: ExecuteBatch,
    /// Whether the caller wants the token counts of a streamed answer.
    pub include_usage: bool,
    /// What every answer begins with: the prompt, where the caller wants it repeated.
    pub echo: Option<String>,
}

/// Reads a completion request.
///
/// The prompt is one text, or a list of one, and becomes what the user says. Without `max_tokens` the upstream decides
/// how long the answer is, not the 16 tokens of old. `null` stands for an absent member. Unknown members travel in `extra`.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member in `param` and says what is expected: for a member of the wrong
/// type, and for what no chat can do: several prompts, prompts as tokens, `suffix`, `logprobs` and `best_of` above `n`.
pub fn read_completion_request(body: &Bytes) -> Result<CompletionRequest, InferenceError> {
    let mut reader = Reader::default();
    for (name, raw) in members(body)?.list {
        let was_read = reader.member(&name, raw)?;
        if !was_read {
            reader.batch.extra.set(name, raw.into());
        }
    }
    reader.finish()
}

/// The same where the model stands elsewhere, such as in the path: a member `model` is not read.
///
/// # Errors
/// As for [`read_completion_request`].
pub fn read_completion_request_for(body: &Bytes, model: &str) -> Result<CompletionRequest, InferenceError> {
    let mut reader = Reader { model: Some(model.to_owned()), ..Reader::default() };
    for (name, raw) in members(body)?.list {
        if name != "model" && !reader.member(&name, raw)? {
            reader.batch.extra.set(name, raw.into());
        }
    }
    reader.finish()
}

struct Reader {
    batch: ExecuteBatch,
    model: Option<String>,
    prompt: Option<String>,
    echoes: bool,
    best_of: Option<u32>,
    stream_options: Option<infer_core::RawJson>,
}

impl Default for Reader {
    fn default() -> Self {
        let mut batch = ExecuteBatch::new(String::new(), Vec::new());
        batch.extra = Extra::received(WireFormat::CHAT_COMPLETIONS);
        Self { batch, model: None, prompt: None, echoes: false, best_of: None, stream_options: None }
    }
}

impl Reader {
    /// Takes a member; false when it is for `extra`.
    fn member(&mut self, name: &str, raw: &RawValue) -> Result<bool, InferenceError> {
        let batch = &mut self.batch;
        let sampling = &mut batch.sampling;
        match name {
            "model" => self.model = text(name, raw)?,
            "prompt" => self.prompt = prompt(raw)?,
            "echo" => self.echoes = flag(name, raw)? == Some(true),
            "stream" => {
                if flag(name, raw)? == Some(true) {
                    batch.mode = RunMode::Streaming;
                }
            }
            "stream_options" => self.stream_options = options(name, raw)?,
            "max_tokens" => batch.max_output_tokens = fitting(name, integer(name, raw)?)?,
            "temperature" => sampling.temperature = fitting(name, decimal(name, raw)?)?,
            "top_p" => sampling.top_p = fitting(name, decimal(name, raw)?)?,
            "presence_penalty" => sampling.presence_penalty = fitting(name, decimal(name, raw)?)?,
            "frequency_penalty" => sampling.frequency_penalty = fitting(name, decimal(name, raw)?)?,
            "n" => sampling.n = fitting(name, integer(name, raw)?)?,
            "best_of" => self.best_of = fitting(name, integer(name, raw)?)?,
            "seed" => sampling.seed = fitting(name, integer(name, raw)?)?,
            "stop" => sampling.stop = texts(name, raw)?.unwrap_or_default(),
            "logit_bias" => sampling.logit_bias = fitting(name, object(name, raw)?)?.unwrap_or_default(),
            "user" => batch.user = text(name, raw)?,
            "suffix" => {
                let is_said = text(name, raw)?.is_some_and(|suffix| !suffix.is_empty());
                if is_said {
                    return Err(refused(name, "cannot be asked of a chat model; write it into the prompt"));
                }
            }
            "logprobs" if raw.get() == "null" => {}
            "logprobs" => {
                let why = "are reported only on the chat completions route";
                return Err(refused(name, why));
            }
            _ => return Ok(raw.get() == "null"),
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<CompletionRequest, InferenceError> {
        self.batch.model = self.model.ok_or_else(|| refused("model", "is missing"))?;
        let prompt = self.prompt.ok_or_else(|| refused("prompt", "is missing"))?;
        if self.best_of.is_some_and(|candidates| candidates > self.batch.choices()) {
            return Err(refused(
                "best_of",
                "must not be above n: an upstream gives back every answer it makes",
            ));
        }
        let mut include_usage = false;
        if let Some(options) = self.stream_options {
            let rest;
            (include_usage, rest) = split_usage(options);
            if let Some(rest) = rest.filter(|_| self.batch.is_streaming()) {
                self.batch.extra.set("stream_options", rest);
            }
        }
        let echo = self.echoes.then(|| prompt.clone());
        self.batch.messages = vec![Message::user(prompt)].into();
        Ok(CompletionRequest {
            include_usage: include_usage && self.batch.is_streaming(),
            batch: self.batch,
            echo,
        })
    }
}

/// A value that fits its type. The request is written anew for a chat, so none travels on unread.
fn fitting<T>(name: &str, fit: Option<Fit<T>>) -> Result<Option<T>, InferenceError> {
    match fit {
        None => Ok(None),
        Some(Fit::Typed(value)) => Ok(Some(value)),
        Some(Fit::Other) => Err(refused(name, "is out of range")),
    }
}

fn prompt(raw: &RawValue) -> Result<Option<String>, InferenceError> {
    if raw.get() == "null" {
        return Ok(None);
    }
    if let Some(text) = string(raw) {
        return said(text).map(Some);
    }
    let prompts = list("prompt", raw)?;
    match prompts.as_slice() {
        [only] => match string(only) {
            Some(text) => said(text).map(Some),
            None => Err(refused("prompt", "must be text: tokens mean something else to every model")),
        },
        [] => Err(refused("prompt", "must not be empty")),
        [first, ..] if string(first).is_some() => {
            Err(refused("prompt", "must be one text; ask once for each of several"))
        }
        _ => Err(refused("prompt", "must be text: tokens mean something else to every model")),
    }
}

fn said(text: String) -> Result<String, InferenceError> {
    if text.is_empty() { Err(refused("prompt", "must not be empty")) } else { Ok(text) }
}

/// Writes a whole answer as a text completion.
///
/// `echo` is what every answer begins with, as [`CompletionRequest`] has it. Only text has a place in this form: of an
/// answer that refuses it is the refusal, and reasoning and calls are left out. The answer's own model name stands before
/// `model`, which is what was asked for.
pub fn write_text_completion(completion: &Completion, model: &str, echo: Option<&str>) -> Bytes {
    let echo = echo.unwrap_or_default();
    let text: usize = completion.choices.iter().map(|choice| 128 + echo.len() + choice.text.len()).sum();
    let mut out = Vec::with_capacity(512 + text + text / 16);
    let mut object = Object::begin(&mut out);
    head(&mut object, &completion.served, &answer_id(&completion.served), "text_completion", model);
    write::list(object.key("choices"), &completion.choices, |out, said| {
        let Choice { index, text, refusal, finish, .. } = said;
        let text = [echo, if text.is_empty() { refusal } else { text }].concat();
        choice(out, *index, &text, finish.as_ref());
    });
    if let Some(counts) = &completion.usage {
        usage::write(object.key("usage"), counts);
    }
    object.end();
    out.into()
}

/// The answer's name, or a new one.
fn answer_id(served: &Served) -> String {
    served.id.clone().unwrap_or_else(|| format!("cmpl-{}", infer_core::RequestId::generate()))
}

fn choice(out: &mut Vec<u8>, index: u32, text: &str, finish: Option<&FinishReason>) {
    let mut object = Object::begin(out);
    object.value("text", text);
    object.value("index", &index);
    object.raw("logprobs", b"null");
    object.value("finish_reason", &finish.map(finish_word));
    object.end();
}

/// Writes the events of one streamed text completion, each piece anew: no upstream is asked in this form.
#[derive(Debug)]
pub struct TextChunkWriter {
    model: String,
    include_usage: bool,
    /// What answers begin with that have not begun.
    echo: Option<String>,
    served: Served,
    id: Option<String>,
    /// The answers that have begun, and whether they have ended.
    begun: std::collections::BTreeMap<u32, bool>,
}

impl TextChunkWriter {
    /// The event that ends a complete stream.
    pub const DONE: &'static str = "data: [DONE]\n\n";

    /// A writer for the answer of `model`, which stands for the answer's own model name until that is known.
    pub fn new(model: &str, include_usage: bool, echo: Option<String>) -> Self {
        Self {
            model: model.to_owned(),
            include_usage,
            echo,
            served: Served::default(),
            id: None,
            begun: std::collections::BTreeMap::new(),
        }
    }

    /// The event for one piece; `None` for a piece without text, end or counts that the caller asked for.
    pub fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        if let Some(served) = &chunk.served {
            self.served.learn(served);
        }
        let words = if chunk.text.is_empty() { &chunk.refusal } else { &chunk.text };
        let has_choice = !words.is_empty() || chunk.finish.is_some();
        // Counts before the end of an answer are a first guess.
        let is_over = has_choice || self.begun.values().any(|has_ended| *has_ended);
        let counts = chunk.usage.as_ref().filter(|_| self.include_usage && is_over);
        if !has_choice && counts.is_none() {
            return None;
        }
        let echo =
            if has_choice && !self.begun.contains_key(&chunk.index) { self.echo.as_deref() } else { None };
        let id = self.id.get_or_insert_with(|| answer_id(&self.served));
        let mut out = Vec::with_capacity(256 + words.len() + words.len() / 16);
        out.extend_from_slice(b"data: ");
        let mut object = Object::begin(&mut out);
        head(&mut object, &self.served, id, "text_completion", &self.model);
        write::list(object.key("choices"), has_choice.then_some(chunk), |out, chunk| {
            let text = [echo.unwrap_or_default(), words].concat();
            choice(out, chunk.index, &text, chunk.finish.as_ref());
        });
        match counts {
            Some(counts) => usage::write(object.key("usage"), counts),
            None if self.include_usage => object.raw("usage", b"null"),
            None => {}
        }
        object.end();
        out.extend_from_slice(b"\n\n");
        if has_choice {
            *self.begun.entry(chunk.index).or_default() |= chunk.finish.is_some();
        }
        Some(out.into())
    }

    /// The event that ends a broken stream. No [`TextChunkWriter::DONE`] follows it.
    pub fn error(error: &InferenceError) -> Bytes {
        let body = write_error(error).1;
        [b"data: ", &body[..], b"\n\n"].concat().into()
    }
}
