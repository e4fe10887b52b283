//! The limits of keys over all replicas, through the Redis of the configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use infer_store::shared::{Cost, LimitConfig, Redis, RedisLimit, Take, Taken};
use inference::Inference;
use inference::remote::limit::RateLimitConfig;

use crate::denial::Denial;

/// Where limits are shared, as the configuration in force says.
pub(crate) struct Place(Inference);

impl Place {
    pub(crate) fn new(inference: Inference) -> Self {
        Self(inference)
    }

    /// The limit of the key `name` over all replicas; none where nothing is shared, or where it has no rates.
    pub(crate) fn limit(&self, name: &str, rates: &RateLimitConfig) -> Option<SharedLimit> {
        let redis = self.0.redis()?;
        let flow = |(rate, burst): (u32, u32)| (f64::from(rate) / 60.0, f64::from(burst));
        // Rates that are none were refused when the key was made.
        let requests =
            rates.requests().map(flow).and_then(|(rate, burst)| LimitConfig::requests(rate, burst).ok());
        let tokens = rates.tokens().map(flow).and_then(|(rate, burst)| LimitConfig::tokens(rate, burst).ok());
        let config = match (requests, tokens) {
            (Some(requests), Some(tokens)) => requests.and(tokens),
            (one, other) => one.or(other)?,
        };
        let limit = Arc::new(RedisLimit::new(redis.clone(), &format!("key:{name}"), config));
        Some(SharedLimit { redis, limit })
    }

    /// Whether `limit` is what would be made now.
    pub(crate) fn is_of(&self, limit: Option<&SharedLimit>) -> bool {
        self.0.redis().as_ref().map(Redis::config) == limit.map(|limit| limit.redis.config())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.0.redis()).finish()
    }
}

/// A limit of one key over all replicas.
#[derive(Clone, Debug)]
pub(crate) struct SharedLimit {
    redis: Redis,
    limit: Arc<RedisLimit>,
}

impl SharedLimit {
    /// Takes the share of a call that is expected to use `tokens`, and waits until it may start.
    ///
    /// # Errors
    /// 429 with the wait that would be needed, above `longest`; 503 where calls are to be refused while Redis is away.
    pub(crate) async fn take(&self, tokens: u64, longest: Duration) -> Result<Turn, Denial> {
        match self.limit.take(Cost::new(1, tokens), longest).await {
            Ok(Take::Taken(taken)) => {
                // From here on whatever is not used is given back.
                let turn = Turn { limit: Arc::clone(&self.limit), taken, used: Cost::default() };
                if !taken.wait.is_zero() {
                    tokio::time::sleep(taken.wait).await;
                }
                Ok(turn)
            }
            Ok(Take::Refused(wait)) => Err(Denial::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "the limits of this key allow no more calls now",
            )
            .after(wait.max(Duration::from_millis(1)))),
            Err(error) => Err(Denial::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                format!("the limits of this key cannot be asked: {error}"),
            )
            .after(self.redis.config().retry_after)),
        }
    }
}

/// What a call took. Dropped, it is settled by what was used.
#[derive(Debug)]
pub(crate) struct Turn {
    limit: Arc<RedisLimit>,
    taken: Taken,
    used: Cost,
}

impl Turn {
    /// The call ran and used so many tokens.
    pub(crate) fn settle(mut self, tokens: u64) {
        self.used = Cost::new(1, tokens);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (limit, taken, used) = (Arc::clone(&self.limit), self.taken, self.used);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { limit.settle(taken, used).await });
        }
    }
}
