//! What the handles and the writing thread have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::Database;

use super::config::LedgerConfig;
use super::names::Names;
use super::places::Places;
use super::recover::{self, OpenDatabase, Refusal};
use crate::StoreError;
use crate::clock::Clock;
use crate::directory::Held;

pub(super) struct Shared {
    /// What it was opened with.
    pub(super) config: LedgerConfig,
    /// What holds now, by [`LedgerConfig::may_become`].
    limits: RwLock<LedgerConfig>,
    pub(super) clock: Clock,
    pub(super) names: RwLock<Names>,
    pub(super) hours_from: AtomicU32,
    /// A row gives its own back when it is written or refused.
    pub(super) places: Places,
    pub(super) counts: Counts,
    pub(super) path: PathBuf,
    open: OpenDatabase,
    /// `None` while the disk fails.
    database: RwLock<Option<Arc<Database>>>,
    /// Held for as long as anybody may write.
    lock: Mutex<Option<Held>>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) turned_away: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        path: PathBuf,
        lock: Option<Held>,
        open: OpenDatabase,
        config: LedgerConfig,
        clock: Clock,
    ) -> Result<(Self, recover::Recovered), StoreError> {
        let ready = || -> Result<_, Refusal> {
            let database = open()?;
            recover::prepare(&database)?;
            let found = recover::recover(&database, config.max_names)?;
            Ok((database, found))
        };
        let (database, mut found) = ready().map_err(|refusal| refusal.at(&path))?;
        let names = std::mem::replace(&mut found.names, Names::new(0));
        let shared = Self {
            names: RwLock::new(names),
            hours_from: AtomicU32::new(found.hours_from),
            places: Places::new(config.queue_rows),
            counts: Counts::default(),
            database: RwLock::new(Some(Arc::new(database))),
            limits: RwLock::new(config.clone()),
            config,
            clock,
            path,
            open,
            lock: Mutex::new(lock),
        };
        Ok((shared, found))
    }

    pub(super) fn limits(&self) -> LedgerConfig {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn limit(&self, limits: LedgerConfig) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// The open file; one that failed is tried again.
    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(database));
        }
        if self.places.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*slot {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new((self.open)().map_err(|error| self.fault(&error.into()))?);
        *slot = Some(Arc::clone(&database));
        Ok(database)
    }

    /// Closes the file; whoever needs it next opens it again.
    pub(super) fn let_go(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Closes the file and lets others have the directory.
    pub(super) fn release(&self) {
        self.let_go();
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn fault(&self, error: &redb::Error) -> StoreError {
        StoreError::redb(&self.path, error)
    }

    /// Gives `places` back and counts what happened to the rows that were waited for.
    pub(super) fn settled(&self, places: usize, awaited: usize, result: &Result<(), StoreError>) {
        match result {
            Ok(()) => self.counts.written.fetch_add(places as u64, Ordering::Relaxed),
            Err(_) => self.counts.failed.fetch_add(awaited as u64, Ordering::Relaxed),
        };
        self.places.waiting.fetch_sub(places, Ordering::Relaxed);
        self.places.give_back(places);
    }
}
