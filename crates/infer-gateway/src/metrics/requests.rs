//! What becomes of requests at the gateway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use inference::remote::meter::{BOUNDS, Histogram as Silences};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::names::{MAX_PROVIDERS, OTHER};
use super::register::{Counters, Labels, Register, Times, Value, labels, long, short, waits};
use crate::observe::{Ending, Observer, Seen};

/// More endpoints than there are.
const MAX_ENDPOINTS: usize = 32;

/// Counts requests.
#[derive(Debug)]
pub(super) struct Requests {
    endpoints: RwLock<Vec<Arc<OfEndpoint>>>,
    families: Families,
    /// Providers that failed over.
    providers: RwLock<Vec<Arc<str>>>,
    cache: [Counter; 3],
}

#[derive(Debug)]
struct Families {
    requests: Counters<4>,
    in_flight: Family<Labels<1>, Gauge>,
    duration: Times<1>,
    first_token: Times<1>,
    overhead: Times<1>,
    queue_wait: Times<1>,
    gaps: Family<Labels<1>, Gaps>,
    failovers: Counters<2>,
}

/// The series of one endpoint.
#[derive(Debug)]
struct OfEndpoint {
    name: &'static str,
    answered: Counter,
    in_flight: Gauge,
    duration: Histogram,
    first_token: Histogram,
    overhead: Histogram,
    queue_wait: Histogram,
    gaps: Gaps,
}

impl Requests {
    pub(super) fn new(register: &mut Register) -> Self {
        let families = Families {
            requests: register.counters("infer_requests_total", "Requests that are over"),
            in_flight: register.add(
                "infer_requests_in_flight",
                "Requests that are not over",
                Family::default(),
            ),
            duration: register.times(
                "infer_request_duration_seconds",
                "Requests from their arrival to their end",
                long,
            ),
            first_token: register.times(
                "infer_time_to_first_token_seconds",
                "Streamed requests from their arrival to the first content",
                long,
            ),
            overhead: register.times(
                "infer_overhead_seconds",
                "What requests took beside upstreams and the wait for their turn",
                short,
            ),
            queue_wait: register.times("infer_queue_wait_seconds", "Waits of requests for their turn", waits),
            gaps: register.add(
                "infer_chunk_gap_seconds",
                "Silences between the pieces of streamed answers",
                Family::default(),
            ),
            failovers: register.counters(
                "infer_failovers_total",
                "Targets that failed and were followed by another, by their error",
            ),
        };
        let cache: Counters<1> =
            register.counters("infer_cache_requests_total", "Requests by what the cache did");
        let cache = ["hit", "miss", "skipped"]
            .map(|outcome| cache.get_or_create_owned(&labels(["outcome"], [outcome.into()])));
        Self { endpoints: RwLock::default(), families, providers: RwLock::default(), cache }
    }

    fn endpoint(&self, name: &'static str) -> Arc<OfEndpoint> {
        let find = |all: &[Arc<OfEndpoint>], name| all.iter().find(|of| of.name == name).map(Arc::clone);
        if let Some(found) = find(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner), name) {
            return found;
        }
        let mut all = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        let name = if all.len() < MAX_ENDPOINTS { name } else { OTHER };
        if let Some(found) = find(&all, name) {
            return found;
        }
        let made = Arc::new(self.families.of_endpoint(name));
        all.push(Arc::clone(&made));
        made
    }

    /// The provider's name as a label.
    fn provider(&self, name: &Arc<str>) -> Value {
        let knows = |all: &[Arc<str>]| all.iter().any(|known| known == name);
        if !knows(&self.providers.read().unwrap_or_else(PoisonError::into_inner)) {
            let mut all = self.providers.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_PROVIDERS && !knows(&all) {
                return OTHER.into();
            }
            all.push(Arc::clone(name));
        }
        name.to_string().into()
    }
}

impl Observer for Requests {
    fn began(&self, endpoint: &'static str) {
        self.endpoint(endpoint).in_flight.inc();
    }

    fn ended(&self, seen: &Seen) {
        let of = self.endpoint(seen.endpoint);
        of.in_flight.dec();
        match (seen.ending, seen.status) {
            (Ending::Answered, 200..=299) => of.answered.inc(),
            (ending, status) => {
                let name = request(of.name, class(status), ending.name(), ending.error().unwrap_or(""));
                self.families.requests.get_or_create_owned(&name).inc()
            }
        };
        of.duration.observe(seen.total.as_secs_f64());
        if let Some(first) = seen.first_content.filter(|_| seen.streamed) {
            of.first_token.observe(first.as_secs_f64());
        }
        of.overhead.observe(seen.overhead.saturating_sub(seen.queued).as_secs_f64());
        of.queue_wait.observe(seen.queued.as_secs_f64());
        of.gaps.add(&seen.silences);
        for tried in &seen.tried {
            let values = [self.provider(&tried.provider), tried.kind.name().into()];
            self.families.failovers.get_or_create_owned(&labels(["provider", "reason"], values)).inc();
        }
        let [hit, miss, skipped] = &self.cache;
        match seen.cached {
            Some(true) => _ = hit.inc(),
            Some(false) => _ = miss.inc(),
            None if seen.cache_skipped => _ = skipped.inc(),
            None => {}
        }
    }
}

impl Families {
    fn of_endpoint(&self, name: &'static str) -> OfEndpoint {
        let of = labels(["endpoint"], [name.into()]);
        OfEndpoint {
            name,
            answered: self.requests.get_or_create_owned(&request(name, "2xx", Ending::Answered.name(), "")),
            in_flight: self.in_flight.get_or_create_owned(&of),
            duration: self.duration.get_or_create_owned(&of),
            first_token: self.first_token.get_or_create_owned(&of),
            overhead: self.overhead.get_or_create_owned(&of),
            queue_wait: self.queue_wait.get_or_create_owned(&of),
            gaps: self.gaps.get_or_create_owned(&of),
        }
    }
}

fn request(
    endpoint: &'static str,
    status: &'static str,
    ending: &'static str,
    error: &'static str,
) -> Labels<4> {
    labels(["endpoint", "status", "ending", "error"], [endpoint, status, ending, error].map(Value::from))
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => OTHER,
    }
}

/// Silences between pieces, added up for one request first: one answer has hundreds.
#[derive(Clone, Debug, Default)]
struct Gaps(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Gaps {
    fn add(&self, silences: &Silences) {
        if silences.count() == 0 {
            return;
        }
        for (bucket, count) in self.0.buckets.iter().zip(silences.counts()) {
            if *count > 0 {
                bucket.fetch_add(*count, Ordering::Relaxed);
            }
        }
        let nanos = u64::try_from(silences.sum().as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl EncodeMetric for Gaps {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Gaps {
    const TYPE: MetricType = MetricType::Histogram;
}
