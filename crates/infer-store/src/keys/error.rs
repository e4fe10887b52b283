//! Why a key is refused, and why the keys cannot be changed.

use infer_core::InferenceError;

use crate::StoreError;

/// Why a secret opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No key has it.
    #[error("unknown key")]
    Unknown,
    /// Its key, or its own time after a rotation, has ended.
    #[error("key has expired")]
    Expired,
    /// Its key was revoked.
    #[error("key was revoked")]
    Revoked,
}

/// Why keys cannot be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Another key has the name, or had it: spend is counted under it.
    #[error("{name:?} is taken: every key needs a name of its own, also after one was revoked")]
    Taken {
        /// The name.
        name: String,
    },
    /// No key has the name.
    #[error("there is no key {name:?}{}", near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NoSuchKey {
        /// The name.
        name: String,
        /// The most similar one there is.
        near: Option<String>,
    },
    /// The key was revoked, which is for ever.
    #[error("key {name:?} was revoked: create another")]
    IsRevoked {
        /// The name.
        name: String,
    },
    /// The key stands in the configuration and can only be changed there.
    #[error("key {name:?} stands in the configuration: change it there")]
    IsConfigured {
        /// The name.
        name: String,
    },
    /// There is no place where keys could be kept.
    #[error("keys cannot be changed: set data to a directory where they are kept")]
    NoPlace,
    /// Others change the keys without end.
    #[error("keys are being changed by others all the time: try again")]
    Busy,
    /// What is asked for makes no key.
    #[error("{what}")]
    Invalid {
        /// Every fault, by field.
        what: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {detail}")]
    NoRandomness {
        /// What the system says.
        detail: String,
    },
    /// They cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyError> for InferenceError {
    fn from(error: KeyError) -> Self {
        Self::config(error.to_string())
    }
}
