//! Blocks of a stream that have started and not stopped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use infer_core::{DecodeKind, RawJson, TokenChunk, ToolCallDelta, WireFault};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::answer::MAX_CALLS;
use crate::dto::{Delta, RawBlock, object, said};
use crate::json::{Members, filled, string};

/// The most blocks open at once. The format has them one after the other.
const MAX_OPEN: usize = 1024;
/// The most bytes kept until their blocks stop: many times what any model thinks in one answer.
const MAX_KEPT: usize = 16 << 20;

/// The blocks that have started and not stopped, by their number on the wire.
#[derive(Debug, Default)]
pub(crate) struct OpenBlocks {
    open: BTreeMap<u64, Block>,
    /// How many calls have started.
    calls: u32,
    /// Bytes kept in open blocks.
    kept: usize,
}

#[derive(Debug)]
enum Block {
    Text,
    Call {
        /// Among the calls of the answer.
        index: u32,
        /// What the start already said, until a piece says something else.
        given: Option<String>,
    },
    Thinking(Thinking),
    /// Whole from its start.
    Redacted(RawJson),
    /// Something the upstream does itself, or a kind added later.
    Other,
}

/// A block of reasoning as it grows.
#[derive(Debug, Default)]
struct Thinking {
    /// The block as it started, for members that have no name here.
    start: Option<RawJson>,
    text: String,
    /// Present once it was mentioned, even empty.
    signature: Option<String>,
}

impl OpenBlocks {
    /// A block starts; what it says already goes into `chunk`.
    pub(crate) fn start(
        &mut self,
        index: u64,
        raw: Option<&RawValue>,
        chunk: &mut TokenChunk,
    ) -> Result<(), WireFault> {
        self.stop(index, chunk);
        self.make_room()?;
        let Some(raw) = raw else {
            return Err(WireFault::malformed(DecodeKind::Json, "a block starts without content_block"));
        };
        let block: RawBlock<'_> = object(raw.get(), "content_block")?;
        let block = match filled(block.r#type).as_deref() {
            Some("text") => {
                chunk.text.push_str(&said(block.text, "text")?);
                Block::Text
            }
            Some("thinking") => {
                let text = said(block.thinking, "thinking")?;
                chunk.reasoning.push_str(&text);
                self.keep(raw.get().len())?;
                let text = text.into_owned();
                Block::Thinking(Thinking { start: Some(RawJson::from(raw)), text, signature: None })
            }
            Some("redacted_thinking") => {
                self.keep(raw.get().len())?;
                Block::Redacted(RawJson::from(raw))
            }
            Some("tool_use") => self.start_call(&block, chunk)?,
            _ => Block::Other,
        };
        self.open.insert(index, block);
        Ok(())
    }

    fn start_call(&mut self, block: &RawBlock<'_>, chunk: &mut TokenChunk) -> Result<Block, WireFault> {
        if self.calls as usize >= MAX_CALLS {
            return Err(too_many_calls());
        }
        let mut delta = ToolCallDelta::new(self.calls);
        delta.id = filled(block.id).map(Cow::into_owned);
        delta.name = Some(said(block.name, "name")?.into_owned());
        chunk.tool_calls.push(delta);
        let given = block.input.map(arguments).filter(|given| !given.is_empty());
        self.keep(given.as_ref().map_or(0, String::len))?;
        self.calls += 1;
        Ok(Block::Call { index: self.calls - 1, given: Some(given.unwrap_or_else(|| "{}".to_owned())) })
    }

    /// A block goes on. Text needs no start: some servers leave it out.
    pub(crate) fn delta(
        &mut self,
        index: u64,
        delta: &Delta<'_>,
        chunk: &mut TokenChunk,
    ) -> Result<(), WireFault> {
        match filled(delta.r#type).as_deref() {
            Some("text_delta") => {
                let text = said(delta.text, "text")?;
                if !matches!(self.open.get(&index), Some(Block::Other)) {
                    chunk.text.push_str(&text);
                }
            }
            Some("input_json_delta") => {
                let more = said(delta.partial_json, "partial_json")?;
                match self.open.get_mut(&index) {
                    Some(Block::Call { index, given }) => {
                        // The first piece is often empty and says nothing yet.
                        if !more.is_empty() {
                            *given = None;
                            let mut delta = ToolCallDelta::new(*index);
                            delta.arguments = more.into_owned();
                            chunk.tool_calls.push(delta);
                        }
                    }
                    Some(Block::Other) => {}
                    _ => return Err(WireFault::malformed(DecodeKind::Json, "arguments of no call")),
                }
            }
            Some("thinking_delta") => {
                let more = said(delta.thinking, "thinking")?;
                self.keep(more.len())?;
                if !self.open.contains_key(&index) {
                    self.make_room()?;
                }
                match self.open.entry(index).or_insert_with(|| Block::Thinking(Thinking::default())) {
                    Block::Thinking(thinking) => thinking.text.push_str(&more),
                    Block::Other => return Ok(()),
                    _ => {}
                }
                chunk.reasoning.push_str(&more);
            }
            Some("signature_delta") => {
                let signature = said(delta.signature, "signature")?;
                self.keep(signature.len())?;
                if let Some(Block::Thinking(thinking)) = self.open.get_mut(&index) {
                    // Whole every time: Anthropic's clients replace it as well (their sources, read 2026-11-21).
                    thinking.signature = Some(signature.into_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A block stops; what is only known now goes into `chunk`. Nothing happens when it is not open.
    pub(crate) fn stop(&mut self, index: u64, chunk: &mut TokenChunk) {
        match self.open.remove(&index) {
            Some(Block::Call { index, given: Some(given) }) => {
                let mut delta = ToolCallDelta::new(index);
                delta.arguments = given;
                chunk.tool_calls.push(delta);
            }
            Some(Block::Thinking(thinking)) => chunk.reasoning_blocks.extend(thinking.into_json()),
            Some(Block::Redacted(raw)) => chunk.reasoning_blocks.push(raw),
            _ => {}
        }
        if self.open.is_empty() {
            self.kept = 0;
        }
    }

    /// The answer ended: every block stops.
    pub(crate) fn stop_all(&mut self, chunk: &mut TokenChunk) {
        while let Some(index) = self.open.keys().next().copied() {
            self.stop(index, chunk);
        }
    }

    fn make_room(&self) -> Result<(), WireFault> {
        if self.open.len() < MAX_OPEN {
            return Ok(());
        }
        Err(excess(format!("more than {MAX_OPEN} open blocks")))
    }

    fn keep(&mut self, bytes: usize) -> Result<(), WireFault> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > MAX_KEPT {
            return Err(excess(format!("more than {} MiB in open blocks", MAX_KEPT >> 20)));
        }
        Ok(())
    }
}

impl Thinking {
    /// The whole block, with the members it started with in their order.
    fn into_json(self) -> Option<RawJson> {
        RawJson::from_value(&self).ok()
    }
}

impl Serialize for Thinking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let start = self.start.as_ref().map_or(r#"{"type":"thinking"}"#, RawJson::get);
        let started: Members<'_> = serde_json::from_str(start).unwrap_or_default();
        let has = |name: &str| started.0.iter().any(|(known, _)| known == name);
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &started.0 {
            match (&**name, &self.signature) {
                ("thinking", _) => map.serialize_entry(name, &self.text)?,
                ("signature", Some(signature)) => map.serialize_entry(name, signature)?,
                _ => map.serialize_entry(name, value)?,
            }
        }
        if !has("thinking") {
            map.serialize_entry("thinking", &self.text)?;
        }
        if let (Some(signature), false) = (&self.signature, has("signature")) {
            map.serialize_entry("signature", signature)?;
        }
        map.end()
    }
}

/// The arguments a block gives: empty when it gives none. A text, which is not Anthropic's way, is taken as JSON.
pub(crate) fn arguments(input: &RawValue) -> String {
    let text = string(input).unwrap_or(Cow::Borrowed(input.get()));
    let inside = text.trim_ascii().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inside.map(str::trim_ascii) {
        Some("") => String::new(),
        _ => text.into_owned(),
    }
}

pub(crate) fn too_many_calls() -> WireFault {
    excess(format!("more than {MAX_CALLS} tool calls"))
}

pub(crate) fn excess(what: impl Into<String>) -> WireFault {
    WireFault::malformed(DecodeKind::Excess, what)
}
