//! Brings a session to life.

use infer_core::InferenceError;

use super::{SecretRef, SessionHandle, SessionSnapshot};

/// Loads credentials for a provider.
#[derive(Debug)]
pub struct RemoteSessionActor;

impl RemoteSessionActor {
    /// Reads the key once and puts it where every runner of the provider can share it.
    ///
    /// Swap it later with [`rotate`](super::rotate).
    ///
    /// # Errors
    /// [`InferenceError::Config`] when there is no key where `secret` points.
    pub async fn bootstrap(secret: SecretRef) -> Result<SessionHandle, InferenceError> {
        let read = tokio::task::spawn_blocking(move || secret.resolve());
        let secret = read.await.map_err(|_| InferenceError::config("reading the key was interrupted"))??;
        Ok(SessionSnapshot::new(secret)?.into_handle())
    }
}
