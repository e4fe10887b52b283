//! Keys that cannot be printed, and where they come from.

use std::fmt;
use std::path::PathBuf;
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

/// Where a key comes from.
///
/// In a configuration file it is the key itself, `{ env: NAME }` or `{ file: PATH }`; an empty text means no key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretRef {
    /// No key is sent, as local servers want it.
    #[default]
    None,
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A file that holds the key and nothing else; white space around it does not count.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// The key itself.
    Inline {
        /// The key.
        secret: Secret,
    },
}

impl SecretRef {
    /// The environment variable `name`.
    pub fn env(name: impl Into<String>) -> Self {
        Self::Env { name: name.into() }
    }

    /// The file at `path`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into() }
    }

    /// The key itself; empty means no key.
    pub fn inline(secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        if secret.expose().is_empty() { Self::None } else { Self::Inline { secret } }
    }

    /// Reads the key. Blocks while a file is read.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when the variable or file is missing or empty, or when the key holds characters that
    /// no HTTP header may: the text names the place, never the key.
    pub fn resolve(&self) -> Result<Option<Secret>, InferenceError> {
        let (place, text) = match self {
            Self::None => return Ok(None),
            Self::Inline { secret } => ("api_key".to_owned(), secret.expose().to_owned()),
            Self::Env { name } => {
                let Ok(text) = std::env::var(name) else {
                    return Err(InferenceError::config(format!(
                        "environment variable {name} is not set: export it or name another source for the key"
                    )));
                };
                (format!("environment variable {name}"), text)
            }
            Self::File { path } => {
                let place = format!("key file {}", path.display());
                let text = std::fs::read_to_string(path)
                    .map_err(|error| InferenceError::config(format!("{place}: cannot be read: {error}")))?;
                (place, text)
            }
        };
        let key = Zeroizing::new(text);
        let key = key.trim();
        if key.is_empty() {
            return Err(InferenceError::config(format!("{place}: is empty: put the key there")));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(InferenceError::config(format!(
                "{place}: holds a line break or another character that no HTTP header may: check how it was copied"
            )));
        }
        Ok(Some(Secret::new(key)))
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a key, { env: NAME } or { file: PATH }")]
        enum Shape {
            Key(Option<Secret>),
            Env { env: String },
            File { file: PathBuf },
        }
        Ok(match Shape::deserialize(deserializer)? {
            Shape::Key(key) => key.map_or(Self::None, Self::inline),
            Shape::Env { env } => Self::env(env),
            Shape::File { file } => Self::file(file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_nothing() {
        let key = SecretRef::inline("sk-very-secret");
        assert_eq!(format!("{key:?}"), "Inline { secret: Secret(..) }");
    }

    #[test]
    fn a_key_that_would_break_a_header_is_refused_without_being_shown() {
        for bad in ["sk-one\nsk-two", "sk-\u{7f}secret", "sk-sécret"] {
            let error = SecretRef::inline(bad).resolve().unwrap_err().to_string();
            assert!(error.contains("api_key") && !error.contains("sk-"), "{error}");
        }
    }

    #[test]
    fn a_key_file_may_end_in_a_line_break_and_must_not_be_empty() {
        let dir = std::env::temp_dir().join(format!("secret-ref-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("key");
        std::fs::write(&path, "sk-from-file\n").unwrap();
        assert_eq!(SecretRef::file(&path).resolve().unwrap(), Some(Secret::new("sk-from-file")));
        std::fs::write(&path, "\n").unwrap();
        assert!(SecretRef::file(&path).resolve().unwrap_err().to_string().contains("is empty"));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(SecretRef::file(&path).resolve().unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn configuration_names_a_key_in_three_ways() {
        let read = |json: &str| serde_json::from_str::<SecretRef>(json).unwrap();
        assert_eq!(read("\"\""), SecretRef::None);
        assert_eq!(read("null"), SecretRef::None);
        assert_eq!(read("\"sk\""), SecretRef::inline("sk"));
        assert_eq!(read("{\"env\":\"X\"}"), SecretRef::env("X"));
        assert_eq!(read("{\"file\":\"/k\"}"), SecretRef::file("/k"));
        let error = serde_json::from_str::<SecretRef>("{\"enw\":\"X\"}").unwrap_err().to_string();
        assert!(error.contains("{ env: NAME }"), "{error}");
    }

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
