//! Several processes share budgets, limits, answers and hints through a Redis that `llm.yaml` names.
//!
//! The Redis is real and started on a free port of this machine; upstreams are simulated over real sockets. A second process
//! is this test binary as its own child, and where one process is enough, a second `Inference` stands for it.

#![cfg(all(unix, feature = "redis", feature = "openai"))]
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{ErrorKind, ExecuteBatch, InferenceError, ModelRunner as _, RunMeta};
use inference::store::Clock;
use inference::store::budget::{Amount, Balance, BudgetGate as _, Budgets, Payer, Reserve, Spend};
use inference::store::shared::{Redis, RedisBudgets};
use tokio::time::{Instant, timeout};
use upstream_sim::Sim;

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// A Redis of its own, or `None`, said by name, where there is no `redis-server`.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port)
    }

    fn start_at(port: u16) -> Option<Self> {
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
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

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The answer to a command without arguments of its own, as the server writes it.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What is left in the bucket of requests at one model; `None` while nobody took anything.
    fn requests_left(&self, provider: &str, model: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {{infer}}:limit:requests:{provider}:{model}\r\nQUIT\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        // A time and a level follow the length.
        let level = answer.strip_prefix(b"$16\r\n")?.get(8..16)?;
        Some(f64::from_le_bytes(level.try_into().unwrap()))
    }

    /// The section of the file. Two busy cores can be slow to answer.
    fn section(&self, more: &str) -> String {
        format!(
            "redis: {{url: 'redis://127.0.0.1:{}', response_timeout: 5s, connect_timeout: 5s, retry_after: 10ms{more}}}\n",
            self.port
        )
    }
}

fn provider(name: &str, sim: &Sim, more: &str) -> String {
    format!("  {name}: {{type: openai, base_url: '{}', api_key: '', max_retries: 0{more}}}\n", sim.base_url())
}

async fn started(text: &str) -> Inference {
    let source = Source::text(text.to_owned(), Format::Yaml);
    Inference::builder().with_source(source).build().await.unwrap()
}

async fn ask(inference: &Inference, batch: ExecuteBatch) -> Result<RunMeta, InferenceError> {
    let run = inference.execute(batch).await?;
    let meta = run.meta().clone();
    run.collect().await?;
    Ok(meta)
}

fn batch(model: &str) -> ExecuteBatch {
    ExecuteBatch::new(model, "Say hello")
}

/// A call that says how much it may write.
fn bounded(model: &str, most: u32) -> ExecuteBatch {
    batch(model).with_max_output_tokens(most)
}

/// What Redis knows to be used of the first budget.
async fn used(inference: &Inference) -> u128 {
    let config = inference.config();
    let local = Budgets::open(&config.budgets, None, Clock::system()).unwrap();
    let redis = Redis::new(config.redis.unwrap()).unwrap();
    let budgets = RedisBudgets::new(redis, &config.budgets, local).unwrap();
    let all = Spend::new(inference::core::Usd::ZERO, 1 << 50);
    match budgets.reserve(Payer::default(), all).await {
        Ok(Reserve::Exceeded(exceeded)) => match exceeded.used {
            Amount::Tokens(tokens) => tokens,
            Amount::Usd(usd) => panic!("{usd}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Reads what a child prints as `word number`.
fn printed(out: &str, word: &str) -> u64 {
    let found = out.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {word} in {out}"))
}

/// A process that makes 40 calls by what the file at `INFER_KIT_REDIS_FILE` says.
#[test]
fn child_that_hammers() {
    let Ok(file) = std::env::var("INFER_KIT_REDIS_FILE") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let inference = Inference::from_file(file).await.unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let inference = inference.clone();
                tokio::spawn(async move {
                    let (mut answered, mut tokens) = (0_u64, 0);
                    for _ in 0..10 {
                        let run = match inference.execute(bounded("up/gpt-4o-mini", 60)).await {
                            Ok(run) => run,
                            Err(error) => {
                                let is_ours =
                                    matches!(error.kind(), ErrorKind::QueueFull | ErrorKind::BudgetExhausted);
                                assert!(is_ours, "{error}");
                                continue;
                            }
                        };
                        let usage = run.collect().await.unwrap().usage.unwrap();
                        answered += 1;
                        tokens += usage.input_tokens + usage.output_tokens;
                    }
                    (answered, tokens)
                })
            })
            .collect();
        let (mut answered, mut tokens) = (0, 0);
        for task in tasks {
            let (calls, used) = task.await.unwrap();
            (answered, tokens) = (answered + calls, tokens + used);
        }
        inference.flush().await;
        println!("\nanswered {answered}\ntokens {tokens}");
    });
}

/// What two processes did together by this file: calls answered, and tokens used.
fn two_processes(text: &str) -> (u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("llm.yaml");
    std::fs::write(&file, text).unwrap();
    let children = [(); 2].map(|()| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_hammers", "--nocapture"])
            .env("INFER_KIT_REDIS_FILE", &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut sum = (0, 0);
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let out = String::from_utf8(output.stdout).unwrap();
        sum = (sum.0 + printed(&out, "answered"), sum.1 + printed(&out, "tokens"));
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_file_never_exceed_its_rate_limits() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    // So slow that at most one more flows in while the test runs.
    let limits = ", rate_limits: {requests_per_minute: 1, requests_burst: 25, max_wait: 0s}";
    let text =
        format!("providers:\n{}{}", provider("up", &sim, limits), server.section(", on_outage: closed"));
    let begun = Instant::now();
    let (answered, _) = tokio::task::spawn_blocking(move || two_processes(&text)).await.unwrap();
    let flowed_in = begun.elapsed().as_secs() / 60;
    assert!((25..=25 + flowed_in).contains(&answered), "{answered}");
    assert_eq!(sim.calls(), answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_file_never_exceed_its_budget() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text = format!(
        "providers:\n{}budgets: {{limits: [{{name: all, every: total, tokens: 1500}}]}}\n{}",
        provider("up", &sim, ""),
        server.section(", on_outage: closed")
    );
    let inference = started(&text).await;
    let (answered, tokens) = tokio::task::spawn_blocking(move || two_processes(&text)).await.unwrap();
    // Calls say how much they may write and use no more than is reserved, so not even calls under way overshoot.
    assert!(tokens <= 1_500 && tokens > 1_000, "{answered} calls used {tokens}");
    // Of 80 calls some were refused; none of what they used is lost.
    assert!(answered < 80 && sim.calls() == answered, "{answered}");
    assert_eq!(used(&inference).await, u128::from(tokens));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_a_shared_limit_waits_its_turn_goes_elsewhere_or_is_told_how_long() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text = format!(
        "providers:\n{}{}{}routes:\n  r: {{targets: [{{provider: slow, model: m}}, {{provider: other, model: m, priority: 2}}]}}\n{}",
        provider("slow", &sim, ", rate_limits: {requests_per_minute: 1, requests_burst: 1, max_wait: 5s}"),
        provider("quick", &sim, ", rate_limits: {requests_per_minute: 60, requests_burst: 1}"),
        provider("other", &sim, ""),
        server.section("")
    );
    let (one, two) = (started(&text).await, started(&text).await);
    assert_eq!(&*ask(&one, batch("r")).await.unwrap().provider, "slow");
    assert_eq!(&*ask(&two, batch("r")).await.unwrap().provider, "other");
    let error = ask(&two, batch("slow/m")).await.unwrap_err();
    let wait = error.retry_after().unwrap();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
    // A wait that fits is waited for; one that the caller has no time for is not.
    ask(&one, batch("quick/m")).await.unwrap();
    let begun = Instant::now();
    let late = ask(&two, batch("quick/m").with_deadline(Duration::from_millis(100))).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::QueueFull);
    ask(&two, batch("quick/m")).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(sim.calls(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_limit_is_charged_what_calls_used_and_every_attempt_they_made() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text = format!(
        "providers:\n{}{}{}",
        provider("tokens", &sim, ", rate_limits: {tokens_per_minute: 1000, max_wait: 0s}"),
        provider("up", &sim, ", rate_limits: {requests_per_minute: 1, requests_burst: 4, max_wait: 0s}")
            .replace("max_retries: 0", "retry: {attempts: 3, base: 1ms, max_delay: 10ms}"),
        server.section("")
    );
    let (one, two) = (started(&text).await, started(&text).await);
    // Each is expected to use nearly all and uses little. What it did not use comes back a moment later.
    ask(&one, bounded("tokens/gpt-4o-mini", 900)).await.unwrap();
    let again = async {
        while let Err(error) = ask(&two, bounded("tokens/gpt-4o-mini", 900)).await {
            assert_eq!(error.kind(), ErrorKind::QueueFull);
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(15), again).await.unwrap();
    // Three attempts of one call, and one call past the routes.
    ask(&one, batch("up/sim-error-500")).await.unwrap_err();
    one.provider("up").unwrap().execute(batch("sim-error-400")).await.unwrap_err();
    let charged = async {
        // A little flows in meanwhile.
        let has =
            |model, left: f64| server.requests_left("up", model).is_some_and(|level| level < left + 0.9);
        while !has("sim-error-500", 1.0) || !has("sim-error-400", 3.0) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(15), charged).await.unwrap();
    // One is left, so one call is let through, and its attempts are owed.
    assert_eq!(ask(&two, batch("up/sim-error-500")).await.unwrap_err().kind(), ErrorKind::Upstream);
    assert_eq!(ask(&two, batch("up/sim-error-500")).await.unwrap_err().kind(), ErrorKind::QueueFull);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_bought_by_one_process_are_given_by_another() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text = format!(
        "providers:\n{}cache: {{ttl: 1h}}\n{}",
        provider("up", &sim, ""),
        server.section(", secret: s")
    );
    let (one, two) = (started(&text).await, started(&text).await);
    let question = || batch("up/gpt-4o-mini").with_temperature(0.0);
    assert_eq!(ask(&one, question()).await.unwrap().attempts, 1);
    while !server.ask("DBSIZE").starts_with(":1") {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&two, question()).await.unwrap().attempts, 0);
    let other = started(&text.replace("secret: s", "secret: t")).await;
    assert_eq!(ask(&other, question()).await.unwrap().attempts, 1);
    assert_eq!(sim.calls(), 2);
    let both = text.replace("ttl: 1h", "ttl: 1h, disk_bytes: 100000000");
    let error = Inference::builder().with_source(Source::text(both, Format::Yaml)).build().await.unwrap_err();
    assert!(error.to_string().contains("cache.disk_bytes: answers are kept in redis"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_opens_in_one_process_sends_calls_of_another_elsewhere() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let breaker = ", circuit_breaker: {consecutive_failures: 1, open: 60s}";
    let text = format!(
        "providers:\n{}{}routes:\n  r: {{targets: [{{provider: a, model: m}}, {{provider: b, model: m, priority: 2}}]}}\n{}",
        provider("a", &sim, breaker),
        provider("b", &sim, ""),
        server.section("")
    );
    let (one, two) = (started(&text).await, started(&text).await);
    assert_eq!(&*ask(&two, batch("r")).await.unwrap().provider, "a");
    ask(&one, batch("a/sim-error-500")).await.unwrap_err();
    let moved = async {
        while &*ask(&two, batch("r")).await.unwrap().provider != "b" {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), moved).await.unwrap();
    // Its own breaker is closed, so where there is nobody else it is asked.
    assert_eq!(&*ask(&two, batch("a/m")).await.unwrap().provider, "a");
    assert_eq!(ask(&one, batch("a/m")).await.unwrap_err().kind(), ErrorKind::CircuitOpen);
}

const BUDGET: &str = "budgets: {limits: [{name: all, every: total, tokens: 1000}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_redis_is_away_and_what_they_used_is_counted_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text =
        format!("providers:\n{}{BUDGET}{}", provider("up", &sim, ""), server.section(", on_outage: local"));
    let inference = started(&text).await;
    ask(&inference, bounded("up/gpt-4o-mini", 60)).await.unwrap();
    inference.flush().await;
    let Amount::Tokens(first) = inference.balances().first().unwrap().spent else { panic!() };
    assert_eq!(used(&inference).await, first);

    server.stop();
    for _ in 0..3 {
        ask(&inference, bounded("up/gpt-4o-mini", 60)).await.unwrap();
    }
    // Its own account still stops it.
    let error = ask(&inference, bounded("up/gpt-4o-mini", 2_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExhausted);
    let Amount::Tokens(all) = inference.balances().first().unwrap().spent else { panic!() };
    assert!(all > first);

    let server = Server::start_at(server.port).unwrap();
    inference.flush().await;
    // This one keeps nothing on disk, so what was counted before is gone from it, and only that.
    assert_eq!(used(&inference).await, all - first);
    drop(server);
}

fn by_key(key: &str) -> ExecuteBatch {
    let mut batch = bounded("up/gpt-4o-mini", 60);
    batch.routing.key = Some(key.into());
    batch
}

/// What is spent, by budget and account.
fn spent(accounts: &[Balance]) -> BTreeMap<(String, Option<String>), u128> {
    let spent = |held: &Balance| match held.spent {
        Amount::Tokens(tokens) => tokens,
        Amount::Usd(usd) => panic!("{usd}"),
    };
    let name = |held: &Balance| (held.budget.to_string(), held.account.as_deref().map(str::to_owned));
    accounts.iter().map(|held| (name(held), spent(held))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_those_of_all_processes_and_where_redis_does_not_say_those_of_this_one_marked_so() {
    let Some(mut server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let budgets = "budgets: {limits: [{name: all, every: total, tokens: 100000}, {name: each, per: key, every: month, tokens: 5000}, {name: one, per: key, only: [b], every: day, tokens: 9000}]}\n";
    let text = format!("providers:\n{}{budgets}{}", provider("up", &sim, ""), server.section(""));
    let (one, two) = (started(&text).await, started(&text).await);
    ask(&one, by_key("a")).await.unwrap();
    for _ in 0..2 {
        ask(&two, by_key("b")).await.unwrap();
    }
    one.flush().await;
    two.flush().await;

    let (seen, also) = (one.shared_balances().await, two.shared_balances().await);
    assert!(!seen.is_partial && !also.is_partial);
    assert_eq!(spent(&seen.accounts), spent(&also.accounts));
    let all = spent(&seen.accounts);
    let of = |name: &str, account: Option<&str>| all[&(name.to_owned(), account.map(str::to_owned))];
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(of("each", Some("a")) > 0 && of("each", Some("b")) == of("one", Some("b")), "{all:?}");
    assert_eq!(of("each", Some("a")) + of("each", Some("b")), of("all", None));
    assert!(seen.accounts.iter().all(|held| held.reserved == Amount::Tokens(0)), "{seen:?}");
    let here = spent(&one.balances());
    assert!(here.len() == 2 && here.values().sum::<u128>() == 2 * of("each", Some("a")), "{here:?}");

    // Of a key that never came here, and of one that nobody knows.
    let theirs = one.shared_balances_of(&Payer::key("b")).await;
    assert_eq!(spent(&theirs.accounts).values().sum::<u128>(), of("all", None) + 2 * of("each", Some("b")));
    let nobody = spent(&one.shared_balances_of(&Payer::key("c")).await.accounts);
    assert_eq!(nobody[&("each".to_owned(), Some("c".to_owned()))], 0);

    // One that hangs is not waited for.
    let pid = server.child.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    let begun = Instant::now();
    let alone = one.shared_balances().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    signal("-CONT");
    assert!(alone.is_partial && spent(&alone.accounts) == here, "{alone:?}");
    server.stop();
    let alone = one.shared_balances_of(&Payer::key("a")).await;
    assert!(alone.is_partial && alone.accounts == one.balances_of(&Payer::key("a")), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_refused_while_redis_is_away_where_that_is_wanted() {
    let Some(mut server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let limits = ", rate_limits: {requests_per_minute: 100}";
    for more in ["", limits] {
        // Budgets alone, and limits alone.
        let budget = if more.is_empty() { BUDGET } else { "" };
        let section = server.section(", on_outage: closed");
        let inference =
            started(&format!("providers:\n{}{budget}{section}", provider("up", &sim, more))).await;
        ask(&inference, batch("up/m")).await.unwrap();
        server.stop();
        let calls = sim.calls();
        let error = ask(&inference, batch("up/m")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::Overloaded, Some(Duration::from_millis(10)))
        );
        assert!(error.to_string().contains("redis"), "{error}");
        assert_eq!(sim.calls(), calls);
        server = Server::start_at(server.port).unwrap();
        let back = async {
            while ask(&inference, batch("up/m")).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), back).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_puts_other_settings_of_redis_in_force_and_keeps_the_connection_otherwise() {
    let Some(server) = Server::start() else { return };
    let sim = Sim::builder().start().await.unwrap();
    let text = |budget: &str, more: &str| {
        format!("providers:\n{}{budget}{}", provider("up", &sim, ""), server.section(more))
    };
    let apply = async |inference: &Inference, text: &str| {
        inference.apply(&Source::text(text.to_owned(), Format::Yaml)).await
    };
    let inference = started(&text(BUDGET, "")).await;
    let call = || bounded("up/gpt-4o-mini", 60);
    ask(&inference, call()).await.unwrap();
    inference.flush().await;
    let connections = || {
        let list = server.ask("CLIENT LIST");
        list.lines().filter(|line| line.contains("cmd=eval") || line.contains("cmd=evalsha")).count()
    };
    let ids = || {
        let list = server.ask("CLIENT LIST");
        let mut ids: Vec<String> = list
            .lines()
            .filter(|line| line.contains("cmd=eval"))
            .filter_map(|line| Some(line.split("id=").nth(1)?.split(' ').next()?.to_owned()))
            .collect();
        ids.sort();
        ids
    };
    let before = ids();
    assert_eq!((before.len(), connections()), (1, 1));

    // Another budget under the same name: what was spent counts in it at once, on the same connection.
    apply(&inference, &text(&BUDGET.replace("1000", "70"), "")).await.unwrap();
    assert_eq!(ask(&inference, call()).await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    assert_eq!(ids(), before);

    // What cannot be put in force changes nothing.
    let wrong = apply(&inference, &text(BUDGET, ", ca: /nowhere/ca.pem")).await.unwrap_err().to_string();
    assert!(wrong.contains("redis.ca: has no effect without an address"), "{wrong}");
    assert_eq!(ask(&inference, call()).await.unwrap_err().kind(), ErrorKind::BudgetExhausted);

    // Another installation on the same server begins anew.
    apply(&inference, &text(BUDGET, ", prefix: other")).await.unwrap();
    assert_eq!(used(&inference).await, 0);
    ask(&inference, call()).await.unwrap();
    inference.flush().await;
    assert!(used(&inference).await > 0 && server.ask("KEYS {other}*").contains("{other}:budget:all"));

    // Without the section this process goes on alone, with what it spent itself.
    let alone = format!("providers:\n{}{BUDGET}", provider("up", &sim, ""));
    apply(&inference, &alone).await.unwrap();
    ask(&inference, call()).await.unwrap();
    let Amount::Tokens(spent) = inference.balances().first().unwrap().spent else { panic!() };
    assert!(spent > 0);
}

#[test]
fn addresses_of_redis_come_from_variables_and_show_nowhere() {
    let around: BTreeMap<String, String> =
        [("REDIS_URL".to_owned(), "redis://me:hunter2hunter2@db.example:6379/1".to_owned())].into();
    let text =
        "providers: {openai: {api_key: ''}}\nredis: {url: '${REDIS_URL}', prefix: mine, on_outage: closed}\n";
    let config = inference::Config::check(text, &around).unwrap();
    assert_eq!(config.redis.as_ref().unwrap().prefix, "mine");
    for shown in [config.show(), format!("{config:?}"), format!("{:?}", config.redis)] {
        assert!(!shown.contains("hunter2") && shown.contains("mine"), "{shown}");
    }
    let text = "providers: {openai: {api_key: ''}}\nredis: {cluster: ['redis://:hunter2hunter2@a'], sentinel: ['redis://:hunter2@b']}\n";
    let faults = inference::Config::check(text, &around).unwrap_err().to_string();
    assert!(!faults.contains("hunter2") && faults.contains("redis.sentinel: needs url"), "{faults}");
    let text = "providers: {openai: {api_key: ''}}\nredis: {cluster: ['redis://:hunter2hunter2@a'], secret: swordfish}\n";
    let shown = inference::Config::check(text, &around).unwrap().show();
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
}

#[test]
fn faults_of_the_section_are_told_with_their_places() {
    let text =
        "providers: {openai: {api_key: ''}}\nredis:\n  url: http://x\n  on_outage: maybe\n  prefx: a\n";
    let faults = inference::Config::check(text, &std::collections::BTreeMap::new()).unwrap_err().to_string();
    for part in
        ["redis.on_outage", "redis.prefx: unknown key; did you mean prefix?", "must begin with redis://"]
    {
        assert!(faults.contains(part), "{part} missing in {faults}");
    }
    let schema = inference::Config::schema().to_string();
    assert!(schema.contains("on_outage") && schema.contains("sentinel"), "{schema}");
}
