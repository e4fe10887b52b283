//! `/admin/keys`: makes, lists, rotates and revokes keys.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::{Response, StatusCode};
use infer_core::duration;
use infer_store::keys::{KeyError, KeyOrigin, KeyRecord, KeySpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{Answer, bad, read};
use super::models::to_json;
use crate::denial::{Denial, Failure};
use crate::reload;
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How long the present secret still opens it.
    #[serde(default, with = "duration")]
    grace: Duration,
}

/// All keys, also those that open nothing any more; no secrets.
pub(super) fn list(state: &State) -> Response<Body> {
    let keys: Vec<Value> = state.keys().list().iter().map(|key| shown(state, key)).collect();
    to_json(&json!({ "keys": keys }))
}

/// Makes a key; its secret is told here and nowhere else.
pub(super) async fn create(state: &State, request: Request) -> Answer {
    let spec: KeySpec = read(state, request).await?;
    let (key, secret) = state.keys().create(spec).await.map_err(|error| refused(&error))?;
    followed(state).await?;
    let mut response = to_json(&json!({ "key": shown(state, &key), "secret": secret.reveal() }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Ends a key for ever.
pub(super) async fn revoke(state: &State, name: &str) -> Answer {
    let key = state.keys().revoke(name).await.map_err(|error| refused(&error))?;
    followed(state).await?;
    Ok(to_json(&json!({ "key": shown(state, &key) })))
}

/// Gives a key another secret, told here and nowhere else.
pub(super) async fn rotate(state: &State, name: &str, request: Request) -> Answer {
    let Rotation { grace } = read(state, request).await?;
    let (key, secret) = state.keys().rotate(name, grace).await.map_err(|error| refused(&error))?;
    Ok(to_json(&json!({ "key": shown(state, &key), "secret": secret.reveal() })))
}

/// Budgets of a key bind from its first call on.
async fn followed(state: &State) -> Result<(), Failure> {
    let followed = reload::follow_keys(state).await;
    followed.map_err(|fault| {
        let message = format!("the key is stored, and its budgets do not bind: {fault}");
        Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "budgets_not_applied", message).into()
    })
}

fn shown(state: &State, key: &Arc<KeyRecord>) -> Value {
    let mut shown = serde_json::to_value(&**key).unwrap_or_default();
    if let Value::Object(members) = &mut shown {
        members.insert("state".to_owned(), json!(key.state(state.now())));
        let origin = match key.origin {
            KeyOrigin::Stored => "stored",
            KeyOrigin::Config => "config",
        };
        members.insert("origin".to_owned(), origin.into());
    }
    shown
}

fn refused(error: &KeyError) -> Failure {
    let (status, code) = match error {
        KeyError::Taken { .. } => (StatusCode::CONFLICT, "key_taken"),
        KeyError::NoSuchKey { .. } => (StatusCode::NOT_FOUND, "key_not_found"),
        KeyError::IsRevoked { .. } => (StatusCode::CONFLICT, "key_revoked"),
        KeyError::IsConfigured { .. } => (StatusCode::CONFLICT, "key_in_config"),
        KeyError::NoPlace => (StatusCode::CONFLICT, "keys_not_stored"),
        KeyError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "keys_busy"),
        KeyError::Invalid { what } => return bad(what.clone()).into(),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "keys_failed"),
    };
    Denial::new(status, code, error.to_string()).into()
}
