//! A disk that fails under the ledger, and buckets that fill up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use infer_core::{Usage, Usd};
use proptest::prelude::*;
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

#[tokio::test]
async fn a_call_has_its_place_from_before_it_begins_until_its_row_is_written() {
    let disk = Disk::default();
    let config = LedgerConfig { queue_rows: 2, max_wait: Duration::ZERO, ..LedgerConfig::default() };
    let ledger = ledger(&disk, config).unwrap();
    let (first, second) = (ledger.reserve(None).await.unwrap(), ledger.reserve(None).await.unwrap());
    assert_eq!((ledger.stats().reserved, ledger.stats().waiting), (2, 0));
    assert_eq!(ledger.offer(row(9)), Err(StoreError::QueueFull { waiting: 0 }));
    assert_eq!(ledger.reserve(None).await.unwrap_err(), StoreError::QueueFull { waiting: 0 });
    disk.0.full.store(true, Ordering::Relaxed);
    // Three rows of one call: its own, and two beyond the bound.
    (0..3).for_each(|number| first.write(row(number)));
    drop(first);
    assert_eq!((ledger.stats().reserved, ledger.stats().waiting), (1, 3));
    drop(second);
    // Of the place that is free again one of the two is paid.
    assert_eq!(ledger.reserve(None).await.unwrap_err(), StoreError::QueueFull { waiting: 3 });
    disk.0.full.store(false, Ordering::Relaxed);
    ledger.flush().await.unwrap();
    assert_eq!(ids(&ledger), ["call-0", "call-1", "call-2"]);
    let held = [ledger.reserve(None).await.unwrap(), ledger.reserve(None).await.unwrap()];
    let stats = ledger.stats();
    assert_eq!((stats.reserved, stats.waiting, stats.refused, stats.turned_away), (2, 0, 1, 2));
    drop(held);
}

#[tokio::test]
async fn a_call_waits_for_a_place_and_gets_it_when_the_disk_is_back() {
    let disk = Disk::default();
    let config =
        LedgerConfig { queue_rows: 1, max_wait: Duration::from_secs(600), ..LedgerConfig::default() };
    let ledger = ledger(&disk, config).unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    ledger.offer(row(0)).unwrap();
    let mut waiting = Box::pin(ledger.reserve(None));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    assert!(ledger.reserve(Some(Duration::ZERO)).await.is_err(), "no longer than the call's own limit");
    disk.0.full.store(false, Ordering::Relaxed);
    ledger.flush().await.unwrap();
    waiting.await.unwrap().write(row(1));
    ledger.flush().await.unwrap();
    assert_eq!(ids(&ledger), ["call-0", "call-1"]);
}

#[tokio::test]
async fn where_calls_go_on_without_a_place_a_row_is_lost_and_counted_only_if_none_came_by_their_end() {
    let disk = Disk::default();
    let config = LedgerConfig { queue_rows: 1, when_full: WhenFull::Lose, ..LedgerConfig::default() };
    let ledger = ledger(&disk, config).unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    ledger.offer(row(0)).unwrap();
    let (early, late) = (ledger.reserve(None).await.unwrap(), ledger.reserve(None).await.unwrap());
    early.write(row(1));
    disk.0.full.store(false, Ordering::Relaxed);
    ledger.flush().await.unwrap();
    late.write(row(2));
    ledger.flush().await.unwrap();
    assert_eq!(ids(&ledger), ["call-0", "call-2"]);
    assert_eq!((ledger.stats().refused, ledger.stats().turned_away), (1, 0));
}

#[tokio::test]
async fn a_row_of_a_call_that_outlives_the_ledger_is_counted_as_lost() {
    let ledger = ledger(&Disk::default(), LedgerConfig::default()).unwrap();
    let permit = ledger.reserve(None).await.unwrap();
    let other = ledger.clone();
    ledger.close().unwrap();
    permit.write(row(1));
    assert_eq!(other.stats().refused, 1);
    assert_eq!(other.reserve(None).await.unwrap_err(), StoreError::Closed);
}

#[tokio::test]
async fn models_that_nobody_has_take_no_names_and_stand_in_their_rows_as_asked_for() {
    let config = LedgerConfig { max_names: 2, ..LedgerConfig::default() };
    let ledger = ledger(&Disk::default(), config).unwrap();
    let asked = |model: &str| {
        let mut row = LedgerRow::new(hour_start(500_000), model, "r");
        row.outcome = Outcome::failed(infer_core::ErrorKind::ModelNotFound);
        row.route = Some(model.to_owned());
        row
    };
    ledger.append(row(1)).await.unwrap();
    for number in 0..20 {
        ledger.append(asked(&format!("made-up-{number}"))).await.unwrap();
    }
    ledger.append(asked("m")).await.unwrap();
    let mut known = row(2);
    known.model = "second".to_owned();
    ledger.append(known).await.unwrap();
    let models = ledger.query(&Query::new().by(Dimension::Model)).unwrap().groups;
    let calls: Vec<_> =
        models.iter().map(|group| (group.names[0].as_deref().unwrap(), group.sums.calls)).collect();
    assert_eq!(calls, [(OTHER_NAME, 20), ("m", 2), ("second", 1)]);
    let mut models = Vec::new();
    let each = |_, row: LedgerRow| {
        models.push((row.model, row.route));
        std::ops::ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    assert_eq!(models[20], ("made-up-19".to_owned(), Some("made-up-19".to_owned())));
}

#[tokio::test]
async fn what_a_call_left_behind_is_taken_beyond_the_bound() {
    let disk = Disk::default();
    let config = LedgerConfig { queue_rows: 1, max_wait: Duration::ZERO, ..LedgerConfig::default() };
    let ledger = ledger(&disk, config).unwrap();
    let call = ledger.reserve(None).await.unwrap();
    ledger.write_beyond(row(0));
    call.write(row(1));
    ledger.flush().await.unwrap();
    assert_eq!(ids(&ledger), ["call-0", "call-1"]);
    assert_eq!((ledger.stats().reserved, ledger.stats().refused), (0, 0));
    assert!(ledger.reserve(None).await.is_ok(), "what was owed is paid");
}

/// What happens in a scene.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    /// A call that began leaves this many rows and ends.
    End(prop::sample::Index, usize),
    /// The disk is full, or has room again.
    Disk(bool),
    /// The next commit reports a failure although it reached the disk.
    Lie,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        4 => (any::<prop::sample::Index>(), 0_usize..4).prop_map(|(call, rows)| Step::End(call, rows)),
        1 => any::<bool>().prop_map(Step::Disk),
        1 => Just(Step::Lie),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever calls do and whenever the disk is full: every row of every call that was given a place is written, in
    /// its order and once, and no more calls are given one than there are places.
    #[test]
    fn no_row_of_a_call_that_began_is_ever_lost(
        steps in prop::collection::vec(step(), 1..60),
        queue_rows in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let disk = Disk::default();
            let config = LedgerConfig { queue_rows, max_wait: Duration::ZERO, ..LedgerConfig::default() };
            let ledger = ledger(&disk, config).unwrap();
            let (mut calls, mut settled, mut turned_away) = (Vec::new(), 0_u64, 0);
            let end = |permit: RowPermit, rows: usize, settled: &mut u64| {
                for _ in 0..rows {
                    permit.write(row(*settled));
                    *settled += 1;
                }
            };
            for step in steps {
                match step {
                    Step::Begin => match ledger.reserve(None).await {
                        Ok(permit) => calls.push(permit),
                        Err(_) => turned_away += 1,
                    },
                    Step::End(call, rows) if !calls.is_empty() => {
                        let call = calls.swap_remove(call.index(calls.len()));
                        end(call, rows, &mut settled);
                    }
                    Step::End(..) => {}
                    Step::Disk(full) => disk.0.full.store(full, Ordering::Relaxed),
                    Step::Lie => disk.0.lies.store(true, Ordering::Relaxed),
                    Step::Flush => drop(ledger.flush().await),
                }
                assert!(calls.len() <= queue_rows);
            }
            for call in calls {
                end(call, 1, &mut settled);
            }
            disk.0.full.store(false, Ordering::Relaxed);
            disk.0.lies.store(false, Ordering::Relaxed);
            ledger.flush().await.unwrap();
            let expect: Vec<_> = (0..settled).map(|number| format!("call-{number}")).collect();
            assert_eq!(ids(&ledger), expect);
            let total = ledger.query(&Query::new()).unwrap().total;
            assert_eq!(total.calls, settled);
            assert_eq!(total.cost, Usd::from_picos((0..u128::from(settled)).sum()));
            let stats = ledger.stats();
            assert_eq!((stats.written, stats.waiting, stats.reserved), (settled, 0, 0));
            assert_eq!((stats.refused, stats.failed, stats.turned_away), (0, 0, turned_away));
        });
    }
}

#[test]
fn calls_on_many_threads_with_few_places_lose_no_row() {
    let config =
        LedgerConfig { queue_rows: 3, max_wait: Duration::from_secs(600), ..LedgerConfig::default() };
    let ledger = ledger(&Disk::default(), config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for call in 0..200 {
                        let permit = ledger.reserve(None).await.unwrap();
                        (0..=call % 3).for_each(|_| permit.write(row(thread)));
                    }
                });
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.flush()).unwrap();
    let rows: u64 = (0..200).map(|call| 1 + call % 3).sum();
    assert_eq!(ids_count(&ledger), 8 * rows);
    assert_eq!((ledger.stats().reserved, ledger.stats().waiting, ledger.stats().refused), (0, 0, 0));
}

fn ids_count(ledger: &Ledger) -> u64 {
    let mut count = 0;
    let each = |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    count
}
