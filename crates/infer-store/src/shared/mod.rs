//! What several processes share through Redis: budgets, limits, places, answers and hints.
//!
//! Every decision is one script, so it is exact and takes one round trip. All keys of a script carry one hash tag and live
//! on one node of a cluster. A command whose answer was lost is sent again once, if repeating it never gives more away than
//! sending it once.
//!
//! When Redis is away, [`OnOutage`] decides: go on with what this process knows, or refuse. For [`RedisConfig::retry_after`]
//! nobody asks it then. What calls used meanwhile is kept and counted there when it is back.

mod balances;
mod budget;
mod cache;
mod config;
mod hints;
mod keys;
mod limit;
mod link;
mod places;
mod script;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::time::{Instant, timeout};

pub use budget::RedisBudgets;
pub use config::{OnOutage, RedisConfig};
pub use hints::RedisHints;
pub use limit::{Cost, LimitConfig, RedisLimit, Take, Taken};
pub use places::{Place, RedisPlaces};

use crate::StoreError;
use link::Link;
use script::Script;

/// A way to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    link: Link,
    inner: Arc<Inner>,
}

struct Inner {
    config: RedisConfig,
    /// Until when nobody asks.
    away_until: Mutex<Option<Instant>>,
    /// Whether the last question had no answer, so that an absence is logged once.
    is_silent: AtomicBool,
}

impl Redis {
    /// Prepares a connection, which is made when it is first needed: a process can start while Redis is away.
    ///
    /// Needs a running Tokio runtime.
    ///
    /// # Errors
    /// A wrong configuration, or [`RedisConfig::ca`] cannot be read.
    pub fn new(config: RedisConfig) -> Result<Self, StoreError> {
        config.validate()?;
        let link = Link::new(&config)?;
        let inner = Inner { config, away_until: Mutex::new(None), is_silent: AtomicBool::new(false) };
        Ok(Self { link, inner: Arc::new(inner) })
    }

    /// Its settings.
    pub fn config(&self) -> &RedisConfig {
        &self.inner.config
    }

    /// Asks the server for nothing but an answer: what everything else that is asked takes at the least.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when it is away.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.command::<String>(&redis::cmd("PING")).await.map(drop)
    }

    /// A key that is on one node with all others of this installation.
    fn key(&self, rest: &str) -> String {
        format!("{{{}}}:{rest}", self.inner.config.prefix)
    }

    /// Runs a call of `script`, telling an absent Redis from one that refuses.
    async fn run<T: FromRedisValue>(&self, script: &Script, call: &Cmd, repeat: Repeat) -> Result<T, Fault> {
        self.ask(Some(script), call, repeat).await
    }

    /// Runs a command that may be repeated.
    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        Ok(self.ask(None, command, Repeat::Once).await?)
    }

    async fn ask<T: FromRedisValue>(
        &self,
        script: Option<&Script>,
        command: &Cmd,
        repeat: Repeat,
    ) -> Result<T, Fault> {
        if self.is_away() {
            return Err(Fault::Away(StoreError::Redis { detail: "away, asked again soon".to_owned() }));
        }
        let error = match self.answer(script, command).await {
            Err(Trouble::Lost(_)) if repeat == Repeat::Once => self.answer(script, command).await,
            answer => answer,
        };
        let error = match error {
            Ok(answer) => {
                if self.inner.is_silent.load(Ordering::Relaxed)
                    && self.inner.is_silent.swap(false, Ordering::Relaxed)
                {
                    tracing::info!("redis: back");
                }
                return Ok(answer);
            }
            Err(Trouble::Refused(error)) => {
                return Err(Fault::Refused(StoreError::Redis { detail: words(&error) }));
            }
            Err(Trouble::Lost(error) | Trouble::Failed(error)) => words(&error),
            Err(Trouble::Silent) => format!("no answer within {:?}", self.inner.config.response_timeout),
        };
        let mut away = self.inner.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        *away = Some(Instant::now() + self.inner.config.retry_after);
        drop(away);
        if !self.inner.is_silent.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "redis: away");
        }
        Err(Fault::Away(StoreError::Redis { detail: error }))
    }

    /// Asks once; a script that the server has not seen is shown to it.
    async fn answer<T: FromRedisValue>(&self, script: Option<&Script>, command: &Cmd) -> Result<T, Trouble> {
        let mut connection = self.link.connection().await.map_err(Trouble::Failed)?;
        let asked = timeout(self.inner.config.response_timeout, async {
            match (connection.ask(command).await, script) {
                (Err(error), Some(script))
                    if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
                {
                    connection.ask(&script.load()).await?;
                    connection.ask(command).await
                }
                (answer, _) => answer,
            }
        });
        let answer = match asked.await {
            Ok(answer) => answer.and_then(|value| Ok(redis::from_redis_value(value)?)),
            Err(_) => {
                self.link.give_up(&connection);
                return Err(Trouble::Silent);
            }
        };
        answer.map_err(|error| match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => Trouble::Refused(error),
            // It was the server and is a copy now.
            ErrorKind::Server(ServerErrorKind::ReadOnly) => {
                self.link.give_up(&connection);
                Trouble::Lost(error)
            }
            _ if error.is_connection_dropped() => {
                self.link.give_up(&connection);
                Trouble::Lost(error)
            }
            _ => Trouble::Failed(error),
        })
    }

    fn is_away(&self) -> bool {
        let mut away = self.inner.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        match *away {
            None => false,
            Some(until) if Instant::now() < until => true,
            Some(_) => {
                *away = None;
                false
            }
        }
    }

    /// After which time a Redis that is away is asked again.
    fn pause(&self) -> Duration {
        self.inner.config.retry_after.max(Duration::from_millis(10))
    }
}

/// Whether a command whose answer was lost is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Once,
    Never,
}

/// What went wrong with one question.
enum Trouble {
    /// The connection is gone, and whether the question arrived is not known.
    Lost(RedisError),
    /// Nothing came in time.
    Silent,
    /// There is no connection, or no server behind it that answers.
    Failed(RedisError),
    /// The server answers no.
    Refused(RedisError),
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

/// What failed in one line. The client's own text can quote the address; it never has the password.
fn words(error: &RedisError) -> String {
    error.to_string().replace(char::is_control, " ")
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
