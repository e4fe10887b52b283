//! A trace that somebody else began.

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes `span` a part of the trace that the `traceparent` of `headers` names, by W3C's Trace Context; without one, or
/// with one that cannot be read, it begins a trace of its own.
///
/// Whoever began the trace also decided whether it is kept. Call it before the span is entered.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() || !headers.contains_key("traceparent") {
        return;
    }
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if context.span().span_context().is_valid() {
        // Fails where nothing exports, and then there is no trace to be a part of.
        _ = span.set_parent(context);
    }
}
