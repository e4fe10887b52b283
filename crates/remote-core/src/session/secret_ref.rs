//! Where a key comes from, as a configuration says it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use infer_core::InferenceError;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{CommandSource, Credential, CredentialSource, FileSource, Secret};

/// Where a key comes from.
///
/// In a configuration file it is the key itself, `{ env: NAME }`, `{ file: PATH }` or `{ command: [PROGRAM, ARGUMENT] }`;
/// an empty text means no key.
///
/// ```
/// use remote_core::session::SecretRef;
///
/// let read = |json| serde_json::from_str::<SecretRef>(json).unwrap();
/// assert_eq!(read(r#"{"env": "OPENAI_API_KEY"}"#), SecretRef::env("OPENAI_API_KEY"));
/// assert_eq!(read(r#"{"command": ["pass", "show", "openai"]}"#), SecretRef::command("pass", ["show", "openai"]));
/// assert_eq!(read(r#""""#), SecretRef::None);
/// assert!(!format!("{:?}", read(r#""sk-123""#)).contains("sk-123"));
/// ```
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
    /// A program that prints the key, as [`CommandSource`] runs it.
    Command {
        /// Its name or path.
        program: String,
        /// What it is given. Other users of the machine can see it, so it must hold no secrets.
        args: Vec<String>,
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

    /// What `program` prints when it is run with `args`.
    pub fn command(program: impl Into<String>, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Command { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }

    /// The key itself; empty means no key.
    pub fn inline(secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        if secret.expose().is_empty() { Self::None } else { Self::Inline { secret } }
    }

    /// Reads the key. Blocks while a file is read or a program runs; a lifetime the program names is lost.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when the variable or file is missing or empty, when the program fails, or when the key
    /// holds characters that no HTTP header may: the text names the place, never the key.
    pub fn resolve(&self) -> Result<Option<Secret>, InferenceError> {
        match self {
            Self::None => Ok(None),
            Self::Inline { secret } => Secret::checked("api_key", secret.expose()).map(Some),
            Self::Env { name } => {
                let text = std::env::var(name).map(Zeroizing::new).map_err(|_| {
                    InferenceError::config(format!(
                        "environment variable {name} is not set: export it or name another source for the key"
                    ))
                })?;
                Secret::checked(&format!("environment variable {name}"), &text).map(Some)
            }
            Self::File { path } => {
                let place = format!("key file {}", path.display());
                let text = std::fs::read_to_string(path)
                    .map(Zeroizing::new)
                    .map_err(|error| InferenceError::config(format!("{place}: cannot be read: {error}")))?;
                Secret::checked(&place, &text).map(Some)
            }
            Self::Command { program, args } => Ok(CommandSource::new(program, args).run()?.secret().cloned()),
        }
    }
}

/// A place that does not change while the process runs.
#[derive(Debug)]
struct Fixed(SecretRef);

#[async_trait]
impl CredentialSource for Fixed {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        Ok(Credential::from(self.0.resolve()?))
    }
}

impl From<SecretRef> for Arc<dyn CredentialSource> {
    fn from(place: SecretRef) -> Self {
        match place {
            SecretRef::File { path } => Arc::new(FileSource::new(path)),
            SecretRef::Command { program, args } => Arc::new(CommandSource::new(program, args)),
            place @ (SecretRef::None | SecretRef::Env { .. } | SecretRef::Inline { .. }) => {
                Arc::new(Fixed(place))
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a key, { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }"
        )]
        enum Shape {
            Key(Option<Secret>),
            Env { env: String },
            File { file: PathBuf },
            Command { command: Vec<String> },
        }
        Ok(match Shape::deserialize(deserializer)? {
            Shape::Key(key) => key.map_or(Self::None, Self::inline),
            Shape::Env { env } => Self::env(env),
            Shape::File { file } => Self::file(file),
            Shape::Command { command } => {
                let mut words = command.into_iter();
                let program = words.next().filter(|program| !program.is_empty()).ok_or_else(|| {
                    serde::de::Error::custom("command: must begin with a program, got none")
                })?;
                Self::command(program, words)
            }
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
    fn configuration_names_a_key_in_four_ways() {
        let read = |json: &str| serde_json::from_str::<SecretRef>(json).unwrap();
        assert_eq!(read("\"\""), SecretRef::None);
        assert_eq!(read("null"), SecretRef::None);
        assert_eq!(read("\"sk\""), SecretRef::inline("sk"));
        assert_eq!(read("{\"env\":\"X\"}"), SecretRef::env("X"));
        assert_eq!(read("{\"file\":\"/k\"}"), SecretRef::file("/k"));
        assert_eq!(read("{\"command\":[\"vault\",\"read\"]}"), SecretRef::command("vault", ["read"]));
        for bad in ["{\"enw\":\"X\"}", "{\"command\":\"vault read\"}"] {
            let error = serde_json::from_str::<SecretRef>(bad).unwrap_err().to_string();
            assert!(error.contains("{ env: NAME }") && error.contains("command: [PROGRAM"), "{error}");
        }
        let error = serde_json::from_str::<SecretRef>("{\"command\":[]}").unwrap_err().to_string();
        assert!(error.contains("must begin with a program"), "{error}");
    }
}
