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
use infer_store::budget::Balance;
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

    /// Everything as it is now, with what budgets hold, as OpenMetrics writes it, which Prometheus reads.
    ///
    /// # Errors
    /// None that a text in memory can have.
    pub(crate) fn scrape(&self, state: &State, balances: Vec<Balance>) -> Result<String, fmt::Error> {
        self.learn(state);
        // First, since it corrects what is told of breakers.
        let standing = standing::registry(state, &self.upstream, balances);
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

#[cfg(test)]
mod tests {
    use infer_core::{ErrorKind, Price, Rates, RequestId, Served, TokenChunk, Usage};
    use inference::remote::Operation;
    use inference::remote::meter::{CallTimer, Outcome, Subject};
    use tokio::time::Instant;

    use super::names::{MAX_KEYS, MAX_MODELS};
    use super::*;

    /// A call of `model`, answered under the name `served`, with its attempt.
    fn call(metrics: &Metrics, model: &str, served: Option<&str>, outcome: Outcome, price: Option<&Price>) {
        let now = Instant::now();
        let mut subject = Subject::new("openai", "a", Operation::Generate, model, RequestId::generate());
        subject.account.key = Some(model.into());
        let mut call = CallTimer::begin(subject, UNIX_EPOCH, now);
        let mut attempt = call.attempt(now);
        let mut chunk = TokenChunk::text(0, "hello");
        let mut who = Served::default();
        who.model = served.map(str::to_owned);
        chunk.served = Some(Box::new(who));
        chunk.usage = Some(Usage::new(10, 2));
        attempt.chunk(now, &chunk);
        metrics.record(call.settle(attempt, now, outcome, price));
        metrics.record(&call.finish(now, outcome));
    }

    fn series(metrics: &Metrics) -> Vec<String> {
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        let series =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        series.map(|(series, _)| series.to_owned()).collect()
    }

    #[test]
    fn ten_thousand_models_that_clients_made_up_add_no_series() {
        let metrics = Metrics::new();
        let ask = |model: &str| {
            // Answered by an upstream that repeats the name, as it is or within its own, by one that says none, not found.
            for (served, outcome) in [
                (Some(model.to_owned()), Outcome::Completed),
                (Some(format!("vendor/{model}")), Outcome::Completed),
                (None, Outcome::Completed),
                (None, Outcome::Failed(ErrorKind::ModelNotFound)),
                (Some("real".to_owned()), Outcome::Cancelled),
            ] {
                call(&metrics, model, served.as_deref(), outcome, None);
            }
            let mut seen = Seen::new("chat", RequestId::generate(), UNIX_EPOCH);
            seen.model = Some(model.to_owned());
            metrics.began("chat");
            metrics.ended(&seen);
        };
        ask("made-up");
        let before = series(&metrics);
        (0..10_000).for_each(|nth| ask(&format!("made-up-{nth}")));
        assert_eq!(series(&metrics), before);
        assert!(before.iter().all(|series| !series.contains("made-up")), "{before:?}");
        assert!(before.iter().any(|series| series.contains(r#"model="other""#)));
    }

    #[test]
    fn names_of_models_and_keys_are_kept_up_to_a_number_and_the_sums_stay_whole() {
        let metrics = Metrics::new();
        let price = Price::flat(Rates::new(1.0, 1.0));
        let count = 3 * MAX_MODELS;
        for nth in 0..count {
            let model = format!("real-{nth}");
            call(&metrics, &model, Some(&model), Outcome::Completed, Some(&price));
        }
        let with = |start: &str| series(&metrics).iter().filter(|series| series.starts_with(start)).count();
        assert_eq!(with("infer_cost_usd_total"), MAX_MODELS + 1);
        assert_eq!(with("infer_key_cost_usd_total"), MAX_KEYS + 1);
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("infer_priced_calls_total"));
        let sum: f64 = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
        assert_eq!(sum, count as f64);
    }

    #[test]
    fn what_failed_before_an_answer_is_no_call_whose_cost_is_lost() {
        let metrics = Metrics::new();
        assert_eq!(metrics.upstream.captured(), 1.0);
        let price = Price::flat(Rates::new(1.0, 1.0));
        call(&metrics, "m", Some("m"), Outcome::Completed, Some(&price));
        call(&metrics, "m", Some("m"), Outcome::Completed, None);
        assert_eq!(metrics.upstream.captured(), 0.5);
        let now = Instant::now();
        let subject = Subject::new("openai", "a", Operation::Generate, "m", RequestId::generate());
        let mut failed = CallTimer::begin(subject, UNIX_EPOCH, now);
        let attempt = failed.attempt(now);
        let outcome = Outcome::Failed(ErrorKind::Upstream);
        failed.settle(attempt, now, outcome, None);
        metrics.record(&failed.finish(now, outcome));
        assert_eq!(metrics.upstream.captured(), 0.5);
    }
}
