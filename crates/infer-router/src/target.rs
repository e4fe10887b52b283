//! One place to ask: a provider, a model there, and what is going on there now.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infer_core::ExecuteBatch;
use tokio::time::Instant;

use crate::ask::Ask;
use crate::config::TargetConfig;
use crate::needs::Needs;
use crate::policy::cheapest::UnitPrice;
use crate::policy::latency::{Measured, PeakEwma};
use crate::policy::sticky;
use crate::registry::{ModelFacts, Provider};

/// A target of a route.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) provider: Arc<Provider>,
    pub(crate) model: Model,
    pub(crate) weight: f64,
    pub(crate) price: Option<UnitPrice>,
    pub(crate) seed: u64,
    pub(crate) stats: Arc<TargetStats>,
    pub(crate) changes: Changes,
    facts: ModelFacts,
    max_context_tokens: Option<u64>,
}

/// What a target changes in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    max_output_tokens: Option<u32>,
    temperature: Option<f64>,
}

/// The model to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// This one.
    Fixed(String),
    /// What the `*` of the route's name stood for, between these.
    Around(String, String),
}

impl Model {
    /// From a target's `model`, or where that is missing from the name of its route.
    pub(crate) fn new(model: Option<&str>, route: &str) -> Self {
        let text = model.unwrap_or(if route.ends_with('*') { "*" } else { route });
        match text.split_once('*') {
            Some((before, after)) => Self::Around(before.to_owned(), after.to_owned()),
            None => Self::Fixed(text.to_owned()),
        }
    }

    /// The name to ask for where the `*` stands for `rest`.
    pub(crate) fn name(&self, rest: &str) -> Cow<'_, str> {
        match self {
            Self::Fixed(name) => name.into(),
            Self::Around(before, after) => format!("{before}{rest}{after}").into(),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name("*"))
    }
}

/// Why a target cannot take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The call is pinned to another provider.
    NotPinned,
    /// The model is known to lack these.
    Lacks(Needs),
    /// It calls the model by another name, which cannot be put into the call.
    Renames,
    /// The call is longer than this.
    TooLong(u64),
    /// The context is not known to be larger than the one that did not suffice.
    NotLarger,
    /// It was asked already.
    Tried,
    /// A gate said no.
    Denied,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned => f.write_str("is of another provider"),
            Self::Lacks(needs) => write!(f, "lacks {needs}"),
            Self::Renames => {
                f.write_str("has another name for the model, which cannot be put into this body")
            }
            Self::TooLong(window) => write!(f, "takes {window} tokens"),
            Self::NotLarger => f.write_str("is not known to take more"),
            Self::Tried => f.write_str("was asked"),
            Self::Denied => f.write_str("is not allowed"),
        }
    }
}

/// What a call has behind it.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Provider and model of those that were asked or denied.
    pub(crate) seen: Vec<(Arc<str>, String, Refusal)>,
    /// The context that did not suffice.
    pub(crate) too_small: Option<u64>,
}

impl Target {
    pub(crate) fn new(
        provider: Arc<Provider>,
        model: Model,
        config: &TargetConfig,
        stats: Arc<TargetStats>,
    ) -> Self {
        let (facts, price) = match &model {
            Model::Fixed(name) => (provider.facts(name), UnitPrice::of(provider.runner(), name)),
            // Looked up with every call instead; see `facts`.
            Model::Around(..) => (ModelFacts::UNKNOWN, None),
        };
        let window = config.max_context_tokens.or(facts.context_window);
        Self {
            weight: config.weight,
            price,
            seed: sticky::seed(provider.name(), &model.name("*")),
            stats,
            changes: Changes { max_output_tokens: config.max_output_tokens, temperature: config.temperature },
            facts: ModelFacts { context_window: window, ..facts },
            max_context_tokens: config.max_context_tokens,
            provider,
            model,
        }
    }

    /// What is known of the model.
    pub(crate) fn facts(&self, rest: &str) -> ModelFacts {
        match &self.model {
            Model::Fixed(_) => self.facts,
            Model::Around(..) => {
                let facts = self.provider.facts(&self.model.name(rest));
                ModelFacts { context_window: self.max_context_tokens.or(facts.context_window), ..facts }
            }
        }
    }

    /// Why it cannot take the call; `None` if it can.
    pub(crate) fn refusal(&self, ask: &Ask, passed: &Passed) -> Option<Refusal> {
        if ask.pin.as_deref().is_some_and(|pin| pin != &**self.provider.name()) {
            return Some(Refusal::NotPinned);
        }
        if ask.fixed_model.as_deref().is_some_and(|name| name != self.model.name(&ask.rest)) {
            return Some(Refusal::Renames);
        }
        let facts = self.facts(&ask.rest);
        let lacks = facts.lacks.both(ask.needs);
        if !lacks.is_empty() {
            return Some(Refusal::Lacks(lacks));
        }
        if let Some(window) = facts.context_window
            && ask.least_tokens(self.changes.max_output_tokens) > window
        {
            return Some(Refusal::TooLong(window));
        }
        if passed.seen.is_empty() {
            return None;
        }
        let model = self.model.name(&ask.rest);
        let is_this =
            |provider: &Arc<str>, name: &String| *name == *model && provider == self.provider.name();
        if let Some((.., refusal)) = passed.seen.iter().find(|(provider, name, _)| is_this(provider, name)) {
            return Some(*refusal);
        }
        let suffices = |least: u64| facts.context_window.is_some_and(|window| window > least);
        passed.too_small.is_some_and(|least| !suffices(least)).then_some(Refusal::NotLarger)
    }

    /// How long until it lets a call through.
    pub(crate) fn ready_in(&self, rest: &str) -> Duration {
        self.provider.runner().ready_in(&self.model.name(rest))
    }

    /// How long it is better left alone, as others know.
    pub(crate) fn hint(&self, rest: &str) -> Duration {
        self.provider.hint(&self.model.name(rest))
    }
}

impl Changes {
    /// Makes `batch` what this target can take.
    pub(crate) fn apply(self, batch: &mut ExecuteBatch) {
        if let Some(most) = self.max_output_tokens {
            batch.max_output_tokens = Some(batch.max_output_tokens.map_or(most, |wanted| wanted.min(most)));
        }
        if self.temperature.is_some() {
            batch.sampling.temperature = self.temperature;
        }
    }
}

/// What is going on at one model of one provider, whatever routes lead there. Outlives a change of routes.
#[derive(Debug, Default)]
pub(crate) struct TargetStats {
    in_flight: AtomicU32,
    calls: AtomicU64,
    failures: AtomicU64,
    /// To the first content of a streamed answer, and to the end of a whole one.
    latency: [Mutex<PeakEwma>; 2],
    /// To the first content of streamed answers, as it was measured.
    first_content: Mutex<Measured>,
}

impl TargetStats {
    /// Calls that run, until their answer is read or dropped.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls begun, and those of them that failed before content.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// How slow it is of late.
    pub(crate) fn latency(&self, streaming: bool) -> PeakEwma {
        *self.average(streaming)
    }

    fn average(&self, streaming: bool) -> MutexGuard<'_, PeakEwma> {
        let [streamed, whole] = &self.latency;
        (if streaming { streamed } else { whole }).lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answered(&self, streaming: bool, now: Instant, took: Duration) {
        self.average(streaming).observe(now, took);
        if streaming {
            self.measured().observe(now, took);
        }
    }

    /// The time to the first content of streamed answers, whatever failed.
    pub(crate) fn first_content(&self) -> Option<Duration> {
        self.measured().time()
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.first_content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, streaming: bool, now: Instant, took: Duration) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.average(streaming).fail(now, took);
    }
}

/// Counts one call in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flight(pub(crate) Arc<TargetStats>);

impl Flight {
    pub(crate) fn begin(stats: &Arc<TargetStats>) -> Self {
        stats.in_flight.fetch_add(1, Ordering::Relaxed);
        stats.calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(stats))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
