//! Traces and metrics over OTLP, by OpenTelemetry's conventions for generative AI.
//!
//! [`start`] begins; the program adds [`Otel::layer`] to its `tracing` subscriber, hands [`Otel::sink`] to
//! [`InferenceBuilder::with_sink`](crate::InferenceBuilder::with_sink), and calls [`Otel::shutdown`] at its end. It is
//! HTTP with protobuf; most collectors listen for it on port 4318.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use inference::Inference;
//! use inference::otel::{self, OtelConfig};
//! use tracing_subscriber::prelude::*;
//!
//! let otel = otel::start(&OtelConfig::default())?;
//! tracing_subscriber::registry().with(otel.layer()).init();
//! let inference = Inference::builder().with_file("llm.yaml").with_sink(otel.sink()).build().await?;
//! // … calls …
//! otel.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Spans** are those of the program and of this library at `INFO` and above, so a call hangs below whatever made it.
//! What the HTTP stack tells is left out.
//!
//! **Traces go on to upstreams**: each request has a `traceparent` of the span of its call, and the `tracestate` that came with
//! the trace, by W3C's Trace Context. `propagate: false` keeps them here.
//!
//! | metric | kind | by |
//! |---|---|---|
//! | `gen_ai.client.token.usage` | histogram of tokens | `gen_ai.token.type` |
//! | `gen_ai.client.operation.duration` | histogram of seconds | `infer.outcome`, `error.type` |
//! | `gen_ai.client.operation.time_to_first_chunk` | histogram of seconds, streamed calls only | |
//! | `infer.client.cost` | sum of dollars, exact to about 15 digits; the ledger has the exact one | |
//! | `infer.client.unpriced_calls` | calls without a cost | `infer.unpriced` |
//!
//! All are by `gen_ai.operation.name`, `gen_ai.provider.name`, `infer.provider` and `gen_ai.request.model`. At most 200
//! models have series of their own; the rest are counted as `other`. The conventions are in *development*: names may
//! still change (their repository, read 2026-11-21).
//!
//! **Prompts, answers and keys are in none of it.** There is no setting that would add them.
//!
//! **A collector that is slow or gone costs telemetry and never a call**: spans wait in a queue with a bound, what does
//! not fit is counted ([`Otel::lost_spans`]), and an outage is told once, as one warning.
//!
//! **Weight.** 27 crates on top of 180 (`cargo tree -e normal`, 2026-11-21), eight of them `tracing-subscriber`, which
//! most programs have. Requests go through the [`Transport`] of all other calls, so no second HTTP client and no gRPC
//! comes in.
//!
//! **Environment.** `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT` and `…_PROTOCOL`, `OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_TRACES_SAMPLER` change nothing: [`OtelConfig`] alone says where telemetry goes and
//! what is sent along. How it is written still follows OpenTelemetry's own variables, such as
//! `OTEL_EXPORTER_OTLP_COMPRESSION`, `…_METRICS_TEMPORALITY_PREFERENCE` and `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`.

mod attributes;
mod collector;
mod config;
mod metrics;
mod parent;
mod spans;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use infer_core::InferenceError;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use remote_core::address::origin;
use remote_core::config::TimeoutConfig;
use remote_core::meter::{MetricsSink, RunRecord, TraceContext};
use remote_core::{HttpTransport, Transport};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

pub use config::OtelConfig;
pub use parent::continue_trace;

use collector::Collector;
use metrics::OtelSink;
use spans::{Bounded, Queue};

/// Who speaks, in every export.
const SCOPE: &str = "infer";

/// What carries an export must not become one.
const SILENT: [&str; 7] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "opentelemetry_sdk", "reqwest", "rustls"];

/// Telemetry at work.
///
/// Dropping it ends it as well: what waits is sent in the background as long as the process and the runtime live on,
/// and nobody waits for it.
#[must_use = "telemetry ends when this is dropped"]
pub struct Otel {
    tracer: Option<SdkTracer>,
    sink: Arc<dyn MetricsSink>,
    providers: Providers,
    queue: Arc<Queue>,
    patience: Duration,
}

/// Telemetry did not end well. What was not delivered is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The last export took too long.
    #[error("telemetry was not delivered within {0:?}: raise shutdown_timeout if the collector is this slow")]
    Late(Duration),
    /// The collector did not take the last export.
    #[error("the last telemetry was not delivered ({lost} spans lost in all): check that the collector runs")]
    Undelivered {
        /// Spans lost since the beginning.
        lost: u64,
    },
}

/// Begins to export, over HTTP.
///
/// Nothing is sent yet, so a collector that does not run is no error; see the [module](self).
///
/// # Errors
/// [`InferenceError::Config`] with every fault of `config`; when TLS cannot be set up; outside of a Tokio runtime.
pub fn start(config: &OtelConfig) -> Result<Otel, InferenceError> {
    let (endpoint, _) = config.checked()?;
    let connect = config.timeout.min(Duration::from_secs(5));
    let timeouts = TimeoutConfig { connect, ..TimeoutConfig::default() };
    let host = endpoint.host().unwrap_or_default();
    let is_local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    start_over(config, Arc::new(HttpTransport::new(&timeouts, is_local)?))
}

/// Begins to export over `transport`, such as one that has the client certificate a collector asks for.
///
/// # Errors
/// As for [`start`].
pub fn start_over(config: &OtelConfig, transport: Arc<dyn Transport>) -> Result<Otel, InferenceError> {
    let (endpoint, headers) = config.checked()?;
    let runtime = Handle::try_current().map_err(|_| {
        InferenceError::config(
            "telemetry: must be started within a Tokio runtime, which carries its requests",
        )
    })?;
    let collector = Collector {
        transport,
        runtime,
        headers,
        timeout: config.timeout,
        origin: origin(&endpoint),
        is_down: AtomicBool::new(false),
    };
    let plan = Plan { config, base: endpoint.to_string(), collector: Arc::new(collector) };
    let queue = Arc::new(Queue::new(config.max_queued_spans));
    let traces = config.traces.then(|| plan.traces(&queue)).transpose().map_err(|error| refused(&error))?;
    let metrics = config.metrics.then(|| plan.metrics()).transpose().map_err(|error| refused(&error))?;
    Ok(Otel {
        tracer: traces.as_ref().map(|traces| traces.tracer(SCOPE)),
        sink: Arc::new(Told {
            metrics: metrics.as_ref().map(|metrics| OtelSink::new(&metrics.meter(SCOPE))),
            propagates: config.traces && config.propagate,
        }),
        providers: Providers { traces, metrics },
        queue,
        patience: config.shutdown_timeout,
    })
}

fn refused(error: &ExporterBuildError) -> InferenceError {
    InferenceError::config(format!("telemetry: {error}"))
}

/// What runners tell, and ask of traces.
#[derive(Debug)]
struct Told {
    metrics: Option<OtelSink>,
    propagates: bool,
}

impl MetricsSink for Told {
    fn record(&self, record: &RunRecord) {
        if let Some(metrics) = &self.metrics {
            metrics.record(record);
        }
    }

    fn trace_context(&self) -> Option<TraceContext> {
        if self.propagates { parent::current() } else { None }
    }
}

struct Plan<'a> {
    config: &'a OtelConfig,
    base: String,
    collector: Arc<Collector>,
}

impl Plan<'_> {
    fn address(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.base.trim_end_matches('/'))
    }

    /// Who sends; the environment is not asked.
    fn resource(&self) -> Resource {
        let given = self.config.resource.iter();
        Resource::builder_empty()
            .with_attributes(given.map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
            .with_service_name(self.config.service_name.clone())
            .build()
    }

    fn traces(&self, queue: &Arc<Queue>) -> Result<SdkTracerProvider, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(self.collector.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.address("traces"))
            .with_timeout(self.config.timeout)
            .build()?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.config.sample_ratio)));
        let processor = Bounded::new(exporter, self.config.span_interval, Arc::clone(queue));
        let provider = SdkTracerProvider::builder().with_span_processor(processor).with_sampler(sampler);
        Ok(provider.with_resource(self.resource()).build())
    }

    fn metrics(&self) -> Result<SdkMeterProvider, ExporterBuildError> {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(self.collector.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.address("metrics"))
            .with_timeout(self.config.timeout)
            .build()?;
        let reader = PeriodicReader::builder(exporter).with_interval(self.config.metric_interval).build();
        Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(self.resource()).build())
    }
}

impl Otel {
    /// Exports spans, for the program's subscriber; does nothing where `traces` is off.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let targets = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(SILENT.map(|target| (target, LevelFilter::OFF)));
        self.tracer.clone().map(|tracer| {
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(targets)
        })
    }

    /// Exports what becomes of calls as metrics, where `metrics` is on, and tells runners the trace of a request, where `traces`
    /// and `propagate` are.
    pub fn sink(&self) -> Arc<dyn MetricsSink> {
        Arc::clone(&self.sink)
    }

    /// How many spans were lost so far: because the queue was full, or because the collector did not take them.
    pub fn lost_spans(&self) -> u64 {
        self.queue.lost()
    }

    /// Sends what waits and ends; returns within `shutdown_timeout` whatever the collector does.
    ///
    /// Spans that end later and calls that are recorded later are forgotten. Dropping the future ends telemetry all the
    /// same.
    ///
    /// # Errors
    /// [`ShutdownError`] when something was not delivered.
    pub async fn shutdown(mut self) -> Result<(), ShutdownError> {
        let before = self.queue.lost();
        let ended = std::mem::take(&mut self.providers).end(self.patience);
        let delivered = tokio::time::timeout(self.patience, async {
            let mut all = true;
            for told in ended {
                all &= told.await.unwrap_or(false);
            }
            all
        });
        let delivered = delivered.await.map_err(|_| ShutdownError::Late(self.patience))?;
        let lost = self.queue.lost();
        // The processor of spans says that all is well whatever became of them.
        if delivered && lost == before { Ok(()) } else { Err(ShutdownError::Undelivered { lost }) }
    }
}

impl Drop for Otel {
    fn drop(&mut self) {
        // The last holder of a provider would wait for the collector, so that is not to be us, nor the layer.
        drop(std::mem::take(&mut self.providers).end(self.patience));
    }
}

impl fmt::Debug for Otel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otel").field("lost_spans", &self.lost_spans()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Providers {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Providers {
    /// Begins to end both, each on a thread of its own, since it blocks.
    fn end(self, patience: Duration) -> Vec<oneshot::Receiver<bool>> {
        let traces = self.traces.map(|traces| apart(move || traces.shutdown_with_timeout(patience).is_ok()));
        let metrics =
            self.metrics.map(|metrics| apart(move || metrics.shutdown_with_timeout(patience).is_ok()));
        traces.into_iter().chain(metrics).collect()
    }
}

/// Runs `work` on a thread that nobody waits for: one of the runtime's would hold up the runtime's end.
fn apart(work: impl FnOnce() -> bool + Send + 'static) -> oneshot::Receiver<bool> {
    let (tell, told) = oneshot::channel();
    // Without a thread to be had, the sender is dropped, which is an answer too.
    let _ = std::thread::Builder::new().name("otel-shutdown".to_owned()).spawn(move || {
        let _ = tell.send(work());
    });
    told
}
