//! One block of content, as the client writes it.

use std::borrow::Cow;

use infer_core::{Content, InferenceError, Part, RawJson, ToolCall};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::Members;
use crate::media::{self, File, Source};
use crate::refusal::refused;

/// A block, and whether the prompt is to be cached up to it.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) cache_control: Option<&'a RawJson>,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Text(&'a str),
    Image(Source<'a>),
    Document { source: Source<'a>, title: Option<&'a str> },
    ToolUse { id: &'a str, name: &'a str, input: Cow<'a, RawValue> },
    ToolResult { id: &'a str, content: Vec<Block<'a>>, is_error: Option<&'a RawJson> },
    Raw(&'a RawJson),
}

impl<'a> From<Kind<'a>> for Block<'a> {
    fn from(kind: Kind<'a>) -> Self {
        Self { kind, cache_control: None }
    }
}

impl Block<'_> {
    /// The text, if there is nothing but text: then a string can stand for the block.
    pub(crate) fn as_plain_text(&self) -> Option<&str> {
        match (&self.kind, self.cache_control) {
            (Kind::Text(text), None) => Some(text),
            _ => None,
        }
    }

    /// About how long it is, in bytes.
    pub(crate) fn size(&self) -> usize {
        let source = |source: &Source<'_>| match source {
            Source::Base64 { data: text, .. }
            | Source::Url { url: text }
            | Source::File { file_id: text } => text.len(),
            Source::Text { data, .. } => data.len(),
        };
        64 + match &self.kind {
            Kind::Text(text) => text.len() + text.len() / 16,
            Kind::Image(image) => source(image),
            Kind::Document { source: document, .. } => source(document),
            Kind::ToolUse { input, .. } => input.get().len(),
            Kind::ToolResult { content, .. } => content.iter().map(Self::size).sum(),
            Kind::Raw(raw) => raw.get().len(),
        }
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let (Kind::Raw(raw), None) = (&self.kind, self.cache_control) {
            return raw.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        match &self.kind {
            Kind::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            Kind::Image(source) => {
                map.serialize_entry("type", "image")?;
                map.serialize_entry("source", source)?;
            }
            Kind::Document { source, title } => {
                map.serialize_entry("type", "document")?;
                map.serialize_entry("source", source)?;
                if let Some(title) = title {
                    map.serialize_entry("title", title)?;
                }
            }
            Kind::ToolUse { id, name, input } => {
                map.serialize_entry("type", "tool_use")?;
                map.serialize_entry("id", id)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("input", input)?;
            }
            Kind::ToolResult { id, content, is_error } => {
                map.serialize_entry("type", "tool_result")?;
                map.serialize_entry("tool_use_id", id)?;
                // An empty list or text is refused; without the member the result is empty.
                if !content.is_empty() {
                    map.serialize_entry("content", &Blocks(content))?;
                }
                if let Some(is_error) = is_error {
                    map.serialize_entry("is_error", is_error)?;
                }
            }
            Kind::Raw(raw) => {
                let members: Members<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
                for (name, value) in members.0.iter().filter(|(name, _)| name != "cache_control") {
                    map.serialize_entry(name, value)?;
                }
            }
        }
        if let Some(cache_control) = self.cache_control {
            map.serialize_entry("cache_control", cache_control)?;
        }
        map.end()
    }
}

/// A list of blocks, or a string for a single one that is nothing but text.
pub(crate) struct Blocks<'a>(pub(crate) &'a [Block<'a>]);

impl Serialize for Blocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [only] => match only.as_plain_text() {
                Some(text) => serializer.serialize_str(text),
                None => self.0.serialize(serializer),
            },
            blocks => blocks.serialize(serializer),
        }
    }
}

/// The blocks of `content`, without empty texts, which the format refuses. `at` names the message in errors.
pub(crate) fn blocks<'a>(content: &'a Content, at: &str) -> Result<Vec<Block<'a>>, InferenceError> {
    let text = |text: &'a str| (!text.is_empty()).then_some(Kind::Text(text));
    match content {
        Content::Text(only) => Ok(text(only).into_iter().map(Block::from).collect()),
        Content::Parts(parts) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (place, part) in parts.iter().enumerate() {
                let at = || format!("{at}.content[{place}]");
                let kind = match part {
                    Part::Text(said) | Part::Refusal(said) => text(said),
                    Part::Image { source, .. } => Some(Kind::Image(media::image(source, &at())?)),
                    Part::File(source) => Some(match media::file(source, &at())? {
                        File::Document(source, title) => Kind::Document { source, title },
                        File::Image(source) => Kind::Image(source),
                    }),
                    Part::Other(raw) => Some(Kind::Raw(raw)),
                    Part::Audio { .. } => {
                        return Err(refused(&at(), "this upstream takes no sound; send its transcript"));
                    }
                    _ => return Err(refused(&at(), "this upstream has no such part")),
                };
                blocks.extend(kind.map(Block::from));
            }
            Ok(blocks)
        }
        _ => Ok(Vec::new()),
    }
}

/// A call the model made, as it is told of it in a later turn. `at` names the call in errors.
pub(crate) fn tool_use<'a>(call: &'a ToolCall, at: &str) -> Result<Block<'a>, InferenceError> {
    let name = call.name.as_str();
    let named = |why: &str| {
        let id = call.id.as_deref().unwrap_or_default();
        refused(at, &format!("the call `{name}` {id}: {why}").replace(" :", ":"))
    };
    let Some(id) = call.id.as_deref().filter(|id| !id.is_empty()) else {
        return Err(named("needs an id, which its result refers to"));
    };
    let arguments = call.arguments.trim();
    let input = match arguments {
        "" => Cow::Owned(empty_object()),
        text => {
            let raw: Option<&RawValue> = serde_json::from_str(text).ok();
            let object = raw.filter(|raw| raw.get().starts_with('{'));
            Cow::Borrowed(object.ok_or_else(|| named("its arguments must be one JSON object"))?)
        }
    };
    Ok(Kind::ToolUse { id, name, input }.into())
}

fn empty_object() -> Box<RawValue> {
    serde_json::value::to_raw_value(&serde_json::Map::new()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(content: &Content) -> String {
        serde_json::to_string(&Blocks(&blocks(content, "messages[0]").unwrap())).unwrap()
    }

    #[test]
    fn a_single_text_is_a_string_and_empty_texts_are_left_out() {
        assert_eq!(json(&Content::from("hi")), r#""hi""#);
        assert_eq!(json(&Content::from([Part::text(""), Part::text("hi")])), r#""hi""#);
        let two = Content::from([Part::text("a"), Part::Refusal("b".into())]);
        assert_eq!(json(&two), r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#);
    }

    #[test]
    fn a_raw_part_is_written_as_it_was_given_unless_a_cache_mark_is_put_on_it() {
        let raw = r#"{"type": "search_result", "n":1.50, "cache_control":null}"#;
        let content = Content::from([Part::Other(RawJson::parse(raw).unwrap())]);
        assert_eq!(json(&content), format!("[{raw}]"));
        let mark = RawJson::parse(r#"{"type":"ephemeral"}"#).unwrap();
        let mut marked = blocks(&content, "messages[0]").unwrap();
        marked[0].cache_control = Some(&mark);
        let expect = r#"[{"type":"search_result","n":1.50,"cache_control":{"type":"ephemeral"}}]"#;
        assert_eq!(serde_json::to_string(&marked).unwrap(), expect);
    }

    #[test]
    fn sound_is_refused_with_its_place() {
        let content = Content::from([Part::text("a"), Part::audio("wav", "AAAA")]);
        let error = blocks(&content, "messages[3]").unwrap_err();
        assert_eq!(error.origin().unwrap().param.as_deref(), Some("messages[3].content[1]"));
        assert!(error.to_string().contains("sound"), "{error}");
    }

    #[test]
    fn arguments_that_are_no_object_are_refused_by_the_calls_name() {
        for arguments in ["[1]", "5", "{", "null", "{} {}", "text"] {
            let call = ToolCall::function("call_7", "add", arguments);
            let error = tool_use(&call, "messages[1].tool_calls[0]").unwrap_err().to_string();
            assert!(error.contains("add") && error.contains("call_7"), "{error}");
        }
        let call = ToolCall::function("a", "f", " {\"x\": 1.0 } ");
        let block = tool_use(&call, "x").unwrap();
        let expect = r#"{"type":"tool_use","id":"a","name":"f","input":{"x": 1.0 }}"#;
        assert_eq!(serde_json::to_string(&block).unwrap(), expect);
        let none = ToolCall::function("a", "f", "");
        assert!(serde_json::to_string(&tool_use(&none, "x").unwrap()).unwrap().ends_with(r#""input":{}}"#));
        assert!(tool_use(&ToolCall::function("", "f", "{}"), "x").is_err());
    }
}
