//! The identity that Azure gives a virtual machine or an app, from a service on or beside the machine.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use infer_core::InferenceError;
use remote_core::Transport;
use remote_core::session::{Credential, CredentialSource};
use tokio::time::sleep;
use url::Url;

use crate::cloud::{Audience, ip};
use crate::exchange::{Answer, Miss, Service};
use crate::login::credential;
use crate::names;
use crate::refusal::{NO_IDENTITY, is_oauth_error};
use crate::surroundings::Surroundings;

/// Where every virtual machine in Azure finds its metadata.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01";

/// How long one exchange may take. 10 s: with three repeats, that is within what a session waits.
const LIMIT: Duration = Duration::from_secs(10);

/// The pauses before a machine's service is asked again.
///
/// Microsoft asks for a growing wait after 404, 429 and 5xx, and says that 410 ends within 70 s (its page on tokens for
/// virtual machines, read 2026-11-21); the waits are those of its own library MSAL. What lasts longer is for the session.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Which identity is meant, where a machine has several.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identity {
    /// The machine's own, or its only one.
    #[default]
    Own,
    Client(String),
    Object(String),
    Resource(String),
}

/// Asks the service for tokens.
pub(crate) struct ManagedIdentity {
    service: Service,
    uri: Uri,
    header: (HeaderName, HeaderValue),
    /// Before each repeat.
    pauses: &'static [Duration],
    transport: Arc<dyn Transport>,
    now: fn() -> SystemTime,
}

impl ManagedIdentity {
    /// The service of App Service and its relatives where the environment names one, else that of virtual machines.
    pub(crate) fn new(
        audience: &Audience,
        identity: &Identity,
        around: &Surroundings,
    ) -> Result<Self, InferenceError> {
        match (around.variable("IDENTITY_ENDPOINT"), around.variable("IDENTITY_HEADER")) {
            (Some(endpoint), Some(header)) => Self::of_app(audience, identity, around, &endpoint, &header),
            (Some(_), None) if around.variable("IMDS_ENDPOINT").is_some() => Err(InferenceError::config(
                "managed identity: this looks like a machine under Azure Arc, whose identities are not supported: \
                 use workload_identity or client_secret",
            )),
            _ => Self::of_machine(audience, identity, around),
        }
    }

    fn of_machine(
        audience: &Audience,
        identity: &Identity,
        around: &Surroundings,
    ) -> Result<Self, InferenceError> {
        let url = Url::parse(MACHINE).map_err(|error| InferenceError::config(error.to_string()))?;
        let keys = ["client_id", "object_id", "msi_res_id"];
        let header = (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
        Self::at(url, keys, audience, identity, around, header, &PAUSES)
    }

    fn of_app(
        audience: &Audience,
        identity: &Identity,
        around: &Surroundings,
        endpoint: &str,
        header: &str,
    ) -> Result<Self, InferenceError> {
        let fault = |what: &str| {
            Err(InferenceError::config(format!(
                "environment variable IDENTITY_ENDPOINT: {what}: the platform sets it"
            )))
        };
        let Ok(mut url) = Url::parse(endpoint.trim()) else { return fault("is not an address") };
        let is_safe = url.scheme() == "https" || url.scheme() == "http" && ip(&url).is_some_and(is_near);
        if !is_safe {
            return fault("is neither https nor on this machine or beside it, and a secret is sent there");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return fault("holds a user or a password");
        }
        url.query_pairs_mut().clear().append_pair("api-version", "2019-08-01");
        url.set_fragment(None);
        let mut value = HeaderValue::from_str(header.trim()).map_err(|_| {
            InferenceError::config(
                "environment variable IDENTITY_HEADER: holds what no HTTP header may: the platform sets it",
            )
        })?;
        value.set_sensitive(true);
        let header = (HeaderName::from_static("x-identity-header"), value);
        Self::at(url, ["client_id", "principal_id", "mi_res_id"], audience, identity, around, header, &[])
    }

    /// `keys` are the service's words for an identity's three names.
    fn at(
        mut url: Url,
        keys: [&str; 3],
        audience: &Audience,
        identity: &Identity,
        around: &Surroundings,
        header: (HeaderName, HeaderValue),
        pauses: &'static [Duration],
    ) -> Result<Self, InferenceError> {
        let [client, object, resource] = keys;
        let named = match identity {
            Identity::Own => None,
            Identity::Client(id) => Some((client, names::id("client_id", id)?)),
            Identity::Object(id) => Some((object, names::id("object_id", id)?)),
            Identity::Resource(id) => Some((resource, names::id("resource_id", id)?)),
        };
        url.query_pairs_mut().append_pair("resource", audience.resource()).extend_pairs(named);
        let uri = Uri::try_from(url.as_str())
            .map_err(|error| InferenceError::config(format!("managed identity: no address: {error}")))?;
        let endpoint = url.origin().ascii_serialization();
        let service = Service { name: "managed identity", endpoint, limit: LIMIT };
        Ok(Self { service, uri, header, pauses, transport: Arc::clone(&around.local), now: around.now })
    }

    /// The token; [`Miss::Absent`] when this is no machine or app with an identity.
    pub(crate) async fn token(&self) -> Result<Credential, Miss> {
        let mut pauses = self.pauses.iter();
        let answer = loop {
            let answer = self.service.exchange(&*self.transport, self.request(), self.now).await?;
            if !matches!(answer.status.as_u16(), 404 | 410 | 429 | 500..) {
                break answer;
            }
            let Some(pause) = pauses.next() else { break answer };
            sleep(*pause).await;
        };
        // A service may repeat what it was sent.
        let secret =
            if self.header.1.is_sensitive() { self.header.1.to_str().unwrap_or_default() } else { "" };
        credential(&self.service, &answer, (self.now)(), &[secret])
            .map_err(|error| if is_elsewhere(&answer) { Miss::Absent(error) } else { Miss::Failed(error) })
    }

    fn request(&self) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(self.header.0.clone(), self.header.1.clone());
        request
    }
}

/// Whether `answer` says that there is no such identity, or comes from another service at the same address, as other
/// clouds have one.
fn is_elsewhere(answer: &Answer) -> bool {
    let no_identity = || String::from_utf8_lossy(&answer.body).contains(NO_IDENTITY);
    match answer.status.as_u16() {
        400 if no_identity() => true,
        300..=428 => !is_oauth_error(answer),
        _ => false,
    }
}

/// Whether plain HTTP to `ip` stays on this machine or its own network, as the addresses of App Service do.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

#[async_trait]
impl CredentialSource for ManagedIdentity {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        self.token().await.map_err(Miss::into_error)
    }
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentity").field("endpoint", &self.service.endpoint).finish_non_exhaustive()
    }
}
