//! What the ledger and the cache cost: `cargo bench -p infer-store`.
//!
//! The ledger is measured in bulk on a real disk, since what counts is the share of a row in a commit. The directory is
//! the system's temporary one; set `TMPDIR` to measure another disk.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::time::{Duration, Instant, SystemTime};

use infer_core::{Usage, Usd};
use infer_store::ledger::{Dimension, Period, Query, RowCost};
use infer_store::{Clock, Ledger, LedgerConfig, LedgerRow};

/// 2025-10-09, the start of an hour.
const START: u64 = 1_759_968_000;

fn row(number: u64, second: u64, dice: &mut fastrand::Rng) -> LedgerRow {
    let at =
        SystemTime::UNIX_EPOCH + Duration::from_micros((START + second) * 1_000_000 + dice.u64(0..1_000_000));
    let (user, model) = (dice.u8(0..100), dice.u8(0..6));
    let mut row = LedgerRow::new(at, format!("model-{model}"), format!("req-1f2e3d4c5b6a7988-{number:x}"));
    row.key = Some(format!("team-{}", user % 20));
    row.user = Some(format!("user-{user}"));
    row.route = Some("chat".to_owned());
    row.provider = Some(format!("provider-{}", model % 3));
    row.served_model = Some("gpt-4o-mini-2024-07-18".to_owned());
    let (input, output) = (dice.u64(100..8_000), dice.u64(10..900));
    row.usage = Usage::new(input, output);
    row.usage.cached_input_tokens = input / 2;
    row.cost = RowCost::Priced(Usd::from_picos(u128::from(input * 150_000 + output * 600_000)));
    row.upstream_request_id = Some(format!("req_{:032x}", dice.u128(..)));
    row
}

async fn append_from_sixteen_writers() {
    const ROWS: u64 = 400_000;
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path(), LedgerConfig::default()).unwrap();
    let work: Vec<Vec<LedgerRow>> = (0..16)
        .map(|writer| {
            let mut dice = fastrand::Rng::with_seed(writer);
            (0..ROWS / 16).map(|n| row(n * 16 + writer, n * 3_600 / (ROWS / 16), &mut dice)).collect()
        })
        .collect();
    let start = Instant::now();
    let writers: Vec<_> = work
        .into_iter()
        .map(|rows| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for row in rows {
                    ledger.post(row).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    ledger.flush().await.unwrap();
    let took = start.elapsed();
    println!(
        "append, 16 writers, until all is durable: {:.2} us a row ({ROWS} rows in {took:.2?})",
        took.as_secs_f64() * 1e6 / ROWS as f64
    );

    let mut dice = fastrand::Rng::with_seed(99);
    let start = Instant::now();
    for number in 0..200 {
        ledger.append(row(number, 0, &mut dice)).await.unwrap();
    }
    println!("append, 1 writer that waits for every row: {:.2?} a row", start.elapsed() / 200);
}

/// Ten days of a million calls a day, `BENCH_ROWS` rows in all.
async fn ten_million_rows() {
    let rows: u64 = std::env::var("BENCH_ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let hand = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(START));
    let clock = {
        let hand = std::sync::Arc::clone(&hand);
        let second = move || hand.load(std::sync::atomic::Ordering::Relaxed);
        Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(second()))
    };
    let config = LedgerConfig { keep_rows: Duration::from_secs(20 * 86_400), ..LedgerConfig::default() };
    let ledger = Ledger::open_at(directory.path(), config.clone(), clock.clone()).unwrap();
    let mut dice = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    for number in 0..rows {
        let second = number * 864_000 / rows;
        hand.store(START + second, std::sync::atomic::Ordering::Relaxed);
        ledger.post(row(number, second, &mut dice)).await.unwrap();
    }
    ledger.flush().await.unwrap();
    println!("build: {rows} rows over ten days in {:.1?}", start.elapsed());
    let size = |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().len();
    println!(
        "file: {} bytes, {:.1} a row with its sums",
        size("ledger.redb"),
        size("ledger.redb") as f64 / rows as f64
    );
    for (what, query) in [
        ("all by day and model", Query::new().by_period(Period::Day).by(Dimension::Model)),
        ("all by hour", Query::new().by_period(Period::Hour)),
        (
            "all by hour, key and model",
            Query::new().by_period(Period::Hour).by(Dimension::Key).by(Dimension::Model),
        ),
        ("all by month", Query::new().by_period(Period::Month)),
        ("one key by user", Query::new().only(Dimension::Key, ["team-7"]).by(Dimension::User)),
    ] {
        let mut best = Duration::MAX;
        let mut groups = 0;
        for _ in 0..5 {
            let start = Instant::now();
            let report = ledger.query(&query).unwrap();
            best = best.min(start.elapsed());
            groups = report.groups.len();
            assert_eq!(report.total.calls > 0, rows > 0);
        }
        println!("query {what}: {best:.2?} ({groups} groups)");
    }
    ledger.close().unwrap();
    let start = Instant::now();
    let ledger = Ledger::open_at(directory.path(), config, clock).unwrap();
    println!("open after a close: {:.2?}", start.elapsed());
    ledger.close().unwrap();
    let mut database = redb::Database::open(directory.path().join("ledger.redb")).unwrap();
    let stats = database.begin_write().unwrap().stats().unwrap();
    println!("inside: {stats:?}");
    while database.compact().unwrap() {}
    println!("file after compaction: {} bytes", size("ledger.redb"));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        append_from_sixteen_writers().await;
        ten_million_rows().await;
    });
}
