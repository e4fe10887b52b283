//! Which identity asks for tokens, as a configuration says it.

use std::path::PathBuf;
use std::sync::Arc;

use infer_core::InferenceError;
use remote_core::session::{CredentialSource, SecretRef};
use serde::Deserialize;

use crate::chain::Chain;
use crate::cli::AzureCli;
use crate::client_secret::ClientSecret;
use crate::cloud::Audience;
use crate::login::Login;
use crate::managed::{Identity, ManagedIdentity};
use crate::names;
use crate::surroundings::Surroundings;
use crate::workload::{CLIENT, TENANT, TOKEN_FILE, WorkloadIdentity};

/// Which identity asks for tokens.
///
/// In a configuration file `type` chooses:
///
/// ```
/// use remote_entra::EntraConfig;
///
/// let own: EntraConfig = serde_json::from_str(r#"{
///     "type": "client_secret", "tenant": "contoso.onmicrosoft.com",
///     "client_id": "00000000-0000-4000-8000-00000000000a", "client_secret": { "env": "CONTOSO_SECRET" }
/// }"#)?;
/// assert!(matches!(own, EntraConfig::ClientSecret { .. }));
/// assert!(serde_json::from_str::<EntraConfig>(r#"{ "type": "default", "tenant": "contoso" }"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EntraConfig {
    /// An application with a secret.
    ClientSecret {
        /// The tenant's id or one of its domains.
        tenant: String,
        /// The application's id.
        client_id: String,
        /// The secret; looked up anew for every token.
        client_secret: SecretRef,
    },
    /// The identity that Azure gives a virtual machine, or an app where `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` are
    /// set. At most one of the three names; with none, the machine's own identity.
    ManagedIdentity {
        /// Of a user-assigned identity: its client id.
        #[serde(default)]
        client_id: Option<String>,
        /// Of a user-assigned identity: its object id, also called principal id.
        #[serde(default)]
        object_id: Option<String>,
        /// Of a user-assigned identity: its resource id, `/subscriptions/...`.
        #[serde(default, alias = "msi_res_id")]
        resource_id: Option<String>,
    },
    /// A workload that its own platform vouches for, such as a pod with a service account. What is left out comes from
    /// the environment, where the platform puts it.
    WorkloadIdentity {
        /// The tenant's id or one of its domains; else `AZURE_TENANT_ID`.
        #[serde(default)]
        tenant: Option<String>,
        /// The application's id; else `AZURE_CLIENT_ID`.
        #[serde(default)]
        client_id: Option<String>,
        /// The file with the platform's token, read anew for every token; else `AZURE_FEDERATED_TOKEN_FILE`.
        #[serde(default)]
        token_file: Option<PathBuf>,
    },
    /// Whoever is logged in with the Azure CLI. For developers' machines.
    AzureCli {
        /// The tenant's id or one of its domains; else that of the CLI's current subscription.
        #[serde(default)]
        tenant: Option<String>,
        /// The CLI, where it is not in `PATH`.
        #[serde(default)]
        program: Option<PathBuf>,
    },
    /// The first that exists here: a client secret in the environment (`AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
    /// `AZURE_CLIENT_SECRET`), a workload identity, a managed identity (that of `AZURE_CLIENT_ID` if set), the Azure CLI.
    ///
    /// One that exists and fails ends the search; one that gave a token is kept to.
    Default {},
}

impl Default for EntraConfig {
    fn default() -> Self {
        Self::Default {}
    }
}

impl EntraConfig {
    /// A source of tokens for `audience`, such as a [`Cloud`](crate::Cloud), in this process.
    ///
    /// Nothing is sent yet. Give it to [`bootstrap`](remote_core::session::RemoteSessionActor::bootstrap).
    ///
    /// # Errors
    /// As for [`source_in`](Self::source_in); also when TLS cannot be set up.
    pub fn source(&self, audience: impl Into<Audience>) -> Result<Arc<dyn CredentialSource>, InferenceError> {
        self.source_in(audience, &Surroundings::of_process()?)
    }

    /// [`source`](Self::source) with the network, the environment and the clock of `around`.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when a tenant, an id, a secret or a login host cannot be one, or something is missing
    /// that the environment does not have either.
    pub fn source_in(
        &self,
        audience: impl Into<Audience>,
        around: &Surroundings,
    ) -> Result<Arc<dyn CredentialSource>, InferenceError> {
        let audience = &audience.into();
        Ok(match self {
            Self::ClientSecret { tenant, client_id, client_secret } => {
                let login = Login::new(audience, names::tenant("tenant", tenant)?, around)?;
                Arc::new(ClientSecret::new(login, "client_secret", client_id, client_secret)?)
            }
            Self::ManagedIdentity { client_id, object_id, resource_id } => {
                let identity = match (client_id, object_id, resource_id) {
                    (None, None, None) => Identity::Own,
                    (Some(id), None, None) => Identity::Client(id.clone()),
                    (None, Some(id), None) => Identity::Object(id.clone()),
                    (None, None, Some(id)) => Identity::Resource(id.clone()),
                    _ => {
                        let what =
                            "managed_identity: name one of client_id, object_id and resource_id, not several";
                        return Err(InferenceError::config(what));
                    }
                };
                Arc::new(ManagedIdentity::new(audience, &identity, around)?)
            }
            Self::WorkloadIdentity { tenant, client_id, token_file } => {
                let tenant = set_or_read(tenant.as_ref(), "tenant", TENANT, around)?;
                let client_id = set_or_read(client_id.as_ref(), "client_id", CLIENT, around)?;
                let file = match token_file {
                    Some(file) => file.clone(),
                    None => set_or_read(None, "token_file", TOKEN_FILE, around)?.into(),
                };
                let login = Login::new(audience, names::tenant("tenant", &tenant)?, around)?;
                Arc::new(WorkloadIdentity::new(login, &client_id, file)?)
            }
            Self::AzureCli { tenant, program } => {
                let tenant = tenant.as_deref().map(|tenant| names::tenant("tenant", tenant)).transpose()?;
                Arc::new(AzureCli::new(audience, tenant, program.clone(), around))
            }
            Self::Default {} => Arc::new(Chain::new(audience, around)?),
        })
    }
}

fn set_or_read(
    set: Option<&String>,
    key: &str,
    variable: &str,
    around: &Surroundings,
) -> Result<String, InferenceError> {
    set.cloned().or_else(|| around.variable(variable)).ok_or_else(|| {
        InferenceError::config(format!(
            "workload_identity: {key} is missing and the environment variable {variable} is not set: is the pod \
             labelled for workload identity?"
        ))
    })
}
