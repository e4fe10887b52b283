//! The JSON that the dashboard reads, from `/admin/live` and `/admin/overview`. Moments are milliseconds since 1970 unless
//! a name says seconds; what is not known is `null`. docs/dashboard.md explains it to people.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::{BreakerPhase, BreakerReport};
use inference::router::TargetState;
use serde::{Deserialize, Serialize, Serializer};

use super::pace::BudgetView;
use crate::observe::Seen;

/// The longest name shown, in bytes: a client may name a model anything.
const MAX_NAME: usize = 256;
/// How many failed targets of a call are shown.
const MAX_TRIED: usize = 16;

/// What a page has already: the query of `/admin/live` and `/admin/overview`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Since {
    /// The last second it has, in seconds since 1970; it is sent again, as it may not have been over.
    pub(crate) second: Option<u64>,
    /// The number of the last call it has.
    pub(crate) call: Option<u64>,
}

/// What goes on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LiveSnapshot {
    /// When counting began. Another value than before means another process: what a page has is void then.
    pub(crate) started: u64,
    pub(crate) now: u64,
    /// Requests that are not over.
    pub(crate) in_flight: u64,
    pub(crate) series: Series,
    /// How requests of the last 15 minutes ended.
    pub(crate) endings: Endings,
    /// The errors of the last 15 minutes by name, the most frequent first.
    pub(crate) errors: Vec<ErrorCount>,
    pub(crate) first_token: FirstToken,
    pub(crate) spend: SpendView,
    /// The last 100 calls or those of them that the page lacks, the newest first.
    #[serde(serialize_with = "all")]
    pub(crate) calls: Vec<Arc<CallView>>,
}

/// One value for each second up to now, at most 15 minutes of them. Requests count in the second in which they end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Series {
    /// The second of the first values, in seconds since 1970.
    pub(crate) from: u64,
    pub(crate) requests: Vec<u32>,
    /// Part of the requests.
    pub(crate) errors: Vec<u32>,
    pub(crate) input_tokens: Vec<u64>,
    pub(crate) output_tokens: Vec<u64>,
    pub(crate) cost_usd: Vec<f64>,
}

/// How requests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Endings {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) broken: u64,
    pub(crate) left: u64,
}

/// How often an error came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorCount {
    pub(crate) name: &'static str,
    pub(crate) count: u64,
}

/// Times from the arrival of a request to the first content of its streamed answer, without answers from the cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FirstToken {
    /// The time that `count` and the two quantiles are of.
    pub(crate) over_seconds: u64,
    pub(crate) count: u32,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) series: TimesSeries,
}

/// Quantiles of each `step` seconds of the last 15 minutes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TimesSeries {
    /// In seconds since 1970.
    pub(crate) from: u64,
    pub(crate) step: u64,
    pub(crate) p50_ms: Vec<Option<f64>>,
    pub(crate) p95_ms: Vec<Option<f64>>,
}

/// What was spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SpendView {
    pub(crate) today: SpanView,
    pub(crate) month: SpanView,
}

/// What was spent in a day or a month of UTC, the dearest first and `(other)` last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SpanView {
    pub(crate) began: u64,
    pub(crate) total: SpendRow,
    pub(crate) by_model: Vec<SpendRow>,
    pub(crate) by_key: Vec<SpendRow>,
}

/// What was spent under one name; none for calls that had none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SpendRow {
    pub(crate) name: Option<String>,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    /// Calls whose price is not known; they are not in `cost_usd`.
    pub(crate) unpriced: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cost_usd: f64,
}

/// One call, without what was said in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CallView {
    /// From 1, in the order in which calls ended.
    pub(crate) number: u64,
    pub(crate) id: String,
    /// When it came.
    pub(crate) at: u64,
    pub(crate) endpoint: &'static str,
    #[serde(serialize_with = "name")]
    pub(crate) key: Option<Arc<str>>,
    /// As the client named it.
    pub(crate) model: Option<String>,
    #[serde(serialize_with = "name")]
    pub(crate) provider: Option<Arc<str>>,
    #[serde(serialize_with = "name")]
    pub(crate) served_model: Option<Arc<str>>,
    pub(crate) status: u16,
    /// `answered`, `failed`, `broken` or `left`.
    pub(crate) ending: &'static str,
    pub(crate) error: Option<&'static str>,
    pub(crate) streamed: bool,
    pub(crate) cached: Option<bool>,
    pub(crate) tried: Vec<TriedView>,
    pub(crate) attempts: u32,
    pub(crate) first_content_ms: Option<f64>,
    pub(crate) total_ms: f64,
    pub(crate) overhead_ms: f64,
    pub(crate) queued_ms: f64,
    pub(crate) chunks: u64,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) cached_input_tokens: Option<u64>,
    pub(crate) reasoning_tokens: Option<u64>,
    pub(crate) cost_usd: Option<f64>,
}

/// A target that failed before another answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TriedView {
    #[serde(serialize_with = "text")]
    pub(crate) provider: Arc<str>,
    pub(crate) model: String,
    pub(crate) error: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) took_ms: f64,
}

impl From<&Seen> for CallView {
    fn from(seen: &Seen) -> Self {
        let tried = seen.tried.iter().take(MAX_TRIED).map(|tried| TriedView {
            provider: Arc::clone(&tried.provider),
            model: kept(&tried.model).to_owned(),
            error: tried.kind.name(),
            status: tried.status,
            took_ms: fraction(tried.elapsed),
        });
        Self {
            number: 0,
            id: seen.request_id.as_str().to_owned(),
            at: millis(seen.began),
            endpoint: seen.endpoint,
            key: seen.key.clone(),
            model: seen.model.as_deref().map(|model| kept(model).to_owned()),
            provider: seen.provider.clone(),
            served_model: seen.served_model.as_deref().map(|model| kept(model).into()),
            status: seen.status,
            ending: seen.ending.name(),
            error: seen.ending.error(),
            streamed: seen.streamed,
            cached: seen.cached,
            tried: tried.collect(),
            attempts: seen.attempts,
            first_content_ms: seen.first_content.map(fraction),
            total_ms: fraction(seen.total),
            overhead_ms: fraction(seen.overhead),
            queued_ms: fraction(seen.queued),
            chunks: seen.chunks,
            input_tokens: seen.usage.map(|usage| usage.input_tokens),
            output_tokens: seen.usage.map(|usage| usage.billed_output_tokens()),
            cached_input_tokens: seen.usage.map(|usage| usage.cached_input_tokens),
            reasoning_tokens: seen.usage.map(|usage| usage.reasoning_tokens),
            cost_usd: seen.cost.map(|cost| cost.total().as_usd()),
        }
    }
}

/// Everything: what goes on, and what is configured with its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Overview {
    pub(crate) version: &'static str,
    /// When the gateway began to serve.
    pub(crate) started: u64,
    pub(crate) uptime_seconds: u64,
    /// Whether answers come from the built-in simulator.
    pub(crate) simulator: bool,
    pub(crate) live: LiveSnapshot,
    pub(crate) providers: Vec<ProviderView>,
    pub(crate) budgets: Vec<BudgetView>,
    /// Whether what other replicas spent is missing there, since Redis does not answer.
    pub(crate) budgets_partial: bool,
    /// The names that clients can ask for.
    pub(crate) routes: Vec<String>,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ProviderView {
    pub(crate) name: String,
    /// Its `type` in the configuration.
    pub(crate) kind: String,
    pub(crate) models: Vec<TargetView>,
    pub(crate) in_flight: u32,
    /// Calls begun since the gateway began, and those of them that failed before content.
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    /// To the first content, over its models by how often they were asked.
    pub(crate) latency_ms: Option<f64>,
    /// What its breaker does; none where it has none.
    pub(crate) breaker: Option<BreakerView>,
    /// Until the breaker lets a call try.
    pub(crate) next_try_ms: Option<u64>,
    /// Whether an operator holds the breaker as it is.
    pub(crate) forced: bool,
}

/// What is going on at one model of a provider.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TargetView {
    pub(crate) model: String,
    pub(crate) in_flight: u32,
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) latency_ms: Option<f64>,
}

impl From<&TargetState> for TargetView {
    fn from(state: &TargetState) -> Self {
        Self {
            model: state.model.clone(),
            in_flight: state.in_flight,
            calls: state.calls,
            failures: state.failures,
            latency_ms: state.latency.map(fraction),
        }
    }
}

/// What a breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerView {
    /// It lets calls through.
    Closed,
    /// It lets none through.
    Open,
    /// It lets a few try.
    HalfOpen,
}

impl From<BreakerPhase> for BreakerView {
    fn from(state: BreakerPhase) -> Self {
        match state {
            BreakerPhase::Open => Self::Open,
            BreakerPhase::HalfOpen => Self::HalfOpen,
            _ => Self::Closed,
        }
    }
}

impl ProviderView {
    /// The provider called `name`, with what `targets` say of it; those of other providers are passed over.
    pub(crate) fn new(name: &str, kind: &str, targets: &[TargetState]) -> Self {
        let own = targets.iter().filter(|target| &*target.provider == name);
        Self::of(name, kind, own.map(TargetView::from).collect())
    }

    /// The provider with these models.
    pub(super) fn of(name: &str, kind: &str, models: Vec<TargetView>) -> Self {
        let timed = || models.iter().filter_map(|model| Some((model.latency_ms?, model.calls as f64)));
        let calls: f64 = timed().map(|(_, calls)| calls).sum();
        let latency = timed().map(|(latency, calls)| latency * calls).sum::<f64>() / calls;
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            in_flight: models.iter().fold(0, |sum, model| sum.saturating_add(model.in_flight)),
            calls: models.iter().fold(0, |sum, model| sum.saturating_add(model.calls)),
            failures: models.iter().fold(0, |sum, model| sum.saturating_add(model.failures)),
            latency_ms: (calls > 0.0).then_some(latency),
            models,
            breaker: None,
            next_try_ms: None,
            forced: false,
        }
    }

    /// With what its breaker does, and the wait until its next try.
    #[must_use]
    pub(crate) fn with_breaker(mut self, report: &BreakerReport) -> Self {
        self.breaker = Some(report.state.into());
        self.next_try_ms = report.next_try.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.forced = report.forced;
        self
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds, to the microsecond.
pub(crate) fn fraction(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

fn kept(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name)
}

fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn name<S: Serializer>(name: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(to)
}

fn all<S: Serializer>(calls: &[Arc<CallView>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(calls.iter().map(|call| &**call))
}
