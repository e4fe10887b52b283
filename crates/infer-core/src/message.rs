//! What is said to a model: messages and their parts.
//!
//! Knows roles and parts, not how any vendor writes them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Extra, InferenceError, RawJson, ToolCall, WireFormat};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Instructions, the older name.
    System,
    /// Instructions, the name reasoning models use.
    Developer,
    /// The person or program asking.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message.
///
/// ```
/// use infer_core::{Message, Part};
/// let ask = Message::user([Part::text("What is this?"), Part::image_url("https://example.com/cat.png")]);
/// assert_eq!(ask.content.text(), "What is this?");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// A name to tell several speakers of one role apart.
    pub name: Option<String>,
    /// An assistant's calls; every call must be answered by one [`Message::tool`].
    pub tool_calls: Vec<ToolCall>,
    /// The call a tool message answers.
    pub tool_call_id: Option<String>,
    /// An assistant's refusal.
    pub refusal: Option<String>,
    /// An assistant's reasoning, for upstreams that want it back in later turns.
    pub reasoning: Option<String>,
    /// An assistant's blocks of reasoning, unread, for upstreams that want them back as they sent them.
    pub reasoning_blocks: Vec<RawJson>,
    /// Members passed through unread.
    pub extra: Extra,
}

impl Message {
    /// A message of any role.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self {
            role,
            content: content.into(),
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            refusal: None,
            reasoning: None,
            reasoning_blocks: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// Instructions, the older name.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// Instructions, the name reasoning models use.
    pub fn developer(content: impl Into<Content>) -> Self {
        Self::new(Role::Developer, content)
    }

    /// What the person asks.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the call `tool_call_id`.
    pub fn tool(tool_call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        Self { tool_call_id: Some(tool_call_id.into()), ..Self::new(Role::Tool, content) }
    }

    /// Names the speaker.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds an assistant's tool calls.
    #[must_use]
    pub fn with_tool_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Nothing: an assistant message that only calls tools.
    Empty,
    /// Plain text.
    Text(String),
    /// Text and other things, in order.
    Parts(Vec<Part>),
}

impl Content {
    /// The text of all text parts, joined.
    pub fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}

impl<const N: usize> From<[Part; N]> for Content {
    fn from(parts: [Part; N]) -> Self {
        Self::Parts(parts.into())
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture.
    Image {
        /// Where its bytes are.
        source: MediaSource,
        /// How closely to look: `low`, `high` or `auto`; the upstream decides when absent.
        detail: Option<String>,
    },
    /// Sound, base64.
    Audio {
        /// The bytes, base64.
        data: String,
        /// `wav` or `mp3`.
        format: String,
    },
    /// A document.
    File(FileSource),
    /// An assistant's refusal, as a part.
    Refusal(String),
    /// A part this crate has no name for, or with members it does not know.
    Other(RawJson),
}

impl Part {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A picture the upstream fetches itself.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::Image { source: MediaSource::Url(url.into()), detail: None }
    }

    /// A picture sent along; `data` is base64, `media_type` such as `image/png`.
    pub fn image_base64(media_type: impl Into<String>, data: impl Into<String>) -> Self {
        let source = MediaSource::Base64 { media_type: media_type.into(), data: data.into() };
        Self::Image { source, detail: None }
    }

    /// Sound sent along; `data` is base64, `format` is `wav` or `mp3`.
    pub fn audio(format: impl Into<String>, data: impl Into<String>) -> Self {
        Self::Audio { data: data.into(), format: format.into() }
    }

    /// A file uploaded before.
    pub fn file_id(id: impl Into<String>) -> Self {
        Self::File(FileSource::Id(id.into()))
    }

    /// A file sent along; `data` is a data URL or base64, as the upstream wants it.
    pub fn file_data(filename: impl Into<String>, data: impl Into<String>) -> Self {
        Self::File(FileSource::Data { filename: Some(filename.into()), data: data.into() })
    }
}

/// Where the bytes of a picture are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaSource {
    /// The upstream fetches it.
    Url(String),
    /// Sent along.
    Base64 {
        /// Such as `image/png`.
        media_type: String,
        /// The bytes, base64.
        data: String,
    },
}

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSource {
    /// Uploaded before.
    Id(String),
    /// Sent along.
    Data {
        /// Its name, when there is one.
        filename: Option<String>,
        /// A data URL or base64.
        data: String,
    },
}

/// The function that reads raw messages of one wire format.
pub type ReadMessages = fn(&Bytes) -> Result<Vec<Message>, InferenceError>;

/// The conversation: typed, or raw as a server received it.
///
/// A codec of the same wire format writes raw messages through unread, so a prompt of 10 MiB crosses a gateway
/// without being built as a tree. Everyone else asks [`Messages::typed`], which reads them once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Messages {
    /// What callers write.
    Typed(Vec<Message>),
    /// What a server received.
    Raw(RawMessages),
}

/// A message array in some wire format, read at most once.
#[derive(Clone, Debug)]
pub struct RawMessages {
    wire: WireFormat,
    json: Bytes,
    read: ReadMessages,
    /// What stands beside the array and is said before it, and how it is read.
    instructions: Option<(Bytes, ReadMessages)>,
    typed: Arc<OnceLock<Vec<Message>>>,
}

impl RawMessages {
    /// The wire format.
    pub fn wire(&self) -> WireFormat {
        self.wire
    }

    /// The array as received.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The instructions as received, in formats that have them beside the array.
    pub fn instructions(&self) -> Option<&Bytes> {
        self.instructions.as_ref().map(|(json, _)| json)
    }

    fn read(&self) -> Result<Vec<Message>, InferenceError> {
        let Some((json, read)) = &self.instructions else { return (self.read)(&self.json) };
        let mut messages = read(json)?;
        messages.append(&mut (self.read)(&self.json)?);
        Ok(messages)
    }
}

impl Messages {
    /// Messages as received; `read` is asked only when somebody needs them typed.
    pub fn raw(wire: WireFormat, json: Bytes, read: ReadMessages) -> Self {
        Self::Raw(RawMessages { wire, json, read, instructions: None, typed: Arc::default() })
    }

    /// Adds instructions that were received beside the array; `read` makes the messages of them that are said first.
    /// Typed messages stay as they are.
    #[must_use]
    pub fn with_instructions(mut self, json: Bytes, read: ReadMessages) -> Self {
        if let Self::Raw(raw) = &mut self {
            raw.instructions = Some((json, read));
            raw.typed = Arc::default();
        }
        self
    }

    /// The messages, read if need be.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] when raw messages cannot be read.
    pub fn typed(&self) -> Result<&[Message], InferenceError> {
        match self {
            Self::Typed(messages) => Ok(messages),
            Self::Raw(raw) => {
                if let Some(typed) = raw.typed.get() {
                    return Ok(typed);
                }
                let typed = raw.read()?;
                Ok(raw.typed.get_or_init(|| typed))
            }
        }
    }

    /// The wire format they were received in; `None` for typed ones.
    pub fn wire(&self) -> Option<WireFormat> {
        match self {
            Self::Typed(_) => None,
            Self::Raw(raw) => Some(raw.wire),
        }
    }

    /// The raw array when it is already in `wire`. Instructions may stand beside it.
    pub fn raw_in(&self, wire: WireFormat) -> Option<&Bytes> {
        match self {
            Self::Raw(raw) if raw.wire == wire => Some(&raw.json),
            _ => None,
        }
    }
}

/// Raw and typed messages are equal when they say the same.
impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        match (self.typed(), other.typed()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        }
    }
}

impl From<Vec<Message>> for Messages {
    fn from(messages: Vec<Message>) -> Self {
        Self::Typed(messages)
    }
}

impl<const N: usize> From<[Message; N]> for Messages {
    fn from(messages: [Message; N]) -> Self {
        Self::Typed(messages.into())
    }
}

impl From<&str> for Messages {
    fn from(prompt: &str) -> Self {
        Self::Typed(vec![Message::user(prompt)])
    }
}

impl From<String> for Messages {
    fn from(prompt: String) -> Self {
        Self::Typed(vec![Message::user(prompt)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_beside_the_array_are_said_first() {
        let says = |json: &Bytes| Ok(vec![Message::user(String::from_utf8_lossy(json).into_owned())]);
        let raw = Messages::raw(WireFormat::MESSAGES, Bytes::from_static(b"array"), says);
        assert_eq!(raw.typed().unwrap().len(), 1);
        let raw = raw.with_instructions(Bytes::from_static(b"rules"), |_| Ok(vec![Message::system("rules")]));
        let typed = [Message::system("rules"), Message::user("array")];
        assert_eq!(raw, Messages::from(typed));
        assert_eq!(raw.raw_in(WireFormat::MESSAGES).unwrap(), "array");
    }
}
