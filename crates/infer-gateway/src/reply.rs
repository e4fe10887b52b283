//! Headers that every answer carries, and answers in one piece.

use std::fmt::Write as _;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use infer_core::{CostEstimate, RequestId, Tried};
use infer_store::cache::CacheOutcome;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const FAILED: HeaderName = HeaderName::from_static("x-failed-providers");
const COST: HeaderName = HeaderName::from_static("x-infer-cost-usd");
const CACHE: HeaderName = HeaderName::from_static("x-infer-cache");
/// Tells proxies not to collect a stream before they pass it on (nginx's documents, read 2026-11-21).
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// JSON under a 200.
pub(crate) fn json(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The head of an event stream.
pub(crate) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The name of the call.
pub(crate) fn name(headers: &mut HeaderMap, id: &RequestId) {
    put(headers, REQUEST_ID, id.as_str());
}

/// Who answered.
pub(crate) fn served_by(headers: &mut HeaderMap, provider: &str) {
    put(headers, SERVED_BY, provider);
}

/// Who failed before, each with why: `azure;rate_limited, openai;timeout`.
pub(crate) fn failed(headers: &mut HeaderMap, tried: &[Tried]) {
    if tried.is_empty() {
        return;
    }
    let mut text = String::new();
    for (nth, tried) in tried.iter().take(16).enumerate() {
        let comma = if nth == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        _ = write!(text, "{comma}{};{}", tried.provider, tried.kind.name());
    }
    put(headers, FAILED, &text);
}

/// What the answer cost, where that is known already.
pub(crate) fn cost(headers: &mut HeaderMap, cost: Option<CostEstimate>) {
    if let Some(cost) = cost {
        put(headers, COST, cost.total().to_string().trim_start_matches('$'));
    }
}

/// What the cache had to do with it.
pub(crate) fn cache(headers: &mut HeaderMap, outcome: Option<CacheOutcome>) {
    let word = match outcome {
        None => return,
        Some(CacheOutcome::Hit { .. }) => "hit",
        Some(CacheOutcome::Miss) => "miss",
        Some(_) => "skipped",
    };
    headers.insert(CACHE, HeaderValue::from_static(word));
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
