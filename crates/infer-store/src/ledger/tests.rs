//! A disk that fails under the ledger, and buckets that fill up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use infer_core::{Usage, Usd};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;
use crate::clock::hour_start;

/// One disk, kept while files on it are closed and opened; it can be full.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Platter>);

#[derive(Debug, Default)]
struct Platter {
    bytes: InMemoryBackend,
    full: AtomicBool,
    /// Whether the sync that ends a commit reports a failure although everything was written.
    lies: AtomicBool,
    syncs: AtomicU64,
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.fails()?;
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.fails()?;
        if self.0.lies.swap(false, Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.fails()?;
        self.0.bytes.write(offset, data)
    }
}

impl Platter {
    fn fails(&self) -> Result<(), io::Error> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

fn ledger(disk: &Disk, config: LedgerConfig) -> Result<Ledger, StoreError> {
    let disk = disk.clone();
    let open: OpenDatabase = Box::new(move || redb::Database::builder().create_with_backend(disk.clone()));
    Ledger::start(Path::new("/disk"), None, open, config, Clock::new(|| hour_start(500_000)))
}

fn row(number: u64) -> LedgerRow {
    let mut row = LedgerRow::new(hour_start(500_000), "m", format!("call-{number}"));
    row.usage = Usage::new(number, 1);
    row.cost = RowCost::Priced(Usd::from_picos(u128::from(number)));
    row
}

fn ids(ledger: &Ledger) -> Vec<String> {
    let mut ids = Vec::new();
    ledger
        .rows(|sequence, row| {
            assert_eq!(sequence, ids.len() as u64);
            ids.push(row.request_id);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    ids
}

#[tokio::test]
async fn a_full_disk_refuses_rows_by_name_keeps_the_others_and_loses_none_that_was_posted() {
    let disk = Disk::default();
    let ledger = ledger(&disk, LedgerConfig::default()).unwrap();
    ledger.append(row(1)).await.unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    let refused = ledger.append(row(2)).await.unwrap_err();
    assert_eq!(refused, StoreError::Full { path: "/disk".into() });
    ledger.post(row(3)).await.unwrap();
    assert!(ledger.flush().await.is_err());
    assert_eq!(ledger.stats().waiting, 1, "what was posted keeps its place");
    disk.0.full.store(false, Ordering::Relaxed);
    ledger.append(row(4)).await.unwrap();
    assert_eq!(ids(&ledger), ["call-1", "call-3", "call-4"]);
    assert_eq!(ledger.query(&Query::new()).unwrap().total.cost, Usd::from_picos(1 + 3 + 4));
    let stats = ledger.stats();
    assert_eq!((stats.written, stats.failed, stats.waiting), (3, 1, 0));
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_one_clear_error() {
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::Relaxed);
    let error = ledger(&disk, LedgerConfig::default()).unwrap_err();
    assert_eq!(error, StoreError::Full { path: "/disk".into() });
}

/// The last sync of a commit can fail after everything has reached the disk. Writing the rows again would count them
/// twice, and calling them lost would be wrong.
#[tokio::test]
async fn a_commit_that_reached_the_disk_although_it_failed_is_neither_repeated_nor_called_lost() {
    for skipped in 0..2 {
        let disk = Disk::default();
        let ledger = ledger(&disk, LedgerConfig::default()).unwrap();
        ledger.append(row(1)).await.unwrap();
        let before = disk.0.syncs.load(Ordering::Relaxed);
        disk.0.lies.store(true, Ordering::Relaxed);
        let said = if skipped == 0 {
            ledger.append(row(2)).await
        } else {
            ledger.post(row(2)).await.unwrap();
            ledger.flush().await
        };
        assert!(disk.0.syncs.load(Ordering::Relaxed) > before);
        ledger.append(row(3)).await.unwrap();
        let ids = ids(&ledger);
        let expect: &[&str] = if said.is_ok() || skipped == 1 {
            &["call-1", "call-2", "call-3"]
        } else {
            &["call-1", "call-3"]
        };
        assert_eq!(ids, expect, "said {said:?}");
        assert_eq!(ledger.query(&Query::new()).unwrap().total.calls, ids.len() as u64);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_what_cannot_wait_and_counts_it() {
    let disk = Disk::default();
    disk.0.full.store(false, Ordering::Relaxed);
    let ledger = ledger(&disk, LedgerConfig { queue_rows: 2, ..LedgerConfig::default() }).unwrap();
    ledger.append(row(0)).await.unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    ledger.offer(row(1)).unwrap();
    ledger.offer(row(2)).unwrap();
    assert_eq!(ledger.offer(row(3)), Err(StoreError::QueueFull { waiting: 2 }));
    assert!(tokio::time::timeout(Duration::ZERO, ledger.post(row(4))).await.is_err(), "callers wait");
    assert_eq!(ledger.stats().refused, 1);
    disk.0.full.store(false, Ordering::Relaxed);
    ledger.flush().await.ok();
    ledger.post(row(5)).await.unwrap();
    let other = ledger.clone();
    ledger.close().unwrap();
    assert_eq!(other.post(row(6)).await, Err(StoreError::Closed));
    let again = super::tests::ledger(&disk, LedgerConfig::default()).unwrap();
    assert_eq!(ids(&again), ["call-0", "call-1", "call-2", "call-5"]);
}

#[tokio::test]
async fn callers_who_invent_names_cannot_grow_an_hour_and_every_sum_stays_exact() {
    let config = LedgerConfig { max_groups_per_hour: 10, max_groups_per_day: 20, ..LedgerConfig::default() };
    let ledger = ledger(&Disk::default(), config).unwrap();
    for number in 0..200 {
        let mut row = row(number);
        row.user = Some(format!("user-{number}"));
        row.model = format!("model-{}", number % 50);
        ledger.post(row).await.unwrap();
    }
    ledger.flush().await.unwrap();
    let report =
        ledger.query(&Query::new().by_period(Period::Hour).by(Dimension::User).by(Dimension::Model)).unwrap();
    assert!(report.groups.len() <= 11, "{}", report.groups.len());
    assert_eq!(report.total.cost, Usd::from_picos((0..200).sum()));
    let other = report.groups.iter().find(|group| group.names[0].as_deref() == Some(OTHER_NAME)).unwrap();
    assert_eq!(other.sums.calls, 190);
}

#[tokio::test]
async fn limits_that_change_at_work_hold_from_the_next_row_on_and_fixed_ones_are_refused() {
    let config = LedgerConfig { max_groups_per_hour: 3, ..LedgerConfig::default() };
    let ledger = ledger(&Disk::default(), config.clone()).unwrap();
    let users = async |from: u64| {
        for number in from..from + 10 {
            let mut row = row(number);
            row.user = Some(format!("user-{number}"));
            ledger.post(row).await.unwrap();
        }
        ledger.flush().await.unwrap();
        let by_user = Query::new().by_period(Period::Hour).by(Dimension::User);
        ledger.query(&by_user).unwrap().groups.len()
    };
    let few = users(0).await;
    assert!((1..=4).contains(&few), "{few}");
    let more = LedgerConfig { max_groups_per_hour: 1_000, ..config.clone() };
    ledger.replace(&more).unwrap();
    assert_eq!(ledger.config(), more);
    assert_eq!(users(10).await, few + 10);
    for (wrong, says) in [
        (LedgerConfig { queue_rows: 7, ..more.clone() }, "ledger.queue_rows: is fixed"),
        (LedgerConfig { cache_bytes: 7, ..more.clone() }, "ledger.cache_bytes: is fixed"),
        (LedgerConfig { max_groups_per_day: 0, ..more.clone() }, "ledger.max_groups_per_day: must be from 1"),
    ] {
        let error = ledger.replace(&wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(ledger.config(), more);
}
