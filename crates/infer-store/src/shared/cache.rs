//! Answers that several processes share.

use std::sync::Arc;

use async_trait::async_trait;

use super::Redis;
use crate::cache::{CacheConfig, CacheKey, CacheSecret, Entry, ResponseCache, Shelf};
use crate::clock::micros;
use crate::{Clock, StoreError};

#[derive(Debug)]
struct RedisShelf(Redis);

impl ResponseCache {
    /// A cache in memory and in Redis. All processes that share answers need the same `secret`.
    ///
    /// While Redis is away answers are found and kept in memory only.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn with_redis(
        redis: Redis,
        config: CacheConfig,
        secret: CacheSecret,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        Self::with_shelves(config, clock, secret, vec![Arc::new(RedisShelf(redis))])
    }
}

/// Not one hash tag for all, so that a cluster spreads answers over its nodes.
fn name(redis: &Redis, key: CacheKey) -> String {
    format!("{}:answer:{key}", redis.config().prefix)
}

#[async_trait]
impl Shelf for RedisShelf {
    async fn find(&self, key: CacheKey) -> Option<Entry> {
        let mut get = redis::cmd("GET");
        get.arg(name(&self.0, key));
        let found: Option<Vec<u8>> = self.0.command(&get).await.ok()?;
        Entry::from_bytes(&found?)
    }

    fn keep(&self, key: CacheKey, entry: &Arc<Entry>) {
        let (redis, Some(bytes)) = (self.0.clone(), entry.to_bytes()) else { return };
        let mut set = redis::cmd("SET");
        set.arg(name(&redis, key)).arg(bytes).arg("PXAT").arg(micros(entry.expires) / 1_000);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // What is not kept is bought again; the reason is logged where it happens.
                let _ = redis.command::<()>(&set).await;
            });
        }
    }
}
