//! What several processes share through Redis: budgets, limits, answers and hints.
//!
//! Where the configuration has no `redis`, and where it is away and calls are to go on, this process decides alone.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use infer_core::{InferenceError, ModelRunner, Origin, RequestId};
use infer_router::Provider;
use infer_router::gate::{Plea, Request};
use infer_store::budget::{Balance, BudgetGate as _, Payer, Reserve, Spend};
use infer_store::shared::{Cost, LimitConfig, Redis, RedisBudgets, RedisConfig, RedisLimit, Take, Taken};
use infer_store::{BudgetConfig, Budgets, CacheConfig, Clock, ResponseCache, StoreError};
use remote_core::Operation;
use remote_core::config::RateLimitConfig;
use remote_core::meter::{Fanout, MetricsSink, Outcome, RunRecord, Scope};

use crate::config::Config;
use crate::hints::{Exchange, Hints, Runner, note};

/// Models of a provider whose limits are remembered.
const MOST_MODELS: usize = 1_024;

/// The longest name of a model that has limits of its own, in bytes, as within a process.
const LONGEST_NAME: usize = 256;

/// How long the end of a program waits for Redis.
const PARTING: Duration = Duration::from_secs(5);

/// How long whoever only wants to see balances waits for Redis.
const GLANCE: Duration = Duration::from_millis(500);

/// What this process shares with others.
#[derive(Default)]
pub(crate) struct Shared {
    state: ArcSwapOption<State>,
    hints: Arc<Hints>,
    tries: Arc<Tries>,
}

/// What is in force.
struct State {
    redis: Redis,
    budgets: RedisBudgets,
    limits: BTreeMap<String, Arc<Limits>>,
    exchange: Arc<Exchange>,
}

/// A configuration about to be put in force.
pub(crate) struct Prepared {
    state: State,
    budgets: BudgetConfig,
}

/// Whether two configurations share the same things in the same way.
pub(crate) fn is_shared_alike(before: &Config, after: &Config) -> bool {
    before.redis == after.redis
}

impl Shared {
    /// What `config` wants shared. A Redis whose settings did not change is kept.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        rules: &BudgetConfig,
        local: &Budgets,
    ) -> Result<Option<Prepared>, InferenceError> {
        let Some(settings) = &config.redis else { return Ok(None) };
        let before = self.state.load_full().filter(|before| before.redis.config() == settings);
        let (redis, budgets, exchange) = match &before {
            Some(before) => (before.redis.clone(), before.budgets.clone(), Arc::clone(&before.exchange)),
            None => {
                let redis = Redis::new(RedisConfig::clone(settings))?;
                let budgets = RedisBudgets::new(redis.clone(), rules, local.clone())?;
                let exchange = Arc::new(Exchange::begin(&self.hints, &redis));
                (redis, budgets, exchange)
            }
        };
        let mut limits = BTreeMap::new();
        for (name, entry) in &config.providers {
            let Some(rates) = entry.settings.rate_limits() else { continue };
            let kept = before.as_ref().and_then(|before| before.limits.get(name));
            let found = match kept.filter(|kept| kept.rates == rates) {
                Some(kept) => Some(Arc::clone(kept)),
                None => Limits::new(&redis, name, rates)?.map(Arc::new),
            };
            limits.extend(found.map(|found| (name.clone(), found)));
        }
        let state = State { redis, budgets, limits, exchange };
        Ok(Some(Prepared { state, budgets: rules.clone() }))
    }

    /// Puts it in force. Calls under way settle where they began.
    pub(crate) fn put(&self, prepared: Option<Prepared>) {
        let state = prepared.map(|Prepared { state, budgets }| {
            if let Err(error) = state.budgets.replace(&budgets) {
                tracing::error!(%error, "redis: the budgets before stay in force");
            }
            Arc::new(state)
        });
        self.state.store(state);
    }

    /// Puts other budgets in force, wherever they are shared.
    pub(crate) fn replace_budgets(&self, rules: &BudgetConfig) -> Result<(), StoreError> {
        self.state.load().as_ref().map_or(Ok(()), |state| state.budgets.replace(rules))
    }

    /// The way to what is shared.
    pub(crate) fn redis(&self) -> Option<Redis> {
        self.state.load().as_ref().map(|state| state.redis.clone())
    }

    /// The cache that processes share.
    pub(crate) fn cache(
        &self,
        settings: &CacheConfig,
        prepared: Option<&Prepared>,
    ) -> Result<Option<ResponseCache>, InferenceError> {
        let redis = match prepared {
            Some(prepared) => prepared.state.redis.clone(),
            None => match &*self.state.load() {
                Some(state) => state.redis.clone(),
                None => return Ok(None),
            },
        };
        if settings.disk_bytes > 0 {
            let what = "cache.disk_bytes: answers are kept in redis: leave one of the two out";
            return Err(InferenceError::config(what));
        }
        let secret = redis.config().cache_secret();
        Ok(Some(ResponseCache::with_redis(redis, settings.clone(), secret, Clock::system())?))
    }

    /// Whether no other process has a say.
    pub(crate) fn is_alone(&self) -> bool {
        self.state.load().is_none()
    }

    /// Reserves in the budgets of all processes, or in this one's.
    pub(crate) async fn reserve(
        &self,
        budgets: &Budgets,
        payer: Payer,
        estimate: Spend,
    ) -> Result<Reserve, Box<InferenceError>> {
        match self.state.load_full() {
            None => Ok(budgets.try_reserve(payer, estimate)),
            Some(state) => {
                let reserved = state.budgets.reserve(payer, estimate).await;
                reserved.map_err(|error| Box::new(away(&state.redis, &error)))
            }
        }
    }

    /// Counts what a call used that had reserved nothing.
    pub(crate) fn charge(&self, budgets: &Budgets, payer: &Payer, used: Spend) {
        match &*self.state.load() {
            None => budgets.charge(payer, used),
            Some(state) => state.budgets.charge(payer, used),
        }
    }

    /// What accounts hold over all processes, those of `payer` or all; none where they are not shared.
    ///
    /// # Errors
    /// When Redis does not say it in time.
    pub(crate) async fn balances(&self, payer: Option<&Payer>) -> Option<Result<Vec<Balance>, StoreError>> {
        let state = self.state.load_full()?;
        let asked = async {
            match payer {
                Some(payer) => state.budgets.balances_of(payer).await,
                None => state.budgets.balances().await,
            }
        };
        let late = || Err(StoreError::Redis { detail: format!("balances not told within {GLANCE:?}") });
        Some(tokio::time::timeout(GLANCE, asked).await.unwrap_or_else(|_| late()))
    }

    /// Takes a call's share of the provider's limits over all processes, and waits until it may start.
    pub(crate) async fn take(
        &self,
        plea: &Plea<'_>,
        id: &RequestId,
        tokens: u64,
    ) -> Result<Option<Turn>, Box<InferenceError>> {
        let Some(state) = self.state.load_full() else { return Ok(None) };
        let Some(limits) = state.limits.get(plea.provider) else { return Ok(None) };
        let operation = match plea.request {
            Request::Vectors(_) => Operation::Embed,
            _ => Operation::Generate,
        };
        let limit = limits.limit(operation, plea.model);
        let longest = plea.patience.map_or(limits.longest_wait(), |time| time.min(limits.longest_wait()));
        match limit.take(Cost::new(1, tokens), longest).await {
            Ok(Take::Taken(taken)) => {
                let name =
                    (id.as_str().to_owned(), plea.provider.to_owned(), operation, plea.model.to_owned());
                let number = self.tries.enter(&name, tokens);
                // From here on whatever is not sent is given back.
                let turn = Turn { tries: Arc::clone(&self.tries), name, number, limit, taken };
                if !taken.wait.is_zero() {
                    tokio::time::sleep(taken.wait).await;
                }
                Ok(Some(turn))
            }
            Ok(Take::Refused(retry_after)) => {
                let mut at = Origin::default();
                at.provider = Some(plea.provider.into());
                at.model = Some(plea.model.to_owned());
                at.message = Some(Origin::excerpt("its rate_limits are used up over all processes"));
                Err(Box::new(InferenceError::QueueFull { at: Box::new(at), retry_after }))
            }
            Err(error) => Err(Box::new(away(&state.redis, &error))),
        }
    }

    /// The provider with what other processes know of it.
    pub(crate) fn hinted(&self, provider: Provider) -> Provider {
        let (hints, name) = (Arc::clone(&self.hints), Arc::clone(provider.name()));
        provider.with_hint(Arc::new(move |model| hints.left(&name, model)))
    }

    /// Who tells others of a provider, beside `also`.
    pub(crate) fn witness(
        self: &Arc<Self>,
        provider: &Arc<str>,
        also: Option<Arc<dyn MetricsSink>>,
    ) -> (Witness, Option<Arc<dyn MetricsSink>>) {
        let herald = Arc::new(Herald {
            shared: Arc::clone(self),
            provider: Arc::clone(provider),
            runner: Runner::new(),
        });
        let sink: Arc<dyn MetricsSink> = Arc::clone(&herald) as _;
        let sinks = [sink].into_iter().chain(also).collect();
        (Witness(herald), Some(Arc::new(Fanout(sinks))))
    }

    /// Waits for a while until Redis knows what calls used.
    pub(crate) async fn flush(&self) {
        let Some(state) = self.state.load_full() else { return };
        if tokio::time::timeout(PARTING, state.budgets.flush()).await.is_err() {
            tracing::warn!("redis: away, what calls used last is counted in this process only");
        }
    }
}

/// Calls are refused while Redis is away.
fn away(redis: &Redis, error: &StoreError) -> InferenceError {
    let mut at = Origin::default();
    at.message = Some(Origin::excerpt(&error.to_string()));
    let retry_after = Some(redis.config().retry_after);
    InferenceError::Overloaded { at: Box::new(at), retry_after }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load();
        let redis = state.as_ref().map(|state| &state.redis);
        f.debug_struct("Shared").field("redis", &redis).field("hints", &self.hints).finish_non_exhaustive()
    }
}

/// The limits of one provider, for each model.
struct Limits {
    redis: Redis,
    provider: String,
    rates: RateLimitConfig,
    config: LimitConfig,
    models: Mutex<HashMap<String, Arc<RedisLimit>>>,
}

impl Limits {
    /// None where the provider has none.
    fn new(redis: &Redis, provider: &str, rates: RateLimitConfig) -> Result<Option<Self>, StoreError> {
        let per_second = |(rate, _): (u32, u32)| f64::from(rate) / 60.0;
        let requests = rates.requests().map(|flow| LimitConfig::requests(per_second(flow), flow.1.into()));
        let tokens = rates.tokens().map(|flow| LimitConfig::tokens(per_second(flow), flow.1.into()));
        let config = match (requests.transpose()?, tokens.transpose()?) {
            (Some(requests), Some(tokens)) => requests.and(tokens),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(None),
        };
        let (redis, provider) = (redis.clone(), provider.to_owned());
        Ok(Some(Self { redis, provider, rates, config, models: Mutex::default() }))
    }

    fn longest_wait(&self) -> Duration {
        if self.rates.max_queue == 0 { Duration::ZERO } else { self.rates.max_wait }
    }

    /// What an upstream counts apart: every model, and embeddings by themselves.
    fn limit(&self, operation: Operation, model: &str) -> Arc<RedisLimit> {
        let model = if model.len() > LONGEST_NAME { "(other)" } else { model };
        let name = match operation {
            Operation::Embed => format!("{}:embeddings {model}", self.provider),
            _ => format!("{}:{model}", self.provider),
        };
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = models.get(&name) {
            return Arc::clone(known);
        }
        // What is forgotten counts only while Redis is away.
        if models.len() >= MOST_MODELS {
            models.clear();
        }
        let limit = Arc::new(RedisLimit::new(self.redis.clone(), &name, self.config));
        models.insert(name, Arc::clone(&limit));
        limit
    }
}

/// A try by call, provider, operation and model. Several are equal where calls share a name.
type Try = (String, String, Operation, String);

/// What tries under way have sent and used so far.
#[derive(Default)]
struct Tries(Mutex<(u64, HashMap<Try, Vec<Entry>>)>);

struct Entry {
    number: u64,
    expected: u64,
    sent: Cost,
}

impl Tries {
    fn enter(&self, name: &Try, expected: u64) -> u64 {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.0 += 1;
        let number = tries.0;
        let entry = Entry { number, expected, sent: Cost::default() };
        tries.1.entry(name.clone()).or_default().push(entry);
        number
    }

    fn leave(&self, name: &Try, number: u64) -> Cost {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = tries.1.get_mut(name) else { return Cost::default() };
        let place = entries.iter().position(|entry| entry.number == number);
        let sent = place.map(|place| entries.swap_remove(place).sent).unwrap_or_default();
        if entries.is_empty() {
            tries.1.remove(name);
        }
        sent
    }

    /// Adds what an attempt used; says whether there is such a try.
    fn add(&self, record: &RunRecord, provider: &str) -> bool {
        let id = record.subject.request_id.as_str();
        // Parts of a batch of vectors are calls of their own, and one try.
        let whole = id.rsplit_once('.').filter(|(_, part)| part.bytes().all(|byte| byte.is_ascii_digit()));
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [Some(id), whole.map(|(whole, _)| whole)].into_iter().flatten().any(|id| {
            let (operation, model) = (record.subject.operation, record.subject.model.clone());
            let name = (id.to_owned(), provider.to_owned(), operation, model);
            let Some(entries) = tries.1.get_mut(&name) else { return false };
            let place = entries.iter().position(|entry| entry.sent.requests == 0).unwrap_or(0);
            let Some(entry) = entries.get_mut(place) else { return false };
            entry.sent.requests += 1;
            // The upstream counts an answer whether or not it says what it used.
            let silent = if record.outcome == Outcome::Completed { entry.expected } else { 0 };
            entry.sent.tokens = entry.sent.tokens.saturating_add(billed(record).unwrap_or(silent));
            true
        })
    }
}

/// The tokens that an upstream's limit counts.
fn billed(record: &RunRecord) -> Option<u64> {
    record.usage.map(|usage| usage.input_tokens.saturating_add(usage.billed_output_tokens()))
}

/// What a call took from a limit. Dropped, it is settled by what was sent meanwhile.
pub(crate) struct Turn {
    tries: Arc<Tries>,
    name: Try,
    number: u64,
    limit: Arc<RedisLimit>,
    taken: Taken,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let sent = self.tries.leave(&self.name, self.number);
        let (limit, taken) = (Arc::clone(&self.limit), self.taken);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { limit.settle(taken, sent).await });
        }
    }
}

/// Takes the records of one provider's attempts.
struct Herald {
    shared: Arc<Shared>,
    provider: Arc<str>,
    runner: Runner,
}

impl MetricsSink for Herald {
    fn record(&self, record: &RunRecord) {
        let Some(state) = self.shared.state.load_full() else { return };
        note(&state.exchange, &self.provider, &self.runner, record);
        let is_attempt = matches!(record.scope, Scope::Attempt { .. });
        if !is_attempt
            || !record.subject.operation.is_billed()
            || self.shared.tries.add(record, &self.provider)
        {
            return;
        }
        // A call past the routes asked nobody.
        if let (Some(limits), Ok(runtime)) =
            (state.limits.get(&*self.provider), tokio::runtime::Handle::try_current())
        {
            let limit = limits.limit(record.subject.operation, &record.subject.model);
            let used = Cost::new(1, billed(record).unwrap_or_default());
            runtime.spawn(async move { limit.charge(used).await });
        }
    }
}

impl fmt::Debug for Herald {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Herald").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Learns which runner it is about.
pub(crate) struct Witness(Arc<Herald>);

impl Witness {
    pub(crate) fn watch(self, runner: &Arc<dyn ModelRunner>) {
        // Nobody else sets it.
        let _ = self.0.runner.set(Arc::downgrade(runner));
    }
}
