//! `GET /metrics`.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode};

use crate::caller::operator;
use crate::denial::{Denial, Failure, Shape};
use crate::state::State;

/// The version of the format that is written.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, for operators: it names keys and tells what they spend.
pub(crate) fn scrape(state: &State, headers: &HeaderMap, extensions: &Extensions) -> Response<Body> {
    let written = operator(state, headers, extensions).and_then(|()| {
        let broken =
            |_| Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "metrics cannot be written");
        state.metrics.scrape(state).map_err(broken)
    });
    match written {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORMAT));
            response
        }
        Err(denial) => Failure::Denied(denial).respond(Shape::OpenAi),
    }
}
