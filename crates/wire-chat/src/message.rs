//! Messages, both ways.
//!
//! Reading keeps what it has no field for: a member goes to the message's `extra`, a part with anything unusual in it
//! stays as it was written.

use bytes::Bytes;
use infer_core::{
    Content, Extra, FileSource, InferenceError, MediaSource, Message, Part, Role, ToolCall, ToolKind,
    WireFormat,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::DeveloperRole;
use crate::json::{Members, string, string_or_json};
use crate::request::refused;
use crate::style::Style;
use crate::write::{self, Object};

/// Writes a message array.
pub(crate) fn write_messages(out: &mut Vec<u8>, messages: &[Message], style: Style) {
    write::list(out, messages, |out, message| write_message(out, message, style));
}

fn write_message(out: &mut Vec<u8>, message: &Message, style: Style) {
    let mut object = Object::begin(out);
    let role = match (message.role, style.developer) {
        (Role::Developer, DeveloperRole::Keep) => "developer",
        (Role::System | Role::Developer, _) => "system",
        (Role::Assistant, _) => "assistant",
        (Role::Tool, _) => "tool",
        _ => "user",
    };
    object.value("role", role);
    match &message.content {
        Content::Text(text) => object.value("content", text),
        Content::Parts(parts) => write::list(object.key("content"), parts, write_part),
        _ => {}
    }
    object.some("name", message.name.as_ref().filter(|_| !style.leaves_out_names));
    if !message.tool_calls.is_empty() {
        write::list(object.key("tool_calls"), &message.tool_calls, |out, call| {
            write_call_as(out, call, call.id.as_deref().map(|id| style.call_id(id)).as_deref());
        });
    }
    object.some("tool_call_id", message.tool_call_id.as_deref().map(|id| style.call_id(id)).as_ref());
    object.some("refusal", message.refusal.as_ref());
    if let Some((name, reasoning)) = style.reasoning(message) {
        object.value(name, &reasoning);
    }
    let is_foreign = message.extra.is_foreign_to(WireFormat::CHAT_COMPLETIONS);
    for (name, value) in message.extra.iter().filter(|_| !is_foreign) {
        if !is_set(message, name) && !style.leaves_out(name) {
            object.raw(name, value.get().as_bytes());
        }
    }
    object.end();
}

/// Whether the message itself has this member, so that an extra one would say it twice.
fn is_set(message: &Message, name: &str) -> bool {
    match name {
        "role" => true,
        "content" => message.content != Content::Empty,
        "name" => message.name.is_some(),
        "tool_calls" => !message.tool_calls.is_empty(),
        "tool_call_id" => message.tool_call_id.is_some(),
        "refusal" => message.refusal.is_some(),
        "reasoning_content" => message.reasoning.is_some(),
        _ => false,
    }
}

fn write_part(out: &mut Vec<u8>, part: &Part) {
    let open = |out, kind: &str| {
        let mut object = Object::begin(out);
        object.value("type", kind);
        object
    };
    let object = match part {
        Part::Text(text) => {
            let mut object = open(out, "text");
            object.value("text", text);
            object
        }
        Part::Refusal(text) => {
            let mut object = open(out, "refusal");
            object.value("refusal", text);
            object
        }
        Part::Image { source, detail } => {
            let mut object = open(out, "image_url");
            let mut image = Object::begin(object.key("image_url"));
            match source {
                MediaSource::Base64 { media_type, data } => {
                    image.value("url", &DataUrl { media_type, data });
                }
                MediaSource::Url(url) => image.value("url", url),
                _ => {}
            }
            image.some("detail", detail.as_ref());
            image.end();
            object
        }
        Part::Audio { data, format } => {
            let mut object = open(out, "input_audio");
            let mut audio = Object::begin(object.key("input_audio"));
            audio.value("data", data);
            audio.value("format", format);
            audio.end();
            object
        }
        Part::File(source) => {
            let mut object = open(out, "file");
            let mut file = Object::begin(object.key("file"));
            match source {
                FileSource::Id(id) => file.value("file_id", id),
                FileSource::Data { filename, data } => {
                    file.some("filename", filename.as_ref());
                    file.value("file_data", data);
                }
                _ => {}
            }
            file.end();
            object
        }
        Part::Other(raw) => return out.extend_from_slice(raw.get().as_bytes()),
        // A part that this wire has no name for yet.
        _ => open(out, "text"),
    };
    object.end();
}

/// Written in two pieces, so that a picture of many megabytes is not copied for its prefix.
struct DataUrl<'a> {
    media_type: &'a str,
    data: &'a str,
}

impl serde::Serialize for DataUrl<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("data:{};base64,{}", self.media_type, self.data))
    }
}

/// Writes a complete tool call.
pub(crate) fn write_call(out: &mut Vec<u8>, call: &ToolCall) {
    write_call_as(out, call, call.id.as_deref());
}

fn write_call_as(out: &mut Vec<u8>, call: &ToolCall, id: Option<&str>) {
    let mut object = Object::begin(out);
    object.some("id", id.as_ref());
    let (kind, payload) = payload_names(call.kind);
    object.value("type", kind);
    let mut called = Object::begin(object.key(kind));
    called.value("name", &call.name);
    called.value(payload, &call.arguments);
    called.end();
    object.end();
}

/// The names of a call's kind and of what it is called with.
pub(crate) fn payload_names(kind: ToolKind) -> (&'static str, &'static str) {
    match kind {
        ToolKind::Custom => ("custom", "input"),
        _ => ("function", "arguments"),
    }
}

/// Reads a message array.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member.
pub(crate) fn read_messages(json: &Bytes) -> Result<Vec<Message>, InferenceError> {
    let items: Vec<&RawValue> =
        serde_json::from_slice(json).map_err(|_| refused("messages", "must be a list of messages"))?;
    items.into_iter().enumerate().map(|(at, raw)| read_message(raw, &format!("messages[{at}]"))).collect()
}

fn read_message(raw: &RawValue, at: &str) -> Result<Message, InferenceError> {
    let members: Members<'_> =
        serde_json::from_str(raw.get()).map_err(|_| refused(at, "must be an object"))?;
    if members.is_cut {
        return Err(refused(at, "has too many members"));
    }
    let text = |name: &str, value: &RawValue| match (value.get(), string(value)) {
        ("null", _) => Ok(None),
        (_, Some(text)) => Ok(Some(text)),
        _ => Err(refused(&format!("{at}.{name}"), "must be text")),
    };
    let mut message = Message::new(Role::User, Content::Empty);
    message.extra = Extra::received(WireFormat::CHAT_COMPLETIONS);
    let mut role = None;
    for (name, value) in members.list {
        match &*name {
            "role" => role = text(&name, value)?,
            "content" => message.content = read_content(value, at)?,
            "name" => message.name = text(&name, value)?,
            "tool_call_id" => message.tool_call_id = text(&name, value)?,
            "refusal" => message.refusal = text(&name, value)?,
            "reasoning_content" => message.reasoning = text(&name, value)?,
            "tool_calls" => message.tool_calls = read_calls(value, at)?,
            _ => message.extra.set(name, value.into()),
        }
    }
    message.role = match role.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => {
            let known = "must be system, developer, user, assistant or tool";
            return Err(refused(&format!("{at}.role"), known));
        }
    };
    Ok(message)
}

fn read_content(raw: &RawValue, at: &str) -> Result<Content, InferenceError> {
    if raw.get() == "null" {
        return Ok(Content::Empty);
    }
    if let Some(text) = string(raw) {
        return Ok(Content::Text(text));
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| refused(&format!("{at}.content"), "must be text or a list of parts"))?;
    Ok(Content::Parts(parts.into_iter().map(read_part).collect()))
}

/// The parts that have a name here, and no members beyond these.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum KnownPart {
    Text { text: String },
    Refusal { refusal: String },
    ImageUrl { image_url: KnownImage },
    InputAudio { input_audio: KnownAudio },
    File { file: KnownFile },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownImage {
    url: String,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownAudio {
    data: String,
    format: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KnownFile {
    file_id: Option<String>,
    filename: Option<String>,
    file_data: Option<String>,
}

fn read_part(raw: &RawValue) -> Part {
    let other = || Part::Other(raw.into());
    match serde_json::from_str(raw.get()) {
        Ok(KnownPart::Text { text }) => Part::Text(text),
        Ok(KnownPart::Refusal { refusal }) => Part::Refusal(refusal),
        Ok(KnownPart::InputAudio { input_audio: KnownAudio { data, format } }) => {
            Part::Audio { data, format }
        }
        Ok(KnownPart::ImageUrl { image_url: KnownImage { url, detail } }) => {
            let inline = url.strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
            let source = match inline {
                Some((media_type, data)) => {
                    MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
                }
                None => MediaSource::Url(url),
            };
            Part::Image { source, detail }
        }
        Ok(KnownPart::File { file }) => match file {
            KnownFile { file_id: Some(id), filename: None, file_data: None } => {
                Part::File(FileSource::Id(id))
            }
            KnownFile { file_id: None, filename, file_data: Some(data) } => {
                Part::File(FileSource::Data { filename, data })
            }
            _ => other(),
        },
        Err(_) => other(),
    }
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    function: Option<RawCalled<'a>>,
    #[serde(borrow, default)]
    custom: Option<RawCalled<'a>>,
}

#[derive(Deserialize)]
struct RawCalled<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

fn read_calls(raw: &RawValue, at: &str) -> Result<Vec<ToolCall>, InferenceError> {
    if raw.get() == "null" {
        return Ok(Vec::new());
    }
    let wrong = || refused(&format!("{at}.tool_calls"), "must be a list of function or custom calls");
    let calls: Vec<RawCall<'_>> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let call = |raw: RawCall<'_>| {
        let mut call = ToolCall::default();
        call.id = raw.id;
        call.kind = if raw.custom.is_some() { ToolKind::Custom } else { ToolKind::Function };
        let called = raw.custom.or(raw.function).ok_or_else(wrong)?;
        call.name = called.name;
        call.arguments = called.input.or(called.arguments).map(string_or_json).unwrap_or_default();
        Ok(call)
    };
    calls.into_iter().map(call).collect()
}

#[cfg(test)]
mod tests {
    use infer_core::RawJson;

    use super::*;

    fn read(json: &str) -> Result<Vec<Message>, InferenceError> {
        read_messages(&Bytes::copy_from_slice(json.as_bytes()))
    }

    fn written(messages: &[Message], developer: DeveloperRole) -> String {
        let mut out = Vec::new();
        write_messages(&mut out, messages, Style { developer, ..Style::default() });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_part_with_anything_unusual_in_it_stays_as_it_was_written() {
        let odd = [
            r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#,
            r#"{"type":"image_url","image_url":"https://x"}"#,
            r#"{"type":"file","file":{}}"#,
            r#"{"type":"video_url","video_url":{"url":"u"}}"#,
            "5",
        ];
        for part in odd {
            let json = format!(r#"[{{"role":"user","content":[{part}]}}]"#);
            let messages = read(&json).unwrap();
            assert_eq!(messages[0].content, Content::Parts(vec![Part::Other(RawJson::parse(part).unwrap())]));
            assert_eq!(written(&messages, DeveloperRole::Keep), json);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let faults = [
            ("{}", "messages"),
            (r#"[{"role":"user"},5]"#, "messages[1]"),
            (r#"[{"content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"robot"}]"#, "messages[0].role"),
            (r#"[{"role":"user","content":5}]"#, "messages[0].content"),
            (r#"[{"role":"user","name":5}]"#, "messages[0].name"),
            (r#"[{"role":"assistant","tool_calls":[{"id":"a"}]}]"#, "messages[0].tool_calls"),
        ];
        for (json, param) in faults {
            let error = read(json).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param), "{json}");
        }
    }

    #[test]
    fn an_extra_member_does_not_say_twice_what_the_message_says() {
        let mut message = Message::user("hi");
        message.extra.set("content", RawJson::parse("1").unwrap());
        message.extra.set("audio", RawJson::parse(r#"{"id": "a"}"#).unwrap());
        let expect = r#"[{"role":"user","content":"hi","audio":{"id": "a"}}]"#;
        assert_eq!(written(&[message], DeveloperRole::Keep), expect);
    }

    #[test]
    fn instructions_go_by_the_name_the_dialect_knows() {
        let messages = [Message::developer("x")];
        assert!(written(&messages, DeveloperRole::Keep).contains("developer"));
        assert_eq!(written(&messages, DeveloperRole::AsSystem), r#"[{"role":"system","content":"x"}]"#);
    }
}
