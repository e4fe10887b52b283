//! Credentials as values that can be swapped under running calls.
//!
//! A [`SessionSnapshot`] never changes. A [`SessionHandle`] points at the current one; every attempt takes it once, as
//! late as possible, and keeps it. So calls in flight finish with the key they began with and the next attempt uses
//! the new one.

mod actor;
mod secret;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use infer_core::InferenceError;

pub use actor::RemoteSessionActor;
pub use secret::{Secret, SecretRef};

/// The current credential of a provider, shared by everybody who calls it.
///
/// Take it with `load_full`, and never hold a `load` guard across an await.
pub type SessionHandle = Arc<ArcSwap<SessionSnapshot>>;

/// One credential, ready to be written into requests.
#[derive(Clone)]
pub struct SessionSnapshot {
    generation: u64,
    secret: Option<Secret>,
    bearer: Option<HeaderValue>,
    plain: Option<HeaderValue>,
}

impl SessionSnapshot {
    /// The first credential of a session; `None` for upstreams that want none.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when the key holds characters that no HTTP header may.
    pub fn new(secret: Option<Secret>) -> Result<Self, InferenceError> {
        Self::of_generation(0, secret)
    }

    fn of_generation(generation: u64, secret: Option<Secret>) -> Result<Self, InferenceError> {
        let header = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| {
                InferenceError::config(
                    "api_key: holds a character that no HTTP header may: check how it was copied",
                )
            })?;
            value.set_sensitive(true);
            Ok(value)
        };
        let bearer = secret.as_ref().map(|key| header(&format!("Bearer {}", key.expose()))).transpose()?;
        let plain = secret.as_ref().map(|key| header(key.expose())).transpose()?;
        Ok(Self { generation, secret, bearer, plain })
    }

    /// Puts the snapshot where it can be swapped.
    pub fn into_handle(self) -> SessionHandle {
        Arc::new(ArcSwap::from_pointee(self))
    }

    /// How many credentials came before this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// `Bearer` and the key, marked sensitive; `None` when there is no key.
    pub fn bearer(&self) -> Option<HeaderValue> {
        self.bearer.clone()
    }

    /// The key alone, marked sensitive; `None` when there is no key.
    pub fn header_value(&self) -> Option<HeaderValue> {
        self.plain.clone()
    }

    /// The key, for signatures and query parameters; `None` when there is none.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

impl fmt::Debug for SessionSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSnapshot")
            .field("generation", &self.generation)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

/// Replaces the credential of `session`; calls in flight keep the old one. Returns the new generation.
///
/// # Errors
/// [`InferenceError::Config`] when the key holds characters that no HTTP header may; the old one stays then.
pub fn rotate(session: &SessionHandle, secret: Option<Secret>) -> Result<u64, InferenceError> {
    let fresh = SessionSnapshot::new(secret)?;
    let before = session.rcu(|old| {
        let mut next = fresh.clone();
        next.generation = old.generation + 1;
        next
    });
    Ok(before.generation + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_rise_and_a_held_snapshot_never_changes() {
        let session = SessionSnapshot::new(Some("sk-old".into())).unwrap().into_handle();
        let held = session.load_full();
        assert_eq!(rotate(&session, Some("sk-new".into())).unwrap(), 1);
        assert_eq!(rotate(&session, None).unwrap(), 2);
        assert_eq!(held.secret().unwrap().expose(), "sk-old");
        assert!(session.load().bearer().is_none());
        assert!(rotate(&session, Some("a\nb".into())).is_err());
        assert_eq!(session.load().generation(), 2);
    }

    #[test]
    fn nothing_that_can_be_printed_shows_the_key() {
        let snapshot = SessionSnapshot::new(Some("sk-very-secret".into())).unwrap();
        let printed = format!("{snapshot:?} {:?} {:?}", snapshot.bearer(), snapshot.header_value());
        assert!(!printed.contains("very-secret"), "{printed}");
    }
}
