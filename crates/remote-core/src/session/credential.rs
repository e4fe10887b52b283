//! What a source of credentials gives.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use infer_core::InferenceError;

use super::Secret;

/// Gives credentials, again and again: a file, a program, a token service.
///
/// A session asks it once at the start, ahead of every expiry, and when an upstream refuses what it gave. It never asks
/// twice at a time, and gives up on an answer after 60 s. A fetch can be dropped at any await.
///
/// ```
/// use infer_core::InferenceError;
/// use remote_core::session::{Credential, CredentialSource, RemoteSessionActor};
/// use std::{sync::Arc, time::Duration};
///
/// #[derive(Debug)]
/// struct Tokens;
///
/// #[async_trait::async_trait]
/// impl CredentialSource for Tokens {
///     async fn fetch(&self) -> Result<Credential, InferenceError> {
///         Ok(Credential::new("a token").with_lifetime(Duration::from_secs(3600)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), InferenceError> {
/// let session = RemoteSessionActor::bootstrap(Arc::new(Tokens) as Arc<dyn CredentialSource>).await?;
/// assert_eq!(session.load().generation(), 0);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// Fetches the credential as it is now.
    ///
    /// # Errors
    /// Whatever went wrong, by place and way out. The text must not hold a credential.
    async fn fetch(&self) -> Result<Credential, InferenceError>;

    /// How often [`version`](Self::version) is worth asking; `None` for sources that do not change by themselves.
    fn poll_every(&self) -> Option<Duration> {
        None
    }

    /// A number that changes when the source does, cheap to ask for. A change leads to a fetch.
    async fn version(&self) -> u64 {
        0
    }
}

/// One credential as its source gave it. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    secret: Option<Secret>,
    headers: HeaderMap,
    expiry: Option<Expiry>,
}

/// Sources speak of it in two ways.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    In(Duration),
    At(SystemTime),
}

impl Credential {
    /// A key or token that does not expire.
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self { secret: Some(secret.into()), ..Self::default() }
    }

    /// No key, for upstreams that want none or only [headers](Self::with_header).
    pub fn none() -> Self {
        Self::default()
    }

    /// It expires after `lifetime`, counted from when it was asked for.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.expiry = Some(Expiry::In(lifetime));
        self
    }

    /// It expires at `time` by the wall clock, which is read once, when the credential arrives.
    #[must_use]
    pub fn with_expiry(mut self, time: SystemTime) -> Self {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Requests made with it carry this header too; it is marked sensitive.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// The key.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The headers that go with it.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// How long it is good for; `None` for ever. It took `took` to arrive, and now it is `now`.
    pub(super) fn life(&self, took: Duration, now: SystemTime) -> Option<Duration> {
        Some(match self.expiry? {
            Expiry::In(life) => life.saturating_sub(took),
            Expiry::At(time) => time.duration_since(now).unwrap_or_default(),
        })
    }

    /// Whether requests made with either look the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.secret == other.secret && self.headers == other.headers
    }
}

impl From<Option<Secret>> for Credential {
    fn from(secret: Option<Secret>) -> Self {
        Self { secret, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_counted_from_the_asking_or_by_the_wall_clock() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let took = Duration::from_secs(3);
        assert_eq!(Credential::new("k").life(took, now), None);
        let lasting = Credential::new("k").with_lifetime(Duration::from_secs(10));
        assert_eq!(lasting.life(took, now), Some(Duration::from_secs(7)));
        let until =
            |second| Credential::new("k").with_expiry(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(until(1060).life(took, now), Some(Duration::from_secs(60)));
        assert_eq!(until(900).life(took, now), Some(Duration::ZERO));
    }

    #[test]
    fn a_credential_prints_no_key_and_no_header() {
        let value = HeaderValue::from_static("sk-in-header");
        let printed = format!(
            "{:?}",
            Credential::new("sk-very-secret").with_header(HeaderName::from_static("x-key"), value)
        );
        assert!(!printed.contains("sk-"), "{printed}");
    }
}
