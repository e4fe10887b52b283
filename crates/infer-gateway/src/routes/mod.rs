//! Which address is answered by what.

mod admin;
mod admin_breakers;
mod admin_drills;
mod admin_keys;
mod breakers;
mod chat;
mod completions;
mod embeddings;
mod generate;
mod health;
mod messages;
mod metrics;
mod models;
mod overview;
mod relay;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as From};
use axum::routing::{any, get, post};
use http::{HeaderMap, Request, Response, StatusCode};

use crate::ask::request_id;
use crate::denial::{Denial, Failure, Shape};
use crate::span;
use crate::state::State;
use crate::watch::Watch;

use chat::Chat;
use completions::Texts;
use generate::Dialect;
use messages::Messages;

/// Where the interface of OpenAI stands, and where Azure's clients look for the same since its version 1 (Azure's page on the
/// lifecycle of its API, read 2026-11-21).
const BASES: [&str; 2] = ["/v1", "/openai/v1"];

pub(super) type Shared = From<Arc<State>>;

/// All routes; what every request passes before them stands in `front.rs`.
pub(crate) fn router(state: Arc<State>) -> Router {
    BASES
        .into_iter()
        .fold(Router::new(), interface)
        .merge(admin::router(Arc::clone(&state)))
        .route("/openai/models", get(models))
        .route("/openai/models/{*id}", get(model))
        .route("/openai/deployments/{deployment}/chat/completions", post(azure_chat))
        .route("/openai/deployments/{deployment}/completions", post(azure_texts))
        .route("/openai/deployments/{deployment}/embeddings", post(azure_embed))
        .route("/healthz", get(async || health::live()))
        .route("/metrics", get(metrics::scrape))
        .route("/readyz", get(|From(state): Shared| async move { health::ready(&state) }))
        .route(
            "/health/providers",
            get(|From(state): Shared| async move { health::providers(&state, None).await }),
        )
        .route("/health/providers/{name}", get(provider))
        .route(
            "/health/circuit-breakers",
            get(|From(state): Shared| async move { breakers::list(&state, None) }),
        )
        .route("/health/circuit-breakers/{name}", get(provider_breakers))
        .merge(crate::dashboard::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

/// What clients of models ask, below `base`.
fn interface(router: Router<Arc<State>>, base: &str) -> Router<Arc<State>> {
    let at = |path: &str| format!("{base}{path}");
    router
        .route(&at("/chat/completions"), post(chat))
        .route(&at("/completions"), post(texts))
        .route(&at("/embeddings"), post(embed))
        .route(&at("/messages"), post(messages))
        .route(&at("/models"), get(models))
        .route(&at("/models/{*id}"), get(model))
        .route(&at("/usage"), get(own_usage))
        .route(&at("/{*rest}"), any(pass_on))
}

fn watch(state: &State, endpoint: &'static str, headers: &HeaderMap) -> Box<Watch> {
    let id = request_id(headers);
    let span = span::of(endpoint, &id, headers);
    // It is large, and goes with the request from hand to hand.
    Box::new(Watch::begin(endpoint, id, state.now(), state.observers.clone()).within(span))
}

async fn generated<D: Dialect>(state: &State, dialect: D, request: Request<Body>) -> Response<Body> {
    let watch = watch(state, D::ENDPOINT, request.headers());
    generate::generate(state, &dialect, request, watch).await
}

async fn chat(From(state): Shared, request: Request<Body>) -> Response<Body> {
    generated(&state, Chat::default(), request).await
}

async fn azure_chat(
    From(state): Shared,
    Path(deployment): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    generated(&state, Chat { deployment: Some(deployment) }, request).await
}

async fn texts(From(state): Shared, request: Request<Body>) -> Response<Body> {
    generated(&state, Texts::default(), request).await
}

async fn azure_texts(
    From(state): Shared,
    Path(deployment): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    generated(&state, Texts { deployment: Some(deployment) }, request).await
}

async fn messages(From(state): Shared, request: Request<Body>) -> Response<Body> {
    generated(&state, Messages, request).await
}

async fn pass_on(From(state): Shared, request: Request<Body>) -> Response<Body> {
    let watch = watch(&state, relay::ENDPOINT, request.headers());
    relay::relay(&state, request, watch).await
}

async fn embed(From(state): Shared, request: Request<Body>) -> Response<Body> {
    let watch = watch(&state, embeddings::ENDPOINT, request.headers());
    embeddings::embed(&state, None, request, watch).await
}

async fn azure_embed(
    From(state): Shared,
    Path(deployment): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let watch = watch(&state, embeddings::ENDPOINT, request.headers());
    embeddings::embed(&state, Some(&deployment), request, watch).await
}

async fn models(From(state): Shared, headers: HeaderMap) -> Response<Body> {
    models::list(&state, &headers).await
}

async fn model(From(state): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response<Body> {
    models::one(&state, &headers, &id).await
}

async fn provider(From(state): Shared, Path(name): Path<String>) -> Response<Body> {
    health::providers(&state, Some(&name)).await
}

async fn provider_breakers(From(state): Shared, Path(name): Path<String>) -> Response<Body> {
    breakers::list(&state, Some(&name))
}

async fn own_usage(From(state): Shared, headers: HeaderMap) -> Response<Body> {
    usage::own(&state, &headers).await.unwrap_or_else(|failure| failure.respond(Shape::OpenAi))
}

async fn nothing_here(request: Request<Body>) -> Response<Body> {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!("there is nothing at {} {path}", request.method());
    Failure::Denied(Denial::new(StatusCode::NOT_FOUND, "not_found", message).for_good())
        .respond(Shape::OpenAi)
}

async fn wrong_method(request: Request<Body>) -> Response<Body> {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!("{path} does not answer {}", request.method());
    let denial = Denial::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).for_good();
    let is_messages = request.uri().path().ends_with("/v1/messages");
    Failure::Denied(denial).respond(if is_messages { Shape::Anthropic } else { Shape::OpenAi })
}
