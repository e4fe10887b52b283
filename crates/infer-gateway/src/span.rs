//! A span for every request, for whoever exports traces: the calls of upstreams hang below it.

use http::HeaderMap;
use infer_core::RequestId;
use inference::remote::meter::genai;
use tracing::Span;
use tracing::field::{Empty, display};

use crate::log::shown;
use crate::observe::{Ending, Seen};

/// The span of a request that arrives, in the trace that its headers name.
pub(crate) fn of(endpoint: &'static str, id: &RequestId, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = endpoint,
        otel.kind = "server",
        otel.status_code = Empty,
        { genai::OPERATION_NAME } = endpoint,
        { genai::REQUEST_ID } = id.as_str(),
        { genai::REQUEST_MODEL } = Empty,
        { genai::RESPONSE_MODEL } = Empty,
        { genai::PROVIDER } = Empty,
        { genai::USAGE_INPUT_TOKENS } = Empty,
        { genai::USAGE_OUTPUT_TOKENS } = Empty,
        { genai::COST } = Empty,
        { genai::OUTCOME } = Empty,
        { genai::ERROR_TYPE } = Empty,
        { genai::HTTP_STATUS } = Empty,
        { genai::ATTEMPTS } = Empty,
    );
    #[cfg(feature = "otel")]
    inference::otel::continue_trace(&span, headers);
    #[cfg(not(feature = "otel"))]
    let _ = headers;
    span
}

/// Fills in how the request of `span` ended.
pub(crate) fn close(span: &Span, seen: &Seen) {
    if span.is_disabled() {
        return;
    }
    span.record(genai::REQUEST_MODEL, seen.model.as_deref().map(shown));
    span.record(genai::RESPONSE_MODEL, seen.served_model.as_deref());
    span.record(genai::PROVIDER, seen.provider.as_deref());
    span.record(genai::USAGE_INPUT_TOKENS, seen.usage.map(|usage| usage.input_tokens));
    span.record(genai::USAGE_OUTPUT_TOKENS, seen.usage.map(|usage| usage.output_tokens));
    span.record(genai::COST, seen.cost.map(|cost| cost.total().as_usd()));
    span.record(genai::OUTCOME, seen.ending.name());
    span.record(genai::ERROR_TYPE, seen.ending.error());
    span.record(genai::HTTP_STATUS, seen.status);
    span.record(genai::ATTEMPTS, seen.attempts);
    // As the conventions for servers have it: what the client did wrong is no error of ours.
    if matches!(seen.ending, Ending::Broken(_)) || seen.status >= 500 {
        span.record("otel.status_code", display("ERROR"));
    }
}
