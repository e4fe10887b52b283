//! Asks a tenant's login host for a token of an application.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use infer_core::InferenceError;
use remote_core::Transport;
use remote_core::session::Credential;
use url::form_urlencoded::Serializer;

use crate::answer::{self, Unusable};
use crate::cloud::Audience;
use crate::exchange::{Answer, Miss, Service};
use crate::refusal::{is_oauth_error, refused};
use crate::surroundings::Surroundings;

/// How long a login host may take. 30 s: half of what a session waits for a credential.
const LIMIT: Duration = Duration::from_secs(30);

/// The login host of one tenant.
pub(crate) struct Login {
    service: Service,
    uri: Uri,
    tenant: String,
    scope: String,
    transport: Arc<dyn Transport>,
    pub(crate) now: fn() -> SystemTime,
}

impl Login {
    pub(crate) fn new(
        audience: &Audience,
        tenant: String,
        around: &Surroundings,
    ) -> Result<Self, InferenceError> {
        let host = audience.authority(around.variable("AZURE_AUTHORITY_HOST").as_deref())?;
        let endpoint = host.as_str().trim_end_matches('/').to_owned();
        let uri = format!("{endpoint}/{tenant}/oauth2/v2.0/token");
        let uri = Uri::try_from(uri)
            .map_err(|error| InferenceError::config(format!("authority: is no address: {error}")))?;
        let service = Service { name: "entra login", endpoint, limit: LIMIT };
        let (transport, now) = (Arc::clone(&around.login), around.now);
        Ok(Self { service, uri, tenant, scope: audience.scope().to_owned(), transport, now })
    }

    /// The token of the application `client_id`, which proves itself by `proof`. Its values are secrets.
    pub(crate) async fn token(
        &self,
        client_id: &str,
        proof: &[(&str, &str)],
        secrets: &[&str],
    ) -> Result<Credential, InferenceError> {
        let answer = self.service.exchange(&*self.transport, self.request(client_id, proof), self.now).await;
        let answer = answer.map_err(Miss::into_error)?;
        credential(&self.service, &answer, (self.now)(), secrets)
    }

    fn request(&self, client_id: &str, proof: &[(&str, &str)]) -> Request<Bytes> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("client_id", client_id);
        form.extend_pairs(proof).append_pair("scope", &self.scope);
        let mut request = Request::new(Bytes::from(form.finish()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("endpoint", &self.service.endpoint)
            .field("tenant", &self.tenant)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// The token in `answer`, or what it says instead, without `secrets`.
pub(crate) fn credential(
    service: &Service,
    answer: &Answer,
    now: SystemTime,
    secrets: &[&str],
) -> Result<Credential, InferenceError> {
    if !answer.status.is_success() {
        return Err(refused(service, answer, secrets));
    }
    answer::of_service(&answer.body, now).map_err(|unusable| match unusable {
        Unusable::Unreadable(..) if is_oauth_error(answer) => refused(service, answer, secrets),
        Unusable::Unreadable(kind, detail) => {
            let status = Some(answer.status.as_u16());
            InferenceError::Decode { at: service.origin(|at| at.status = status), kind, detail }
        }
        Unusable::Expired(what) => {
            InferenceError::config(format!("{} at {} {what}", service.name, service.endpoint))
        }
    })
}
