//! A limit that several processes share: a bucket that fills steadily.
//!
//! In any stretch of time no more is taken than the bucket holds and what flows in meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use infer_core::RequestId;
use redis::Script;
use tokio::time::Instant;

use super::{OnOutage, Redis};
use crate::StoreError;

/// How much may be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LimitConfig {
    /// How much flows in a second, above 0.
    pub per_second: f64,
    /// How much there is at most, and at first, above 0.
    pub burst: f64,
}

impl LimitConfig {
    /// So much a second, and so much at once.
    ///
    /// # Errors
    /// [`StoreError::Config`] when either is not above 0.
    pub fn new(per_second: f64, burst: f64) -> Result<Self, StoreError> {
        let is_fine = |number: f64| number > 0.0 && number <= 1e12;
        if is_fine(per_second) && is_fine(burst) {
            return Ok(Self { per_second, burst });
        }
        let what =
            format!("limit: must be above 0 and at most 1e12, got {per_second} a second and {burst} at once");
        Err(StoreError::Config { what })
    }
}

/// The answer of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Go ahead.
    Taken,
    /// Ask again after this; nothing is taken.
    Wait(Duration),
}

/// A limit that several processes share.
#[derive(Debug)]
pub struct RedisLimit {
    redis: Redis,
    key: String,
    config: LimitConfig,
    script: Script,
    local: Mutex<Option<(f64, Instant)>>,
}

impl RedisLimit {
    /// The limit called `name`; all processes must give it the same configuration.
    pub fn new(redis: Redis, name: &str, config: LimitConfig) -> Self {
        let key = redis.key(&format!("limit:{name}"));
        Self { redis, key, config, script: Script::new(include_str!("take.lua")), local: Mutex::new(None) }
    }

    /// Takes `cost` for a call, or says how long to wait. Taking twice for one call within ten seconds takes once.
    ///
    /// While Redis is away the whole limit holds for this process alone, or, as configured, nothing is given.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when Redis is away and calls are to be refused then.
    pub async fn take(&self, id: &RequestId, cost: f64) -> Result<Take, StoreError> {
        let cost = cost.clamp(0.0, 1e12);
        let keys = [self.key.clone(), format!("{}:{id}", self.key)];
        let args = [cost, self.config.burst, self.config.per_second].map(|number| number.to_string());
        match self.redis.run::<i64>(&self.script, &keys, &args).await {
            Ok(wait) if wait <= 0 => Ok(Take::Taken),
            Ok(wait) => Ok(Take::Wait(Duration::from_micros(wait.unsigned_abs()))),
            Err(error) if self.redis.config().on_outage == OnOutage::Closed => Err(error),
            Err(_) => Ok(self.take_locally(cost, Instant::now())),
        }
    }

    fn take_locally(&self, cost: f64, now: Instant) -> Take {
        let LimitConfig { per_second, burst } = self.config;
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, at) = local.unwrap_or((burst, now));
        let level = burst.min(level + now.saturating_duration_since(at).as_secs_f64() * per_second);
        let needed = cost.min(burst);
        if level < needed {
            *local = Some((level, now));
            let wait = ((needed - level) / per_second).min(1e9);
            return Take::Wait(Duration::from_secs_f64(wait.max(1e-6)));
        }
        *local = Some((level - cost, now));
        Take::Taken
    }
}
