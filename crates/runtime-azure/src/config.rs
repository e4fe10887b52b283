//! Settings of one Azure OpenAI resource.

use std::sync::Arc;

use infer_core::InferenceError;
use remote_core::session::CredentialSource;
pub use remote_core::session::{Secret, SecretRef};
use serde::Deserialize;
use wire_chat::ChatDialect;

use crate::{Azure, PriceScope};

remote_core::provider_settings! {
    /// Settings of one Azure OpenAI resource. Write the members you change over [`AzureConfig::new`].
    pub struct AzureConfig {
        /// The resource's name, which its address begins with: `NAME.openai.azure.com`.
        pub resource: String,
        /// Instead of a resource, its address up to `/openai`: a custom domain, a gateway.
        pub endpoint: String,
        /// The cloud it is in.
        pub cloud: AzureCloud,
        /// The deployment that answers; each call names it as its model when empty.
        pub deployment: String,
        /// The model behind it, for its price and how long it may think; else the one that answers name.
        pub model: Option<String>,
        /// A dated version, such as `2024-10-21`; the v1 routes, which need none, when empty or `v1`.
        pub api_version: String,
        /// Where the deployment may be served, which its price depends on; by the address when absent.
        pub scope: Option<PriceScope>,
        /// What the deployment understands; chosen by the version when absent.
        pub dialect: Option<ChatDialect>,
        /// How many inputs one request for vectors may have; larger batches are split. 2048 when absent.
        pub max_embed_inputs: Option<usize>,
        /// Whether the credential is sent as `Authorization: Bearer`, as tokens are, and not as `api-key`.
        pub bearer: bool,
        /// The identity whose Entra tokens are sent instead of a key.
        #[cfg(feature = "entra")]
        pub entra: Option<remote_entra::EntraConfig>,
        /// What its tokens are for, where that is not the usual: `api://gateway/.default`.
        #[cfg(feature = "entra")]
        pub token_scope: Option<String>,
    }
    impl "azure" for Azure, credentials source
}

/// A cloud with resources of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AzureCloud {
    /// The one that everybody has.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGovernment,
    /// China, operated by 21Vianet. Its host follows from the others' and is not documented.
    China,
}

impl AzureConfig {
    /// A deployment of a resource, by the v1 routes.
    pub fn new(resource: impl Into<String>, deployment: impl Into<String>, api_key: SecretRef) -> Self {
        Self { resource: resource.into(), deployment: deployment.into(), api_key, ..Self::default() }
    }

    /// What tokens are for: `token_scope`, else Foundry for the v1 routes of the public cloud, else the cloud's models.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when `token_scope` can be none.
    #[cfg(feature = "entra")]
    pub fn audience(&self) -> Result<remote_entra::Audience, InferenceError> {
        let (cloud, usual) = match self.cloud {
            AzureCloud::Public => (remote_entra::Cloud::Public, Some(remote_entra::FOUNDRY_SCOPE)),
            AzureCloud::UsGovernment => (remote_entra::Cloud::UsGovernment, None),
            AzureCloud::China => (remote_entra::Cloud::China, None),
        };
        let usual = usual.filter(|_| matches!(self.api_version.as_str(), "" | "v1"));
        let scope = self.token_scope.as_deref().or(usual).unwrap_or(cloud.scope());
        remote_entra::Audience::from(cloud).with_scope(scope)
    }

    fn source(&self) -> Result<Arc<dyn CredentialSource>, InferenceError> {
        Azure::new(self, "azure")?; // settings that do not fit are not worth a token
        #[cfg(feature = "entra")]
        if let Some(identity) = &self.entra {
            return identity.source(self.audience()?);
        }
        Ok(self.api_key.clone().into())
    }
}
