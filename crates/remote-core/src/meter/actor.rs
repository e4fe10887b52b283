//! Adds records up while they come in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use infer_core::ErrorKind;
use tokio::sync::watch;

use super::record::{Outcome, RunRecord};
use super::sink::MetricsSink;
use super::snapshot::{MetricsSnapshot, SeriesSnapshot, Stats};

/// How many models have a series of their own, unless [`MetricsActor::with_max_models`] says otherwise.
pub const MAX_MODELS: usize = 1_000;

/// The label of models and providers beyond the limit.
pub const OTHER: &str = "other";

/// A longer name is no model's; callers choose names, and each one that is kept costs memory for ever.
const MAX_LABEL_BYTES: usize = 256;

/// Live spend and counters by provider and model.
///
/// Share it as `Arc<MetricsActor>`: one end is the sink of any number of runners, the other is read at any time. There
/// is no task behind it; a record is added under a lock that is held for well under a microsecond.
///
/// The number of series is bounded. Models beyond the limit, names longer than 256 bytes and names that no upstream
/// knows are counted under [`OTHER`], so sums over all series stay complete.
#[derive(Debug)]
pub struct MetricsActor {
    state: Arc<Mutex<State>>,
    revision: watch::Sender<u64>,
}

impl Default for MetricsActor {
    fn default() -> Self {
        Self::with_max_models(MAX_MODELS)
    }
}

impl MetricsActor {
    /// Keeps at most `max_models` pairs of provider and model apart, and as many providers; the rest are [`OTHER`].
    ///
    /// So there are never more than `2 * max_models + 1` series, one [`OTHER`] for each provider included.
    pub fn with_max_models(max_models: usize) -> Self {
        let state = State { max_models, models: 0, revision: 0, series: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), revision: watch::Sender::new(0) }
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        lock(&self.state).changed_since(0)
    }

    /// What changes from now on: each item has the series that changed since the item before, with their totals.
    ///
    /// A reader that is slow loses the states in between and never the sum: it gets fewer items, and never holds up a
    /// call. The stream ends when the actor is dropped, after the last change. Call this first and
    /// [`MetricsActor::snapshot`] second to miss nothing.
    pub fn changes(&self) -> impl Stream<Item = MetricsSnapshot> + Send + Unpin + use<> {
        let receiver = self.revision.subscribe();
        let seen = *receiver.borrow();
        let start = (receiver, Arc::clone(&self.state), seen);
        Box::pin(futures_util::stream::unfold(start, |(mut receiver, state, mut seen)| async move {
            loop {
                receiver.changed().await.ok()?;
                let changed = lock(&state).changed_since(seen);
                seen = changed.revision;
                // A change that came in while the one before was being read is in that item already.
                if !changed.series.is_empty() {
                    return Some((changed, (receiver, state, seen)));
                }
            }
        }))
    }
}

impl MetricsSink for MetricsActor {
    fn record(&self, record: &RunRecord) {
        let revision = lock(&self.state).add(record);
        self.revision.send_if_modified(|told| {
            let newer = revision > *told;
            *told = revision.max(*told);
            newer && self.revision.receiver_count() > 0
        });
    }
}

#[derive(Debug)]
struct State {
    max_models: usize,
    /// Pairs that are not [`OTHER`].
    models: usize,
    revision: u64,
    series: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Series>>,
}

#[derive(Debug, Default)]
struct Series {
    revision: u64,
    stats: Stats,
}

impl State {
    fn add(&mut self, record: &RunRecord) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        let subject = &record.subject;
        let known = self.series.get_mut(&subject.provider).and_then(|models| models.get_mut(&*subject.model));
        let series = match known {
            Some(series) => series,
            None => self.new_series(record),
        };
        series.revision = revision;
        series.stats.add(record);
        revision
    }

    /// The series of a record whose model has none of its own yet, and may not get one.
    fn new_series(&mut self, record: &RunRecord) -> &mut Series {
        let provider = &record.subject.provider;
        let fits = self.series.contains_key(provider) || self.series.len() < self.max_models;
        let provider = if fits { Arc::clone(provider) } else { OTHER.into() };
        let models = self.series.entry(provider).or_default();
        let model = record.subject.model.as_str();
        if !models.contains_key(model) && (self.models >= self.max_models || !is_plausible(record)) {
            return models.entry(OTHER.into()).or_default();
        }
        self.models += usize::from(!models.contains_key(model) && model != OTHER);
        models.entry(model.into()).or_default()
    }

    fn changed_since(&self, seen: u64) -> MetricsSnapshot {
        let all = self.series.iter().flat_map(|(provider, models)| {
            models.iter().map(move |(model, series)| (provider, model, series))
        });
        let changed = all.filter(|(_, _, series)| series.revision > seen);
        let series = changed.map(|(provider, model, series)| SeriesSnapshot {
            provider: Arc::clone(provider),
            model: Arc::clone(model),
            stats: series.stats.clone(),
        });
        MetricsSnapshot { revision: self.revision, series: series.collect() }
    }
}

/// Whether the model may have a series of its own. A name that the upstream does not know was made up by a caller.
fn is_plausible(record: &RunRecord) -> bool {
    record.subject.model.len() <= MAX_LABEL_BYTES
        && record.outcome != Outcome::Failed(ErrorKind::ModelNotFound)
}

/// Counters stay right whoever panicked while holding them, so a poisoned lock is as good as any.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
