//! Several gateways of the real command that share one real Redis: keys, limits and budgets hold over all of them, and what
//! dies takes no row with it.
//!
//! Where there is no `redis-server`, the tests say so by name.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing, reason = "a test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infer_store::{Ledger, LedgerConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use upstream_sim::{Behaviour, Sim};

const PROGRAM: &str = env!("CARGO_BIN_EXE_infer");
const DEADLINE: Duration = Duration::from_secs(60);

/// A Redis that writes everything down before it answers.
struct Redis {
    child: Child,
    port: u16,
    files: TempDir,
}

impl Redis {
    /// None, said by name, where there is no `redis-server`.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let files = tempfile::tempdir().unwrap();
        let child = Self::spawn(port, files.path())?;
        Some(Self { child, port, files })
    }

    fn spawn(port: u16, files: &Path) -> Option<Child> {
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir", files.to_str().unwrap()])
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
        Some(child)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// With what it wrote down.
    fn start_again(&mut self) {
        self.child = Self::spawn(self.port, self.files.path()).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration on disk that all replicas read.
struct Setting {
    directory: TempDir,
    redis: Redis,
    sim: Sim,
}

impl Setting {
    async fn new(redis: Redis, more: &str, redis_more: &str) -> Self {
        let sim =
            Sim::builder().behaviour("said", Behaviour::Text("Seven words are in this very answer.".into()));
        let sim = sim.start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut text = String::new();
        let (url, port) = (sim.base_url(), redis.port);
        // Two busy cores can be slow to answer.
        _ = write!(
            text,
            "providers: {{ a: {{ type: openai, base_url: {url:?}, api_key: sk-upstream, retry: {{ attempts: 1 }} }} }}\n\
             routes: {{ \"*\": {{ targets: [{{ provider: a }}] }} }}\n\
             redis: {{ url: \"redis://127.0.0.1:{port}\", response_timeout: 5s, connect_timeout: 5s, retry_after: 100ms{redis_more} }}\n\
             {more}"
        );
        std::fs::write(directory.path().join("llm.yaml"), text).unwrap();
        Self { directory, redis, sim }
    }

    fn infer(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("NO_PROXY", "*").args(words);
        command.arg("--config").arg(self.directory.path().join("llm.yaml"));
        command
    }

    fn keys(&self, words: &[&str]) -> Output {
        self.infer(&[&["keys"], words].concat()).output().unwrap()
    }

    /// The secret of a new key.
    fn create(&self, words: &[&str]) -> String {
        let made = self.keys(&[&["create"], words].concat());
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    fn replica(&self) -> Replica {
        let data = tempfile::tempdir().unwrap();
        let mut command = self.infer(&["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(data.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "the gateway does not start");
        Replica { child, url: url.trim().to_owned(), data }
    }

    fn replicas(&self) -> [Replica; 3] {
        std::array::from_fn(|_| self.replica())
    }
}

/// One gateway in a process of its own.
struct Replica {
    child: Child,
    url: String,
    data: TempDir,
}

impl Replica {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has.
    fn stop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap();
    }

    /// What its ledger has of every call that was answered: the tokens by the name of the call. It must have ended.
    fn answered(&self) -> HashMap<String, u64> {
        let ledger = Ledger::open(self.data.path(), LedgerConfig::default()).unwrap();
        let mut rows = HashMap::new();
        let each = |_, row: infer_store::LedgerRow| {
            if row.outcome.as_str() == "answered" {
                let tokens = row.usage.input_tokens + row.usage.output_tokens;
                assert!(rows.insert(row.request_id.clone(), tokens).is_none(), "{} twice", row.request_id);
            }
            ControlFlow::Continue(())
        };
        ledger.rows(each).unwrap();
        rows
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> reqwest::Client {
    // Whether TLS is compiled in is not for this test to say; nothing here speaks it.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// What a call came to.
#[derive(Debug)]
struct Answer {
    status: u16,
    code: String,
    waits: bool,
    id: String,
    tokens: u64,
}

/// One call to its end; an error where the connection broke or the answer is not whole.
async fn call(
    http: &reqwest::Client,
    url: &str,
    key: Option<&str>,
    is_streamed: bool,
) -> Result<Answer, String> {
    let body = serde_json::json!({
        "model": "said",
        "stream": is_streamed,
        "stream_options": is_streamed.then(|| serde_json::json!({"include_usage": true})),
        "messages": [{"role": "user", "content": "Say something."}],
    });
    let request = http.post(format!("{url}/v1/chat/completions")).body(body.to_string());
    let request = key.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (id, waits) = (header("x-request-id").unwrap_or_default(), header("retry-after").is_some());
    let text = response.text().await.map_err(|error| error.to_string())?;
    let whole = if status == 200 && is_streamed {
        let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        let [.., last, "[DONE]"] = &events[..] else { return Err(format!("not whole: {text}")) };
        serde_json::from_str(last)
    } else {
        serde_json::from_str::<Value>(&text)
    };
    let whole = whole.map_err(|error| format!("{error}: {text}"))?;
    let code = whole["error"]["code"].as_str().unwrap_or_default().to_owned();
    Ok(Answer { status, code, waits, id, tokens: whole["usage"]["total_tokens"].as_u64().unwrap_or(0) })
}

/// Asks for the list of models until it is answered with `status`.
async fn until_status(http: &reqwest::Client, url: &str, key: &str, status: u16) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let asked = timeout(DEADLINE, async {
        loop {
            let response = http.get(format!("{url}/v1/models")).bearer_auth(key).send().await.unwrap();
            if response.status() == status {
                return;
            }
            tick.tick().await;
        }
    });
    assert!(asked.await.is_ok(), "{url} never answers {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_at_every_replica_and_their_limits_over_all_of_them() {
    let Some(redis) = Redis::start() else { return };
    let setting = Setting::new(redis, "gateway: { admission: { max_wait: 0s } }\n", "").await;
    let first = setting.create(&["first"]);
    let (http, replicas) = (client(), setting.replicas());
    let second = setting.create(&["second", "--rpm", "40"]);
    for replica in &replicas {
        assert_eq!(call(&http, &replica.url, None, false).await.unwrap().code, "invalid_api_key");
        until_status(&http, &replica.url, &first, 200).await;
        until_status(&http, &replica.url, &second, 200).await;
    }

    // Four at once and two every three seconds, whoever is asked.
    let start = Instant::now();
    let calls = (0..30).map(|nth| call(&http, &replicas[nth % 3].url, Some(&second), nth % 2 == 0));
    let answers: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let took = start.elapsed().as_secs_f64();
    let (let_in, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    let most = 4.0 + took * 40.0 / 60.0;
    assert!(let_in.len() >= 4 && f64::from(u32::try_from(let_in.len()).unwrap()) <= most, "{answers:?}");
    assert!(
        refused.iter().all(|answer| answer.status == 429 && answer.code == "rate_limited" && answer.waits)
    );
    assert_eq!(setting.sim.answered().answers, let_in.len() as u64, "who was refused reached the upstream");

    let revoked = setting.keys(&["revoke", "first"]);
    assert!(revoked.status.success(), "{revoked:?}");
    for replica in &replicas {
        until_status(&http, &replica.url, &first, 401).await;
        until_status(&http, &replica.url, &second, 200).await;
        assert!(!replica.data.path().join("keys.json").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_of_a_key_are_counted_over_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let setting = Setting::new(redis, "gateway: { admission: { max_wait: 0s } }\n", "").await;
    let key = setting.create(&["team", "--concurrency", "3"]);
    let (http, replicas) = (client(), setting.replicas());
    for replica in &replicas {
        until_status(&http, &replica.url, &key, 200).await;
    }
    // Each has begun to answer and never ends.
    let mut held = Vec::new();
    for replica in &replicas {
        let body = r#"{"model":"sim-stall","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
        let request = http.post(format!("{}/v1/chat/completions", replica.url)).body(body).bearer_auth(&key);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        held.push(response);
    }
    for replica in &replicas {
        let refused = call(&http, &replica.url, Some(&key), false).await.unwrap();
        assert_eq!((refused.status, &*refused.code, refused.waits), (429, "rate_limited", true));
    }
    held.pop();
    let let_in = timeout(DEADLINE, async {
        while call(&http, &replicas[0].url, Some(&key), false).await.unwrap().status != 200 {
            tokio::task::yield_now().await;
        }
    });
    assert!(let_in.await.is_ok(), "a call that ended leaves its place to the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_nobody_is_let_in_without_a_key_and_calls_go_on_or_not_as_configured() {
    let (Some(redis), Some(other)) = (Redis::start(), Redis::start()) else { return };
    let budget = "budgets: { limits: [{ name: all, every: total, tokens: 1000000 }] }\n";
    let mut setting = Setting::new(redis, budget, "").await;
    let mut closed = Setting::new(other, budget, ", on_outage: closed").await;
    let http = client();
    setting.redis.kill();
    // It starts without Redis, and knows no key yet.
    let replica = setting.replica();
    assert_eq!(call(&http, &replica.url, None, false).await.unwrap().status, 401);
    let listed = setting.keys(&["list"]);
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(listed.status.code() == Some(1) && said.contains("redis"), "{listed:?}");
    setting.redis.start_again();
    let key = setting.create(&["team"]);
    until_status(&http, &replica.url, &key, 200).await;
    assert_eq!(call(&http, &replica.url, Some(&key), false).await.unwrap().status, 200);
    setting.redis.kill();
    for is_streamed in [false, true] {
        let answer = call(&http, &replica.url, Some(&key), is_streamed).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    let key = closed.create(&["team"]);
    let replica = closed.replica();
    until_status(&http, &replica.url, &key, 200).await;
    closed.redis.kill();
    let calls = closed.sim.calls();
    let answer = call(&http, &replica.url, Some(&key), false).await.unwrap();
    assert!(answer.status == 503 && answer.waits, "{answer:?}");
    assert_eq!(closed.sim.calls(), calls);
}

const CALLERS: usize = 12;

/// Calls everywhere at once until nobody is let in, and holds what was spent to the bound of a budget of `limit` tokens.
async fn spend(replicas: &[Replica], key: Option<&str>, limit: u64) {
    let http = client();
    let callers = (0..CALLERS).map(|nth| {
        let (http, url) = (http.clone(), &replicas[nth % 3].url);
        async move {
            let (mut spent, mut largest) = (0, 0);
            loop {
                let answer = call(&http, url, key, nth % 2 == 0).await.unwrap();
                if answer.status != 200 {
                    assert_eq!((answer.status, &*answer.code), (429, "budget_exhausted"));
                    return (spent, largest);
                }
                spent += answer.tokens;
                largest = answer.tokens.max(largest);
            }
        }
    });
    let spent = timeout(DEADLINE, futures_util::future::join_all(callers)).await.unwrap();
    let largest = spent.iter().map(|(_, largest)| *largest).max().unwrap();
    let spent: u64 = spent.iter().map(|(spent, _)| spent).sum();
    // What a caller has in hand when the budget is reached, and what is settled but not yet known to Redis.
    let bound = limit + 2 * CALLERS as u64 * largest;
    eprintln!("a budget of {limit} tokens: {spent} spent, at most {bound}; a call takes {largest}");
    assert!(spent <= bound, "{spent} spent of {limit}, more than {bound}");
    assert!(spent + 100 * CALLERS as u64 >= limit, "refused before it was used up: {spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_all_replicas_is_overshot_by_no_more_than_what_was_under_way() {
    let Some(redis) = Redis::start() else { return };
    let budget = "budgets: { limits: [{ name: all, every: total, tokens: 3000 }] }\n";
    let setting = Setting::new(redis, budget, "").await;
    spend(&setting.replicas(), None, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_a_key_is_one_budget_over_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let setting = Setting::new(redis, "", "").await;
    let early = setting.create(&["early", "--budget", "2000tokens/month"]);
    let replicas = setting.replicas();
    // One that is made while they run counts the same.
    let late = setting.create(&["late", "--budget", "2000tokens/month"]);
    for replica in &replicas {
        until_status(&client(), &replica.url, &late, 200).await;
    }
    for key in [early, late] {
        spend(&replicas, Some(&key), 2_000).await;
    }
}

/// An answer that a caller has in hand.
struct Acknowledged {
    replica: usize,
    id: String,
    tokens: u64,
    at: Instant,
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<Acknowledged>,
    /// Calls without an answer, by replica.
    failed: Vec<(usize, String)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_redis_killed_under_load_lose_no_row_and_the_others_answer_every_call() {
    const EACH: u64 = 200;
    let Some(redis) = Redis::start() else { return };
    let budget = "budgets: { limits: [{ name: all, every: total, tokens: 100000000 }] }\n";
    let mut setting = Setting::new(redis, budget, "").await;
    let key = setting.create(&["team", "--rpm", "10000000", "--tpm", "1000000000"]);
    let mut replicas = setting.replicas();
    let http = client();
    for replica in &replicas {
        until_status(&http, &replica.url, &key, 200).await;
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (count, mut counted) = watch::channel(0_u64);
    let (stop, stopped) = watch::channel(false);
    let (count, dead) = (Arc::new(count), watch::channel(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|nth| {
            let (http, key, seen, count) = (http.clone(), key.clone(), Arc::clone(&seen), Arc::clone(&count));
            let urls: Vec<String> = replicas.iter().map(|replica| replica.url.clone()).collect();
            let (stopped, dead) = (stopped.clone(), dead.1.clone());
            tokio::spawn(async move {
                let mut turn = nth;
                while !*stopped.borrow() {
                    turn += 1;
                    // Callers notice that a replica is gone, as a load balancer does.
                    let replica = if *dead.borrow() { turn % 2 } else { turn % 3 };
                    let answer = call(&http, &urls[replica], Some(&key), turn % 4 < 2).await;
                    let mut seen = seen.lock().unwrap();
                    match answer {
                        Ok(Answer { status: 200, id, tokens, .. }) => {
                            seen.acknowledged.push(Acknowledged { replica, id, tokens, at: Instant::now() });
                            drop(seen);
                            count.send_modify(|count| *count += 1);
                        }
                        Ok(other) => seen.failed.push((replica, format!("{other:?}"))),
                        Err(error) => seen.failed.push((replica, error)),
                    }
                }
            })
        })
        .collect();
    let mut more = async |what: &str| {
        let wanted = *counted.borrow() + EACH;
        let enough = timeout(DEADLINE, counted.wait_for(|count| *count >= wanted)).await.is_ok();
        assert!(enough, "no answers {what}: {:?}", seen.lock().unwrap().failed.last());
    };
    more("at first").await;
    let killed = Instant::now();
    replicas[2].kill();
    dead.0.send(true).unwrap();
    more("after a replica was killed").await;
    setting.redis.kill();
    more("while Redis is away").await;
    setting.redis.start_again();
    more("after Redis is back").await;
    stop.send(true).unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    let [first, second, _] = &mut replicas;
    first.stop();
    second.stop();

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let survivors = seen.failed.iter().filter(|(replica, _)| *replica != 2).collect::<Vec<_>>();
    assert!(survivors.is_empty(), "{survivors:?}");
    let rows: Vec<_> = replicas.iter().map(Replica::answered).collect();
    let mut late = 0;
    for Acknowledged { replica, id, tokens, at } in &seen.acknowledged {
        match rows[*replica].get(id) {
            Some(known) => assert_eq!(known, tokens, "{id}"),
            // Rows are written behind the calls: what ended in the last moment may be with the dead.
            None if *replica == 2 && *at + Duration::from_millis(500) > killed => late += 1,
            None => panic!("{id} has no row at replica {replica}"),
        }
    }
    for (replica, rows) in rows.iter().enumerate().take(2) {
        let acknowledged = seen.acknowledged.iter().filter(|one| one.replica == replica);
        assert_eq!(rows.len(), acknowledged.clone().count());
        assert_eq!(rows.values().sum::<u64>(), acknowledged.map(|one| one.tokens).sum::<u64>());
    }
    let all = seen.acknowledged.len();
    eprintln!(
        "{all} answers; {} calls broken by the kill; {late} rows of the last moment gone",
        seen.failed.len()
    );
    let calls = setting.sim.calls();
    assert!(calls >= all as u64 && calls <= (all + seen.failed.len() + CALLERS) as u64, "{calls} for {all}");
}
