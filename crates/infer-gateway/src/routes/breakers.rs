//! `GET /health/circuit-breakers` and `GET /health/circuit-breakers/{name}`.

use axum::body::Body;
use http::Response;
use serde_json::json;

use super::admin_breakers;
use super::health::no_provider;
use super::models::to_json;
use crate::denial::Shape;
use crate::state::State;

/// What the breakers of every provider, or of the one called `name`, are doing.
pub(crate) fn list(state: &State, name: Option<&str>) -> Response<Body> {
    match name {
        Some(name) if state.inference.provider(name).is_none() => {
            no_provider(state, name).respond(Shape::OpenAi)
        }
        name => to_json(&json!({ "breakers": admin_breakers::list(state, name, false) })),
    }
}
