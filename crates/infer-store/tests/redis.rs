//! Limits, budgets and answers shared through a real Redis, which the test starts on a free port of this machine.
//!
//! Two processes: this test binary is its own child.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use infer_core::{Choice, Completion, ExecuteBatch, RequestId, Usd};
use infer_store::budget::{BudgetConfig, BudgetGate, BudgetRule, Budgets, Payer, Reserve, Spend};
use infer_store::cache::CacheSecret;
use infer_store::shared::{LimitConfig, OnOutage, Redis, RedisBudgets, RedisConfig, RedisLimit, Take};
use infer_store::{CacheConfig, Clock, ResponseCache, StoreError};

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// A Redis of its own, or `None`, said by name, where there is no `redis-server`.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port)
    }

    fn start_at(port: u16) -> Option<Self> {
        Self::start_with(port, &[])
    }

    /// A cluster of one node that has all slots, or `None` where `redis-cli` is missing too.
    fn start_cluster(directory: &Path) -> Option<Self> {
        // The bus takes the port above by 10000, which must exist.
        let listeners: Vec<_> =
            std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap()).take(50).collect();
        let mut ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port());
        let Some(port) = ports.find(|port| *port < 55_000) else {
            eprintln!("skipped: no port below 55000 is free");
            return None;
        };
        drop(listeners);
        let file = directory.join("nodes.conf");
        let server = Self::start_with(
            port,
            &["--cluster-enabled", "yes", "--cluster-config-file", file.to_str().unwrap()],
        )?;
        let ask = |words: &[&str]| {
            let asked =
                Command::new("redis-cli").args(["-p", &port.to_string(), "cluster"]).args(words).output();
            asked.map(|answer| String::from_utf8(answer.stdout).unwrap())
        };
        if ask(&["addslotsrange", "0", "16383"]).is_err() {
            eprintln!("skipped: redis-cli is not installed");
            return None;
        }
        while !ask(&["info"]).unwrap().contains("cluster_state:ok") {
            std::thread::yield_now();
        }
        Some(server)
    }

    fn start_with(port: u16, more: &[&str]) -> Option<Self> {
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("eady to accept connections")), "redis-server does not start");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, port })
    }

    fn config(&self) -> RedisConfig {
        let mut config = RedisConfig::at(format!("redis://127.0.0.1:{}", self.port));
        // Two busy cores can be slow to answer.
        config.response_timeout = Duration::from_secs(5);
        config.connect_timeout = Duration::from_secs(5);
        config.retry_after = Duration::ZERO;
        config
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn redis(&self) -> Redis {
        Redis::new(self.config()).unwrap()
    }

    /// A second process that runs `role` until its end, and what it printed.
    fn process(&self, role: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_hammers", "--nocapture"])
            .env("INFER_STORE_REDIS_PORT", self.port.to_string())
            .env("INFER_STORE_REDIS_ROLE", role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn printed(mut child: Child) -> u64 {
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    out.lines().find_map(|line| line.strip_prefix("count ")?.parse().ok()).unwrap()
}

/// So slow that nothing flows in while the test runs.
fn limit() -> LimitConfig {
    LimitConfig::new(1e-6, 500.0).unwrap()
}

fn budget(tokens: u64, timeout: Duration) -> BudgetConfig {
    let text = format!(r#"{{"name": "all", "every": "total", "tokens": {tokens}}}"#);
    let rule: BudgetRule = serde_json::from_str(&text).unwrap();
    BudgetConfig { limits: vec![rule], reservation_timeout: timeout, ..BudgetConfig::default() }
}

fn shared(redis: Redis, config: &BudgetConfig) -> RedisBudgets {
    let local = Budgets::open(config, None, Clock::system()).unwrap();
    RedisBudgets::new(redis, config, local).unwrap()
}

fn tokens(count: u64) -> Spend {
    Spend::new(Usd::ZERO, count)
}

async fn hammer_limit(redis: Redis) -> u64 {
    let limit = std::sync::Arc::new(RedisLimit::new(redis, "rpm", limit()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let limit = std::sync::Arc::clone(&limit);
            tokio::spawn(async move {
                let mut taken = 0;
                for _ in 0..100 {
                    taken += u64::from(limit.take(&RequestId::generate(), 1.0).await.unwrap() == Take::Taken);
                }
                taken
            })
        })
        .collect();
    let mut taken = 0;
    for task in tasks {
        taken += task.await.unwrap();
    }
    taken
}

/// Calls that reserve 10 and use 12; returns what was used.
async fn hammer_budget(redis: Redis) -> u64 {
    let budgets = shared(redis, &budget(2_000, Duration::from_secs(600)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let budgets = budgets.clone();
            tokio::spawn(async move {
                let mut used = 0;
                for _ in 0..40 {
                    if let Reserve::Reserved(permit) =
                        budgets.reserve(Payer::default(), tokens(10)).await.unwrap()
                    {
                        tokio::task::yield_now().await;
                        permit.settle(tokens(12));
                        used += 12;
                    }
                }
                used
            })
        })
        .collect();
    let mut used = 0;
    for task in tasks {
        used += task.await.unwrap();
    }
    used
}

#[test]
fn child_that_hammers() {
    let (Ok(port), Ok(role)) =
        (std::env::var("INFER_STORE_REDIS_PORT"), std::env::var("INFER_STORE_REDIS_ROLE"))
    else {
        return;
    };
    let mut config = RedisConfig::at(format!("redis://127.0.0.1:{port}"));
    config.response_timeout = Duration::from_secs(5);
    config.connect_timeout = Duration::from_secs(5);
    config.on_outage = OnOutage::Closed;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let count = runtime.block_on(async {
        let redis = Redis::new(config).unwrap();
        match role.as_str() {
            "limit" => hammer_limit(redis).await,
            "budget" => hammer_budget(redis).await,
            other => panic!("{other}"),
        }
    });
    println!("\ncount {count}");
}

#[test]
fn two_processes_take_from_one_limit_exactly_what_it_holds() {
    let Some(server) = Server::start() else { return };
    let children = [server.process("limit"), server.process("limit")];
    let taken: u64 = children.into_iter().map(printed).sum();
    assert_eq!(taken, 500);
}

/// At most sixteen calls are under way at a time, each using 2 more than it reserved.
#[test]
fn two_processes_overshoot_one_budget_by_no_more_than_calls_under_way_can() {
    let Some(server) = Server::start() else { return };
    let children = [server.process("budget"), server.process("budget")];
    let used: u64 = children.into_iter().map(printed).sum();
    // Settlements travel behind their calls, so what is under way includes what is settled and not yet counted.
    let under_way = 2_000 / 10 * 2;
    assert!((1_990..=2_000 + under_way).contains(&used), "{used}");
}

#[tokio::test]
async fn a_call_repeated_with_its_id_takes_once() {
    let Some(server) = Server::start() else { return };
    let limit = RedisLimit::new(server.redis(), "rpm", LimitConfig::new(1e-6, 2.0).unwrap());
    let id = RequestId::generate();
    for _ in 0..5 {
        assert_eq!(limit.take(&id, 1.0).await.unwrap(), Take::Taken);
    }
    assert_eq!(limit.take(&RequestId::generate(), 1.0).await.unwrap(), Take::Taken);
    assert!(matches!(limit.take(&RequestId::generate(), 1.0).await.unwrap(), Take::Wait(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_whose_process_died_is_returned_in_time() {
    let Some(server) = Server::start() else { return };
    let config = budget(100, Duration::from_secs(1));
    let budgets = shared(server.redis(), &config);
    let Reserve::Reserved(lost) = budgets.reserve(Payer::default(), tokens(100)).await.unwrap() else {
        panic!()
    };
    // Like a process that dies: neither settled nor returned.
    std::mem::forget(lost);
    let Reserve::Exceeded(exceeded) = budgets.reserve(Payer::default(), tokens(1)).await.unwrap() else {
        panic!()
    };
    assert_eq!(exceeded.to_string(), "budget all: 100 tokens of 100 tokens used; raise the limit to go on");
    loop {
        if let Reserve::Reserved(permit) = budgets.reserve(Payer::default(), tokens(100)).await.unwrap() {
            permit.settle(tokens(1));
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_dies_between_reserve_and_settle_leaks_nothing_and_learns_what_was_used() {
    let Some(mut server) = Server::start() else { return };
    let config = budget(100, Duration::from_secs(600));
    let budgets = shared(server.redis(), &config);
    let Reserve::Reserved(permit) = budgets.reserve(Payer::default(), tokens(60)).await.unwrap() else {
        panic!()
    };
    server.stop();
    permit.settle(tokens(70));
    // Away: this process's own account decides, and it knows of the 70.
    assert!(matches!(budgets.reserve(Payer::default(), tokens(31)).await.unwrap(), Reserve::Exceeded(_)));
    let Reserve::Reserved(held) = budgets.reserve(Payer::default(), tokens(20)).await.unwrap() else {
        panic!()
    };
    server = Server::start_at(server.port).unwrap();
    held.settle(tokens(25));
    // Another process sees, sooner or later, the 95 that were used, and that 5 are left.
    let other = shared(server.redis(), &config);
    loop {
        match other.reserve(Payer::default(), tokens(6)).await.unwrap() {
            Reserve::Exceeded(exceeded) if exceeded.used == infer_store::budget::Amount::Tokens(95) => break,
            _ => tokio::task::yield_now().await,
        }
    }
    loop {
        // The reservations of the loop above are on their way back.
        if let Reserve::Reserved(permit) = other.reserve(Payer::default(), tokens(5)).await.unwrap() {
            permit.settle(tokens(5));
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_redis_calls_are_refused_or_go_on_with_local_limits_as_configured() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for on_outage in [OnOutage::Closed, OnOutage::Local] {
        let config = RedisConfig { on_outage, ..RedisConfig::at(format!("redis://127.0.0.1:{port}")) };
        let redis = Redis::new(config).unwrap();
        let limit = RedisLimit::new(redis.clone(), "rpm", LimitConfig::new(1e-6, 1.0).unwrap());
        let budgets = shared(redis, &budget(10, Duration::from_secs(600)));
        let (take, reserve) = (
            limit.take(&RequestId::generate(), 1.0).await,
            budgets.reserve(Payer::default(), tokens(10)).await,
        );
        if on_outage == OnOutage::Closed {
            assert!(matches!(take, Err(StoreError::Redis { .. })));
            assert!(matches!(reserve, Err(StoreError::Redis { .. })));
            continue;
        }
        assert_eq!(take, Ok(Take::Taken));
        assert!(matches!(limit.take(&RequestId::generate(), 1.0).await, Ok(Take::Wait(_))));
        let Ok(Reserve::Reserved(permit)) = reserve else { panic!() };
        assert!(matches!(budgets.reserve(Payer::default(), tokens(1)).await, Ok(Reserve::Exceeded(_))));
        drop(permit);
        assert!(matches!(budgets.reserve(Payer::default(), tokens(1)).await, Ok(Reserve::Reserved(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_kept_by_one_process_is_found_by_another() {
    let Some(server) = Server::start() else { return };
    let open = || {
        let secret = CacheSecret::new([1; 32]);
        ResponseCache::with_redis(server.redis(), CacheConfig::default(), secret, Clock::system()).unwrap()
    };
    let (one, two) = (open(), open());
    let key = one.secret().key("s", None, &ExecuteBatch::new("m", "hi")).unwrap();
    let mut completion = Completion::default();
    let mut choice = Choice::new(0);
    choice.text = "hello".to_owned();
    completion.choices.push(choice);
    assert_eq!(two.find(key).await, None);
    assert!(one.keep(key, completion, None));
    loop {
        if let Some(hit) = two.find(key).await {
            assert_eq!(hit.completion.text(), "hello");
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// A cluster refuses a script whose keys are not all on one slot, even where one node has all slots.
#[tokio::test(flavor = "multi_thread")]
async fn every_script_works_on_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let Some(server) = Server::start_cluster(directory.path()) else { return };
    let mut config = server.config();
    config.cluster = vec![std::mem::take(&mut config.url)];
    config.on_outage = OnOutage::Closed;
    let redis = Redis::new(config).unwrap();
    let limit = RedisLimit::new(redis.clone(), "rpm", LimitConfig::new(1e-6, 1.0).unwrap());
    assert_eq!(limit.take(&RequestId::generate(), 1.0).await.unwrap(), Take::Taken);
    assert!(matches!(limit.take(&RequestId::generate(), 1.0).await.unwrap(), Take::Wait(_)));

    let text = r#"{"limits": [{"name": "all", "every": "total", "tokens": 100},
        {"name": "each", "per": "key", "every": "day", "usd": 1.0}]}"#;
    let config: BudgetConfig = serde_json::from_str(text).unwrap();
    let budgets = shared(redis, &config);
    let Reserve::Reserved(permit) = budgets.reserve(Payer::key("a"), tokens(60)).await.unwrap() else {
        panic!()
    };
    permit.settle(Spend::new(Usd::from_usd(1.0).unwrap(), 70));
    // Settlements and what this loop returns arrive a moment later.
    loop {
        match budgets.reserve(Payer::key("a"), tokens(0)).await.unwrap() {
            Reserve::Exceeded(exceeded) => {
                assert_eq!((&*exceeded.budget, exceeded.account.as_deref()), ("each", Some("a")));
                break;
            }
            Reserve::Reserved(_) => tokio::task::yield_now().await,
        }
    }
    assert!(matches!(budgets.reserve(Payer::key("b"), tokens(31)).await.unwrap(), Reserve::Exceeded(_)));
    assert!(matches!(budgets.reserve(Payer::key("b"), tokens(20)).await.unwrap(), Reserve::Reserved(_)));
}
