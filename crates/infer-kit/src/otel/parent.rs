//! A trace that goes on from whoever asks to whoever is asked.

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use remote_core::meter::TraceContext;
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

/// Where the span that is entered now stands in its trace; `None` where nothing exports it.
pub(super) fn current() -> Option<TraceContext> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    let (trace, id) = (span.trace_id().to_bytes(), span.span_id().to_bytes());
    Some(TraceContext::new(trace, id, span.is_sampled())?.with_state(&span.trace_state().header()))
}
