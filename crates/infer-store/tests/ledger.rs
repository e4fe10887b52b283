//! The ledger against a slow model, through its public face and on a real disk.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use infer_core::{ErrorKind, Usage, Usd};
use infer_store::ledger::{Dimension, Outcome, Period, Query, RowCost, Sums};
use infer_store::{Clock, Ledger, LedgerConfig, LedgerRow, StoreError};
use proptest::prelude::*;

/// 2024-02-28T00:00:00Z: two days later a month ends on a leap day.
const START: u64 = 1_709_078_400;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A clock that tests move.
#[derive(Clone, Debug)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn new(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    fn clock(&self) -> Clock {
        let hand = Arc::clone(&self.0);
        Clock::new(move || at(hand.load(Ordering::Relaxed)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

fn named(row: &LedgerRow, dimension: Dimension) -> Option<String> {
    match dimension {
        Dimension::Route => row.route.clone(),
        Dimension::Provider => row.provider.clone(),
        Dimension::Model => Some(row.model.clone()),
        Dimension::Key => row.key.clone(),
        Dimension::User => row.user.clone(),
        _ => row.tag.clone(),
    }
}

fn start_of(at: SystemTime, period: Period) -> SystemTime {
    let zoned = jiff::Timestamp::try_from(at).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let start = match period {
        Period::Hour => {
            zoned.round(jiff::ZonedRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc))
        }
        Period::Day => zoned.start_of_day(),
        Period::Month => zoned.first_of_month().and_then(|first| first.start_of_day()),
    };
    start.unwrap().timestamp().into()
}

type Groups = BTreeMap<(Option<SystemTime>, Vec<Option<String>>), Sums>;

/// The groups of a question, worked out row by row.
fn model(rows: &[LedgerRow], query: &Query) -> Groups {
    let mut groups = Groups::new();
    for row in rows {
        let inside = query.from.is_none_or(|from| row.at >= from) && query.to.is_none_or(|to| row.at < to);
        let fits = query
            .only
            .iter()
            .all(|(dimension, names)| named(row, *dimension).is_some_and(|name| names.contains(&name)));
        if inside && fits {
            let names = query.by.iter().map(|dimension| named(row, *dimension)).collect();
            let start = query.period.map(|period| start_of(row.at, period));
            groups.entry((start, names)).or_default().add(&Sums::of(row));
        }
    }
    groups
}

fn answer(ledger: &Ledger, query: &Query) -> Groups {
    let report = ledger.query(query).unwrap();
    let mut total = Sums::default();
    let mut groups = Groups::new();
    for group in report.groups {
        total.add(&group.sums);
        let names = group.names.iter().map(|name| name.as_deref().map(str::to_owned)).collect();
        groups.insert((group.start, names), group.sums);
    }
    assert_eq!(report.total, total);
    groups
}

prop_compose! {
    fn row()(
        second in 0_u64..5 * 86_400,
        names in proptest::collection::vec(0_u8..4, 6),
        tokens in (0_u64..1 << 40, 0_u64..1 << 40),
        cost in prop_oneof![
            any::<u64>().prop_map(|picos| RowCost::Priced(Usd::from_picos(u128::from(picos) << 20))),
            Just(RowCost::Unpriced("no price".to_owned())),
            Just(RowCost::Nothing),
        ],
        outcome in prop_oneof![
            Just(Outcome::Answered),
            Just(Outcome::Cached),
            Just(Outcome::Left),
            Just(Outcome::failed(ErrorKind::Timeout)),
        ],
        estimated: bool,
    ) -> LedgerRow {
        let name = |place: usize| (names[place] > 0).then(|| format!("n{}", names[place]));
        let mut row = LedgerRow::new(at(START + second), format!("m{}", names[0]), format!("call-{second}"));
        (row.route, row.provider, row.key) = (name(1), name(2), name(3));
        (row.user, row.tag) = (name(4), name(5));
        row.usage = Usage::new(tokens.0, tokens.1);
        (row.cost, row.outcome, row.estimated) = (cost, outcome, estimated);
        row
    }
}

fn dimension() -> impl Strategy<Value = Dimension> {
    proptest::sample::select(Dimension::ALL.to_vec())
}

fn period() -> impl Strategy<Value = Option<Period>> {
    proptest::sample::select(vec![None, Some(Period::Hour), Some(Period::Day), Some(Period::Month)])
}

prop_compose! {
    fn query()(
        from in proptest::option::of(0_u64..120),
        hours in proptest::option::of(0_u64..120),
        period in period(),
        by in proptest::collection::btree_set(dimension(), 0..4),
        only in proptest::collection::vec((dimension(), proptest::collection::vec("[nm][0-4]", 1..3)), 0..2),
    ) -> Query {
        let mut query = Query::new();
        query.from = from.map(|hour| at(START + hour * 3_600));
        query.to = hours.map(|hours| at(START + (from.unwrap_or(0) + hours) * 3_600));
        (query.period, query.by, query.only) = (period, by.into_iter().collect(), only);
        query
    }
}

fn all_rows(ledger: &Ledger) -> Vec<(u64, LedgerRow)> {
    let mut rows = Vec::new();
    ledger
        .rows(|sequence, row| {
            rows.push((sequence, row));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is asked, the sums are those of a fold over the rows, however late or early rows come, wherever the
    /// clock stands when buckets are put away, and across restarts.
    #[test]
    fn a_query_gives_what_filtering_and_folding_all_rows_gives(
        groups in proptest::collection::vec(
            (proptest::collection::vec(row(), 1..25), 0_u64..6 * 86_400, any::<bool>()), 1..6),
        queries in proptest::collection::vec(query(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let hand = Hand::new(START);
        // Longer than the clock runs: rows that were forgotten are another test's.
        let config = LedgerConfig { keep_rows: Duration::from_secs(30 * 86_400), ..LedgerConfig::default() };
        let open = || Ledger::open_at(directory.path(), config.clone(), hand.clock()).unwrap();
        let mut ledger = open();
        let mut all = Vec::new();
        for (rows, clock, reopens) in groups {
            hand.set(START + clock);
            runtime.block_on(async {
                for row in &rows {
                    ledger.post(row.clone()).await.unwrap();
                }
                ledger.flush().await.unwrap();
            });
            all.extend(rows);
            if reopens {
                ledger.close().unwrap();
                ledger = open();
            }
        }
        for query in &queries {
            prop_assert_eq!(answer(&ledger, query), model(&all, query));
        }
        prop_assert_eq!(all_rows(&ledger), (0..).zip(all).collect::<Vec<_>>());
    }
}

fn priced(second: u64, picos: u128) -> LedgerRow {
    let mut row = LedgerRow::new(at(second), "m", "call");
    row.cost = RowCost::Priced(Usd::from_picos(picos));
    row
}

#[tokio::test]
async fn old_rows_and_old_hours_go_and_every_sum_by_day_stays() {
    let directory = tempfile::tempdir().unwrap();
    let hand = Hand::new(START);
    let config = LedgerConfig {
        keep_rows: Duration::from_secs(2 * 86_400),
        keep_hours: Duration::from_secs(3 * 86_400),
        ..LedgerConfig::default()
    };
    let ledger = Ledger::open_at(directory.path(), config.clone(), hand.clock()).unwrap();
    for hour in 0..24 * 10 {
        hand.set(START + hour * 3_600);
        ledger.append(priced(START + hour * 3_600, 1 << hour.min(100))).await.unwrap();
    }
    let total: u128 = (0_u64..240).map(|hour| 1_u128 << hour.min(100)).sum();
    assert_eq!(ledger.query(&Query::new()).unwrap().total.cost.picos(), total);
    let days = ledger.query(&Query::new().by_period(Period::Day)).unwrap();
    assert_eq!(days.groups.len(), 10);
    assert!(days.groups.iter().all(|group| group.sums.calls == 24));
    let hours = ledger.query(&Query::new().by_period(Period::Hour)).unwrap();
    assert_eq!(hours.covers.start, at(START + 6 * 86_400));
    assert_eq!(hours.groups.len(), 4 * 24);
    assert_eq!(ledger.hours_kept_from(), hours.covers.start);
    // Of a day that is no longer kept by the hour the whole day is counted, and the answer says so.
    let noon = ledger.query(&Query::new().between(at(START + 43_200), at(START + 46_800))).unwrap();
    assert_eq!((noon.covers, noon.total.calls), (at(START)..at(START + 86_400), 24));
    let kept = all_rows(&ledger);
    let (first, last) = (kept[0].0, kept[kept.len() - 1].0);
    assert!(first >= 100 && last == 239 && kept.len() >= 48, "{first}..={last}");
    ledger.close().unwrap();

    // With all rows gone, numbers still go on.
    hand.set(START + 86_400 * 100);
    let ledger = Ledger::open_at(directory.path(), config, hand.clock()).unwrap();
    ledger.append(priced(START + 86_400 * 100, 1)).await.unwrap();
    assert_eq!(all_rows(&ledger).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [240]);
    assert_eq!(ledger.query(&Query::new()).unwrap().total.cost.picos(), total + 1);
}

#[tokio::test]
async fn a_clock_that_steps_back_changes_neither_the_order_of_rows_nor_any_sum() {
    let directory = tempfile::tempdir().unwrap();
    let hand = Hand::new(START + 86_400);
    let ledger = Ledger::open_at(directory.path(), LedgerConfig::default(), hand.clock()).unwrap();
    for (number, second) in [86_400, 90_000, 10, 3_600 * 30, 0].into_iter().enumerate() {
        hand.set(START + second);
        let mut row = priced(START + second, 1);
        row.request_id = format!("call-{number}");
        ledger.append(row).await.unwrap();
    }
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
    ledger.append(LedgerRow::new(before, "m", "call-5")).await.unwrap();
    let ids: Vec<String> = all_rows(&ledger).into_iter().map(|(_, row)| row.request_id).collect();
    assert_eq!(ids, ["call-0", "call-1", "call-2", "call-3", "call-4", "call-5"]);
    assert_eq!(ledger.query(&Query::new()).unwrap().total.calls, 6);
    let days = ledger.query(&Query::new().by_period(Period::Day)).unwrap();
    let calls: Vec<u64> = days.groups.iter().map(|group| group.sums.calls).collect();
    assert_eq!(calls, [1, 2, 3]);
}

#[tokio::test]
async fn rows_are_exported_as_lines_of_json_with_every_digit() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path(), LedgerConfig::default()).unwrap();
    let mut row = priced(START, 1_500_001);
    row.key = Some("team-a".to_owned());
    row.usage = Usage::new(7, 3);
    ledger.append(row).await.unwrap();
    let mut row = LedgerRow::new(at(START + 60), "m", "call-2");
    row.cost = RowCost::Unpriced("m has no price".to_owned());
    ledger.append(row).await.unwrap();
    let mut out = Vec::new();
    assert_eq!(ledger.export(&mut out, None, Some(at(START + 60))).unwrap(), 1);
    let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let expect = serde_json::json!({
        "sequence": 0, "at": "2024-02-28T00:00:00Z", "outcome": "answered", "key": "team-a", "model": "m",
        "input_tokens": 7, "output_tokens": 3, "cached_input_tokens": 0, "cache_write_tokens": 0,
        "reasoning_tokens": 0, "cost_usd": "0.000001500001", "estimated": false, "request_id": "call",
    });
    assert_eq!(line, expect);
    out.clear();
    assert_eq!(ledger.export(&mut out, Some(at(START + 60)), None).unwrap(), 1);
    let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["unpriced"], "m has no price");
    assert!(line.get("cost_usd").is_none(), "unpriced is not free");
}

fn refusal(directory: &Path) -> StoreError {
    Ledger::open(directory, LedgerConfig::default()).unwrap_err()
}

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path(), LedgerConfig::default()).unwrap();
    ledger.append(priced(START, 1)).await.unwrap();
    assert_eq!(refusal(directory.path()), StoreError::Locked { path: directory.path().to_owned() });
    ledger.append(priced(START, 2)).await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(directory.path(), LedgerConfig::default()).unwrap();
    assert_eq!(ledger.query(&Query::new()).unwrap().total.cost.picos(), 3);
}

#[test]
fn a_file_where_the_directory_should_be_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data");
    std::fs::write(&file, "mine").unwrap();
    assert_eq!(refusal(&file), StoreError::NotADirectory { path: file.clone() });
    assert!(matches!(refusal(&file.join("deeper")), StoreError::NotADirectory { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(directory.path().join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write anywhere, so no directory is read-only to it");
        return;
    }
    assert!(matches!(refusal(directory.path()), StoreError::ReadOnly { .. }));
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger.redb");
    std::fs::write(&file, "certainly no database".repeat(1_000)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_by_its_number_and_left_alone() {
    use redb::ReadableDatabase as _;
    let directory = tempfile::tempdir().unwrap();
    drop(Ledger::open(directory.path(), LedgerConfig::default()).unwrap());
    let file = directory.path().join("ledger.redb");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    {
        let database = redb::Database::open(&file).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(meta).unwrap().insert("format", 9).unwrap();
        write.commit().unwrap();
    }
    let error = refusal(directory.path());
    assert_eq!(error, StoreError::Newer { path: file.clone(), found: 9, known: 1 });
    assert!(error.to_string().contains("upgrade"));
    let database = redb::Database::open(&file).unwrap();
    let read = database.begin_read().unwrap();
    assert_eq!(read.open_table(meta).unwrap().get("format").unwrap().unwrap().value(), 9);
}

#[test]
fn a_configuration_that_is_wrong_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let config = LedgerConfig { queue_rows: 0, ..LedgerConfig::default() };
    let path = directory.path().join("data");
    assert!(matches!(Ledger::open(&path, config), Err(StoreError::Config { .. })));
    assert!(!path.exists());
}
