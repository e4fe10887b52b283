//! What becomes of calls and attempts at upstreams: told by the records of the pipeline.
//!
//! The series of a pair of provider and model are found once and kept together, so that a record costs one look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use infer_core::ErrorKind;
use inference::remote::breaker::{BreakerChange, BreakerState};
use inference::remote::meter::{Cost, MetricsSink, Outcome, RunRecord, Scope, Unpriced};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::names::{Configured, MAX_KEYS, MAX_MODELS, MAX_PROVIDERS, OTHER};
use super::register::{Counters, Levels, Register, Sum, Sums, Times, Value, labels, long, waits};

/// The kinds of tokens, and how they are counted.
const TOKENS: [&str; 5] = ["input", "cached_input", "cache_write", "output", "reasoning"];

/// Counts attempts and calls.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) configured: Configured,
    models: RwLock<HashMap<Arc<str>, OfModels>>,
    providers: RwLock<HashMap<Arc<str>, Arc<OfProvider>>>,
    keys: RwLock<HashMap<Arc<str>, Sum>>,
    families: Families,
    /// Calls whose cost is known.
    priced: AtomicU64,
    /// Calls that cost something nobody can say.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Families {
    attempts: Counters<3>,
    tokens: Counters<3>,
    cost: Sums<2>,
    key_cost: Sums<1>,
    priced: Counters<2>,
    unpriced: Counters<2>,
    estimated: Counters<1>,
    errors: Counters<2>,
    retries: Counters<2>,
    duration: Times<1>,
    first_content: Times<1>,
    limiter_wait: Times<1>,
    breaker: Levels<2>,
    transitions: Counters<3>,
}

/// The series of one model of one provider.
#[derive(Debug)]
struct OfModel {
    attempts: [Counter; 4],
    tokens: [Counter; TOKENS.len()],
    cost: Sum,
    priced: Counter,
}

/// The series of one provider's models.
type OfModels = HashMap<Box<str>, Arc<OfModel>>;

/// The series of one provider.
#[derive(Debug)]
struct OfProvider {
    name: Value,
    duration: Histogram,
    first_content: Histogram,
    limiter_wait: Histogram,
    estimated: Counter,
}

impl Upstream {
    pub(super) fn new(register: &mut Register) -> Self {
        let families = Families {
            attempts: register.counters("infer_attempts_total", "Requests sent to upstreams"),
            tokens: register.counters("infer_tokens_total", "Tokens of calls that are over"),
            cost: register.sums("infer_cost_usd_total", "What calls cost, in US dollars"),
            key_cost: register
                .sums("infer_key_cost_usd_total", "What calls cost, in US dollars, by the key that asked"),
            priced: register.counters("infer_priced_calls_total", "Calls whose cost is known"),
            unpriced: register.counters("infer_unpriced_calls_total", "Calls whose cost nobody can say"),
            estimated: register.counters(
                "infer_estimated_calls_total",
                "Calls whose tokens were counted here and not by the upstream",
            ),
            errors: register.counters("infer_upstream_errors_total", "Attempts that ended in an error"),
            retries: register
                .counters("infer_retries_total", "Attempts that another one followed, by their error"),
            duration: register.times(
                "infer_attempt_duration_seconds",
                "Attempts from their start to their end",
                long,
            ),
            first_content: register.times(
                "infer_attempt_first_content_seconds",
                "Attempts from their start to the first content",
                long,
            ),
            limiter_wait: register.times(
                "infer_limiter_wait_seconds",
                "Waits of attempts for the limits of their provider",
                waits,
            ),
            breaker: register.levels(
                "infer_breaker_state",
                "What a breaker does: 0 closed, 1 half open, 2 open, 3 forced open, -1 forced closed",
            ),
            transitions: register
                .counters("infer_breaker_transitions_total", "Changes of breakers, by the new state"),
        };
        Self {
            configured: Configured::default(),
            models: RwLock::default(),
            providers: RwLock::default(),
            keys: RwLock::default(),
            families,
            priced: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// The part of the calls that cost something whose cost is known; 1 before there is any.
    pub(super) fn captured(&self) -> f64 {
        let (priced, lost) = (self.priced.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed));
        if lost == 0 { 1.0 } else { priced as f64 / (priced + lost) as f64 }
    }

    /// A breaker that was open when last heard of, and whose time may be up by now.
    pub(super) fn is_told_open(&self, provider: &str, operation: &'static str) -> bool {
        let name = labels(["provider", "operation"], [provider.to_owned().into(), operation.into()]);
        self.families.breaker.get(&name).is_some_and(|level| level.get() == number(BreakerState::Open))
    }

    /// Says what a breaker does.
    pub(super) fn set_breaker(&self, provider: &str, operation: &'static str, state: BreakerState) {
        let name = labels(["provider", "operation"], [provider.to_owned().into(), operation.into()]);
        self.families.breaker.get_or_create_owned(&name).set(number(state));
    }

    /// The series of the model of `record`.
    fn model(&self, record: &RunRecord) -> Arc<OfModel> {
        let subject = &record.subject;
        let label = self.configured.model(record);
        let known = self.models.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(models) = known.get(&subject.provider) {
            let served = || record.served.model.as_deref().and_then(|model| models.get(model));
            let found = match label {
                Some(label) => models.get(label),
                // An attempt that failed, at a model that is known by now.
                None => models.get(&*subject.model).or_else(served).or_else(|| models.get(OTHER)),
            };
            if let Some(found) = found {
                return Arc::clone(found);
            }
        }
        drop(known);
        let provider = self.provider(&subject.provider).name.clone();
        let mut known = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = known.values().map(HashMap::len).sum::<usize>() < MAX_MODELS;
        let model = label.filter(|_| has_room).unwrap_or(OTHER);
        let models = known.entry(provider.as_ref().into()).or_default();
        if let Some(series) = models.get(model) {
            return Arc::clone(series);
        }
        let series = Arc::new(self.families.of_model(&provider, model));
        models.insert(model.into(), Arc::clone(&series));
        series
    }

    /// The series of `provider`.
    fn provider(&self, provider: &Arc<str>) -> Arc<OfProvider> {
        bounded(&self.providers, provider, MAX_PROVIDERS, |name| Arc::new(self.families.of_provider(name)))
    }

    fn count_attempt(&self, record: &RunRecord) {
        let (model, provider) = (self.model(record), self.provider(&record.subject.provider));
        let [completed, failed, cancelled, retried] = &model.attempts;
        match record.outcome {
            Outcome::Completed => completed,
            Outcome::Failed(_) => failed,
            Outcome::Retried(_) => retried,
            _ => cancelled,
        }
        .inc();
        provider.duration.observe(record.timing.total.as_secs_f64());
        provider.limiter_wait.observe(record.timing.queued.as_secs_f64());
        if let Some(first) = record.timing.first_content {
            provider.first_content.observe(first.as_secs_f64());
        }
        let by_kind = |family: &Counters<2>, label, kind: ErrorKind| {
            let name = labels(["provider", label], [provider.name.clone(), kind.name().into()]);
            family.get_or_create_owned(&name).inc();
        };
        if let Some(kind) = record.outcome.error() {
            by_kind(&self.families.errors, "kind", kind);
        }
        if let Outcome::Retried(kind) = record.outcome {
            by_kind(&self.families.retries, "reason", kind);
        }
    }

    fn count_call(&self, record: &RunRecord) {
        let provider = self.provider(&record.subject.provider);
        let used = record.usage.is_some() || record.cost.known().is_some();
        let model = used.then(|| self.model(record));
        if let (Some(usage), Some(model)) = (&record.usage, &model) {
            let counts = [
                usage.input_tokens,
                usage.cached_input_tokens,
                usage.cache_write_tokens,
                usage.output_tokens,
                usage.reasoning_tokens,
            ];
            for (counter, count) in model.tokens.iter().zip(counts) {
                counter.inc_by(count);
            }
        }
        if record.estimated {
            provider.estimated.inc();
        }
        match record.cost {
            Cost::Known(cost) => {
                let cost = cost.total().as_usd();
                if let Some(model) = &model {
                    model.cost.inc_by(cost);
                    model.priced.inc();
                }
                self.priced.fetch_add(1, Ordering::Relaxed);
                if let Some(key) = &record.subject.account.key {
                    self.key(key).inc_by(cost);
                }
            }
            Cost::Unpriced(reason) => {
                let name = labels(["provider", "reason"], [provider.name.clone(), reason.name().into()]);
                self.families.unpriced.get_or_create_owned(&name).inc();
                // What failed before an answer began is billed by nobody.
                self.lost.fetch_add(u64::from(reason != Unpriced::Failed), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn key(&self, key: &Arc<str>) -> Sum {
        let family = &self.families.key_cost;
        bounded(&self.keys, key, MAX_KEYS, |name| {
            family.get_or_create_owned(&labels(["key"], [name.to_owned().into()]))
        })
    }
}

impl MetricsSink for Upstream {
    fn record(&self, record: &RunRecord) {
        match record.scope {
            Scope::Attempt { .. } => self.count_attempt(record),
            Scope::Call if record.subject.operation.is_billed() => self.count_call(record),
            _ => {}
        }
    }

    fn breaker_changed(&self, change: &BreakerChange<'_>) {
        let provider = self.provider(&change.provider.into()).name.clone();
        let operation = change.operation.name();
        self.set_breaker(&provider, operation, change.to);
        let values = [provider, operation.into(), change.to.name().into()];
        self.families.transitions.get_or_create_owned(&labels(["provider", "operation", "to"], values)).inc();
    }
}

impl Families {
    fn of_model(&self, provider: &str, model: &str) -> OfModel {
        let [provider, model]: [Value; 2] = [provider.to_owned().into(), model.to_owned().into()];
        let pair = labels(["provider", "model"], [provider.clone(), model.clone()]);
        let three = |family: &Counters<3>, label, value: &'static str| {
            let values = [provider.clone(), model.clone(), value.into()];
            family.get_or_create_owned(&labels(["provider", "model", label], values))
        };
        OfModel {
            attempts: ["completed", "failed", "cancelled", "retried"]
                .map(|outcome| three(&self.attempts, "outcome", outcome)),
            tokens: TOKENS.map(|kind| three(&self.tokens, "kind", kind)),
            cost: self.cost.get_or_create_owned(&pair),
            priced: self.priced.get_or_create_owned(&pair),
        }
    }

    fn of_provider(&self, name: &str) -> OfProvider {
        let name: Value = name.to_owned().into();
        let of = labels(["provider"], [name.clone()]);
        OfProvider {
            name,
            duration: self.duration.get_or_create_owned(&of),
            first_content: self.first_content.get_or_create_owned(&of),
            limiter_wait: self.limiter_wait.get_or_create_owned(&of),
            estimated: self.estimated.get_or_create_owned(&of),
        }
    }
}

/// What there is for `name`, made if need be; beyond `most` names, what there is for [`OTHER`].
fn bounded<T: Clone>(
    all: &RwLock<HashMap<Arc<str>, T>>,
    name: &Arc<str>,
    most: usize,
    make: impl Fn(&str) -> T,
) -> T {
    if let Some(found) = all.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return found.clone();
    }
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    let name = if all.len() < most || all.contains_key(name) { Arc::clone(name) } else { OTHER.into() };
    all.entry(Arc::clone(&name)).or_insert_with(|| make(&name)).clone()
}

fn number(state: BreakerState) -> f64 {
    match state {
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
        BreakerState::ForcedOpen => 3.0,
        BreakerState::ForcedClosed => -1.0,
        _ => 0.0,
    }
}
