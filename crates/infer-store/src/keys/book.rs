//! The keys in force.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::file::KeyFile;
use super::hash::Salt;
use super::stored::{Change, Edit, Stored, no_such_key};
use super::table::Table;
use super::{KeyError, KeyRecord, KeySecret, KeySpec, KeyWatch, KeysConfig, Refusal};
use crate::Clock;
use crate::budget::BudgetRule;

/// Where keys are stored.
#[async_trait]
pub(crate) trait KeyPlace: Send + Sync + fmt::Debug {
    /// What is stored, or `None` while it is what was read with the mark `seen`.
    async fn read(&self, seen: Option<blake3::Hash>) -> Result<Option<Reading>, KeyError>;

    /// Makes a change, whatever others change meanwhile.
    async fn edit(&self, edit: Edit) -> Result<(Reading, Arc<KeyRecord>), KeyError>;

    /// When to read again.
    fn pace(&self) -> Result<Pace, KeyError>;
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) stored: Stored,
    /// Another one with every change; none while nothing is stored.
    pub(crate) mark: Option<blake3::Hash>,
}

/// When to read again.
pub(crate) struct Pace {
    /// At the latest after this.
    pub(crate) every: Duration,
    /// As soon as something is heard.
    pub(crate) changes: Option<mpsc::Receiver<()>>,
    /// What listens, until it is dropped.
    pub(crate) _ear: Option<Box<dyn Send>>,
}

/// The keys in force. Cheap to clone; who authenticates waits for nobody.
///
/// ```
/// use infer_store::keys::{KeyBook, KeySpec, KeysConfig, Refusal};
/// use infer_store::Clock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let clock = Clock::system();
/// let book = KeyBook::open(directory.path(), &KeysConfig::default(), clock.clone())?;
/// let (record, secret) = book.create(KeySpec::new("team-a")).await?;
/// assert_eq!(book.authenticate(secret.reveal(), clock.now())?.name, record.name);
/// book.revoke("team-a").await?;
/// assert_eq!(book.authenticate(secret.reveal(), clock.now()), Err(Refusal::Revoked));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyBook {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    table: ArcSwap<Table>,
    /// What the table was made from.
    source: Mutex<Source>,
    pub(super) place: Option<Box<dyn KeyPlace>>,
    /// Held while the place is read or changed, so that what is older never replaces what is newer.
    turn: tokio::sync::Mutex<()>,
    version: watch::Sender<u64>,
    clock: Clock,
    /// Whether the place was never read: nobody knows then which keys there are.
    is_unread: AtomicBool,
}

struct Source {
    config: KeysConfig,
    salt: Salt,
    reading: Reading,
}

impl KeyBook {
    /// The keys of the configuration alone.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn fixed(config: &KeysConfig, clock: Clock) -> Result<Self, KeyError> {
        Self::new(config, None, Reading::default(), clock)
    }

    /// The keys of the configuration and of `keys.json` in `directory`, neither of which need exist yet. Blocks while it
    /// reads.
    ///
    /// # Errors
    /// A wrong configuration, or why the file cannot be read.
    pub fn open(directory: impl AsRef<Path>, config: &KeysConfig, clock: Clock) -> Result<Self, KeyError> {
        let file = KeyFile::new(directory.as_ref());
        let reading = file.read()?;
        Self::new(config, Some(Box::new(file)), reading, clock)
    }

    pub(crate) fn new(
        config: &KeysConfig,
        place: Option<Box<dyn KeyPlace>>,
        reading: Reading,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        config.validate()?;
        let salt = Salt::generate()?;
        let table = Table::new(config, salt, &reading.stored);
        let inner = Inner {
            table: ArcSwap::from_pointee(table),
            source: Mutex::new(Source { config: config.clone(), salt, reading }),
            place,
            turn: tokio::sync::Mutex::new(()),
            version: watch::Sender::new(0),
            clock,
            is_unread: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The key that `secret` opens at `now`. Without I/O or waiting, whatever `secret` is.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub fn authenticate(&self, secret: &str, now: SystemTime) -> Result<Arc<KeyRecord>, Refusal> {
        self.inner.table.load().authenticate(secret, now)
    }

    /// All keys by name, also those that are expired or revoked.
    pub fn list(&self) -> Vec<Arc<KeyRecord>> {
        self.inner.table.load().records().to_vec()
    }

    /// Whether there are none at all; expired and revoked ones count. False as long as the keys in Redis could not be read,
    /// so that nobody is let in without one meanwhile.
    pub fn is_empty(&self) -> bool {
        self.inner.table.load().records().is_empty() && !self.inner.is_unread.load(Ordering::Acquire)
    }

    /// The same, with a place that nobody has read.
    #[cfg(feature = "redis")]
    pub(crate) fn unread(self) -> Self {
        self.inner.is_unread.store(true, Ordering::Release);
        self
    }

    /// Whether keys can be made, in a file or in Redis; false where only the configuration has some.
    pub fn is_stored(&self) -> bool {
        self.inner.place.is_some()
    }

    /// The key called `name`.
    ///
    /// # Errors
    /// [`KeyError::NoSuchKey`].
    pub fn record(&self, name: &str) -> Result<Arc<KeyRecord>, KeyError> {
        let table = self.inner.table.load();
        let names = || table.records().iter().map(|record| &*record.name);
        table.record(name).cloned().ok_or_else(|| no_such_key(name, names()))
    }

    /// The budgets of all keys that are not revoked, each for the calls of its key alone.
    pub fn budget_rules(&self) -> Vec<BudgetRule> {
        let table = self.inner.table.load();
        let records = table.records().iter().filter(|record| record.revoked.is_none());
        records.flat_map(|record| record.budget_rules()).collect()
    }

    /// A number that changes whenever the keys in force do.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Makes a key. The secret is returned here and nowhere else.
    ///
    /// # Errors
    /// What is wrong with `spec`, a name that is taken, or why nothing can be stored.
    pub async fn create(&self, spec: KeySpec) -> Result<(Arc<KeyRecord>, KeySecret), KeyError> {
        spec.validate()?;
        if self.is_configured(&spec.name) {
            return Err(KeyError::Taken { name: spec.name });
        }
        let secret = KeySecret::generate()?;
        let record = self.edit(Change::Create { spec, secret: secret.clone() }).await?;
        Ok((record, secret))
    }

    /// Ends a key for ever; one that is revoked already stays as it is.
    ///
    /// # Errors
    /// There is no such stored key, or why nothing can be stored.
    pub async fn revoke(&self, name: &str) -> Result<Arc<KeyRecord>, KeyError> {
        self.edit(Change::Revoke { name: self.stored_name(name)? }).await
    }

    /// Gives a key another secret, which is returned here and nowhere else. The present one still opens it for `grace`, and
    /// those before it no longer than that.
    ///
    /// # Errors
    /// There is no such stored key, it is revoked or expired, or why nothing can be stored.
    pub async fn rotate(&self, name: &str, grace: Duration) -> Result<(Arc<KeyRecord>, KeySecret), KeyError> {
        let name = self.stored_name(name)?;
        let secret = KeySecret::generate()?;
        let record = self.edit(Change::Rotate { name, secret: secret.clone(), grace }).await?;
        Ok((record, secret))
    }

    /// Reads again what is stored, and says whether it had changed.
    ///
    /// # Errors
    /// Why it cannot be read; the keys in force stay.
    pub async fn reload(&self) -> Result<bool, KeyError> {
        let Some(place) = &self.inner.place else { return Ok(false) };
        let _turn = self.inner.turn.lock().await;
        let seen = self.source(|source| source.reading.mark);
        let reading = place.read(seen).await?;
        let is_changed = reading.is_some();
        if let Some(reading) = reading {
            self.install(|source| source.reading = reading);
        }
        self.inner.is_unread.store(false, Ordering::Release);
        Ok(is_changed)
    }

    /// Puts other keys of the configuration in force.
    ///
    /// # Errors
    /// A wrong configuration; the keys in force stay.
    pub fn replace(&self, config: &KeysConfig) -> Result<(), KeyError> {
        config.validate()?;
        if self.source(|source| source.config != *config) {
            self.install(|source| source.config = config.clone());
        }
        Ok(())
    }

    /// Notices what others change, in a moment for a file and within about a second for Redis, as long as what is returned
    /// lives. What cannot be read is logged, and the keys in force stay.
    ///
    /// Needs a running Tokio runtime.
    ///
    /// # Errors
    /// Why the directory cannot be made or watched.
    pub fn watch(&self) -> Result<KeyWatch, KeyError> {
        KeyWatch::begin(self)
    }

    async fn edit(&self, change: Change) -> Result<Arc<KeyRecord>, KeyError> {
        let place = self.inner.place.as_ref().ok_or(KeyError::NoPlace)?;
        let edit = Edit { change, now: self.inner.clock.now(), salt: Salt::generate()? };
        let _turn = self.inner.turn.lock().await;
        let (reading, record) = place.edit(edit).await?;
        self.install(|source| source.reading = reading);
        self.inner.is_unread.store(false, Ordering::Release);
        Ok(record)
    }

    fn stored_name(&self, name: &str) -> Result<String, KeyError> {
        if self.is_configured(name) {
            return Err(KeyError::IsConfigured { name: name.to_owned() });
        }
        Ok(name.to_owned())
    }

    fn is_configured(&self, name: &str) -> bool {
        self.source(|source| source.config.keys.iter().any(|key| key.name == name))
    }

    fn source<T>(&self, look: impl FnOnce(&Source) -> T) -> T {
        look(&self.inner.source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what the table is made from, and makes it anew.
    fn install(&self, change: impl FnOnce(&mut Source)) {
        let mut source = self.inner.source.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut source);
        let table = Table::new(&source.config, source.salt, &source.reading.stored);
        self.inner.table.store(Arc::new(table));
        self.inner.version.send_modify(|version| *version += 1);
    }
}

/// How many keys there are, and nothing of them.
impl fmt::Debug for KeyBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.inner.table.load().records().len();
        f.debug_struct("KeyBook")
            .field("keys", &keys)
            .field("place", &self.inner.place)
            .finish_non_exhaustive()
    }
}
