//! Keys that several processes share.
//!
//! One hash holds all records, and a stamp beside it says whether they changed: replicas ask for the stamp alone, off the
//! path of calls. A change is made on what was read, and only while the stamp is the one that was read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::script::Script;
use super::{Redis, Repeat};
use crate::keys::{
    Edit, KeyBook, KeyError, KeyPlace, KeyRecord, KeySecret, KeysConfig, Pace, Reading, Stored, StoredKey,
};
use crate::{Clock, StoreError};

/// How often the stamp is asked for.
const EVERY: Duration = Duration::from_secs(1);

/// How often a change is made again that others overtook.
const TRIES: usize = 50;

/// The field of the salt; no key has such a name.
const SALT: &str = ":salt";

/// The stamp and all fields, as they belong together.
const READ: &str = "return {redis.call('GET', KEYS[2]) or '', redis.call('HGETALL', KEYS[1])}";

/// Sets fields while the stamp is as expected. Once the stamp is the new one, the change was made before.
const WRITE: &str = "
local stamp = redis.call('GET', KEYS[2]) or ''
if stamp == ARGV[2] then return 1 end
if stamp ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('SET', KEYS[2], ARGV[2])
return 1";

#[derive(Debug)]
struct RedisKeys {
    redis: Redis,
    /// Of the hash and of the stamp.
    keys: [String; 2],
    read: Script,
    write: Script,
}

impl KeyBook {
    /// The keys of the configuration and those in Redis. While Redis is away the keys in force stay; a process that starts
    /// then has those of the configuration until it is back and [`KeyBook::watch`] notices.
    ///
    /// # Errors
    /// A wrong configuration, or records in Redis that cannot be read.
    pub async fn with_redis(redis: Redis, config: &KeysConfig, clock: Clock) -> Result<Self, KeyError> {
        let keys = [redis.key("keys"), redis.key("keys:stamp")];
        let place = RedisKeys { redis, keys, read: Script::new(READ), write: Script::new(WRITE) };
        let (reading, is_read) = match place.whole().await {
            Ok(whole) => (whole.reading, true),
            Err(KeyError::Store(StoreError::Redis { detail })) => {
                tracing::warn!(%detail, "keys in Redis cannot be read: only those of the configuration are in force");
                (Reading::default(), false)
            }
            Err(error) => return Err(error),
        };
        let book = Self::new(config, Some(Box::new(place)), reading, clock)?;
        Ok(if is_read { book } else { book.unread() })
    }
}

/// All that is stored, and the stamp that belongs to it.
struct Whole {
    stamp: String,
    reading: Reading,
}

impl RedisKeys {
    /// Both scripts say the same when they are repeated.
    async fn run<T: redis::FromRedisValue>(&self, script: &Script, args: &[String]) -> Result<T, StoreError> {
        let mut call = script.call(self.keys.len());
        call.arg(&self.keys).arg(args);
        Ok(self.redis.run(script, &call, Repeat::Once).await?)
    }

    async fn whole(&self) -> Result<Whole, KeyError> {
        let (stamp, fields): (String, HashMap<String, String>) = self.run(&self.read, &[]).await?;
        let mut stored = Stored::default();
        for (name, text) in fields {
            // What a value is, is not quoted: it might be a secret that somebody pasted.
            let wrong = |_| self.damaged(&format!("{name:?} is no record of a key"));
            if name == SALT {
                stored.salt = serde_json::from_str(&text).map_err(wrong)?;
            } else {
                let key: StoredKey = serde_json::from_str(&text).map_err(wrong)?;
                if *key.record.name != *name {
                    return Err(self.damaged(&format!("{name:?} holds a record of another name")).into());
                }
                stored.keys.insert(key.record.name.clone(), key);
            }
        }
        if let Some(fault) = stored.fault() {
            return Err(self.damaged(&fault).into());
        }
        Ok(Whole { reading: Reading { stored, mark: mark(&stamp) }, stamp })
    }

    /// One try: `None` when somebody else was faster.
    async fn try_edit(&self, edit: &Edit) -> Result<Option<(Reading, Arc<KeyRecord>)>, KeyError> {
        let Whole { stamp, mut reading } = self.whole().await?;
        let record = reading.stored.apply(edit)?;
        // Nobody else makes the same, so that a counter that begins anew is not taken for the old one.
        let next = KeySecret::generate()?.reveal().to_owned();
        let text = |value: Result<String, serde_json::Error>| {
            value.map_err(|error| StoreError::Redis { detail: error.to_string() })
        };
        let key = reading.stored.keys.get(&record.name);
        let fields = [
            (SALT, text(serde_json::to_string(&reading.stored.salt))?),
            (&*record.name, text(serde_json::to_string(&key))?),
        ];
        let fields = fields.into_iter().flat_map(|(name, text)| [name.to_owned(), text]);
        let args: Vec<_> = [stamp, next.clone()].into_iter().chain(fields).collect();
        let is_made: bool = self.run(&self.write, &args).await?;
        reading.mark = mark(&next);
        Ok(is_made.then_some((reading, record)))
    }

    fn damaged(&self, detail: &str) -> StoreError {
        StoreError::Damaged { path: self.keys[0].clone().into(), detail: detail.to_owned() }
    }
}

#[async_trait]
impl KeyPlace for RedisKeys {
    async fn read(&self, seen: Option<blake3::Hash>) -> Result<Option<Reading>, KeyError> {
        let mut get = redis::cmd("GET");
        get.arg(&self.keys[1]);
        let stamp: Option<String> = self.redis.command(&get).await?;
        match mark(&stamp.unwrap_or_default()) {
            // A Redis that starts without its data must not lock everybody out.
            None if seen.is_some() => {
                let detail = format!("{} is gone: put it back, or start anew without its keys", self.keys[0]);
                Err(StoreError::Redis { detail }.into())
            }
            mark if mark == seen => Ok(None),
            _ => Ok(Some(self.whole().await?.reading)),
        }
    }

    async fn edit(&self, edit: Edit) -> Result<(Reading, Arc<KeyRecord>), KeyError> {
        for _ in 0..TRIES {
            if let Some(done) = self.try_edit(&edit).await? {
                return Ok(done);
            }
        }
        Err(KeyError::Busy)
    }

    fn pace(&self) -> Result<Pace, KeyError> {
        Ok(Pace { every: EVERY, changes: None, _ear: None })
    }
}

fn mark(stamp: &str) -> Option<blake3::Hash> {
    (!stamp.is_empty()).then(|| blake3::hash(stamp.as_bytes()))
}
