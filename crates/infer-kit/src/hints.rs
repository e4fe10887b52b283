//! What other processes know of providers: told when a breaker opens here, and read beside the calls.
//!
//! Names are `provider` where a breaker is open and `provider/model` where one model is paused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use infer_core::ModelRunner;
use infer_store::shared::{Redis, RedisHints};
use remote_core::Operation;
use remote_core::meter::{Outcome, RunRecord, Scope};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often hints are read.
const EVERY: Duration = Duration::from_millis(500);

/// Names that were told here, of which the end is remembered.
const MOST: usize = 1_000;

/// Hints of all processes, as they were last read.
#[derive(Default)]
pub(crate) struct Hints {
    heard: ArcSwap<HashMap<String, Instant>>,
    told: Mutex<HashMap<String, Instant>>,
}

impl Hints {
    /// For how long a model is better left alone.
    pub(crate) fn left(&self, provider: &str, model: &str) -> Duration {
        let heard = self.heard.load();
        if heard.is_empty() {
            return Duration::ZERO;
        }
        let until = heard.get(provider).max(heard.get(&format!("{provider}/{model}")));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether nobody was told that `name` is better left alone for about `time`.
    fn is_news(&self, name: &str, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(name).is_some_and(|known| *known + EVERY > until) {
            return false;
        }
        if told.len() >= MOST {
            told.clear();
        }
        told.insert(name.to_owned(), until);
        true
    }

    async fn read(&self, redis: &RedisHints) {
        // While Redis is away those that were read end by themselves.
        let Ok(all) = redis.all().await else { return };
        if all.is_empty() && self.heard.load().is_empty() {
            return;
        }
        let now = Instant::now();
        self.heard.store(Arc::new(all.into_iter().map(|(name, left)| (name, now + left)).collect()));
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hints").field("heard", &self.heard.load().len()).finish_non_exhaustive()
    }
}

/// Reads hints until it is dropped, and tells them.
#[derive(Debug)]
pub(crate) struct Exchange {
    hints: Arc<Hints>,
    redis: Arc<RedisHints>,
    task: JoinHandle<()>,
}

impl Exchange {
    /// Needs a running Tokio runtime.
    pub(crate) fn begin(hints: &Arc<Hints>, redis: &Redis) -> Self {
        let (hints, redis) = (Arc::clone(hints), Arc::new(RedisHints::new(redis.clone())));
        let (reader, from) = (Arc::clone(&hints), Arc::clone(&redis));
        let task = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                reader.read(&from).await;
            }
        });
        Self { hints, redis, task }
    }

    /// Tells what an attempt that failed has led to.
    fn tell(&self, provider: &str, model: &str, runner: &dyn ModelRunner) {
        // What concerns a model without a name concerns all of them.
        let (name, time) = match runner.ready_in("") {
            time if !time.is_zero() => (provider.to_owned(), time),
            _ => (format!("{provider}/{model}"), runner.ready_in(model)),
        };
        if time.is_zero() || !self.hints.is_news(&name, time) {
            return;
        }
        let redis = Arc::clone(&self.redis);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // The reason is logged where it happens, and a hint that is lost costs others a failure of their own.
                let _ = redis.tell(&name, time).await;
            });
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The runner of a provider, which is known once it is built.
pub(crate) type Runner = OnceLock<Weak<dyn ModelRunner>>;

/// Tells of `record` if others should know what came of it.
pub(crate) fn note(exchange: &Exchange, provider: &str, runner: &Runner, record: &RunRecord) {
    let failed = matches!(record.outcome, Outcome::Failed(_) | Outcome::Retried(_));
    if failed
        && matches!(record.scope, Scope::Attempt { .. })
        && record.subject.operation == Operation::Generate
        && let Some(runner) = runner.get().and_then(Weak::upgrade)
    {
        exchange.tell(provider, &record.subject.model, &*runner);
    }
}
