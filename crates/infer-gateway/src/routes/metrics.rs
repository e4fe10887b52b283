//! `GET /metrics`.

use axum::body::Body;
use axum::extract::State as From;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};

use super::{Shared, admin};
use crate::denial::{Denial, Failure, Shape};

/// The version of the format that is written.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, for operators: it names keys and tells what they spend.
pub(super) async fn scrape(From(state): Shared, request: Request<Body>) -> Response<Body> {
    if let Err(denial) = admin::known(&state, &request) {
        return Failure::Denied(denial).respond(Shape::OpenAi);
    }
    let balances = state.inference.shared_balances().await.accounts;
    match state.metrics.scrape(&state, balances) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORMAT));
            response
        }
        Err(_) => {
            let denial =
                Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "metrics cannot be written");
            Failure::Denied(denial).respond(Shape::OpenAi)
        }
    }
}
