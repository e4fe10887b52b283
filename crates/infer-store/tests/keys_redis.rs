//! Keys that several processes share through a real Redis, which the test starts on a free port of this machine.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use infer_store::keys::{KeyBook, KeyError, KeySpec, Refusal};
use infer_store::shared::{Redis, RedisConfig};
use infer_store::{Clock, KeysConfig, StoreError};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const DEADLINE: Duration = Duration::from_secs(30);

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

    fn redis(&self) -> Redis {
        let mut config = RedisConfig::at(format!("redis://127.0.0.1:{}", self.port));
        // Two busy cores can be slow to answer.
        config.response_timeout = Duration::from_secs(5);
        config.connect_timeout = Duration::from_secs(5);
        config.retry_after = Duration::ZERO;
        Redis::new(config).unwrap()
    }

    async fn book(&self) -> KeyBook {
        self.try_book().await.unwrap()
    }

    async fn try_book(&self) -> Result<KeyBook, KeyError> {
        KeyBook::with_redis(self.redis(), &KeysConfig::default(), Clock::system()).await
    }

    fn command(&self, words: &[&str]) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let words: Vec<_> = words.collect();
        write!(stream, "*{}\r\n{}", words.len(), words.concat()).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_ne!(answer, *b"-");
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn replicas_see_new_rotated_and_revoked_keys_by_themselves() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (server.book().await, server.book().await);
    let mut version = other.version();
    let _watch = other.watch().unwrap();
    let (record, secret) = one.create(KeySpec::new("team-a")).await.unwrap();
    tokio::time::timeout(DEADLINE, version.changed()).await.unwrap().unwrap();
    assert_eq!(other.authenticate(secret.reveal(), NOW).unwrap(), record);
    let (_, next) = one.rotate("team-a", Duration::ZERO).await.unwrap();
    tokio::time::timeout(DEADLINE, version.changed()).await.unwrap().unwrap();
    assert!(other.authenticate(next.reveal(), NOW).is_ok());
    one.revoke("team-a").await.unwrap();
    tokio::time::timeout(DEADLINE, version.changed()).await.unwrap().unwrap();
    assert_eq!(other.authenticate(next.reveal(), NOW).unwrap_err(), Refusal::Revoked);
    // One that starts later reads all of it.
    let late = server.book().await;
    assert_eq!(late.list(), other.list());
}

#[tokio::test]
async fn those_who_make_keys_at_once_lose_none_and_a_name_is_given_once() {
    let Some(server) = Server::start() else { return };
    let books = [server.book().await, server.book().await, server.book().await];
    let tasks: Vec<_> = books
        .into_iter()
        .enumerate()
        .map(|(process, book)| {
            tokio::spawn(async move {
                let mut made = Vec::new();
                for number in 0..10 {
                    let own = book.create(KeySpec::new(format!("p{process}-{number}"))).await.unwrap();
                    made.push(own.1);
                    made.extend(
                        book.create(KeySpec::new(format!("all-{number}"))).await.map(|made| made.1).ok(),
                    );
                }
                made
            })
        })
        .collect();
    let mut secrets = Vec::new();
    for task in tasks {
        secrets.extend(task.await.unwrap());
    }
    let book = server.book().await;
    assert_eq!((secrets.len(), book.list().len()), (40, 40));
    assert!(secrets.iter().all(|secret| book.authenticate(secret.reveal(), NOW).is_ok()));
}

#[tokio::test]
async fn while_redis_is_away_or_empty_the_keys_in_force_stay() {
    let Some(mut server) = Server::start() else { return };
    let book = server.book().await;
    let (_, secret) = book.create(KeySpec::new("a")).await.unwrap();
    server.stop();
    let error = book.reload().await.unwrap_err();
    assert!(matches!(error, KeyError::Store(StoreError::Redis { .. })), "{error}");
    assert!(book.authenticate(secret.reveal(), NOW).is_ok());
    assert!(book.create(KeySpec::new("b")).await.is_err());
    // A process can start now; it finds the keys once Redis is back with them.
    let fresh = server.book().await;
    assert!(fresh.list().is_empty() && !fresh.is_empty(), "nobody knows yet that there are none");
    let Some(server) = Server::start_at(server.port) else { return };
    let line = book.reload().await.unwrap_err().to_string();
    assert!(line.contains("is gone") && book.authenticate(secret.reveal(), NOW).is_ok(), "{line}");
    assert_eq!(fresh.reload().await, Ok(false));
    assert!(fresh.is_empty());
    let (_, anew) = server.book().await.create(KeySpec::new("a")).await.unwrap();
    assert_eq!((fresh.reload().await, book.reload().await), (Ok(true), Ok(true)));
    for book in [fresh, book] {
        assert!(book.authenticate(anew.reveal(), NOW).is_ok());
        assert_eq!(book.authenticate(secret.reveal(), NOW).unwrap_err(), Refusal::Unknown);
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_are_one_clear_error() {
    let Some(server) = Server::start() else { return };
    let book = server.book().await;
    let (_, secret) = book.create(KeySpec::new("a")).await.unwrap();
    server.command(&["HSET", "{infer}:keys", "b", "ik-hunter2"]);
    server.command(&["SET", "{infer}:keys:stamp", "another"]);
    for line in
        [book.reload().await.unwrap_err().to_string(), server.try_book().await.unwrap_err().to_string()]
    {
        assert!(line.contains("{infer}:keys: not readable (\"b\" is no record of a key)"), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    assert!(book.authenticate(secret.reveal(), NOW).is_ok());
}
