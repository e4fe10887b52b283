//! Keys that cannot be printed.

use std::fmt;
use std::sync::Arc;

use infer_core::InferenceError;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A key. It has no `Display` and no `Serialize`, its `Debug` is redacted, and its memory is wiped when the last copy goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes `text` as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The key itself, for whoever writes it into a request. Never print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Takes `text` out of `message`, so that an upstream which repeats the key does not spread it.
    ///
    /// Keys of fewer than 8 characters are placeholders of local servers and are left alone.
    pub(crate) fn scrub(&self, message: &mut String) {
        if self.0.len() >= 8 && message.contains(self.0.as_str()) {
            *message = message.replace(self.0.as_str(), "[redacted]");
        }
    }

    /// The key in `text`, without the white space around it.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when it is empty or holds what no HTTP header may; it names `place`, never the key.
    pub(super) fn checked(place: &str, text: &str) -> Result<Self, InferenceError> {
        let key = text.trim();
        if key.is_empty() {
            return Err(InferenceError::config(format!("{place}: is empty: put the key there")));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(InferenceError::config(format!(
                "{place}: holds a line break or another character that no HTTP header may: check how it was copied"
            )));
        }
        Ok(Self::new(key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrubbing_spares_placeholders() {
        let mut text = "key sk-12345678 is wrong".to_owned();
        Secret::new("sk-12345678").scrub(&mut text);
        assert_eq!(text, "key [redacted] is wrong");
        let mut text = "ollama is up".to_owned();
        Secret::new("ollama").scrub(&mut text);
        assert_eq!(text, "ollama is up");
    }
}
