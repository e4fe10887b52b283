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

impl AzureCloud {
    /// What the addresses of its resources end in (Microsoft's documents, read 2026-11-21).
    const fn domain(self) -> &'static str {
        match self {
            Self::Public => "openai.azure.com",
            Self::UsGovernment => "openai.azure.us",
            Self::China => "openai.azure.cn",
        }
    }
}

impl AzureConfig {
    /// A deployment of a resource, by the v1 routes.
    pub fn new(resource: impl Into<String>, deployment: impl Into<String>, api_key: SecretRef) -> Self {
        Self { resource: resource.into(), deployment: deployment.into(), api_key, ..Self::default() }
    }

    /// The address of the resource without `/openai` and what follows.
    pub(crate) fn root(&self) -> Result<String, InferenceError> {
        let endpoint = self.endpoint.trim().trim_end_matches('/');
        match self.resource.as_str() {
            name if name.is_empty() == endpoint.is_empty() => Err(InferenceError::config(format!(
                "resource {name:?}: set this or endpoint, one of the two: the resource's name or its whole address"
            ))),
            "" => {
                let root = endpoint.strip_suffix("/openai/v1").or_else(|| endpoint.strip_suffix("/openai"));
                Ok(root.unwrap_or(endpoint).to_owned())
            }
            name => remote_core::address::below("resource", name, self.cloud.domain()),
        }
    }

    /// What tokens are for: `token_scope`, else what the cloud wants for these routes.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when `token_scope` can be none.
    #[cfg(feature = "entra")]
    pub fn audience(&self) -> Result<remote_entra::Audience, InferenceError> {
        let cloud = match self.cloud {
            AzureCloud::Public => remote_entra::Cloud::Public,
            AzureCloud::UsGovernment => remote_entra::Cloud::UsGovernment,
            AzureCloud::China => remote_entra::Cloud::China,
        };
        let is_v1 = matches!(self.api_version.as_str(), "" | "v1");
        let usual = if is_v1 { cloud.v1_scope() } else { cloud.scope() };
        remote_entra::Audience::from(cloud).with_scope(self.token_scope.as_deref().unwrap_or(usual))
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
