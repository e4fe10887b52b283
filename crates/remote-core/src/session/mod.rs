//! Credentials as values that can be swapped under running calls.
//!
//! A [`SessionSnapshot`] never changes. A [`SessionHandle`] points at the current one; every attempt takes it once, as
//! late as possible, and keeps it. So calls in flight finish with the key they began with and the next attempt uses
//! the new one.
//!
//! Credentials come from a [`CredentialSource`]. [`RemoteSessionActor::bootstrap`] asks it once and then again ahead of
//! every expiry; an upstream's refusal goes to [`invalidate`]. A fetch that fails changes nothing.
//!
//! **What wins.** A fetch replaces only the credential that was current when the fetch began. So when [`rotate`] comes
//! while a fetch is in flight, the rotation stands, since it was asked for later, and what the fetch brings is dropped;
//! a fetch that begins after the rotation replaces its credential, if the source then gives one it had not given before.

mod actor;
mod command;
mod credential;
mod file;
mod flight;
mod keeper;
mod schedule;
mod secret;
mod secret_ref;
mod snapshot;

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use infer_core::InferenceError;

pub use actor::RemoteSessionActor;
pub use command::CommandSource;
pub use credential::{Credential, CredentialSource};
pub use file::FileSource;
pub use secret::Secret;
pub use secret_ref::SecretRef;
pub use snapshot::SessionSnapshot;

/// The current credential of a provider, shared by everybody who calls it.
///
/// Take it with `load_full`, and never hold a `load` guard across an await.
pub type SessionHandle = Arc<ArcSwap<SessionSnapshot>>;

/// Replaces the credential of `session`; calls in flight keep the old one. Returns the new generation.
///
/// It stands until the session's source gives a credential that it had not given before. A fetch in flight does not
/// replace it.
///
/// # Errors
/// [`InferenceError::Config`] when the key holds characters that no HTTP header may; the old one stays then.
pub fn rotate(session: &SessionHandle, secret: Option<Secret>) -> Result<u64, InferenceError> {
    let fresh = SessionSnapshot::new(secret)?;
    let before = session.rcu(|old| fresh.after(old));
    Ok(before.generation() + 1)
}

/// Tells `session` that an upstream refused the credential of `generation_used`, and waits for another one.
///
/// Returns at once when the session has moved on since. Else there is one fetch for everybody who waits, and it belongs
/// to the session: dropping this future, even that of the first caller, neither stops nor delays it. For a second after
/// a fetch that brought nothing new, its result is the answer for the same generation.
///
/// # Errors
/// [`InferenceError::Unauthenticated`] when the source gives what was refused already or nothing but an error, which the
/// text then says. The old credential stays.
pub fn invalidate(
    session: &SessionHandle,
    generation_used: u64,
) -> impl Future<Output = Result<(), InferenceError>> + Send + use<> {
    let session = Arc::clone(session);
    async move {
        let keeper = {
            let current = session.load_full();
            if current.generation() > generation_used {
                return Ok(());
            }
            current.keeper().cloned()
        };
        match keeper {
            Some(keeper) => keeper.replace(&session, generation_used).await,
            None => Err(flight::refused("this session has no source that could give another credential")),
        }
    }
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

    #[tokio::test]
    async fn a_session_without_a_source_says_so_when_its_credential_is_refused() {
        let session = SessionSnapshot::new(Some("k".into())).unwrap().into_handle();
        let error = invalidate(&session, 0).await.unwrap_err();
        assert!(error.to_string().contains("no source"), "{error}");
        rotate(&session, Some("k1".into())).unwrap();
        invalidate(&session, 0).await.unwrap();
    }
}
