//! A limit that several processes share: buckets of requests and of tokens that fill steadily.
//!
//! In any stretch of time no more starts than the bucket holds and what flows in meanwhile. What a call takes from both
//! buckets it takes from both or from neither. A call that has to wait takes its share at once and is told when to start,
//! so nobody overtakes and nobody asks twice.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::Cmd;
use tokio::time::Instant;

use super::{OnOutage, Redis, Repeat, Script};
use crate::StoreError;

/// The largest rate, bucket or cost.
const MOST: f64 = 1e12;

/// How much may be taken: so many requests, so many tokens, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitConfig {
    requests: Option<Flow>,
    tokens: Option<Flow>,
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Flow {
    per_second: f64,
    burst: f64,
}

impl Flow {
    fn new(what: &str, per_second: f64, burst: f64) -> Result<Self, StoreError> {
        let is_fine = |number: f64| number > 0.0 && number <= MOST;
        if is_fine(per_second) && is_fine(burst) {
            return Ok(Self { per_second, burst });
        }
        let what = format!(
            "limit of {what}: must be above 0 and at most 1e12, got {per_second} a second and {burst} at once"
        );
        Err(StoreError::Config { what })
    }
}

impl LimitConfig {
    /// So many requests a second, and so many at once.
    ///
    /// # Errors
    /// [`StoreError::Config`] when either is not above 0.
    pub fn requests(per_second: f64, burst: f64) -> Result<Self, StoreError> {
        Ok(Self { requests: Some(Flow::new("requests", per_second, burst)?), tokens: None })
    }

    /// So many tokens a second, and so many at once.
    ///
    /// # Errors
    /// As for [`LimitConfig::requests`].
    pub fn tokens(per_second: f64, burst: f64) -> Result<Self, StoreError> {
        Ok(Self { requests: None, tokens: Some(Flow::new("tokens", per_second, burst)?) })
    }

    /// These limits and those of `other`, where it has any.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { requests: other.requests.or(self.requests), tokens: other.tokens.or(self.tokens) }
    }

    fn flows(&self) -> impl Iterator<Item = (Flow, fn(Cost) -> f64)> {
        #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
        fn number(count: u64) -> f64 {
            (count as f64).min(MOST)
        }
        let requests = self.requests.map(|flow| (flow, (|cost| number(cost.requests)) as fn(Cost) -> f64));
        let tokens = self.tokens.map(|flow| (flow, (|cost| number(cost.tokens)) as fn(Cost) -> f64));
        requests.into_iter().chain(tokens)
    }

    /// Told apart, so that a limit that becomes another one begins anew.
    fn kind(&self) -> &'static str {
        match (self.requests.is_some(), self.tokens.is_some()) {
            (true, true) => "both",
            (_, false) => "requests",
            (false, true) => "tokens",
        }
    }
}

/// What a call takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Tokens, read and written.
    pub tokens: u64,
}

impl Cost {
    /// One request of no tokens.
    pub const REQUEST: Self = Self { requests: 1, tokens: 0 };

    /// So much of both.
    pub const fn new(requests: u64, tokens: u64) -> Self {
        Self { requests, tokens }
    }
}

/// The answer of a limit.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// It is taken, and the call may start after [`Taken::wait`].
    Taken(Taken),
    /// Nothing is taken: the call would have to wait this long.
    Refused(Duration),
}

/// What was taken, to be settled once the call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what a call did not use is given back by settling it"]
pub struct Taken {
    /// How long the call has to wait before it starts.
    pub wait: Duration,
    cost: Cost,
    is_local: bool,
}

/// A limit that several processes share.
#[derive(Debug)]
pub struct RedisLimit {
    redis: Redis,
    key: String,
    config: LimitConfig,
    take: Script,
    adjust: Script,
    local: Mutex<Option<Local>>,
}

/// The buckets of this process alone.
#[derive(Clone, Copy, Debug)]
struct Local {
    at: Instant,
    levels: [f64; 2],
}

impl RedisLimit {
    /// The limit called `name`; all processes must give it the same configuration.
    pub fn new(redis: Redis, name: &str, config: LimitConfig) -> Self {
        let key = redis.key(&format!("limit:{}:{name}", config.kind()));
        let take = Script::new(include_str!("take.lua"));
        let adjust = Script::new(include_str!("adjust.lua"));
        Self { redis, key, config, take, adjust, local: Mutex::new(None) }
    }

    /// Takes `cost` for a call that can wait for `max_wait`, or says how long it would have to wait.
    ///
    /// While Redis is away the whole limit holds for this process alone, or, as configured, nothing is given. A question
    /// whose answer was lost is asked again and may then have taken twice: the limit is stricter for a moment and never
    /// looser. Dropping the future may leave `cost` taken.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when Redis is away and calls are to be refused then.
    pub async fn take(&self, cost: Cost, max_wait: Duration) -> Result<Take, StoreError> {
        let mut call = self.take.call(1);
        call.arg(&self.key).arg(u64::try_from(max_wait.as_micros()).unwrap_or(u64::MAX).min(1 << 52));
        self.add(&mut call, |flow| flow(cost));
        match self.redis.run::<i64>(&self.take, &call, Repeat::Once).await {
            Ok(wait) => {
                let time = Duration::from_micros(wait.unsigned_abs());
                Ok(if wait < 0 {
                    Take::Refused(time)
                } else {
                    Take::Taken(Taken { wait: time, cost, is_local: false })
                })
            }
            Err(error) if self.redis.config().on_outage == OnOutage::Closed => Err(error.into()),
            Err(_) => Ok(self.take_locally(cost, max_wait, Instant::now())),
        }
    }

    /// Charges what the call used beyond what it took, or gives the rest back. What cannot be told to Redis now is
    /// forgotten: buckets fill by themselves.
    pub async fn settle(&self, taken: Taken, used: Cost) {
        if taken.cost == used {
            return;
        }
        if taken.is_local {
            self.change(Instant::now(), |flow| flow(used) - flow(taken.cost));
            return;
        }
        let mut call = self.adjust.call(1);
        call.arg(&self.key);
        self.add(&mut call, |flow| flow(used) - flow(taken.cost));
        // Giving back twice would allow too much.
        let gives = used.requests < taken.cost.requests || used.tokens < taken.cost.tokens;
        let repeat = if gives { Repeat::Never } else { Repeat::Once };
        // The reason is logged where it happens.
        let _ = self.redis.run::<i64>(&self.adjust, &call, repeat).await;
    }

    /// Charges what nobody took before.
    pub async fn charge(&self, used: Cost) {
        let is_local = self.redis.is_away();
        self.settle(Taken { wait: Duration::ZERO, cost: Cost::default(), is_local }, used).await;
    }

    /// Three arguments for every bucket.
    fn add(&self, call: &mut Cmd, amount: impl Fn(fn(Cost) -> f64) -> f64) {
        for (flow, of) in self.config.flows() {
            call.arg(amount(of)).arg(flow.burst).arg(flow.per_second);
        }
    }

    fn take_locally(&self, cost: Cost, max_wait: Duration, now: Instant) -> Take {
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.filled(*local, now);
        let mut wait: f64 = 0.0;
        for ((flow, of), level) in self.config.flows().zip(&mut next.levels) {
            let needed = of(cost).min(flow.burst);
            wait = wait.max((needed - *level) / flow.per_second);
            *level -= of(cost);
        }
        let wait = Duration::from_secs_f64(wait.clamp(0.0, 1e9));
        if wait > max_wait {
            return Take::Refused(wait);
        }
        *local = Some(next);
        Take::Taken(Taken { wait, cost, is_local: true })
    }

    fn change(&self, now: Instant, more: impl Fn(fn(Cost) -> f64) -> f64) {
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.filled(*local, now);
        for ((flow, of), level) in self.config.flows().zip(&mut next.levels) {
            *level = (*level - more(of)).min(flow.burst);
        }
        *local = Some(next);
    }

    /// What is in the buckets now.
    fn filled(&self, before: Option<Local>, now: Instant) -> Local {
        let mut levels = [0.0; 2];
        let passed = before.map(|before| now.saturating_duration_since(before.at).as_secs_f64());
        let held = before.map_or([f64::INFINITY; 2], |before| before.levels);
        for (((flow, _), level), held) in self.config.flows().zip(&mut levels).zip(held) {
            *level = flow.burst.min(held + passed.unwrap_or_default() * flow.per_second);
        }
        Local { at: now, levels }
    }
}
