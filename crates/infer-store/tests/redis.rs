//! Limits, budgets and answers shared through a real Redis, which the test starts on a free port of this machine.
//!
//! Two processes: this test binary is its own child.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Waker};
use std::time::Duration;

use infer_core::{Choice, Completion, ExecuteBatch, Usd};
use infer_store::budget::{BudgetConfig, BudgetGate, BudgetRule, Budgets, Payer, Reserve, Spend};
use infer_store::cache::CacheSecret;
use infer_store::shared::{
    Cost, LimitConfig, OnOutage, Redis, RedisBudgets, RedisConfig, RedisHints, RedisLimit, RedisPlaces, Take,
    Taken,
};
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
        self.process_with(role, &[])
    }

    fn process_with(&self, role: &str, more: &[(&str, &Path)]) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_hammers", "--nocapture"])
            .env("INFER_STORE_REDIS_PORT", self.port.to_string())
            .env("INFER_STORE_REDIS_ROLE", role)
            .envs(more.iter().copied())
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

/// A way to where no server is.
fn nowhere(on_outage: OnOutage) -> Redis {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Redis::new(RedisConfig { on_outage, ..RedisConfig::at(format!("redis://127.0.0.1:{port}")) }).unwrap()
}

fn printed(mut child: Child) -> u64 {
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    out.lines().find_map(|line| line.strip_prefix("count ")?.parse().ok()).unwrap()
}

/// So slow that nothing flows in while the test runs.
fn limit() -> LimitConfig {
    LimitConfig::requests(1e-6, 500.0).unwrap()
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

fn is_taken(take: &Take) -> bool {
    matches!(take, Take::Taken(taken) if taken.wait.is_zero())
}

async fn take(limit: &RedisLimit, cost: Cost, max_wait: Duration) -> Result<Taken, Duration> {
    match limit.take(cost, max_wait).await.unwrap() {
        Take::Taken(taken) => Ok(taken),
        Take::Refused(wait) => Err(wait),
    }
}

async fn hammer_limit(redis: Redis) -> u64 {
    let limit = std::sync::Arc::new(RedisLimit::new(redis, "rpm", limit()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let limit = std::sync::Arc::clone(&limit);
            tokio::spawn(async move {
                let mut taken = 0;
                for _ in 0..100 {
                    taken += u64::from(is_taken(&limit.take(Cost::REQUEST, Duration::ZERO).await.unwrap()));
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

/// So short that a test can wait for its end, and so long that a busy machine renews in time.
const LEASE: Duration = Duration::from_secs(2);

/// Many at once, each holding one of three files while it holds one of three places.
async fn hammer_places(redis: Redis) -> u64 {
    let directory = std::env::var("INFER_STORE_PLACES_DIRECTORY").unwrap();
    let places = std::sync::Arc::new(RedisPlaces::new(redis, "three", 3, LEASE));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (places, directory) = (places.clone(), directory.clone());
            tokio::spawn(async move {
                let mut entered = 0;
                for _ in 0..10 {
                    let place = places.enter(Duration::from_secs(120)).await.unwrap().unwrap();
                    let files = (0..3).map(|nth| Path::new(&directory).join(nth.to_string()));
                    // One is free, unless three others hold a place.
                    let mine =
                        files.into_iter().find(|file| std::fs::File::create_new(file).is_ok()).unwrap();
                    tokio::task::yield_now().await;
                    std::fs::remove_file(mine).unwrap();
                    drop(place);
                    entered += 1;
                }
                entered
            })
        })
        .collect();
    let mut entered = 0;
    for task in tasks {
        entered += task.await.unwrap();
    }
    entered
}

/// Until it is killed.
async fn hold_a_place(redis: Redis) -> u64 {
    let _place = RedisPlaces::new(redis, "one", 1, LEASE).enter(Duration::ZERO).await.unwrap().unwrap();
    std::io::stdout().write_all(b"\nheld\n").unwrap();
    std::future::pending().await
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
            "places" => hammer_places(redis).await,
            "hold" => hold_a_place(redis).await,
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

#[test]
fn two_processes_hold_no_more_places_than_there_are() {
    let Some(server) = Server::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let child = || server.process_with("places", &[("INFER_STORE_PLACES_DIRECTORY", directory.path())]);
    let children = [child(), child()];
    let entered: u64 = children.into_iter().map(printed).sum();
    assert_eq!(entered, 160, "each came in every time");
}

#[tokio::test]
async fn a_place_stays_taken_while_its_process_lives_and_comes_back_a_lease_after_it_was_killed() {
    let Some(server) = Server::start() else { return };
    let mut child = server.process("hold");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "held"));
    let places = RedisPlaces::new(server.redis(), "one", 1, LEASE);
    assert!(places.enter(LEASE * 2).await.unwrap().is_none(), "it is renewed");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = tokio::time::Instant::now();
    let place = places.enter(LEASE * 10).await.unwrap().unwrap();
    assert!(killed.elapsed() >= LEASE / 10 && killed.elapsed() < LEASE * 2, "{:?}", killed.elapsed());
    assert!(places.enter(Duration::ZERO).await.unwrap().is_none());
    drop(place);
    assert!(places.enter(LEASE).await.unwrap().is_some(), "given back, not left to its lease");
}

#[tokio::test]
async fn calls_that_come_together_and_cannot_wait_all_find_a_place_while_there_are_some() {
    let Some(server) = Server::start() else { return };
    let places = std::sync::Arc::new(RedisPlaces::new(server.redis(), "eight", 8, LEASE));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let places = places.clone();
            tokio::spawn(async move { places.enter(Duration::ZERO).await.unwrap() })
        })
        .collect();
    let mut held = Vec::new();
    for call in calls {
        held.push(call.await.unwrap().expect("one of eight"));
    }
    assert!(places.enter(Duration::ZERO).await.unwrap().is_none());
    drop(held);
}

#[tokio::test]
async fn whoever_stops_waiting_for_a_place_holds_none() {
    let Some(server) = Server::start() else { return };
    let places = RedisPlaces::new(server.redis(), "one", 1, Duration::from_secs(3_600));
    drop(places.enter(Duration::ZERO).await.unwrap().expect("connected"));
    // Asked, and dropped before the answer came.
    for _ in 0..20 {
        let mut asking = pin!(places.enter(Duration::ZERO));
        assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let place = places.enter(Duration::from_secs(60)).await.unwrap().expect("no lease has to end");
    let others = RedisPlaces::new(server.redis(), "one", 1, Duration::from_secs(3_600));
    assert!(others.enter(Duration::ZERO).await.unwrap().is_none());
    drop(place);
    assert!(others.enter(Duration::from_secs(60)).await.unwrap().is_some());
}

#[tokio::test]
async fn places_taken_while_redis_was_away_are_counted_once_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let one = RedisPlaces::new(server.redis(), "two", 2, LEASE);
    let before = one.enter(Duration::ZERO).await.unwrap().unwrap();
    server.stop();
    let uncounted = one.enter(Duration::ZERO).await.unwrap().unwrap();
    let closed = RedisConfig { on_outage: OnOutage::Closed, ..server.config() };
    let strict = RedisPlaces::new(Redis::new(closed).unwrap(), "two", 2, LEASE);
    assert!(matches!(strict.enter(Duration::ZERO).await, Err(StoreError::Redis { .. })));
    let server = Server::start_at(server.port).unwrap();
    // The server forgot everything; the next renewal tells it of both.
    let key = format!("{{{}}}:places:two", server.config().prefix);
    let client = redis::Client::open(server.config().url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while redis::cmd("ZCARD").arg(&key).query_async::<u64>(&mut connection).await.unwrap() < 2 {
        assert!(tokio::time::Instant::now() < until, "never told");
        tokio::task::yield_now().await;
    }
    let other = RedisPlaces::new(server.redis(), "two", 2, LEASE);
    assert!(other.enter(Duration::ZERO).await.unwrap().is_none(), "both are held");
    drop((before, uncounted));
    assert!(other.enter(LEASE * 10).await.unwrap().is_some());
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

const MINUTE: Duration = Duration::from_secs(60);

/// Two requests at once and one a minute, and a hundred tokens at once and one a second.
fn both() -> LimitConfig {
    LimitConfig::requests(1.0 / 60.0, 2.0).unwrap().and(LimitConfig::tokens(1.0, 100.0).unwrap())
}

/// That a wait is `seconds`, less what flowed in while the test ran.
fn is_about(wait: Duration, seconds: u64) -> bool {
    wait <= Duration::from_secs(seconds) && wait > Duration::from_secs(seconds - 15)
}

#[tokio::test]
async fn a_call_takes_from_both_buckets_or_from_neither() {
    let Some(server) = Server::start() else { return };
    for on_outage in [OnOutage::Closed, OnOutage::Local] {
        let redis = match on_outage {
            OnOutage::Closed => server.redis(),
            // The same by this process alone.
            OnOutage::Local => nowhere(OnOutage::Local),
        };
        let limit = RedisLimit::new(redis, "m", both());
        assert!(take(&limit, Cost::new(1, 60), Duration::ZERO).await.is_ok());
        // The tokens are not there, so the request is not taken either.
        let wait = take(&limit, Cost::new(1, 80), Duration::ZERO).await.unwrap_err();
        assert!(is_about(wait, 40), "{wait:?}");
        assert!(take(&limit, Cost::new(1, 10), Duration::ZERO).await.is_ok());
        let wait = take(&limit, Cost::new(1, 1), Duration::ZERO).await.unwrap_err();
        assert!(is_about(wait, 60), "{wait:?}");
    }
}

#[tokio::test]
async fn a_call_that_may_wait_takes_its_turn_and_nobody_overtakes_it() {
    let Some(server) = Server::start() else { return };
    let limit = RedisLimit::new(server.redis(), "m", LimitConfig::tokens(1.0, 100.0).unwrap());
    let tokens = |tokens| Cost::new(1, tokens);
    assert_eq!(take(&limit, tokens(100), MINUTE).await.unwrap().wait, Duration::ZERO);
    assert!(is_about(take(&limit, tokens(30), MINUTE).await.unwrap().wait, 30));
    let second = take(&limit, tokens(30), MINUTE).await.unwrap();
    assert!(is_about(second.wait, 60));
    assert!(is_about(take(&limit, tokens(1), MINUTE).await.unwrap_err(), 61));
    // Whoever gives up its turn gives its tokens back.
    limit.settle(second, Cost::default()).await;
    assert!(is_about(take(&limit, tokens(20), MINUTE).await.unwrap().wait, 50));
    // What is larger than the bucket waits until that is full, and is charged whole.
    assert!(is_about(take(&limit, tokens(1_000), 3 * MINUTE).await.unwrap().wait, 150));
}

#[tokio::test]
async fn tokens_that_were_only_estimated_are_settled_by_those_that_were_used() {
    let Some(server) = Server::start() else { return };
    for redis in [server.redis(), nowhere(OnOutage::Local)] {
        let limit = RedisLimit::new(redis, "m", both());
        let taken = take(&limit, Cost::new(1, 80), Duration::ZERO).await.unwrap();
        limit.settle(taken, Cost::new(1, 30)).await;
        // 70 are left, and one request.
        let taken = take(&limit, Cost::new(1, 50), Duration::ZERO).await.unwrap();
        limit.settle(taken, Cost::new(0, 120)).await;
        // 50 are owed now, and the request was not sent.
        let wait = take(&limit, Cost::new(1, 10), Duration::ZERO).await.unwrap_err();
        assert!(is_about(wait, 60), "{wait:?}");
        limit.charge(Cost::new(0, 20)).await;
        let wait = take(&limit, Cost::new(1, 10), Duration::ZERO).await.unwrap_err();
        assert!(is_about(wait, 80), "{wait:?}");
    }
}

#[tokio::test]
async fn a_hint_of_one_process_reaches_another_and_ends_by_itself() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (RedisHints::new(server.redis()), RedisHints::new(server.redis()));
    assert_eq!(other.all().await.unwrap(), []);
    one.tell("openai", MINUTE).await.unwrap();
    // An earlier end does not shorten it.
    one.tell("openai", Duration::from_millis(1)).await.unwrap();
    one.tell("short", Duration::from_millis(1)).await.unwrap();
    one.tell(&"x".repeat(513), MINUTE).await.unwrap();
    loop {
        let hints = other.all().await.unwrap();
        if hints.len() > 1 {
            tokio::task::yield_now().await;
            continue;
        }
        let (name, left) = &hints[0];
        assert!(name == "openai" && is_about(*left, 60), "{hints:?}");
        break;
    }
    for number in 0..1_100 {
        one.tell(&format!("made-up-{number}"), MINUTE / 2).await.unwrap();
    }
    let hints = other.all().await.unwrap();
    assert!(hints.len() == 1_000 && hints.iter().any(|(name, _)| name == "openai"));
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_replaced_under_redis_keep_what_was_spent_under_the_same_name() {
    let Some(server) = Server::start() else { return };
    let budgets = shared(server.redis(), &budget(100, Duration::from_secs(600)));
    let Reserve::Reserved(permit) = budgets.reserve(Payer::default(), tokens(60)).await.unwrap() else {
        panic!()
    };
    budgets.replace(&budget(70, Duration::from_secs(600))).unwrap();
    assert!(matches!(budgets.reserve(Payer::default(), tokens(20)).await.unwrap(), Reserve::Exceeded(_)));
    permit.settle(tokens(50));
    budgets.charge(&Payer::default(), tokens(5));
    budgets.flush().await;
    assert!(matches!(budgets.reserve(Payer::default(), tokens(16)).await.unwrap(), Reserve::Exceeded(_)));
    let Reserve::Reserved(permit) = budgets.reserve(Payer::default(), tokens(15)).await.unwrap() else {
        panic!()
    };
    drop(permit);
    let mut wrong = budget(70, Duration::from_secs(600));
    wrong.limits[0].name = String::new();
    assert!(budgets.replace(&wrong).is_err());
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
    for on_outage in [OnOutage::Closed, OnOutage::Local] {
        let redis = nowhere(on_outage);
        let limit = RedisLimit::new(redis.clone(), "rpm", LimitConfig::requests(1e-6, 1.0).unwrap());
        let budgets = shared(redis, &budget(10, Duration::from_secs(600)));
        let (take, reserve) = (
            limit.take(Cost::REQUEST, Duration::ZERO).await,
            budgets.reserve(Payer::default(), tokens(10)).await,
        );
        if on_outage == OnOutage::Closed {
            assert!(matches!(take, Err(StoreError::Redis { .. })));
            assert!(matches!(reserve, Err(StoreError::Redis { .. })));
            continue;
        }
        assert!(is_taken(&take.unwrap()));
        assert!(matches!(limit.take(Cost::REQUEST, Duration::ZERO).await, Ok(Take::Refused(_))));
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
    let places = RedisPlaces::new(redis.clone(), "one", 1, LEASE);
    let place = places.enter(Duration::ZERO).await.unwrap().unwrap();
    assert!(places.enter(LEASE * 2).await.unwrap().is_none(), "it is renewed");
    drop(place);
    assert!(places.enter(LEASE).await.unwrap().is_some());
    let limit = RedisLimit::new(redis.clone(), "rpm", LimitConfig::requests(1e-6, 1.0).unwrap());
    assert!(is_taken(&limit.take(Cost::REQUEST, Duration::ZERO).await.unwrap()));
    assert!(take(&limit, Cost::REQUEST, Duration::ZERO).await.is_err());

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
    let told = budgets.balances().await.unwrap();
    let told: Vec<_> = told.iter().map(|held| (&*held.budget, held.account.as_deref())).collect();
    assert_eq!(told, [("all", None), ("each", Some("a"))]);
    assert!(matches!(budgets.reserve(Payer::key("b"), tokens(31)).await.unwrap(), Reserve::Exceeded(_)));
    assert!(matches!(budgets.reserve(Payer::key("b"), tokens(20)).await.unwrap(), Reserve::Reserved(_)));
}
