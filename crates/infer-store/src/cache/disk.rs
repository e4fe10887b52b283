//! Answers on disk, oldest out first.
//!
//! One thread writes; when it cannot keep up, or the disk fails, answers are not kept, and nobody waits. A disk that failed
//! is left alone until the next start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::Shelf;
use super::entry::Entry;
use super::key::{CacheKey, CacheSecret};
use crate::clock::micros;
use crate::directory::Held;
use crate::{Clock, StoreError};

const FILE: &str = "cache.redb";
const FORMAT: u64 = 1;
/// Answers that wait to be written; more are dropped.
const QUEUE: usize = 1_024;
/// Answers in one commit at most.
const MAX_GROUP: usize = 256;

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const ENTRIES: TableDefinition<'static, &[u8], (u64, &[u8])> = TableDefinition::new("entries");
/// By age: the key, the size in bytes, when it expires.
const AGES: TableDefinition<'static, u64, (&[u8], u64, u64)> = TableDefinition::new("ages");

/// Answers on disk.
#[derive(Debug)]
pub(super) struct Disk {
    database: Option<Arc<Database>>,
    queue: Option<SyncSender<(CacheKey, Arc<Entry>)>>,
    thread: Option<JoinHandle<()>>,
    failed: Arc<AtomicBool>,
    max_bytes: Arc<AtomicU64>,
    lock: Option<Held>,
}

impl Disk {
    /// Opens the cache in `directory`, and the secret that its keys are made with.
    pub(super) fn open(
        directory: &Path,
        max_bytes: u64,
        clock: Clock,
    ) -> Result<(Self, CacheSecret), StoreError> {
        let lock = Held::take(directory, FILE)?;
        let path = lock.path().to_owned();
        let fault = |error: redb::Error| StoreError::redb(&path, &error);
        let database = redb::Database::builder()
            .set_cache_size(8 << 20)
            .create(&path)
            .map_err(|error| fault(error.into()))?;
        let (format, secret) = prepare(&database).map_err(fault)?;
        if format > FORMAT {
            return Err(StoreError::Newer { path, found: format, known: FORMAT });
        }
        let database = Arc::new(database);
        let failed = Arc::new(AtomicBool::new(false));
        let max_bytes = Arc::new(AtomicU64::new(max_bytes));
        let (queue, entries) = sync_channel(QUEUE);
        let thread = {
            let (database, failed) = (Arc::clone(&database), Arc::clone(&failed));
            let max_bytes = Arc::clone(&max_bytes);
            let write = move || run(&database, &entries, &max_bytes, &clock, &failed);
            let spawned = std::thread::Builder::new().name("infer-cache".to_owned()).spawn(write);
            spawned.map_err(|error| StoreError::io(&path, &error))?
        };
        let disk = Self {
            database: Some(database),
            queue: Some(queue),
            thread: Some(thread),
            failed,
            max_bytes,
            lock: Some(lock),
        };
        Ok((disk, secret))
    }

    fn close(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            // What the thread could not write it has said.
            let _ = thread.join();
        }
        self.database.take();
        self.lock.take();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Shelf for Disk {
    async fn find(&self, key: CacheKey) -> Option<Entry> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let database = Arc::clone(self.database.as_ref()?);
        let found = tokio::task::spawn_blocking(move || read(&database, key)).await.ok()?;
        found.inspect_err(|error| tracing::warn!(%error, "cache: entry not read")).ok()?
    }

    fn resize(&self, max_bytes: u64) -> bool {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        true
    }

    fn keep(&self, key: CacheKey, entry: &Arc<Entry>) {
        if let Some(queue) = &self.queue
            && queue.try_send((key, Arc::clone(entry))).is_err()
        {
            tracing::debug!(%key, "cache: the disk is behind, answer kept in memory only");
        }
    }
}

fn prepare(database: &Database) -> Result<(u64, CacheSecret), redb::Error> {
    let write = database.begin_write()?;
    let found = {
        let mut meta = write.open_table(META)?;
        write.open_table(ENTRIES)?;
        write.open_table(AGES)?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(u64::MAX, u64::from_le_bytes);
        let format = meta.get("format")?.map(|format| number(format.value()));
        let secret: Option<[u8; 32]> = meta.get("secret")?.and_then(|secret| secret.value().try_into().ok());
        match (format, secret) {
            (Some(format), Some(secret)) => (format, CacheSecret::new(secret)),
            _ => {
                let secret = CacheSecret::generate();
                meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
                meta.insert("secret", secret.bytes().as_slice())?;
                (FORMAT, secret)
            }
        }
    };
    write.commit()?;
    Ok(found)
}

fn read(database: &Database, key: CacheKey) -> Result<Option<Entry>, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries.get(key.0.as_slice())?.and_then(|entry| Entry::from_bytes(entry.value().1)))
}

fn run(
    database: &Database,
    entries: &Receiver<(CacheKey, Arc<Entry>)>,
    max_bytes: &AtomicU64,
    clock: &Clock,
    failed: &AtomicBool,
) {
    while let Ok(first) = entries.recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok(next) = entries.try_recv()
        {
            group.push(next);
        }
        if failed.load(Ordering::Relaxed) {
            continue;
        }
        if let Err(error) = write(database, &group, max_bytes.load(Ordering::Relaxed), clock.now()) {
            failed.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "cache: disk not used until the next start");
        }
    }
}

fn write(
    database: &Database,
    group: &[(CacheKey, Arc<Entry>)],
    max_bytes: u64,
    now: SystemTime,
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        let mut entries = write.open_table(ENTRIES)?;
        let mut ages = write.open_table(AGES)?;
        let known = meta.get("bytes")?.and_then(|bytes| bytes.value().try_into().ok());
        let mut total = known.map_or(0, u64::from_le_bytes);
        let mut age = ages.last()?.map_or(0, |(age, _)| age.value().saturating_add(1));
        for (key, entry) in group {
            let Some(bytes) = entry.to_bytes() else { continue };
            let old = entries.insert(key.0.as_slice(), (age, bytes.as_slice()))?.map(|old| old.value().0);
            if let Some((_, size, _)) =
                old.map(|old| ages.remove(old)).transpose()?.flatten().map(|old| owned(old.value()))
            {
                total = total.saturating_sub(size);
            }
            ages.insert(age, (key.0.as_slice(), bytes.len() as u64, micros(entry.expires)))?;
            total = total.saturating_add(bytes.len() as u64);
            age += 1;
        }
        // What is oldest expires first, or nearly so; what is still good goes only when there is no room.
        loop {
            let oldest = ages.first()?.map(|(age, old)| (age.value(), owned(old.value())));
            let Some((age, (key, size, expires))) = oldest else { break };
            if total <= max_bytes && expires > micros(now) {
                break;
            }
            ages.remove(age)?;
            entries.remove(key.as_slice())?;
            total = total.saturating_sub(size);
        }
        meta.insert("bytes", total.to_le_bytes().as_slice())?;
    }
    write.commit()?;
    Ok(())
}

fn owned((key, size, expires): (&[u8], u64, u64)) -> (Vec<u8>, u64, u64) {
    (key.to_vec(), size, expires)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use infer_core::{Choice, Completion};

    use super::*;

    fn entry(text: &str, expires: u64) -> Arc<Entry> {
        let mut completion = Completion::default();
        let mut choice = Choice::new(0);
        choice.text = text.to_owned();
        completion.choices.push(choice);
        Arc::new(Entry::new(completion, SystemTime::UNIX_EPOCH + Duration::from_secs(expires)))
    }

    fn clock(second: u64) -> Clock {
        Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(second))
    }

    fn key(number: u8) -> CacheKey {
        CacheKey([number; 32])
    }

    #[tokio::test]
    async fn answers_survive_a_restart_under_the_same_secret_and_the_newest_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, secret) = Disk::open(directory.path(), 1 << 20, clock(0)).unwrap();
        for number in 0..3 {
            disk.keep(key(number), &entry(&number.to_string(), 100));
        }
        disk.keep(key(1), &entry("again", 100));
        assert!(matches!(Disk::open(directory.path(), 1 << 20, clock(0)), Err(StoreError::Locked { .. })));
        drop(disk);
        let (disk, same) = Disk::open(directory.path(), 1 << 20, clock(0)).unwrap();
        assert_eq!(secret.bytes(), same.bytes());
        assert_eq!(disk.find(key(1)).await.as_ref(), Some(&*entry("again", 100)));
        assert_eq!(disk.find(key(2)).await.as_ref(), Some(&*entry("2", 100)));
        assert_eq!(disk.find(key(9)).await, None);
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_is_no_room_and_the_expired_go_anyway() {
        let directory = tempfile::tempdir().unwrap();
        let text = "x".repeat(1_000);
        let (disk, _) = Disk::open(directory.path(), 5_000, clock(50)).unwrap();
        for number in 0..20 {
            disk.keep(key(number), &entry(&text, if number == 17 { 10 } else { 100 }));
        }
        drop(disk);
        let (disk, _) = Disk::open(directory.path(), 5_000, clock(50)).unwrap();
        let mut left = Vec::new();
        for number in 0..20 {
            if disk.find(key(number)).await.is_some() {
                left.push(number);
            }
        }
        assert!(left.ends_with(&[18, 19]) && left.len() <= 4, "{left:?}");
        drop(disk);
        let (disk, _) = Disk::open(directory.path(), 5_000, clock(1_000)).unwrap();
        disk.keep(key(99), &entry("new", 2_000));
        drop(disk);
        let (disk, _) = Disk::open(directory.path(), 5_000, clock(1_000)).unwrap();
        assert_eq!((disk.find(key(19)).await, disk.find(key(99)).await.is_some()), (None, true));
    }
}
