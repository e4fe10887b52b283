//! Who asks: the key of a request, where it may stand, and what it allows.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, StatusCode};
use infer_store::keys::{KeyRecord, Refusal};
use subtle::ConstantTimeEq as _;

use crate::denial::Denial;
use crate::state::State;

/// Who sends a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The key; none where the gateway asks for none.
    pub(crate) key: Option<Arc<KeyRecord>>,
}

impl Caller {
    /// The name its spend is counted under.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.key.as_ref().map(|key| &key.name)
    }

    /// Refuses a model that the key may not use.
    pub(crate) fn may_use(&self, model: &str) -> Result<(), Denial> {
        match &self.key {
            Some(key) if !key.allows(model) => Err(Denial::new(
                StatusCode::FORBIDDEN,
                "model_not_allowed",
                format!(
                    "the key {:?} may not use the model {model:?}: ask for another, or whoever made the key",
                    key.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Reads the key of a request.
///
/// # Errors
/// 401 with what is wrong; the key itself is never repeated.
pub(crate) fn caller(state: &State, headers: &HeaderMap) -> Result<Caller, Denial> {
    if !state.asks_for_keys() {
        return Ok(Caller { key: None });
    }
    let unauthorized =
        |message: &str| Denial::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message).for_good();
    let Some(secret) = presented(headers) else {
        return Err(unauthorized(
            "no key: send one as Authorization: Bearer, x-api-key or api-key; `infer keys create` makes one",
        ));
    };
    match state.keys().authenticate(secret, state.now()) {
        Ok(key) => Ok(Caller { key: Some(key) }),
        Err(Refusal::Expired) => Err(unauthorized("this key has expired: ask for a new one")),
        Err(Refusal::Revoked) => Err(unauthorized("this key was revoked: ask for a new one")),
        Err(_) => Err(unauthorized("this key is not known here")),
    }
}

/// Lets operators in: by the admin key, by a key that may, or from this machine where there is neither.
///
/// # Errors
/// 401 or 403.
pub(crate) fn operator(state: &State, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Denial> {
    let config = state.config();
    let secret = presented(headers);
    if let (Some(key), Some(secret)) = (&config.admin_key, secret)
        && bool::from(key.reveal().as_bytes().ct_eq(secret.as_bytes()))
    {
        return Ok(());
    }
    if let Some(secret) = secret
        && state.keys().authenticate(secret, state.now()).is_ok_and(|key| key.admin)
    {
        return Ok(());
    }
    if config.admin_key.is_some() || state.asks_for_keys() {
        return Err(Denial::new(
            StatusCode::UNAUTHORIZED,
            "invalid_admin_key",
            "this needs the admin key: gateway.admin_key, or a key made with --admin",
        )
        .for_good());
    }
    let is_near = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .is_some_and(|ConnectInfo(address)| address.ip().to_canonical().is_loopback());
    if is_near {
        return Ok(());
    }
    let message = "without gateway.admin_key this answers only on the machine it runs on";
    Err(Denial::new(StatusCode::FORBIDDEN, "admin_only_here", message).for_good())
}

/// The key as a client of any shape sends it.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key")).filter(|secret| !secret.is_empty())
}
