//! The limits of keys over all replicas, through the Redis of the configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use infer_store::StoreError;
use infer_store::shared::{Cost, LimitConfig, Place as Seat, Redis, RedisLimit, RedisPlaces, Take, Taken};
use inference::Inference;
use inference::remote::limit::RateLimitConfig;
use tokio::time::Instant;

use crate::denial::Denial;

/// How long calls of a replica that died still count as running. A replica renews this three times as often, which is one
/// command for each key that has calls.
const LEASE: Duration = Duration::from_secs(30);

/// When to ask again while calls at once are used up: nobody knows when one of them ends.
const AGAIN: Duration = Duration::from_secs(1);

/// Where limits are shared, as the configuration in force says.
pub(crate) struct Place(Inference);

impl Place {
    pub(crate) fn new(inference: Inference) -> Self {
        Self(inference)
    }

    /// The limits of the key `name` over all replicas; none where nothing is shared.
    pub(crate) fn limit(&self, name: &str, wanted: &RateLimitConfig) -> Option<SharedLimit> {
        let redis = self.0.redis()?;
        let name = format!("key:{name}");
        let flow = |(rate, burst): (u32, u32)| (f64::from(rate) / 60.0, f64::from(burst));
        // Rates that are none were refused when the key was made.
        let requests =
            wanted.requests().map(flow).and_then(|(rate, burst)| LimitConfig::requests(rate, burst).ok());
        let tokens =
            wanted.tokens().map(flow).and_then(|(rate, burst)| LimitConfig::tokens(rate, burst).ok());
        let rates = match (requests, tokens) {
            (Some(requests), Some(tokens)) => Some(requests.and(tokens)),
            (one, other) => one.or(other),
        };
        let rates = rates.map(|rates| Arc::new(RedisLimit::new(redis.clone(), &name, rates)));
        let places = wanted.max_in_flight.map(|places| RedisPlaces::new(redis.clone(), &name, places, LEASE));
        Some(SharedLimit { redis, rates, places: places.map(Arc::new) })
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

/// The limits of one key over all replicas.
#[derive(Clone, Debug)]
pub(crate) struct SharedLimit {
    redis: Redis,
    rates: Option<Arc<RedisLimit>>,
    places: Option<Arc<RedisPlaces>>,
}

impl SharedLimit {
    /// Takes the share of a call that is expected to use `tokens`, and waits until it may start; all of it or nothing.
    ///
    /// # Errors
    /// 429 with the wait that would be needed, above `longest`; 503 where calls are to be refused while Redis is away.
    pub(crate) async fn take(&self, tokens: u64, longest: Duration) -> Result<Turn, Denial> {
        let asked = Instant::now();
        let seat = match &self.places {
            None => None,
            Some(places) => match places.enter(longest).await {
                Ok(Some(seat)) => Some(seat),
                Ok(None) => return Err(used_up(AGAIN)),
                Err(error) => return Err(self.away(&error)),
            },
        };
        let Some(rates) = &self.rates else {
            return Ok(Turn { rates: None, used: Cost::default(), _seat: seat });
        };
        match rates.take(Cost::new(1, tokens), longest.saturating_sub(asked.elapsed())).await {
            Ok(Take::Taken(taken)) => {
                // From here on whatever is not used is given back.
                let turn =
                    Turn { rates: Some((Arc::clone(rates), taken)), used: Cost::default(), _seat: seat };
                if !taken.wait.is_zero() {
                    tokio::time::sleep(taken.wait).await;
                }
                Ok(turn)
            }
            Ok(Take::Refused(wait)) => Err(used_up(wait.max(Duration::from_millis(1)))),
            Err(error) => Err(self.away(&error)),
        }
    }

    fn away(&self, error: &StoreError) -> Denial {
        let message = format!("the limits of this key cannot be asked: {error}");
        Denial::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
            .after(self.redis.config().retry_after)
    }
}

fn used_up(wait: Duration) -> Denial {
    let message = "the limits of this key allow no more calls now";
    Denial::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message).after(wait)
}

/// What a call took. Dropped, it is settled by what was used.
#[derive(Debug)]
pub(crate) struct Turn {
    rates: Option<(Arc<RedisLimit>, Taken)>,
    used: Cost,
    /// Given back when it is dropped.
    _seat: Option<Seat>,
}

impl Turn {
    /// The call ran and used so many tokens.
    pub(crate) fn settle(mut self, tokens: u64) {
        self.used = Cost::new(1, tokens);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let used = self.used;
        if let (Some((rates, taken)), Ok(runtime)) =
            (self.rates.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move { rates.settle(taken, used).await });
        }
    }
}
