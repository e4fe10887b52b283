//! What the ledger and the cache cost: `cargo bench -p infer-store`.
//!
//! The ledger is measured in bulk on a real disk, since what counts is the share of a row in a commit. The directory is
//! the system's temporary one; set `TMPDIR` to measure another disk.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::time::{Duration, Instant, SystemTime};

use infer_core::{
    Choice, Completion, ExecuteBatch, FinishKind, InferenceError, ModelRunner, RunHandle, RunnerInfo, Usage,
    Usd,
};
use infer_store::budget::{BudgetConfig, Budgets, Payer, Reserve, Spend};
use infer_store::cache::{CacheConfig, CachedRunner, ResponseCache};
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

/// A runner that must not be asked.
#[derive(Debug)]
struct Nobody(RunnerInfo);

#[async_trait::async_trait]
impl ModelRunner for Nobody {
    fn info(&self) -> &RunnerInfo {
        &self.0
    }

    async fn execute(&self, _: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        Err(InferenceError::invalid_request("asked"))
    }
}

fn answer() -> Completion {
    let mut completion = Completion::default();
    let mut choice = Choice::new(0);
    choice.text = "x".repeat(4_096);
    choice.finish = Some(FinishKind::Stop.into());
    completion.choices.push(choice);
    completion
}

/// A question and an answer of 4 KiB each, through the decorator.
async fn cache_hits() {
    const HITS: u32 = 100_000;
    let cache = ResponseCache::in_memory(CacheConfig::default(), Clock::system()).unwrap();
    let runner = CachedRunner::new(Nobody(RunnerInfo::new("test", "up")), cache.clone());
    let ask = || ExecuteBatch::new("gpt-4o-mini", "word ".repeat(820)).with_temperature(0.0);
    let key = cache.secret().key("up", None, &ask()).unwrap();
    cache.keep(key, answer(), None);
    let batch = ask();
    let start = Instant::now();
    for _ in 0..HITS {
        let run = runner.execute(batch.clone()).await.unwrap();
        assert_eq!(std::hint::black_box(run).meta().attempts, 0);
    }
    println!("cache hit, question and answer of 4 KiB, in memory: {:.2?}", start.elapsed() / HITS);

    let directory = tempfile::tempdir().unwrap();
    let config = CacheConfig { disk_bytes: 1 << 26, ..CacheConfig::default() };
    let open = || ResponseCache::open(directory.path(), config.clone(), Clock::system()).unwrap();
    let cache = open();
    let keys: Vec<_> = (0..1_000)
        .map(|number: u32| cache.secret().key("up", None, &ask().with_seed(number.into())).unwrap())
        .collect();
    for key in &keys {
        cache.keep(*key, answer(), None);
    }
    drop(cache);
    let cache = open();
    let start = Instant::now();
    let mut found = 0_u32;
    for key in &keys {
        found += u32::from(cache.find(*key).await.is_some());
    }
    println!(
        "cache hit, answer of 4 KiB, first from disk: {:.2?} ({found} of 1000)",
        start.elapsed() / 1_000
    );
}

/// Budgets of three dimensions in this process.
fn budgets_in_process() {
    const CALLS: u32 = 200_000;
    let config: BudgetConfig = serde_json::from_str(
        r#"{"limits": [{"name": "a", "every": "month", "usd": 1e9},
            {"name": "k", "per": "key", "every": "day", "usd": 1e9},
            {"name": "u", "per": "user", "every": "hour", "tokens": 1000000000000}]}"#,
    )
    .unwrap();
    let budgets = Budgets::open(&config, None, Clock::system()).unwrap();
    let mut payer = Payer::key("team-a");
    payer.user = Some("user-1".into());
    let spend = Spend::new(Usd::from_picos(1_000), 10);
    let start = Instant::now();
    for _ in 0..CALLS {
        if let Reserve::Reserved(permit) = budgets.try_reserve(payer.clone(), spend) {
            permit.settle(spend);
        }
    }
    println!("budget, reserve and settle in three accounts: {:.2?}", start.elapsed() / CALLS);
}

/// Against the server at `REDIS_URL`, one call after another; beside it what the server takes to answer at all.
#[cfg(feature = "redis")]
async fn limit_over_redis() {
    use infer_store::shared::{Cost, LimitConfig, OnOutage, Redis, RedisConfig, RedisLimit};
    let Ok(url) = std::env::var("REDIS_URL") else {
        return println!("limit over Redis: not measured, REDIS_URL is not set");
    };
    let mut config = RedisConfig::at(url);
    // A machine that is busy otherwise must not be measured by what happens without Redis.
    (config.response_timeout, config.on_outage) = (Duration::from_secs(5), OnOutage::Closed);
    let redis = Redis::new(config).unwrap();
    let requests = LimitConfig::requests(1e9, 1e9).unwrap();
    let one = RedisLimit::new(redis.clone(), "bench", requests);
    let both = RedisLimit::new(redis.clone(), "bench", requests.and(LimitConfig::tokens(1e9, 1e9).unwrap()));
    for _ in 0..3 {
        for what in ["PING", "limit of requests", "limit of requests and tokens"] {
            let mut times = Vec::new();
            for _ in 0..20_000 {
                let start = Instant::now();
                match what {
                    "PING" => redis.ping().await.unwrap(),
                    "limit of requests" => drop(one.take(Cost::REQUEST, Duration::ZERO).await.unwrap()),
                    _ => drop(both.take(Cost::new(1, 500), Duration::ZERO).await.unwrap()),
                }
                times.push(start.elapsed());
            }
            times.sort_unstable();
            let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
            println!("{what} over Redis on loopback: median {:.0?}, p99 {:.0?}", at(50), at(99));
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // As the gateway has it: calls and connections on the runtime's own threads.
    #[cfg(feature = "redis")]
    runtime.block_on(async { tokio::spawn(limit_over_redis()).await.unwrap() });
    if std::env::args().any(|word| word == "redis") {
        return;
    }
    runtime.block_on(async {
        cache_hits().await;
        budgets_in_process();
        append_from_sixteen_writers().await;
        ten_million_rows().await;
    });
}
