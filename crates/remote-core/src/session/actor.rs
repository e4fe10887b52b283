//! Brings a session to life.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use infer_core::InferenceError;

use super::flight::ask;
use super::keeper::Keeper;
use super::{CredentialSource, SessionHandle};

/// Loads credentials for a provider and keeps them fresh.
#[derive(Debug)]
pub struct RemoteSessionActor;

impl RemoteSessionActor {
    /// Fetches the first credential and puts it where every runner of the provider can share it.
    ///
    /// `source` is a [`SecretRef`](super::SecretRef) or an `Arc<dyn CredentialSource>`. Credentials that expire are
    /// replaced in the background 5 min before, or at half of a short life, and up to 60 s of jitter later; sources that
    /// change by themselves are looked at as often as they ask for. A fetch that fails leaves the old credential in place
    /// and is tried again after 30 s, then after twice as long, up to 5 min. For anything else no task is started.
    ///
    /// Tasks run on the runtime this is called on, and end when the last handle is gone: at once, or within a minute while
    /// a call in flight still holds a snapshot. Swap the credential by hand with [`rotate`](super::rotate).
    ///
    /// # Errors
    /// What the source says, when it has no credential; [`InferenceError::Config`] when that has expired already or holds
    /// characters that no HTTP header may.
    pub async fn bootstrap(
        source: impl Into<Arc<dyn CredentialSource>>,
    ) -> Result<SessionHandle, InferenceError> {
        Self::bootstrap_with_seed(source, RandomState::new().hash_one(0)).await
    }

    /// [`bootstrap`](Self::bootstrap) with the same jitter for the same `seed`.
    ///
    /// # Errors
    /// As for [`bootstrap`](Self::bootstrap).
    pub async fn bootstrap_with_seed(
        source: impl Into<Arc<dyn CredentialSource>>,
        seed: u64,
    ) -> Result<SessionHandle, InferenceError> {
        let source = source.into();
        let fetched = ask(&*source).await;
        let first = fetched.result?;
        let snapshot = first.snapshot.clone();
        let mut keeper = None;
        let session = Arc::new_cyclic(|weak| {
            let kept = Keeper::new(source, weak.clone(), fetched.version, &first, seed);
            let snapshot = snapshot.kept_by(kept);
            keeper = snapshot.keeper().cloned();
            ArcSwap::from_pointee(snapshot)
        });
        if let Some(keeper) = keeper {
            keeper.start();
        }
        Ok(session)
    }
}
