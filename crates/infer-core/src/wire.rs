//! What was received, as it was received, and the wire format it is in.

use bytes::Bytes;

/// The name of a wire format, so that raw bytes are only passed on between equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireFormat(pub &'static str);

impl WireFormat {
    /// OpenAI's Chat Completions.
    pub const CHAT_COMPLETIONS: Self = Self("chat-completions");
    /// Anthropic's Messages.
    pub const MESSAGES: Self = Self("messages");

    /// The format of this name, if it is one of those above.
    pub fn known(name: &str) -> Option<Self> {
        [Self::CHAT_COMPLETIONS, Self::MESSAGES].into_iter().find(|format| format.0 == name)
    }
}

/// An answer, or one event of it, as received.
///
/// ```
/// use infer_core::{Wire, WireFormat};
/// let wire = Wire::new(WireFormat::CHAT_COMPLETIONS, "{}");
/// assert!(wire.in_format(WireFormat::CHAT_COMPLETIONS).is_some());
/// assert!(wire.in_format(WireFormat::MESSAGES).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    format: WireFormat,
    bytes: Bytes,
}

impl Wire {
    /// Bytes in a format.
    pub fn new(format: WireFormat, bytes: impl Into<Bytes>) -> Self {
        Self { format, bytes: bytes.into() }
    }

    /// The format.
    pub fn format(&self) -> WireFormat {
        self.format
    }

    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes where they are in `format`; whoever writes another one has to encode.
    pub fn in_format(&self, format: WireFormat) -> Option<&Bytes> {
        (self.format == format).then_some(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_name() {
        assert_eq!(WireFormat::known("messages"), Some(WireFormat::MESSAGES));
        assert_eq!(WireFormat::known("smoke signals"), None);
    }
}
