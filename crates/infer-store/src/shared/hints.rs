//! What processes tell each other: who is better left alone for a while.
//!
//! A hint is advice. It ends by itself, it can be lost, and whoever has nobody else to ask does not heed it.

use std::time::Duration;

use super::{Redis, Repeat, Script};
use crate::StoreError;

/// Names that have a hint at a time; beyond it those that end first are forgotten.
const MOST: usize = 1_000;

/// The longest name, in bytes; hints about longer ones are not told.
const LONGEST: usize = 512;

/// The longest hint.
const LONGEST_TIME: Duration = Duration::from_secs(3_600);

/// Hints that several processes share.
#[derive(Debug)]
pub struct RedisHints {
    redis: Redis,
    key: String,
    tell: Script,
    heed: Script,
}

impl RedisHints {
    /// The hints of this installation.
    pub fn new(redis: Redis) -> Self {
        let key = redis.key("hints");
        let (tell, heed) = (Script::new(include_str!("tell.lua")), Script::new(include_str!("heed.lua")));
        Self { redis, key, tell, heed }
    }

    /// Tells that `name`, of at most 512 bytes, is better left alone for `time`, of at most an hour. Of several hints about
    /// a name the latest end counts.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when it cannot be told now.
    pub async fn tell(&self, name: &str, time: Duration) -> Result<(), StoreError> {
        let millis = u64::try_from(time.min(LONGEST_TIME).as_millis()).unwrap_or(u64::MAX);
        if millis == 0 || name.len() > LONGEST {
            return Ok(());
        }
        let mut call = self.tell.call(1);
        call.arg(&self.key).arg(name).arg(millis).arg(MOST);
        Ok(self.redis.run::<i64>(&self.tell, &call, Repeat::Once).await.map(drop)?)
    }

    /// Every name that has a hint now, with the time that is left; at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when there is no answer.
    pub async fn all(&self) -> Result<Vec<(String, Duration)>, StoreError> {
        let mut call = self.heed.call(1);
        call.arg(&self.key).arg(MOST);
        let found: Vec<(String, u64)> = self.redis.run(&self.heed, &call, Repeat::Once).await?;
        let time = |millis: u64| Duration::from_millis(millis).min(LONGEST_TIME);
        Ok(found.into_iter().map(|(name, millis)| (name, time(millis))).collect())
    }
}
