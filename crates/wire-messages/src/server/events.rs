//! A streamed answer as a server writes it.

use bytes::Bytes;
use infer_core::{FinishReason, InferenceError, RawJson, Served, TokenChunk, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{
    Counts, Message, StopDetails, answer_id, call_id, is_reasoning_block, stop_reason, thought,
};
use super::calls::{Calls, Step};
use super::error::write_error;
use crate::MESSAGES;
use crate::json::string;

/// Writes the events of one stream.
///
/// A piece that came in this wire format is passed on as it came, under the name its data has. Any other becomes a start
/// of the message, blocks one after the other, and what it adds to them; of several answers only the first. The end, with
/// the reason and the counts, is written by [`end`](Self::end), since counts may come after the reason.
#[derive(Debug)]
pub struct EventWriter {
    model: String,
    served: Served,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    refusal: String,
    open: Option<Open>,
    calls: Calls,
    /// The number of the next block.
    next: u64,
    source: Source,
    is_over: bool,
    is_broken: bool,
}

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// None was sent.
    Unknown,
    /// They are written here.
    Written,
    /// They are passed on, and so is their end.
    Passed,
}

/// A block that has started and not stopped. Calls keep count of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    /// With the bytes of it that are written.
    Thinking(usize),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u64, content_block: Start<'a> },
    ContentBlockDelta { index: u64, delta: Delta<'a> },
    ContentBlockStop { index: u64 },
    MessageDelta { delta: End<'a>, usage: Counts<'a> },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Start<'a> {
    Text {
        text: &'static str,
    },
    Thinking {
        thinking: &'static str,
        signature: &'static str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: NoArguments,
    },
    #[serde(untagged)]
    Raw(&'a RawJson),
}

#[derive(Serialize)]
struct NoArguments {}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names on the wire")]
enum Delta<'a> {
    TextDelta { text: &'a str },
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

#[derive(Serialize)]
struct End<'a> {
    #[serde(rename = "stop_reason")]
    reason: Option<&'a str>,
    #[serde(rename = "stop_sequence")]
    sequence: Option<&'a str>,
    #[serde(rename = "stop_details", skip_serializing_if = "Option::is_none")]
    details: Option<StopDetails<'a>>,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        head(self.name(), out);
        out.extend_from_slice(b"data: ");
        let written = serde_json::to_writer(&mut *out, self);
        debug_assert!(written.is_ok(), "{written:?}");
        out.extend_from_slice(b"\n\n");
    }
}

impl EventWriter {
    /// A writer for the answer of `model`, which stands for the answer's own model name until that is known.
    pub fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            served: Served::default(),
            usage: None,
            finish: None,
            refusal: String::new(),
            open: None,
            calls: Calls::default(),
            next: 0,
            source: Source::Unknown,
            is_over: false,
            is_broken: false,
        }
    }

    /// The events for one piece, each with its name, its data and the blank line.
    ///
    /// `None` where there is nothing to send: the event was passed on with an earlier piece, the piece belongs to
    /// another answer than the first, or it waits for the end.
    pub fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        if let Some(served) = &chunk.served {
            self.served.learn(served);
        }
        self.usage = chunk.usage.or(self.usage);
        let wire = chunk.wire_in(MESSAGES);
        if wire.is_some_and(Bytes::is_empty) {
            return None;
        }
        if let Some((wire, name)) = wire.and_then(|wire| Some((wire, kind(wire)?))) {
            self.source = Source::Passed;
            self.is_over |= name == "message_stop";
            if self.finish.is_none() {
                self.finish.clone_from(&chunk.finish);
            }
            return Some(framed(&name, wire));
        }
        if chunk.index != 0 || self.finish.is_some() {
            return None;
        }
        let mut out =
            Vec::with_capacity(256 + chunk.text.len() + chunk.text.len() / 16 + chunk.reasoning.len());
        self.encode(chunk, &mut out);
        (!out.is_empty()).then(|| out.into())
    }

    /// Whether the answer has come to its end, so that [`end`](Self::end) completes it. A stream that is over without it
    /// was cut: its last event is [`error`](Self::error).
    pub fn is_finished(&self) -> bool {
        self.finish.is_some() && !self.is_broken
    }

    /// The events that complete the stream, once it is over without an error; `None` where they were passed on already,
    /// or the answer has not come to its end.
    pub fn end(&mut self) -> Option<Bytes> {
        if self.is_over || !self.is_finished() {
            return None;
        }
        self.is_over = true;
        let mut out = Vec::new();
        if self.source != Source::Passed {
            let finish = self.finish.as_ref();
            let reason = |finish| stop_reason(finish, self.calls.is_any(), !self.refusal.is_empty());
            let delta =
                End { reason: finish.map(reason), sequence: None, details: StopDetails::of(&self.refusal) };
            let usage = Counts::of(self.usage.as_ref(), &self.served);
            Event::MessageDelta { delta, usage }.write(&mut out);
        }
        Event::MessageStop.write(&mut out);
        Some(out.into())
    }

    /// An event that says nothing and keeps the connection from looking idle. It may be sent between any two.
    pub const fn ping() -> Bytes {
        Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
    }

    /// The event that ends a broken stream. Nothing follows it.
    pub fn error(error: &InferenceError) -> Bytes {
        framed("error", &write_error(error).1)
    }

    fn encode(&mut self, chunk: &TokenChunk, out: &mut Vec<u8>) {
        if self.source == Source::Unknown {
            self.source = Source::Written;
            let id = answer_id(&self.served);
            let message = Message::head(&self.served, &id, &self.model, self.usage.as_ref());
            Event::MessageStart { message }.write(out);
        }
        self.reason(chunk, out);
        if !chunk.text.is_empty() {
            self.end_calls(out);
            if self.open != Some(Open::Text) {
                self.stop(out);
                self.start(Start::Text { text: "" }, Open::Text, out);
            }
            self.delta(Delta::TextDelta { text: &chunk.text }, out);
        }
        self.refusal.push_str(&chunk.refusal);
        if !chunk.tool_calls.is_empty() {
            let mut steps = Vec::new();
            for piece in &chunk.tool_calls {
                self.is_broken |= self.calls.add(piece, &mut steps).is_err();
            }
            self.call(&steps, out);
        }
        if chunk.finish.is_some() {
            self.end_calls(out);
            self.stop(out);
            self.finish.clone_from(&chunk.finish);
        }
    }

    /// Words of reasoning, and the blocks that they turn out to be: a block repeats the words that came before it.
    fn reason(&mut self, chunk: &TokenChunk, out: &mut Vec<u8>) {
        let mut words = chunk.reasoning.as_str();
        for raw in chunk.reasoning_blocks.iter().filter(|raw| is_reasoning_block(raw)) {
            let block = thought(raw);
            if block.kind.as_deref() == Some("redacted_thinking") {
                self.think(words, out);
                words = "";
                self.stop(out);
                self.end_calls(out);
                Event::ContentBlockStart { index: self.next, content_block: Start::Raw(raw) }.write(out);
                Event::ContentBlockStop { index: self.next }.write(out);
                self.next += 1;
                continue;
            }
            let written = match self.open {
                Some(Open::Thinking(written)) => written,
                _ => 0,
            };
            let rest = block.text.get(written..).unwrap_or_default();
            words = words.get(rest.len()..).unwrap_or_default();
            if !matches!(self.open, Some(Open::Thinking(_))) {
                self.start_thinking(out);
            }
            self.think(rest, out);
            if !block.signature.is_empty() {
                self.delta(Delta::SignatureDelta { signature: &block.signature }, out);
            }
            self.stop(out);
        }
        self.think(words, out);
    }

    fn think(&mut self, words: &str, out: &mut Vec<u8>) {
        if words.is_empty() {
            return;
        }
        if !matches!(self.open, Some(Open::Thinking(_))) {
            self.start_thinking(out);
        }
        self.delta(Delta::ThinkingDelta { thinking: words }, out);
        if let Some(Open::Thinking(written)) = &mut self.open {
            *written += words.len();
        }
    }

    fn start_thinking(&mut self, out: &mut Vec<u8>) {
        self.end_calls(out);
        self.stop(out);
        self.start(Start::Thinking { thinking: "", signature: "" }, Open::Thinking(0), out);
    }

    fn start(&mut self, content_block: Start<'_>, open: Open, out: &mut Vec<u8>) {
        Event::ContentBlockStart { index: self.next, content_block }.write(out);
        self.next += 1;
        self.open = Some(open);
    }

    /// Adds to the block that started last.
    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        Event::ContentBlockDelta { index: self.next.saturating_sub(1), delta }.write(out);
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            Event::ContentBlockStop { index: self.next.saturating_sub(1) }.write(out);
        }
    }

    fn end_calls(&mut self, out: &mut Vec<u8>) {
        let mut steps = Vec::new();
        self.calls.end(&mut steps);
        self.call(&steps, out);
    }

    fn call(&mut self, steps: &[Step], out: &mut Vec<u8>) {
        for step in steps {
            match step {
                Step::Start { id, name } => {
                    self.stop(out);
                    let id = call_id(id.as_deref());
                    let content_block = Start::ToolUse { id: &id, name, input: NoArguments {} };
                    Event::ContentBlockStart { index: self.next, content_block }.write(out);
                    self.next += 1;
                }
                Step::Arguments(partial_json) => self.delta(Delta::InputJsonDelta { partial_json }, out),
                Step::Stop => {
                    Event::ContentBlockStop { index: self.next.saturating_sub(1) }.write(out);
                }
            }
        }
    }
}

/// The type of an event, as its data has it; `None` where it has none that can stand in a line of its own.
fn kind(data: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        r#type: &'a RawValue,
    }
    let typed: Typed<'_> = serde_json::from_slice(data).ok()?;
    let kind = string(typed.r#type)?;
    (!kind.is_empty() && !kind.contains(char::is_control)).then(|| kind.into_owned())
}

fn head(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
}

/// `data: ` before every line: an event received may have had several.
fn framed(name: &str, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + name.len() + 24);
    head(name, &mut out);
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.into()
}
