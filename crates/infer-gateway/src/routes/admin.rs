//! `/admin`: what an operator sees of a gateway at work, and does to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State as From};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{delete, get, post};
use http::header::{CACHE_CONTROL, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use inference::ReloadError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::models::to_json;
use super::{admin_breakers, admin_drills, admin_keys, overview, usage};
use crate::caller::{operator, presented};
use crate::denial::{Denial, Failure, Shape};
use crate::state::State;
use crate::{intake, reload};

/// The largest body that is read here, in bytes.
const LARGEST: usize = 256 << 10;

/// What a route of an operator answers.
pub(super) type Answer = Result<Response<Body>, Failure>;

type Shared = From<Arc<State>>;

/// The routes, behind the guard.
pub(super) fn router(state: Arc<State>) -> Router<Arc<State>> {
    Router::new()
        .route("/admin/keys", get(keys).post(create_key))
        .route("/admin/keys/{name}", delete(revoke_key))
        .route("/admin/keys/{name}/rotate", post(rotate_key))
        .route("/admin/budgets", get(budgets))
        .route("/admin/usage", get(spent))
        .route("/admin/breakers", get(breakers))
        .route("/admin/breakers/{provider}/{change}", post(change_breakers))
        .route("/admin/drills", get(drills))
        .route("/admin/drills/{provider}", get(drill).post(begin_drill).delete(end_drill))
        .route("/admin/reload", post(reloaded))
        .route("/admin/config", get(config))
        .route("/admin/live", get(overview::live))
        .route("/admin/overview", get(overview::overview))
        .route_layer(from_fn_with_state(state, guard))
}

/// Lets operators in, and no page of another origin.
async fn guard(From(state): Shared, request: Request, next: Next) -> Response<Body> {
    let mut response = match admit(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(denial) => Failure::Denied(denial).respond(Shape::OpenAi),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn admit(state: &State, request: &Request) -> Result<(), Denial> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && is_cross_site(request) {
        let message = "a page of another origin may not change anything here";
        return Err(Denial::new(StatusCode::FORBIDDEN, "cross_site", message).for_good());
    }
    known(state, request)?;
    // Without keys the address is all that lets somebody in, and a page can make a browser on this machine call it under a
    // name of the page's own.
    let is_open = state.config().admin_key.is_none() && !state.asks_for_keys();
    if is_open && !asked(request).is_some_and(|host| is_this_machine(host.host())) {
        let message = "without gateway.admin_key this answers only as localhost or 127.0.0.1";
        return Err(Denial::new(StatusCode::FORBIDDEN, "admin_only_here", message).for_good());
    }
    Ok(())
}

/// Asks for an operator's key, and lets nobody guess it quickly.
///
/// # Errors
/// As for [`operator`]; 429 after too many wrong keys.
pub(super) fn known(state: &State, request: &Request) -> Result<(), Denial> {
    let (headers, now) = (request.headers(), Instant::now());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    state.attempts.may_try(from, now).map_err(|wait| {
        let message = "too many wrong keys from this address";
        Denial::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message).after(wait)
    })?;
    let denied = operator(state, headers, request.extensions());
    // Who sends no key guesses none.
    let is_guess = presented(headers).is_some();
    if is_guess && denied.as_ref().is_err_and(|denial| denial.status == StatusCode::UNAUTHORIZED) {
        state.attempts.failed(from, now);
    }
    denied
}

/// Whether a browser says that another site asks.
fn is_cross_site(request: &Request) -> bool {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return false };
    let origin = origin.split_once("://").and_then(|(_, host)| host.parse::<Authority>().ok());
    match (origin, asked(request)) {
        (Some(origin), Some(host)) => origin != host,
        _ => true,
    }
}

/// The host that was asked, by whatever name.
fn asked(request: &Request) -> Option<Authority> {
    let named = |headers: &HeaderMap| headers.get(HOST)?.to_str().ok()?.parse().ok();
    request.uri().authority().cloned().or_else(|| named(request.headers()))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Reads a body of JSON; none counts as `{}`.
///
/// # Errors
/// 400 that names the member that is wrong.
pub(super) async fn read<T: DeserializeOwned>(state: &State, request: Request) -> Result<T, Failure> {
    let (head, body) = request.into_parts();
    let body = intake::read(&head.headers, body, LARGEST, state.config().body_timeout).await?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let at = error.path().to_string();
        let what = error.into_inner().to_string();
        if at == "." { bad(what) } else { bad(format!("{at}: {what}")).about(at) }
    })?;
    json.end().map_err(|error| bad(error.to_string()))?;
    Ok(read)
}

/// 400 with what is wrong.
pub(super) fn bad(message: impl Into<String>) -> Denial {
    Denial::new(StatusCode::BAD_REQUEST, "invalid_body", message).for_good()
}

fn respond(answer: Answer) -> Response<Body> {
    answer.unwrap_or_else(|failure| failure.respond(Shape::OpenAi))
}

async fn keys(From(state): Shared) -> Response<Body> {
    admin_keys::list(&state)
}

async fn create_key(From(state): Shared, request: Request) -> Response<Body> {
    respond(admin_keys::create(&state, request).await)
}

async fn revoke_key(From(state): Shared, Path(name): Path<String>) -> Response<Body> {
    respond(admin_keys::revoke(&state, &name).await)
}

async fn rotate_key(From(state): Shared, Path(name): Path<String>, request: Request) -> Response<Body> {
    respond(admin_keys::rotate(&state, &name, request).await)
}

async fn budgets(From(state): Shared) -> Response<Body> {
    usage::budgets(&state).await
}

async fn spent(From(state): Shared, request: Request) -> Response<Body> {
    respond(usage::spent(&state, request.uri().query().unwrap_or_default()).await)
}

async fn breakers(From(state): Shared) -> Response<Body> {
    to_json(&json!({ "breakers": admin_breakers::list(&state, None, true) }))
}

async fn change_breakers(
    From(state): Shared,
    Path((provider, change)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    respond(admin_breakers::change(&state, &provider, &change, request).await)
}

async fn drills(From(state): Shared) -> Response<Body> {
    to_json(&json!({ "drills": admin_drills::list(&state, None) }))
}

async fn drill(From(state): Shared, Path(provider): Path<String>) -> Response<Body> {
    respond(admin_drills::one(&state, &provider))
}

async fn begin_drill(From(state): Shared, Path(provider): Path<String>, request: Request) -> Response<Body> {
    respond(admin_drills::begin(&state, &provider, request).await)
}

async fn end_drill(From(state): Shared, Path(provider): Path<String>) -> Response<Body> {
    respond(admin_drills::end(&state, &provider))
}

/// What was read, without secrets.
async fn config(From(state): Shared) -> Response<Body> {
    to_json(&state.inference.config().show_json())
}

/// Reads the configuration again: what became of it, or every fault, with what was in force left as it was.
async fn reloaded(From(state): Shared) -> Response<Body> {
    match state.inference.reload().await {
        Ok(changed) => {
            let applied = reload::apply(&state).await;
            to_json(&json!({
                "kept": changed.kept,
                "built": changed.built,
                "removed": changed.removed,
                "sections": changed.sections,
                "needs_restart": applied.restart,
                "not_applied": applied.faults,
            }))
        }
        Err(error) => faults(&error),
    }
}

fn faults(error: &ReloadError) -> Response<Body> {
    let faults: Vec<Value> = match error {
        ReloadError::Faults(faults) => {
            faults.iter().map(|fault| serde_json::to_value(fault).unwrap_or_default()).collect()
        }
        other => vec![json!({ "path": "", "message": other.to_string() })],
    };
    let body = json!({ "error": {
        "message": format!("not reloaded, and what was in force stays: {error}"),
        "type": "invalid_request_error",
        "param": null,
        "code": "config_invalid",
        "faults": faults,
    } });
    let mut response = to_json(&body);
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response
}
