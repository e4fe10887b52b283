//! Which web pages may call the gateway from a browser, by `gateway.cors.origins`.
//!
//! Never for `/admin`: pages of other origins have no business there. Without origins nothing is answered and nothing added.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as From};
use axum::middleware::Next;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::state::State;

/// What a page may read of an answer beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-served-by, x-failed-providers, x-infer-cost-usd, x-infer-cache, retry-after, retry-after-ms, \
     x-should-retry",
);

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");

/// How long a browser may remember the answer to a preflight. 10 min.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Answers preflights of pages that may call, and marks answers to them.
pub(crate) async fn cors(From(state): From<Arc<State>>, request: Request, next: Next) -> Response<Body> {
    // Programs send no origin.
    if !request.headers().contains_key(ORIGIN) {
        return next.run(request).await;
    }
    let config = state.config();
    let (headers, path) = (request.headers(), request.uri().path());
    let is_admin = path == "/admin" || path.starts_with("/admin/");
    let Some(origin) = allowed(headers, &config.cors.origins).filter(|_| !is_admin) else {
        return next.run(request).await;
    };
    let is_preflight =
        request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight(headers) } else { next.run(request).await };
    let headers = response.headers_mut();
    if origin != "*" {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}

/// What stands in `access-control-allow-origin` for this request.
fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.iter().any(|known| known == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    // Scheme and host are lower case in what a browser sends.
    let is_known = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    origins.iter().any(is_known).then(|| origin.clone())
}

/// Lets a page send whatever headers it wants: keys are among them, under three names.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|wanted| wanted.len() <= 2048) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}
