//! A streamed answer as a server writes it.

use bytes::Bytes;
use infer_core::{InferenceError, Served, TokenChunk, ToolCallDelta, WireFormat};
use serde::Deserialize;

use super::answer::{answer_id, audio, finish_word, head, logprobs};
use super::error::write_error;
use crate::json::Few;
use crate::message::payload_names;
use crate::usage;
use crate::write::{self, Object};

/// Writes the events of one stream.
///
/// A piece that came in this wire format is passed on as it came. For any other, every event carries the same id, a
/// choice says its role once, and the token counts appear only for a caller who asked for them, and of an answer in
/// another format only those at its end.
#[derive(Debug)]
pub struct ChunkWriter {
    model: String,
    include_usage: bool,
    served: Served,
    id: Option<String>,
    /// The choices whose role is said.
    begun: Vec<u32>,
    is_finished: bool,
}

impl ChunkWriter {
    /// The event that ends a complete stream.
    pub const DONE: &'static str = "data: [DONE]\n\n";

    /// A writer for the answer of `model`, which stands for the answer's own model name until that is known.
    pub fn new(model: &str, include_usage: bool) -> Self {
        Self {
            model: model.to_owned(),
            include_usage,
            served: Served::default(),
            id: None,
            begun: Vec::new(),
            is_finished: false,
        }
    }

    /// The event for one piece, with `data: ` and the blank line.
    ///
    /// `None` where there is nothing to send: the event was passed on with an earlier piece, or it only has counts that
    /// the caller did not ask for.
    pub fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        if let Some(served) = &chunk.served {
            self.served.learn(served);
        }
        self.is_finished |= chunk.finish.is_some();
        match chunk.wire_in(WireFormat::CHAT_COMPLETIONS) {
            Some(wire) if wire.is_empty() => None,
            Some(wire) if self.is_unasked(chunk, wire) => None,
            Some(wire) => Some(framed(wire)),
            None if chunk.usage.is_some() && !has_choice(chunk) && !self.include_usage => None,
            None if chunk.wire.is_some() && !has_choice(chunk) && !self.has_news(chunk) => None,
            None => Some(self.encode(chunk)),
        }
    }

    /// The event that ends a broken stream. No [`ChunkWriter::DONE`] follows it.
    pub fn error(error: &InferenceError) -> Bytes {
        framed(&write_error(error).1)
    }

    /// Whether an event of another format without content has counts that stay: at its start they are a first guess.
    fn has_news(&self, chunk: &TokenChunk) -> bool {
        self.is_finished && chunk.usage.is_some()
    }

    /// Whether an event received has nothing but counts, and the caller did not ask for them. Many clients take the
    /// first choice of every event without looking.
    fn is_unasked(&self, chunk: &TokenChunk, wire: &Bytes) -> bool {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Event {
            choices: Few<serde::de::IgnoredAny, 1>,
        }
        !self.include_usage
            && chunk.usage.is_some()
            && !has_choice(chunk)
            && serde_json::from_slice::<Event>(wire).is_ok_and(|event| matches!(event.choices, Few::None))
    }

    fn encode(&mut self, chunk: &TokenChunk) -> Bytes {
        let id = self.id.get_or_insert_with(|| answer_id(&self.served));
        let mut out =
            Vec::with_capacity(320 + chunk.text.len() + chunk.text.len() / 16 + chunk.reasoning.len());
        out.extend_from_slice(b"data: ");
        let mut object = Object::begin(&mut out);
        head(&mut object, &self.served, id, "chat.completion.chunk", &self.model);
        if chunk.usage.is_some() && !has_choice(chunk) {
            object.raw("choices", b"[]");
        } else {
            let is_first = !self.begun.contains(&chunk.index);
            if is_first {
                self.begun.push(chunk.index);
            }
            write::list(object.key("choices"), [chunk], |out, chunk| choice(out, chunk, is_first));
        }
        match &chunk.usage {
            Some(counts) if self.include_usage => usage::write(object.key("usage"), counts),
            None if self.include_usage => object.raw("usage", b"null"),
            _ => {}
        }
        object.end();
        out.extend_from_slice(b"\n\n");
        out.into()
    }
}

fn has_choice(chunk: &TokenChunk) -> bool {
    chunk.is_content() || chunk.logprobs.is_some()
}

/// `data: ` before every line: an event received may have had several.
fn framed(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 8);
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}

fn choice(out: &mut Vec<u8>, chunk: &TokenChunk, is_first: bool) {
    let mut object = Object::begin(out);
    object.value("index", &chunk.index);
    let mut delta = Object::begin(object.key("delta"));
    if is_first {
        delta.value("role", "assistant");
    }
    if !chunk.text.is_empty() || (is_first && chunk.tool_calls.is_empty()) {
        delta.value("content", &chunk.text);
    }
    if !chunk.reasoning.is_empty() {
        delta.value("reasoning_content", &chunk.reasoning);
    }
    if !chunk.refusal.is_empty() {
        delta.value("refusal", &chunk.refusal);
    }
    if !chunk.tool_calls.is_empty() {
        write::list(delta.key("tool_calls"), &chunk.tool_calls, call);
    }
    if let Some(sound) = &chunk.audio {
        audio(delta.key("audio"), sound);
    }
    delta.end();
    if let Some(known) = &chunk.logprobs {
        logprobs(object.key("logprobs"), known);
    }
    object.value("finish_reason", &chunk.finish.as_ref().map(finish_word));
    object.end();
}

fn call(out: &mut Vec<u8>, call: &ToolCallDelta) {
    let (kind, payload) = payload_names(call.kind);
    let mut object = Object::begin(out);
    object.value("index", &call.index);
    object.some("id", call.id.as_ref());
    if call.name.is_some() {
        object.value("type", kind);
    }
    let mut called = Object::begin(object.key(kind));
    called.some("name", call.name.as_ref());
    called.value(payload, &call.arguments);
    called.end();
    object.end();
}

#[cfg(test)]
mod tests {
    use infer_core::{ErrorKind, FinishKind, Usage, Wire};

    use super::*;

    fn received(wire: &'static str, usage: Option<Usage>) -> TokenChunk {
        let mut chunk = TokenChunk::default();
        chunk.wire = Some(Wire::new(WireFormat::CHAT_COMPLETIONS, wire));
        chunk.usage = usage;
        chunk
    }

    fn written(writer: &mut ChunkWriter, chunk: &TokenChunk) -> serde_json::Value {
        let event = writer.write(chunk).unwrap();
        let data = event.strip_prefix(b"data: ").and_then(|data| data.strip_suffix(b"\n\n")).unwrap();
        serde_json::from_slice(data).unwrap()
    }

    #[test]
    fn a_piece_in_this_format_is_passed_on_as_it_came() {
        let mut writer = ChunkWriter::new("m", false);
        let event = writer.write(&received(r#"{"odd": 1.0}"#, None)).unwrap();
        assert_eq!(event, "data: {\"odd\": 1.0}\n\n");
        assert_eq!(writer.write(&received("", None)), None);
        let lines = writer.write(&received("{\n}", None)).unwrap();
        assert_eq!(lines, "data: {\ndata: }\n\n");
    }

    #[test]
    fn counts_go_only_to_a_caller_who_asked_for_them() {
        let usage = Some(Usage::new(1, 2));
        let alone = received(r#"{"choices":[],"usage":{}}"#, usage);
        assert_eq!(ChunkWriter::new("m", false).write(&alone), None);
        assert!(ChunkWriter::new("m", true).write(&alone).is_some());
        let beside = received(r#"{"choices":[{"index":0}],"usage":{}}"#, usage);
        assert!(ChunkWriter::new("m", false).write(&beside).is_some());

        let mut ours = TokenChunk::default();
        ours.usage = usage;
        assert_eq!(ChunkWriter::new("m", false).write(&ours), None);
        let json = written(&mut ChunkWriter::new("m", true), &ours);
        assert_eq!(
            (json["choices"].as_array().unwrap().len(), &json["usage"]["total_tokens"]),
            (0, &3.into())
        );
    }

    #[test]
    fn a_piece_in_another_format_is_written_anew_or_left_out() {
        let mut writer = ChunkWriter::new("m", true);
        let mut foreign = received(r#"{"type":"message_start"}"#, Some(Usage::new(3, 0)));
        foreign.wire = Some(Wire::new(WireFormat::MESSAGES, r#"{"type":"message_start"}"#));
        assert_eq!(writer.write(&foreign), None, "a first guess at the counts");
        foreign.usage = None;
        assert_eq!(writer.write(&foreign), None, "a ping");
        foreign.text = "hi".to_owned();
        assert_eq!(written(&mut writer, &foreign)["choices"][0]["delta"]["content"], "hi");
        foreign.finish = Some(infer_core::FinishReason::new(FinishKind::Length, "max_tokens"));
        assert_eq!(written(&mut writer, &foreign)["choices"][0]["finish_reason"], "length");
    }

    #[test]
    fn every_event_has_one_id_and_every_choice_one_role() {
        let mut writer = ChunkWriter::new("m", true);
        let chunks =
            [TokenChunk::text(0, "a"), TokenChunk::text(1, "b"), TokenChunk::finish(0, FinishKind::Stop)];
        let events = chunks.map(|chunk| written(&mut writer, &chunk));
        assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event["usage"].is_null()));
        let roles = events.each_ref().map(|event| event["choices"][0]["delta"].get("role").is_some());
        assert_eq!(roles, [true, true, false]);
        assert_eq!(events[2]["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn an_error_event_reads_back_as_the_same_error() {
        let mut at = infer_core::Origin::default();
        at.status = Some(503);
        let error = InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None);
        let event = ChunkWriter::error(&error);
        let data = event.strip_prefix(b"data: ").unwrap();
        assert_eq!(crate::fault::read_in_stream(data).meaning, Some(ErrorKind::Overloaded));
    }
}
