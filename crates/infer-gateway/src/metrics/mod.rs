//! What the gateway tells Prometheus.
//!
//! A [`Metrics`] is told of requests as an [`Observer`] and of calls at upstreams as a [`MetricsSink`]; what is a state
//! and not an event is looked at when it is asked. The names are in `docs/metrics.md`.

mod names;
mod register;
mod requests;
mod standing;
mod upstream;

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use infer_store::Clock;
use inference::remote::breaker::BreakerChange;
use inference::remote::meter::{MetricsSink, RunRecord};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::observe::{Observer, Seen};
use crate::state::State;
use register::Register;
use requests::Requests;
use upstream::Upstream;

/// The metrics of one gateway, served at `GET /metrics`.
///
/// It is the sink of the [`Inference`](inference::Inference) and belongs to the gateway in front of it:
///
/// ```no_run
/// # async fn demo() -> Result<(), inference::core::InferenceError> {
/// use infer_gateway::{Gateway, GatewayConfig, Metrics};
///
/// let metrics = Metrics::new();
/// let inference =
///     inference::Inference::builder().with_file("llm.yaml").with_sink(metrics.clone()).build().await?;
/// let gateway = Gateway::builder(inference, GatewayConfig::default()).with_metrics(metrics).bind().await?;
/// # Ok(())
/// # }
/// ```
///
/// Without being the sink it knows of requests, and nothing of attempts, tokens and costs. The number of series is bounded:
/// a name that a client made up is never a label.
pub struct Metrics {
    registry: Registry,
    names: Vec<&'static str>,
    requests: Requests,
    upstream: Upstream,
}

impl Metrics {
    /// Metrics that begin at nothing, of a process that begins now.
    pub fn new() -> Arc<Self> {
        let mut register = Register::default();
        let requests = Requests::new(&mut register);
        let upstream = Upstream::new(&mut register);
        let began = Clock::system().now().duration_since(UNIX_EPOCH).unwrap_or_default();
        standing::process(&mut register, began.as_secs_f64());
        let (registry, mut names) = register.into_parts();
        names.extend(standing::NAMES);
        Arc::new(Self { registry, names, requests, upstream })
    }

    /// The name of every metric, as queries have it; a histogram's without `_bucket`, `_sum` and `_count`.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Learns which models the configuration names.
    pub(crate) fn learn(&self, state: &State) {
        let targets = state.inference.router().targets();
        self.upstream.configured.replace(targets.into_iter().map(|target| target.model));
    }

    /// Everything as it is now, as OpenMetrics writes it, which Prometheus reads.
    ///
    /// # Errors
    /// None that a text in memory can have.
    pub(crate) fn scrape(&self, state: &State) -> Result<String, fmt::Error> {
        self.learn(state);
        // First, since it corrects what is told of breakers.
        let standing = standing::registry(state, &self.upstream);
        let mut text = String::with_capacity(16 << 10);
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &standing)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

impl Observer for Metrics {
    fn began(&self, endpoint: &'static str) {
        self.requests.began(endpoint);
    }

    fn ended(&self, seen: &Seen) {
        self.requests.ended(seen);
    }
}

impl MetricsSink for Metrics {
    fn record(&self, record: &RunRecord) {
        self.upstream.record(record);
    }

    fn breaker_changed(&self, change: &BreakerChange<'_>) {
        self.upstream.breaker_changed(change);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("names", &self.names.len()).finish_non_exhaustive()
    }
}
