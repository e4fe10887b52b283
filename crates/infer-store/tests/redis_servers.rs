//! Servers of every kind: behind TLS, in a cluster of three, and behind a Sentinel that makes a copy the server. All of them
//! are real and started on free ports of this machine.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::panic, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use infer_store::budget::{BudgetConfig, BudgetGate, Budgets, Payer, Reserve, Spend};
use infer_store::shared::{
    Cost, LimitConfig, OnOutage, Redis, RedisBudgets, RedisConfig, RedisHints, RedisLimit, Take,
};
use infer_store::{Clock, StoreError};

/// The most that anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    port: u16,
    /// What it says from its start on.
    said: Receiver<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// A server with these arguments, or `None`, said by name, where there is no `redis-server`.
    fn start(port: u16, arguments: &[&str], ready: &str) -> Option<Self> {
        let spawned =
            Command::new("redis-server").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (say, said) = mpsc::channel();
        // On a thread, so that what nobody waits for does not fill the pipe.
        std::thread::spawn(move || lines.for_each(|line| _ = say.send(line)));
        let server = Self { child, port, said };
        server.until(ready);
        Some(server)
    }

    /// Waits until it says `words`.
    fn until(&self, words: &str) {
        while !self.said.recv_timeout(DEADLINE).expect(words).contains(words) {}
    }

    /// Keeps its files, which it writes to make a copy, in `directory`.
    fn plain(port: u16, directory: &Path, more: &[&str]) -> Option<Self> {
        let port_text = port.to_string();
        let mut arguments =
            vec!["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        // A copy is made at once instead of after a wait for others that may want one too.
        arguments.extend(["--repl-diskless-sync-delay", "0"]);
        arguments.extend(["--dir", directory.to_str().unwrap()]);
        arguments.extend(more);
        Self::start(port, &arguments, "eady to accept connections")
    }

    fn cli(&self, words: &[&str]) -> String {
        let asked = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output();
        String::from_utf8(asked.unwrap().stdout).unwrap()
    }

    /// What it says of itself as one who copies or is copied.
    fn replication(&self, field: &str) -> Option<String> {
        let told = self.cli(&["info", "replication"]);
        let mut fields = told.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| *name == field).map(|(_, value)| value.trim().to_owned())
    }
}

/// Ports that nobody uses, low enough for the ports of a cluster's bus above them.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> =
        std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap()).take(100).collect();
    let ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port());
    let ports: Vec<u16> = ports.filter(|port| *port < 55_000).take(count).collect();
    assert_eq!(ports.len(), count, "no ports below 55000 are free");
    ports
}

/// Whether a program is there; said by name where it is not.
fn has(program: &str, question: &str) -> bool {
    let is_there = Command::new(program).arg(question).output().is_ok();
    if !is_there {
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

fn patient(config: RedisConfig) -> RedisConfig {
    let (response_timeout, connect_timeout) = (Duration::from_secs(5), Duration::from_secs(5));
    RedisConfig {
        response_timeout,
        connect_timeout,
        retry_after: Duration::ZERO,
        on_outage: OnOutage::Closed,
        ..config
    }
}

fn tokens(count: u64) -> Spend {
    Spend::new(infer_core::Usd::ZERO, count)
}

fn budgets(redis: &Redis) -> RedisBudgets {
    let text = r#"{"limits": [{"name": "all", "every": "total", "tokens": 100}]}"#;
    let config: BudgetConfig = serde_json::from_str(text).unwrap();
    let local = Budgets::open(&config, None, Clock::system()).unwrap();
    RedisBudgets::new(redis.clone(), &config, local).unwrap()
}

/// Everything that is shared works there.
async fn check(redis: &Redis) {
    redis.ping().await.unwrap();
    let limit = RedisLimit::new(redis.clone(), "m", LimitConfig::requests(1e-6, 1.0).unwrap());
    let Take::Taken(taken) = limit.take(Cost::REQUEST, Duration::ZERO).await.unwrap() else { panic!() };
    assert!(matches!(limit.take(Cost::REQUEST, Duration::ZERO).await.unwrap(), Take::Refused(_)));
    limit.settle(taken, Cost::default()).await;
    assert!(matches!(limit.take(Cost::REQUEST, Duration::ZERO).await.unwrap(), Take::Taken(_)));

    let budgets = budgets(redis);
    let Reserve::Reserved(permit) = budgets.reserve(Payer::default(), tokens(60)).await.unwrap() else {
        panic!()
    };
    assert!(matches!(budgets.reserve(Payer::default(), tokens(41)).await.unwrap(), Reserve::Exceeded(_)));
    permit.settle(tokens(50));
    budgets.flush().await;
    assert!(matches!(budgets.reserve(Payer::default(), tokens(51)).await.unwrap(), Reserve::Exceeded(_)));

    let hints = RedisHints::new(redis.clone());
    hints.tell("openai", Duration::from_secs(60)).await.unwrap();
    assert_eq!(hints.all().await.unwrap().len(), 1);
}

fn openssl(directory: &Path, words: &str) {
    let made = Command::new("openssl").args(words.split(' ')).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_reached_with_its_authority_and_not_without() {
    if !has("openssl", "version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let ca = "-addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem";
    openssl(directory.path(), &format!("req -x509 {key} -days 2 -subj /CN=authority {ca}"));
    openssl(directory.path(), &format!("req {key} -subj /CN=server -keyout server.key -out server.csr"));
    std::fs::write(at("san"), "subjectAltName=IP:127.0.0.1").unwrap();
    let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out server.pem";
    openssl(directory.path(), &format!("x509 -req -in server.csr -days 2 {sign}"));

    let port = free_ports(1)[0];
    let (tls_port, files) = (port.to_string(), [at("server.pem"), at("server.key"), at("ca.pem")]);
    let [certificate, key, ca] = &files;
    let arguments = [
        ["--port", "0"],
        ["--tls-port", &tls_port],
        ["--tls-cert-file", certificate],
        ["--tls-key-file", key],
        ["--tls-ca-cert-file", ca],
        ["--tls-auth-clients", "no"],
        ["--save", ""],
        ["--requirepass", "hunter2"],
    ];
    let Some(_server) = Server::start(port, arguments.as_flattened(), "eady to accept connections") else {
        return;
    };
    let url = format!("rediss://:hunter2@127.0.0.1:{port}");
    let config = patient(RedisConfig { ca: Some(ca.into()), ..RedisConfig::at(&url) });
    check(&Redis::new(config.clone()).unwrap()).await;

    // The system does not know this authority, and the password is in no message.
    let error = Redis::new(patient(RedisConfig::at(&url))).unwrap().ping().await.unwrap_err();
    assert!(matches!(&error, StoreError::Redis { detail } if !detail.contains("hunter2")), "{error}");
    let wrong = Redis::new(RedisConfig { url: url.replace("hunter2", "hunter3"), ..config.clone() });
    let error = wrong.unwrap().ping().await.unwrap_err().to_string();
    assert!(!error.contains("hunter") && !error.contains('\n'), "{error}");
    let missing = Redis::new(RedisConfig { ca: Some(at("missing.pem").into()), ..config }).unwrap_err();
    assert!(missing.to_string().starts_with("redis.ca: "), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_nodes_shares_everything() {
    if !has("redis-cli", "--version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for port in free_ports(3) {
        let file = directory.path().join(format!("{port}.conf"));
        let more = ["--cluster-enabled", "yes", "--cluster-config-file", file.to_str().unwrap()];
        let Some(node) = Server::plain(port, directory.path(), &more) else { return };
        nodes.push(node);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let create = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(create.status.success(), "{}", String::from_utf8_lossy(&create.stdout));
    while !nodes.iter().all(|node| node.cli(&["cluster", "info"]).contains("cluster_state:ok")) {
        std::thread::yield_now();
    }
    // One node is enough to find the others; each prefix is on a slot of its own, so all three are used.
    for prefix in ["a", "b", "c", "d", "e", "f"] {
        let cluster = vec![format!("redis://{}", addresses[0])];
        let config = RedisConfig { cluster, prefix: prefix.to_owned(), ..RedisConfig::default() };
        check(&Redis::new(patient(config)).unwrap()).await;
    }
    let keys: Vec<String> = nodes.iter().map(|node| node.cli(&["dbsize"]).trim().to_owned()).collect();
    assert!(keys.iter().all(|count| count != "0"), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_sentinel_calls_go_on_at_the_server_that_took_over() {
    if !has("redis-cli", "--version") {
        return;
    }
    let (directory, first_files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ports = free_ports(3);
    let Some(first) = Server::plain(ports[0], first_files.path(), &[]) else { return };
    let Some(second) =
        Server::plain(ports[1], directory.path(), &["--replicaof", "127.0.0.1", &ports[0].to_string()])
    else {
        return;
    };
    let file = directory.path().join("sentinel.conf");
    let port = ports[2];
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor here 127.0.0.1 {} 1\nsentinel failover-timeout here 1000\n",
        first.port
    );
    std::fs::write(&file, text).unwrap();
    let arguments = [file.to_str().unwrap(), "--sentinel"];
    let Some(sentinel) = Server::start(port, &arguments, "+monitor master here") else { return };
    // It asks servers every 200 ms for their copies instead of every 10 s; before Redis 7 it does not know how, and is waited
    // for.
    sentinel.cli(&["sentinel", "debug", "info-period", "200"]);

    let sentinels = vec![format!("redis://127.0.0.1:{port}")];
    let config = RedisConfig { sentinel: sentinels.clone(), ..RedisConfig::at("redis://here") };
    let redis = Redis::new(patient(config)).unwrap();
    check(&redis).await;
    let nobody = RedisConfig { sentinel: sentinels, ..RedisConfig::at("redis://nobody") };
    assert!(Redis::new(patient(nobody)).unwrap().ping().await.is_err());

    // What was written has to be in the copy: Redis itself makes it the server also before that.
    second.until("sync: Finished with success");
    while second.replication("slave_repl_offset") != first.replication("master_repl_offset") {
        std::thread::yield_now();
    }
    sentinel.until("+slave slave");
    // Refused as long as it has not heard how the copy is doing.
    while !sentinel.cli(&["sentinel", "failover", "here"]).contains("OK") {
        std::thread::yield_now();
    }
    sentinel.until("+switch-master here");
    // As the sentinel does some seconds later: the old one still answers, and takes nothing any more.
    first.cli(&["replicaof", "127.0.0.1", &second.port.to_string()]);
    // The same way to Redis as before; what was spent went along.
    let budgets = budgets(&redis);
    loop {
        match budgets.reserve(Payer::default(), tokens(51)).await {
            Ok(Reserve::Exceeded(exceeded)) => {
                assert_eq!(exceeded.used, infer_store::budget::Amount::Tokens(50));
                break;
            }
            Ok(Reserve::Reserved(permit)) => panic!("{permit:?}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert!(matches!(budgets.reserve(Payer::default(), tokens(50)).await, Ok(Reserve::Reserved(_))));
    assert!(second.cli(&["dbsize"]).trim() != "0");
}
