//! Which web pages may call the gateway from a browser, by `gateway.cors.origins`.
//!
//! Never for `/admin`: pages of other origins have no business there. Without origins nothing is answered and nothing added.

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::state::State;

/// What a page may read of an answer beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-served-by, x-failed-providers, x-infer-cost-usd, x-infer-cache, retry-after, retry-after-ms, \
     x-should-retry",
);

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");

/// How long a browser may remember the answer to a preflight. 10 min.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// A page that may call, by what its answers say of it.
pub(crate) struct Page(HeaderValue);

impl Page {
    /// The page that asks, where one does and may.
    pub(crate) fn asking(state: &State, request: &Request<Body>) -> Option<Self> {
        // Programs send no origin.
        if !request.headers().contains_key(ORIGIN) {
            return None;
        }
        let path = request.uri().path();
        let is_admin = path == "/admin" || path.starts_with("/admin/");
        let origin = allowed(request.headers(), &state.config().cors.origins);
        origin.filter(|_| !is_admin).map(Self)
    }

    /// Lets it read an answer.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        if self.0 != "*" {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
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

/// The answer to a preflight; none to any other request. A page may send whatever headers it wants: keys are among them,
/// under three names.
pub(crate) fn preflight(request: &Request<Body>) -> Option<Response<Body>> {
    let asked = request.headers();
    if request.method() != Method::OPTIONS || !asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|wanted| wanted.len() <= 2048) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}
