//! `/healthz`, `/readyz` and `/health/…`: whether the process lives, whether it can answer, how its providers are.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use infer_core::{InferenceError, ModelRunner as _};
use serde::Serialize;

use super::models::to_json;
use crate::denial::{Denial, Failure, Shape};
use crate::drain::Phase;
use crate::state::State;

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// The process lives.
pub(crate) fn live() -> Response<Body> {
    to_json(&Status { status: "ok" })
}

/// Whether a route can answer now.
pub(crate) fn ready(state: &State) -> Response<Body> {
    let not = |code, message: &str| {
        Failure::Denied(Denial::new(StatusCode::SERVICE_UNAVAILABLE, code, message)).respond(Shape::OpenAi)
    };
    if state.drain.phase() > Phase::Serving {
        return not("draining", "the gateway is stopping: ask another one");
    }
    let names = state.inference.config().providers.into_keys();
    let is_ready = |name: String| {
        state.inference.provider(&name).is_some_and(|provider| provider.ready_in("").is_zero())
    };
    if !names.into_iter().any(is_ready) {
        return not("no_healthy_target", "every provider is cooling down: GET /health/providers says why");
    }
    to_json(&Status { status: "ready" })
}

#[derive(Serialize)]
struct Provider {
    name: Arc<str>,
    status: &'static str,
    /// How its calls fail on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Providers {
    providers: Vec<Provider>,
}

/// Asks every provider, or the one called `name`, whether it answers.
pub(crate) async fn providers(state: &State, name: Option<&str>) -> Response<Body> {
    let checked = state.inference.router().health_of_each().await;
    let drills = state.inference.drills();
    let drill = |name: &str| drills.iter().find(|on| on.provider == name).map(|on| on.drill.fault.name());
    let view = |(name, health): (Arc<str>, Result<infer_core::Health, InferenceError>)| match health {
        Ok(health) => {
            let latency_ms = Some(health.latency.as_secs_f64() * 1e3);
            Provider { drill: drill(&name), name, status: "up", latency_ms, error: None }
        }
        Err(error) => {
            let error = Some(error.to_string());
            Provider { drill: drill(&name), name, status: "down", latency_ms: None, error }
        }
    };
    let mut providers: Vec<Provider> = checked.into_iter().map(view).collect();
    let Some(name) = name else { return to_json(&Providers { providers }) };
    providers.retain(|provider| &*provider.name == name);
    match providers.pop() {
        Some(provider) => to_json(&provider),
        None => no_provider(state, name).respond(Shape::OpenAi),
    }
}

/// There is no provider of that name.
pub(crate) fn no_provider(state: &State, name: &str) -> Failure {
    let names: Vec<String> = state.inference.config().providers.into_keys().collect();
    let shown: String = name.chars().take(64).collect();
    let message = format!("there is no provider {shown:?}: there are {}", names.join(", "));
    Failure::Denied(Denial::new(StatusCode::NOT_FOUND, "provider_not_found", message))
}
