//! What several processes share through Redis: budgets, limits and answers.
//!
//! Every decision is one script, so it is exact and takes one round trip. All keys of a script carry one hash tag and live
//! on one node of a cluster. Scripts are the same when repeated with the same id, so a command whose answer was lost is sent
//! again once.
//!
//! When Redis is away, [`OnOutage`] decides: go on with what this process knows, or refuse. For [`RedisConfig::retry_after`]
//! nobody asks it then. What calls used meanwhile is kept and counted there when it is back.

mod budget;
mod cache;
mod config;
mod keys;
mod limit;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind};
use tokio::time::Instant;

pub use budget::RedisBudgets;
pub use config::{OnOutage, RedisConfig};
pub use limit::{LimitConfig, RedisLimit, Take};

use crate::StoreError;

/// A way to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    connection: Connection,
    inner: Arc<Inner>,
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

struct Inner {
    config: RedisConfig,
    /// Until when nobody asks.
    away_until: Mutex<Option<Instant>>,
}

impl Redis {
    /// Prepares a connection, which is made when it is first needed: a process can start while Redis is away.
    ///
    /// Needs a running Tokio runtime.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn new(config: RedisConfig) -> Result<Self, StoreError> {
        config.validate()?;
        let wrong = |error: &RedisError| StoreError::Config { what: format!("redis.url: {}", words(error)) };
        let connection = if config.is_cluster() {
            let client = ClusterClientBuilder::new(config.urls())
                .connection_timeout(config.connect_timeout)
                .response_timeout(config.response_timeout)
                .retries(1)
                .build()
                .map_err(|error| wrong(&error))?;
            let pending =
                client.get_pending_async_connection_with_config(redis::cluster::ClusterConfig::new());
            Connection::Cluster(pending)
        } else {
            let url = config.urls().into_iter().next().unwrap_or_default();
            let client = redis::Client::open(url).map_err(|error| wrong(&error))?;
            let settings = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(config.connect_timeout))
                .set_response_timeout(Some(config.response_timeout))
                .set_number_of_retries(1);
            let manager = ConnectionManager::new_lazy_with_config(client, settings);
            Connection::Single(manager.map_err(|error| wrong(&error))?)
        };
        let inner = Inner { config, away_until: Mutex::new(None) };
        Ok(Self { connection, inner: Arc::new(inner) })
    }

    fn config(&self) -> &RedisConfig {
        &self.inner.config
    }

    /// A key that is on one node with all others of this installation.
    fn key(&self, rest: &str) -> String {
        format!("{{{}}}:{rest}", self.inner.config.prefix)
    }

    /// Runs a script; once more when the connection turns out to have been dropped.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<T, StoreError> {
        Ok(self.try_run(script, keys, args).await?)
    }

    /// The same, telling an absent Redis from one that refuses.
    async fn try_run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<T, Fault> {
        self.ask(Question::Script { script, keys, args }).await
    }

    /// Runs a command that may be repeated.
    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        Ok(self.ask(Question::Command(command)).await?)
    }

    async fn ask<T: FromRedisValue>(&self, question: Question<'_>) -> Result<T, Fault> {
        if self.is_away() {
            return Err(Fault::Away(StoreError::Redis { detail: "away, asked again soon".to_owned() }));
        }
        let mut connection = self.connection.clone();
        let most = self.inner.config.connect_timeout + 2 * self.inner.config.response_timeout;
        let answered = tokio::time::timeout(most, async {
            match question.ask(&mut connection).await {
                Err(error) if error.is_connection_dropped() => question.ask(&mut connection).await,
                answer => answer,
            }
        });
        let error = match answered.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError) => {
                return Err(Fault::Refused(StoreError::Redis { detail: words(&error) }));
            }
            Ok(Err(error)) => words(&error),
            Err(_) => format!("no answer within {most:?}"),
        };
        let mut away = self.inner.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        *away = Some(Instant::now() + self.inner.config.retry_after);
        tracing::warn!(%error, "redis: away");
        Err(Fault::Away(StoreError::Redis { detail: error }))
    }

    fn is_away(&self) -> bool {
        let away = self.inner.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|until| Instant::now() < until)
    }
}

/// Why there is no answer.
enum Fault {
    /// Redis is not there; it may be later.
    Away(StoreError),
    /// Redis is there and says no; it will again.
    Refused(StoreError),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(error) | Fault::Refused(error) => error,
        }
    }
}

/// What is asked of Redis.
#[derive(Clone, Copy)]
enum Question<'a> {
    Script { script: &'a Script, keys: &'a [String], args: &'a [String] },
    Command(&'a Cmd),
}

impl Question<'_> {
    async fn ask<T: FromRedisValue>(self, connection: &mut Connection) -> Result<T, RedisError> {
        match self {
            Self::Script { script, keys, args } => {
                let mut call = script.prepare_invoke();
                for key in keys {
                    call.key(key);
                }
                for arg in args {
                    call.arg(arg);
                }
                match connection {
                    Connection::Single(connection) => call.invoke_async(connection).await,
                    Connection::Cluster(connection) => call.invoke_async(connection).await,
                }
            }
            Self::Command(command) => match connection {
                Connection::Single(connection) => command.query_async(connection).await,
                Connection::Cluster(connection) => command.query_async(connection).await,
            },
        }
    }
}

/// What failed in one line. The client's own text can quote the address; it never has the password.
fn words(error: &RedisError) -> String {
    error.to_string().replace(char::is_control, " ")
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
