//! A queue of finished spans that never makes a call wait.
//!
//! OpenTelemetry's batch processor drops what does not fit and says so only in logs that are compiled out. Here the
//! queue is counted from outside, so what is lost is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::attributes;

/// The most spans of one export.
const BATCH: usize = 512;

/// How many spans wait, and how many were lost.
#[derive(Debug)]
pub(super) struct Queue {
    room: usize,
    waiting: AtomicUsize,
    lost: AtomicU64,
    is_told: AtomicBool,
}

impl Queue {
    pub(super) fn new(room: usize) -> Self {
        Self { room, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0), is_told: AtomicBool::new(false) }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        let more = |waiting| (waiting < self.room).then_some(waiting + 1);
        let fits = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.lost.fetch_add(u64::from(!fits), Ordering::Relaxed);
        fits
    }

    fn leave(&self, spans: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(spans));
        let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Called on the exporter's thread: while a span ends, `tracing` is in the middle of something.
    fn tell(&self) {
        let lost = self.lost();
        if lost > 0 && !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(lost, "spans are lost: the collector is too slow or does not answer");
        }
    }
}

/// The batch processor, asked only while there is room.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: BatchSpanProcessor,
    queue: Arc<Queue>,
}

impl Bounded {
    pub(super) fn new<E: SpanExporter + 'static>(exporter: E, interval: Duration, queue: Arc<Queue>) -> Self {
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(queue.room)
            .with_max_export_batch_size(BATCH.min(queue.room))
            .with_scheduled_delay(interval)
            .build();
        let exporter = Counted { inner: exporter, queue: Arc::clone(&queue) };
        Self { inner: BatchSpanProcessor::builder(exporter).with_batch_config(config).build(), queue }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.enter() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An exporter that makes room when it is handed spans, and counts those it cannot deliver.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    queue: Arc<Queue>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queue.leave(spans);
        batch.iter_mut().for_each(attributes::retype);
        let outcome = self.inner.export(batch).await;
        if outcome.is_err() {
            self.queue.lost.fetch_add(spans as u64, Ordering::Relaxed);
        }
        self.queue.tell();
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Waits for leave, which is given for good when its sender is dropped.
    #[derive(Debug)]
    struct Slow {
        leave: Mutex<Receiver<()>>,
        delivered: Arc<AtomicUsize>,
    }

    impl SpanExporter for Slow {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let _ = self.leave.lock().unwrap().recv();
            self.delivered.fetch_add(batch.len(), Ordering::SeqCst);
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Broken;

    impl SpanExporter for Broken {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("down".to_owned()))
        }
    }

    fn emit<E: SpanExporter + 'static>(exporter: E, queue: &Arc<Queue>, spans: usize) -> SdkTracerProvider {
        let processor = Bounded::new(exporter, Duration::from_secs(3600), Arc::clone(queue));
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        (0..spans).for_each(|_| drop(tracer.start("span")));
        provider
    }

    #[test]
    fn spans_beyond_the_bound_are_counted_and_nobody_waits_for_room() {
        let (leave, wait) = channel();
        let delivered = Arc::new(AtomicUsize::new(0));
        let queue = Arc::new(Queue::new(4));
        let slow = Slow { leave: Mutex::new(wait), delivered: Arc::clone(&delivered) };
        let provider = emit(slow, &queue, 100);
        assert!(queue.lost() >= 92, "four are being exported and four wait: {queue:?}");
        drop(leave);
        provider.shutdown().unwrap();
        assert_eq!(delivered.load(Ordering::SeqCst) as u64 + queue.lost(), 100);
    }

    #[test]
    fn spans_that_the_collector_refuses_are_lost() {
        let queue = Arc::new(Queue::new(8));
        emit(Broken, &queue, 3).shutdown().unwrap();
        assert_eq!(queue.lost(), 3);
    }
}
