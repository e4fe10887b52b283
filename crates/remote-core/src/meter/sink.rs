//! Where records go.

use std::fmt;
use std::sync::Arc;

use super::record::RunRecord;
use super::trace;
use super::trace_context::TraceContext;
use crate::breaker::BreakerChange;

/// Takes a record of every attempt and of every call.
///
/// Called on the path of the call, also while it is dropped: it must not block, wait or panic. A sink that writes
/// somewhere slow hands a clone to a channel and loses records rather than time.
pub trait MetricsSink: Send + Sync + fmt::Debug {
    /// Takes note of `record`. The records of a call's attempts come before that of the call.
    fn record(&self, record: &RunRecord);

    /// Takes note of a breaker that does something else than before. It may have done so for a while: time alone changes a
    /// breaker, and that is told with the next call.
    fn breaker_changed(&self, _change: &BreakerChange<'_>) {}

    /// The trace that a request is a part of which is sent now, from within the span of its call; for the request's headers.
    /// None unless somebody exports spans.
    fn trace_context(&self) -> Option<TraceContext> {
        None
    }
}

/// Forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl MetricsSink for NullSink {
    fn record(&self, _: &RunRecord) {}
}

/// Writes every record to `tracing` with [`emit`](super::emit).
#[derive(Clone, Copy, Debug, Default)]
pub struct EventSink;

impl MetricsSink for EventSink {
    fn record(&self, record: &RunRecord) {
        trace::emit(record);
    }
}

/// Hands every record to several sinks, in order.
#[derive(Clone, Debug, Default)]
pub struct Fanout(pub Vec<Arc<dyn MetricsSink>>);

impl MetricsSink for Fanout {
    fn record(&self, record: &RunRecord) {
        for sink in &self.0 {
            sink.record(record);
        }
    }

    fn breaker_changed(&self, change: &BreakerChange<'_>) {
        for sink in &self.0 {
            sink.breaker_changed(change);
        }
    }

    /// That of the first sink that has one.
    fn trace_context(&self) -> Option<TraceContext> {
        self.0.iter().find_map(|sink| sink.trace_context())
    }
}
