//! Which address is answered by what.

mod chat;
mod embeddings;
mod generate;
mod health;
mod metrics;
mod models;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as From};
use axum::routing::{get, post};
use http::{HeaderMap, Request, Response, StatusCode};
use tracing::Instrument as _;

use crate::ask::request_id;
use crate::denial::{Denial, Failure, Shape};
use crate::span;
use crate::state::State;
use crate::watch::Watch;

use chat::Chat;
use generate::Dialect;

type Shared = From<Arc<State>>;

/// All routes.
pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embed))
        .route(
            "/v1/models",
            get(
                |From(state): Shared, headers: HeaderMap| async move { models::list(&state, &headers).await },
            ),
        )
        .route("/v1/models/{*id}", get(model))
        .route("/openai/deployments/{deployment}/chat/completions", post(azure_chat))
        .route("/openai/deployments/{deployment}/embeddings", post(azure_embed))
        .route("/healthz", get(async || health::live()))
        .route(
            "/metrics",
            get(|From(state): Shared, request: Request<Body>| async move {
                metrics::scrape(&state, request.headers(), request.extensions())
            }),
        )
        .route("/readyz", get(|From(state): Shared| async move { health::ready(&state) }))
        .route(
            "/health/providers",
            get(|From(state): Shared| async move { health::providers(&state, None).await }),
        )
        .route("/health/providers/{name}", get(provider))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

fn watch(state: &State, endpoint: &'static str, headers: &HeaderMap) -> Watch {
    let id = request_id(headers);
    let span = span::of(endpoint, &id, headers);
    Watch::begin(endpoint, id, state.now(), state.observers.clone()).within(span)
}

async fn generated<D: Dialect>(state: &State, dialect: D, request: Request<Body>) -> Response<Body> {
    let watch = watch(state, D::ENDPOINT, request.headers());
    let span = watch.span();
    generate::generate(state, &dialect, request, watch).instrument(span).await
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

async fn embed(From(state): Shared, request: Request<Body>) -> Response<Body> {
    let watch = watch(&state, embeddings::ENDPOINT, request.headers());
    let span = watch.span();
    embeddings::embed(&state, None, request, watch).instrument(span).await
}

async fn azure_embed(
    From(state): Shared,
    Path(deployment): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let watch = watch(&state, embeddings::ENDPOINT, request.headers());
    let span = watch.span();
    embeddings::embed(&state, Some(&deployment), request, watch).instrument(span).await
}

async fn model(From(state): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response<Body> {
    models::one(&state, &headers, &id).await
}

async fn provider(From(state): Shared, Path(name): Path<String>) -> Response<Body> {
    health::providers(&state, Some(&name)).await
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
    Failure::Denied(denial).respond(Shape::OpenAi)
}
