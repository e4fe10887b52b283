//! Keys that cannot be printed.

use std::fmt;
use std::sync::Arc;

use infer_core::InferenceError;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// The fewest bytes that are a key, or enough of one to matter.
const LEAST: usize = 8;
/// What stands in place of a key.
const REDACTED: &str = "[redacted]";

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

    /// Takes the key out of `message`, so that an upstream which repeats the key does not spread it. A message that was cut
    /// within the key, with or without `…`, loses what it shows of it.
    ///
    /// Keys of fewer than 8 characters are placeholders of local servers and are left alone.
    pub(crate) fn scrub(&self, message: &mut String) {
        let key = self.0.as_str();
        if key.len() < LEAST {
            return;
        }
        if message.contains(key) {
            *message = message.replace(key, REDACTED);
        }
        let shown = message.strip_suffix('…').unwrap_or(message);
        let mut beginnings = (LEAST..key.len()).rev().filter_map(|end| key.get(..end));
        if let Some(part) = beginnings.find(|part| shown.ends_with(part)) {
            let part = shown.len() - part.len()..shown.len();
            message.replace_range(part, REDACTED);
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
    use infer_core::Origin;

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

    #[test]
    fn a_message_that_was_cut_within_the_key_does_not_show_its_beginning() {
        let key = "sk-proj-0123456789abcdef";
        for before in 470..520 {
            let said = format!("{} {key} is wrong, {}", "x".repeat(before), "y".repeat(600));
            let plain: String = said.chars().take(512).collect();
            for mut cut in [Origin::excerpt(&said), plain] {
                Secret::new(key).scrub(&mut cut);
                assert!(!cut.contains("sk-proj-"), "cut after {before}: {}", &cut[before..]);
            }
        }
        let mut whole = "is sk-proj-a key?".to_owned();
        Secret::new(key).scrub(&mut whole);
        assert_eq!(whole, "is sk-proj-a key?");
    }
}
