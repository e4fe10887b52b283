//! The response cache: equal calls get the answer that is there.
//!
//! [`CachedRunner`] puts it in front of any runner. Memory comes first; behind it stand shelves that outlive the process or
//! are shared: a file, or Redis. A shelf that fails is a miss, never an error.

mod config;
mod disk;
mod entry;
mod flight;
mod form;
mod key;
mod runner;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use infer_core::{Completion, Usd};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

pub use config::CacheConfig;
pub use key::{CacheKey, CacheSecret};
pub use runner::{CacheControl, CacheOutcome, CachedRunner, Skipped};

pub(crate) use entry::Entry;

use crate::{Clock, StoreError};

/// Where answers are kept beyond this process's memory.
#[async_trait]
pub(crate) trait Shelf: Send + Sync + fmt::Debug {
    /// The answer, expired or not; `None` also where the shelf fails.
    async fn find(&self, key: CacheKey) -> Option<Entry>;

    /// Keeps the answer, soon and if it can; never waits.
    fn keep(&self, key: CacheKey, entry: &Arc<Entry>);

    /// Gives it other room, from the next answer on, if it is one on this disk.
    fn resize(&self, _max_bytes: u64) -> bool {
        false
    }
}

/// Answers by request. Cheap to clone.
#[derive(Clone)]
pub struct ResponseCache {
    inner: Arc<Inner>,
}

struct Inner {
    config: CacheConfig,
    clock: Clock,
    secret: CacheSecret,
    memory: Cache<CacheKey, Arc<Entry>, Bytes>,
    shelves: Vec<Arc<dyn Shelf>>,
}

/// Entries weigh what they take.
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<CacheKey, Arc<Entry>> for Bytes {
    fn weight(&self, _: &CacheKey, entry: &Arc<Entry>) -> u64 {
        entry.weight() as u64
    }
}

/// An answer that was there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The answer. Its cost is nothing; its usage is what it took when it was bought.
    pub completion: Completion,
    /// What it had cost.
    pub saved: Option<Usd>,
}

impl ResponseCache {
    /// A cache in memory alone.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn in_memory(config: CacheConfig, clock: Clock) -> Result<Self, StoreError> {
        Self::with_shelves(config, clock, CacheSecret::generate(), Vec::new())
    }

    /// A cache in memory, and in `directory` where [`CacheConfig::disk_bytes`] gives it room there.
    ///
    /// # Errors
    /// A wrong configuration, or why the directory cannot be used.
    pub fn open(directory: impl AsRef<Path>, config: CacheConfig, clock: Clock) -> Result<Self, StoreError> {
        config.validate()?;
        if config.disk_bytes == 0 {
            return Self::in_memory(config, clock);
        }
        let (disk, secret) = disk::Disk::open(directory.as_ref(), config.disk_bytes, clock.clone())?;
        Self::with_shelves(config, clock, secret, vec![Arc::new(disk)])
    }

    /// The same answers on disk under other settings, with a memory of its own; `None` where there are none, or are to be
    /// none. The file stays open and gets its new size at once, for this cache too.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn with_config(&self, config: CacheConfig) -> Result<Option<Self>, StoreError> {
        config.validate()?;
        if config.disk_bytes == 0 {
            return Ok(None);
        }
        let kept = self.inner.shelves.iter().filter(|shelf| shelf.resize(config.disk_bytes));
        let kept: Vec<_> = kept.cloned().collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let (clock, secret) = (self.inner.clock.clone(), self.inner.secret.clone());
        Self::with_shelves(config, clock, secret, kept).map(Some)
    }

    pub(crate) fn with_shelves(
        config: CacheConfig,
        clock: Clock,
        secret: CacheSecret,
        shelves: Vec<Arc<dyn Shelf>>,
    ) -> Result<Self, StoreError> {
        config.validate()?;
        let expected = usize::try_from(config.memory_bytes / 4_096).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let memory = Cache::with_weighter(expected, config.memory_bytes, Bytes);
        Ok(Self { inner: Arc::new(Inner { config, clock, secret, memory, shelves }) })
    }

    /// Its settings.
    pub fn config(&self) -> &CacheConfig {
        &self.inner.config
    }

    /// What its keys are made with.
    pub fn secret(&self) -> &CacheSecret {
        &self.inner.secret
    }

    /// The answer under `key` that has not expired.
    pub async fn find(&self, key: CacheKey) -> Option<Hit> {
        if let Some(hit) = self.find_in_memory(key) {
            return Some(hit);
        }
        for shelf in &self.inner.shelves {
            if let Some(entry) = shelf.find(key).await.filter(|entry| self.is_good(entry)) {
                let entry = Arc::new(entry);
                self.inner.memory.insert(key, Arc::clone(&entry));
                return Some(Hit { completion: entry.completion.clone(), saved: entry.saved });
            }
        }
        None
    }

    /// The same from memory alone.
    pub fn find_in_memory(&self, key: CacheKey) -> Option<Hit> {
        let entry = self.inner.memory.get(&key)?;
        if self.is_good(&entry) {
            return Some(Hit { completion: entry.completion.clone(), saved: entry.saved });
        }
        self.inner.memory.remove_if(&key, |kept| Arc::ptr_eq(kept, &entry));
        None
    }

    /// Keeps an answer for `ttl`, or for [`CacheConfig::ttl`]. Whether it may be kept is for the caller to know;
    /// [`CachedRunner`] does. One larger than [`CacheConfig::max_entry_bytes`] is not kept.
    pub fn keep(&self, key: CacheKey, completion: Completion, ttl: Option<Duration>) -> bool {
        let ttl = ttl.unwrap_or(self.inner.config.ttl);
        let Some(expires) = self.inner.clock.now().checked_add(ttl) else { return false };
        let entry = Arc::new(Entry::new(completion, expires));
        if entry.weight() > self.inner.config.max_entry_bytes {
            return false;
        }
        self.inner.memory.insert(key, Arc::clone(&entry));
        for shelf in &self.inner.shelves {
            shelf.keep(key, &entry);
        }
        true
    }

    fn is_good(&self, entry: &Entry) -> bool {
        self.inner.clock.now() < entry.expires
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache")
            .field("config", &self.inner.config)
            .field("entries", &self.inner.memory.len())
            .field("shelves", &self.inner.shelves)
            .finish_non_exhaustive()
    }
}
