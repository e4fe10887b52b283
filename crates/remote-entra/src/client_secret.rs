//! An application that proves itself by a secret.

use std::sync::Arc;

use async_trait::async_trait;
use infer_core::InferenceError;
use remote_core::session::{Credential, CredentialSource, SecretRef};

use crate::login::Login;
use crate::names;

/// Trades a client secret for tokens. The secret is looked up anew for every token, so that a file may be replaced.
#[derive(Debug)]
pub(crate) struct ClientSecret {
    login: Login,
    client_id: String,
    secret: Arc<dyn CredentialSource>,
}

impl ClientSecret {
    pub(crate) fn new(
        login: Login,
        place: &str,
        client_id: &str,
        secret: &SecretRef,
    ) -> Result<Self, InferenceError> {
        let client_id = names::id("client_id", client_id)?;
        match secret {
            SecretRef::None => {
                Err(InferenceError::config(format!("{place}: is empty: put the client secret there")))
            }
            SecretRef::Inline { secret } if !is_one_line(secret.expose()) => {
                Err(InferenceError::config(format!(
                    "{place}: is empty or holds a line break or another odd character: check how it was copied"
                )))
            }
            secret => Ok(Self { login, client_id, secret: secret.clone().into() }),
        }
    }
}

fn is_one_line(secret: &str) -> bool {
    let secret = secret.trim();
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[async_trait]
impl CredentialSource for ClientSecret {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let held = self.secret.fetch().await?;
        let Some(secret) = held.secret() else {
            return Err(InferenceError::config("client_secret: is empty: put the client secret there"));
        };
        let secret = secret.expose();
        self.login.token(&self.client_id, &[("client_secret", secret)], &[secret]).await
    }
}
