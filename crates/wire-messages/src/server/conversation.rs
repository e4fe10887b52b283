//! Messages and instructions of this format, read for upstreams that speak another.
//!
//! Results of calls become messages of their own, and blocks of reasoning stay unread. A block without a typed part
//! keeps its text in [`Part::Other`]. Of marks for a prompt cache only those on the last block of a message are kept,
//! where [`Message`] has a place for them; citations are for people and left out. An upstream of this format gets all
//! of it, since the bytes received are sent to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use infer_core::{
    Content, Extra, FileSource, InferenceError, MediaSource, Message, Part, RawJson, Role, ToolCall,
};
use serde_json::value::RawValue;

use super::members::{member, members};
use crate::MESSAGES;
use crate::json::{Members, string};
use crate::refusal::refused;

/// Reads a message array.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member.
pub(super) fn read_messages(json: &Bytes) -> Result<Vec<Message>, InferenceError> {
    let turns: Vec<&RawValue> =
        serde_json::from_slice(json).map_err(|_| refused("messages", "must be a list of messages"))?;
    let mut messages = Vec::with_capacity(turns.len());
    for (place, raw) in turns.into_iter().enumerate() {
        read_turn(raw, &format!("messages[{place}]"), &mut messages)?;
    }
    Ok(messages)
}

/// Reads `system`.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member.
pub(super) fn read_instructions(json: &Bytes) -> Result<Vec<Message>, InferenceError> {
    let raw: &RawValue = serde_json::from_slice(json).map_err(|_| refused("system", "is not JSON"))?;
    let mut said = Said::new(Role::System);
    said.content(raw, "system")?;
    let is_silent = match &said.parts[..] {
        [] => true,
        [Part::Text(text)] => text.is_empty(),
        _ => false,
    };
    Ok(if is_silent { Vec::new() } else { vec![said.into_message()] })
}

fn read_turn(raw: &RawValue, at: &str, messages: &mut Vec<Message>) -> Result<(), InferenceError> {
    let turn = members(at, raw)?;
    let role = match member(&turn, "role").and_then(string).as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => return Err(refused(&format!("{at}.role"), "must be user, assistant or system")),
    };
    let Some(content) = member(&turn, "content") else {
        return Err(refused(&format!("{at}.content"), "is missing"));
    };
    let mut said = Said::new(role);
    if string(content).is_some() {
        said.content(content, at)?;
        messages.push(said.into_message());
        return Ok(());
    }
    let before = messages.len();
    for (place, raw) in blocks(content, at)?.into_iter().enumerate() {
        let at = format!("{at}.content[{place}]");
        let block = members(&at, raw)?;
        if kind(&block, &at)? == "tool_result" {
            let said = std::mem::replace(&mut said, Said::new(role));
            messages.extend((!said.is_empty()).then(|| said.into_message()));
            messages.push(result(&block, &at)?);
        } else {
            said.block(&block, raw, &at)?;
        }
    }
    if !said.is_empty() || messages.len() == before {
        messages.push(said.into_message());
    }
    Ok(())
}

/// One message as it is gathered from its blocks.
struct Said {
    message: Message,
    parts: Vec<Part>,
    /// On the last block.
    mark: Option<RawJson>,
}

impl Said {
    fn new(role: Role) -> Self {
        let mut message = Message::new(role, Content::Empty);
        message.extra = Extra::received(MESSAGES);
        Self { message, parts: Vec::new(), mark: None }
    }

    fn is_empty(&self) -> bool {
        self.parts.is_empty()
            && self.message.tool_calls.is_empty()
            && self.message.reasoning_blocks.is_empty()
    }

    fn content(&mut self, raw: &RawValue, at: &str) -> Result<(), InferenceError> {
        if let Some(text) = string(raw) {
            self.parts.push(Part::Text(text.into_owned()));
            return Ok(());
        }
        for (place, raw) in blocks(raw, at)?.into_iter().enumerate() {
            let at = format!("{at}.content[{place}]");
            self.block(&members(&at, raw)?, raw, &at)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &Members<'_>, raw: &RawValue, at: &str) -> Result<(), InferenceError> {
        let kind = kind(block, at)?;
        let mut mark = member(block, "cache_control").map(RawJson::from);
        match (&*kind, self.message.role) {
            ("thinking" | "redacted_thinking", Role::Assistant) => {
                if let Some(thought) = member(block, "thinking").and_then(string) {
                    self.message.reasoning.get_or_insert_default().push_str(&thought);
                }
                self.message.reasoning_blocks.push(raw.into());
            }
            ("tool_use", Role::Assistant) => self.message.tool_calls.push(call(block, at)?),
            _ => {
                let part = part(&kind, block, at)?.unwrap_or_else(|| {
                    // It stands in the text that is kept.
                    mark = None;
                    Part::Other(raw.into())
                });
                self.parts.push(part);
            }
        }
        self.mark = mark;
        Ok(())
    }

    fn into_message(self) -> Message {
        let mut message = self.message;
        message.content = content_of(self.parts);
        if let Some(mark) = self.mark {
            message.extra.set("cache_control", mark);
        }
        message
    }
}

fn content_of(mut parts: Vec<Part>) -> Content {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => Content::Empty,
        (Some(Part::Text(only)), true) => Content::Text(only),
        (Some(last), _) => {
            parts.push(last);
            Content::Parts(parts)
        }
    }
}

fn blocks<'a>(raw: &'a RawValue, at: &str) -> Result<Vec<&'a RawValue>, InferenceError> {
    let why = "must be text or a list of blocks";
    serde_json::from_str(raw.get()).map_err(|_| refused(&format!("{at}.content"), why))
}

fn kind<'a>(block: &Members<'a>, at: &str) -> Result<std::borrow::Cow<'a, str>, InferenceError> {
    member(block, "type").and_then(string).ok_or_else(|| refused(&format!("{at}.type"), "must be text"))
}

fn needed(block: &Members<'_>, name: &str, at: &str) -> Result<String, InferenceError> {
    let text = member(block, name).and_then(string);
    text.map(Into::into).ok_or_else(|| refused(&format!("{at}.{name}"), "must be text"))
}

fn call(block: &Members<'_>, at: &str) -> Result<ToolCall, InferenceError> {
    let input = member(block, "input").map_or("{}", RawValue::get);
    Ok(ToolCall::function(needed(block, "id", at)?, needed(block, "name", at)?, input))
}

fn result(block: &Members<'_>, at: &str) -> Result<Message, InferenceError> {
    let mut said = Said::new(Role::Tool);
    if let Some(content) = member(block, "content") {
        said.content(content, at)?;
    }
    said.mark = None;
    let mut message = said.into_message();
    message.tool_call_id = Some(needed(block, "tool_use_id", at)?);
    for name in ["is_error", "cache_control"] {
        if let Some(raw) = member(block, name) {
            message.extra.set(name, raw.into());
        }
    }
    Ok(message)
}

/// The part for a block; `None` for one that keeps its text.
fn part(kind: &str, block: &Members<'_>, at: &str) -> Result<Option<Part>, InferenceError> {
    let has_only = |names: &[&str]| {
        let is_known = |name: &str| matches!(name, "type" | "cache_control") || names.contains(&name);
        block.0.iter().all(|(name, raw)| is_known(name) || raw.get() == "null")
    };
    Ok(match kind {
        "text" if has_only(&["text", "citations"]) => Some(Part::Text(needed(block, "text", at)?)),
        "image" if has_only(&["source"]) => source(block, at)?
            .and_then(|source| match source {
                Source::Base64 { media_type, data } => Some(MediaSource::Base64 { media_type, data }),
                Source::Url(url) => Some(MediaSource::Url(url)),
                _ => None,
            })
            .map(|source| Part::Image { source, detail: None }),
        "document" if has_only(&["source", "title", "citations"]) => {
            let title = member(block, "title").and_then(string);
            source(block, at)?.and_then(|source| document(source, title.as_deref()))
        }
        _ => None,
    })
}

enum Source {
    Base64 { media_type: String, data: String },
    Url(String),
    File(String),
    Text(String),
}

/// Where a picture or document is; `None` for a kind without a name here.
fn source(block: &Members<'_>, at: &str) -> Result<Option<Source>, InferenceError> {
    let at = format!("{at}.source");
    let Some(raw) = member(block, "source") else { return Err(refused(&at, "is missing")) };
    let source = members(&at, raw)?;
    let needed = |name: &str| needed(&source, name, &at);
    Ok(match &*kind(&source, &at)? {
        "base64" => Some(Source::Base64 { media_type: needed("media_type")?, data: needed("data")? }),
        "url" => Some(Source::Url(needed("url")?)),
        "file" => Some(Source::File(needed("file_id")?)),
        "text" => Some(Source::Text(needed("data")?)),
        _ => None,
    })
}

/// Files are told apart by their name elsewhere, so one without a title gets one.
fn document(source: Source, title: Option<&str>) -> Option<Part> {
    let inline = |name: &str, media_type: &str, data: &str| {
        let filename = title.unwrap_or(name);
        Part::file_data(filename, format!("data:{media_type};base64,{data}"))
    };
    match source {
        Source::Base64 { media_type, data } => Some(inline("document.pdf", &media_type, &data)),
        Source::Text(text) => Some(inline("document.txt", "text/plain", &STANDARD.encode(text))),
        Source::File(id) => Some(Part::File(FileSource::Id(id))),
        Source::Url(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Message>, InferenceError> {
        read_messages(&Bytes::copy_from_slice(json.as_bytes()))
    }

    #[test]
    fn results_of_calls_are_messages_of_their_own_and_keep_their_place() {
        let json = r#"[{"role":"user","content":[
            {"type":"tool_result","tool_use_id":"a","content":"sun","is_error":true},
            {"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"x"},
                {"type":"image","source":{"type":"url","url":"https://x"}}]},
            {"type":"text","text":"and?","cache_control":{"type":"ephemeral"}}]}]"#;
        let messages = read(json).unwrap();
        assert_eq!(messages.len(), 3);
        let ids: Vec<_> = messages.iter().map(|message| message.tool_call_id.as_deref()).collect();
        assert_eq!(ids, [Some("a"), Some("b"), None]);
        assert_eq!(messages[0].extra.get("is_error").unwrap().get(), "true");
        assert_eq!(messages[1].content, Content::Parts(vec![Part::text("x"), Part::image_url("https://x")]));
        assert_eq!(messages[2].content, Content::Text("and?".into()));
        assert_eq!(messages[2].extra.get("cache_control").unwrap().get(), r#"{"type":"ephemeral"}"#);
    }

    #[test]
    fn an_answer_is_read_with_its_reasoning_unread_and_its_calls() {
        let thinking = r#"{ "type":"thinking","thinking":"hm","signature":"s" }"#;
        let json = format!(
            r#"[{{"role":"assistant","content":[{thinking},{{"type":"text","text":"so","citations":null}},
                {{"type":"tool_use","id":"t","name":"f","input":{{"a": 1.0}}}}]}}]"#
        );
        let message = read(&json).unwrap().remove(0);
        assert_eq!(message.reasoning.as_deref(), Some("hm"));
        assert_eq!(message.reasoning_blocks, [RawJson::parse(thinking).unwrap()]);
        assert_eq!(message.content, Content::Text("so".into()));
        assert_eq!(message.tool_calls, [ToolCall::function("t", "f", r#"{"a": 1.0}"#)]);
    }

    #[test]
    fn documents_are_files_that_other_upstreams_can_tell_apart() {
        let json = r#"[{"role":"user","content":[
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}},
            {"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"hi"}},
            {"type":"document","source":{"type":"file","file_id":"f"}},
            {"type":"document","source":{"type":"url","url":"https://x"}},
            {"type":"document","context":"c","source":{"type":"file","file_id":"f"}}]}]"#;
        let Content::Parts(parts) = read(json).unwrap().remove(0).content else { panic!("parts") };
        assert_eq!(parts[0], Part::file_data("document.pdf", "data:application/pdf;base64,JVBERi0x"));
        assert_eq!(parts[1], Part::file_data("t", "data:text/plain;base64,aGk="));
        assert_eq!(parts[2], Part::file_id("f"));
        assert!(parts[3..].iter().all(|part| matches!(part, Part::Other(_))));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let faults = [
            ("{}", "messages"),
            ("[5]", "messages[0]"),
            (r#"[{"role":"tool","content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":5}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":[5]}]"#, "messages[0].content[0]"),
            (r#"[{"role":"user","content":[{}]}]"#, "messages[0].content[0].type"),
            (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
            (r#"[{"role":"user","content":[{"type":"image"}]}]"#, "messages[0].content[0].source"),
            (r#"[{"role":"user","content":[{"type":"tool_result"}]}]"#, "messages[0].content[0].tool_use_id"),
            (
                r#"[{"role":"assistant","content":[{"type":"tool_use","id":"a"}]}]"#,
                "messages[0].content[0].name",
            ),
        ];
        for (json, param) in faults {
            let error = read(json).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param), "{json}");
        }
    }

    #[test]
    fn instructions_are_one_message_or_none() {
        let of = |json: &'static str| read_instructions(&Bytes::from_static(json.as_bytes())).unwrap();
        assert_eq!(of("\"\""), []);
        assert_eq!(of("[]"), []);
        assert_eq!(of("\"a\""), [Message::system("a")]);
        let two = of(r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#);
        assert_eq!(two, [Message::system([Part::text("a"), Part::text("b")])]);
    }
}
