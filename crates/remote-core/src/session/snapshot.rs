//! One credential, ready to be written into requests.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use infer_core::InferenceError;

use super::keeper::Keeper;
use super::{Credential, Secret, SessionHandle};

/// One credential, ready to be written into requests. It never changes.
///
/// When it expires is left out on purpose: whoever keeps the session knows, and a call that waits for a fresh
/// credential because a clock says so would be slower and no safer than one that is refused.
#[derive(Clone)]
pub struct SessionSnapshot {
    generation: u64,
    credential: Credential,
    bearer: Option<HeaderValue>,
    plain: Option<HeaderValue>,
    keeper: Option<Arc<Keeper>>,
}

impl SessionSnapshot {
    /// The first credential of a session that nobody refreshes; `None` for upstreams that want none.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when the key holds characters that no HTTP header may.
    pub fn new(secret: Option<Secret>) -> Result<Self, InferenceError> {
        Self::of(Credential::from(secret))
    }

    pub(super) fn of(credential: Credential) -> Result<Self, InferenceError> {
        let header = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| {
                InferenceError::config(
                    "api_key: holds a character that no HTTP header may: check how it was copied",
                )
            })?;
            value.set_sensitive(true);
            Ok::<_, InferenceError>(value)
        };
        let secret = credential.secret();
        let bearer = secret.map(|key| header(&format!("Bearer {}", key.expose()))).transpose()?;
        let plain = secret.map(|key| header(key.expose())).transpose()?;
        Ok(Self { generation: 0, credential, bearer, plain, keeper: None })
    }

    pub(super) fn kept_by(mut self, keeper: Keeper) -> Self {
        self.keeper = Some(Arc::new(keeper));
        self
    }

    /// `self` as what comes after `old` in the same session.
    pub(super) fn after(&self, old: &Self) -> Self {
        Self { generation: old.generation + 1, keeper: old.keeper.clone(), ..self.clone() }
    }

    pub(super) fn keeper(&self) -> Option<&Arc<Keeper>> {
        self.keeper.as_ref()
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.credential
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
        self.credential.secret()
    }

    /// Further headers that the credential's source wants in every request, marked sensitive.
    pub fn headers(&self) -> &HeaderMap {
        self.credential.headers()
    }
}

impl fmt::Debug for SessionSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSnapshot")
            .field("generation", &self.generation)
            .field("secret", &self.secret())
            .finish_non_exhaustive()
    }
}
