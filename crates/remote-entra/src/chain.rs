//! The first way to a token that exists here.

use std::sync::OnceLock;

use async_trait::async_trait;
use infer_core::InferenceError;
use remote_core::session::{Credential, CredentialSource, SecretRef};

use crate::cli::AzureCli;
use crate::client_secret::ClientSecret;
use crate::cloud::Audience;
use crate::exchange::Miss;
use crate::login::Login;
use crate::managed::{Identity, ManagedIdentity};
use crate::names;
use crate::surroundings::Surroundings;
use crate::workload::{CLIENT, TENANT, TOKEN_FILE, WorkloadIdentity};

const SECRET: &str = "AZURE_CLIENT_SECRET";

/// Tries one way after another until one exists, and keeps to it: what works is not left for another identity.
///
/// A way that exists and fails ends the search, so that a wrong secret is reported and not papered over by whoever
/// happens to be logged in.
#[derive(Debug)]
pub(crate) struct Chain {
    links: Vec<Link>,
    chosen: OnceLock<usize>,
}

#[derive(Debug)]
struct Link {
    name: &'static str,
    way: Way,
}

/// One way to a token.
#[derive(Debug)]
enum Way {
    /// Known to be there or not before anything is asked.
    Sure(Box<dyn CredentialSource>),
    Missing(String),
    /// Known only by asking.
    Managed(ManagedIdentity),
    Cli(AzureCli),
}

impl Way {
    async fn token(&self) -> Result<Credential, Miss> {
        match self {
            Self::Sure(source) => source.fetch().await.map_err(Miss::Failed),
            Self::Missing(why) => Err(Miss::Absent(InferenceError::config(why.clone()))),
            Self::Managed(source) => source.token().await,
            Self::Cli(source) => source.token().await,
        }
    }
}

impl Chain {
    pub(crate) fn new(audience: &Audience, around: &Surroundings) -> Result<Self, InferenceError> {
        let links = vec![
            Link { name: "client secret", way: client_secret(audience, around)? },
            Link { name: "workload identity", way: workload(audience, around)? },
            Link { name: "managed identity", way: managed(audience, around) },
            Link { name: "azure cli", way: Way::Cli(AzureCli::new(audience, None, None, around)) },
        ];
        Ok(Self { links, chosen: OnceLock::new() })
    }
}

fn client_secret(audience: &Audience, around: &Surroundings) -> Result<Way, InferenceError> {
    Ok(match read(around, [TENANT, CLIENT, SECRET]) {
        Ok([tenant, client_id, secret]) => {
            let login = Login::new(audience, names::tenant(TENANT, &tenant)?, around)?;
            let place = format!("environment variable {SECRET}");
            Way::Sure(Box::new(ClientSecret::new(login, &place, &client_id, &SecretRef::inline(secret))?))
        }
        Err(why) => Way::Missing(why),
    })
}

fn workload(audience: &Audience, around: &Surroundings) -> Result<Way, InferenceError> {
    Ok(match read(around, [TENANT, CLIENT, TOKEN_FILE]) {
        Ok([tenant, client_id, file]) => {
            let login = Login::new(audience, names::tenant(TENANT, &tenant)?, around)?;
            Way::Sure(Box::new(WorkloadIdentity::new(login, &client_id, file.into())?))
        }
        Err(why) => Way::Missing(why),
    })
}

fn managed(audience: &Audience, around: &Surroundings) -> Way {
    let identity = around.variable(CLIENT).map_or(Identity::Own, Identity::Client);
    match ManagedIdentity::new(audience, &identity, around) {
        Ok(source) => Way::Managed(source),
        Err(error) => Way::Missing(error.to_string()),
    }
}

/// All of `names`, or which are missing.
fn read<const N: usize>(around: &Surroundings, names: [&str; N]) -> Result<[String; N], String> {
    let values = names.map(|name| around.variable(name));
    let missing: Vec<&str> =
        names.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(values.map(Option::unwrap_or_default));
    }
    Err(format!("not set: {}", missing.join(", ")))
}

#[async_trait]
impl CredentialSource for Chain {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        if let Some(link) = self.chosen.get().and_then(|chosen| self.links.get(*chosen)) {
            return link.way.token().await.map_err(Miss::into_error);
        }
        let mut tried = Vec::with_capacity(self.links.len());
        for (number, Link { name, way }) in self.links.iter().enumerate() {
            match way.token().await {
                Ok(credential) => {
                    let _ = self.chosen.set(number); // a session has one fetch at a time, so nobody was faster
                    tracing::info!(source = name, "way to Entra tokens chosen");
                    return Ok(credential);
                }
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Absent(error)) => tried.push(format!("{name} ({error})")),
            }
        }
        Err(InferenceError::config(format!(
            "no way to an Entra token exists here: set one up or name it in the configuration; tried: {}",
            tried.join("; ")
        )))
    }
}
