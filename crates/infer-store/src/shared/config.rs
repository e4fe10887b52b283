//! What an operator can set about Redis.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::{StoreError, clock};

/// Settings of the way to Redis. Not written back out, since addresses can hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS.
    pub url: String,
    /// Nodes of a cluster, instead of `url`.
    pub cluster: Vec<String>,
    /// In front of every key, so that several installations can share a server. `infer`.
    pub prefix: String,
    /// What happens to calls while Redis is away. They go on with local limits: a cache and a counter should not stop
    /// everything.
    pub on_outage: OnOutage,
    /// How long to wait for an answer. 250 ms: one on the same network takes less than one.
    #[serde(with = "clock::text")]
    pub response_timeout: Duration,
    /// How long to wait for a connection. 500 ms.
    #[serde(with = "clock::text")]
    pub connect_timeout: Duration,
    /// How long Redis is left alone after it failed. 1 s.
    #[serde(with = "clock::text")]
    pub retry_after: Duration,
}

/// What happens to calls while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// They go on with what this process knows: its own spending, its own share of a limit.
    #[default]
    Local,
    /// They are refused.
    Closed,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            cluster: Vec::new(),
            prefix: "infer".to_owned(),
            on_outage: OnOutage::Local,
            response_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_millis(500),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl RedisConfig {
    /// One server, everything else as by default.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    pub(super) fn is_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    pub(super) fn urls(&self) -> Vec<String> {
        if self.is_cluster() { self.cluster.clone() } else { vec![self.url.clone()] }
    }

    /// Checks every value and reports all faults at once, without quoting addresses.
    ///
    /// # Errors
    /// [`StoreError::Config`].
    pub fn validate(&self) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        if self.url.is_empty() == self.cluster.is_empty() {
            faults.push("redis: needs either url or cluster".to_owned());
        }
        let is_address = |url: &String| url.starts_with("redis://") || url.starts_with("rediss://");
        if !self.urls().iter().all(|url| url.is_empty() || is_address(url)) {
            faults.push("redis: addresses must begin with redis:// or rediss://".to_owned());
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            faults.push(format!("redis.prefix: must not be empty or have braces, got {:?}", self.prefix));
        }
        for (key, time) in
            [("response_timeout", self.response_timeout), ("connect_timeout", self.connect_timeout)]
        {
            if time.is_zero() {
                faults.push(format!("redis.{key}: must be above 0s"));
            }
        }
        StoreError::faults(&faults)
    }
}

/// Addresses without user and password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &String| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://(redacted)@{host}"),
            _ => url.clone(),
        };
        f.debug_struct("RedisConfig")
            .field("urls", &self.urls().iter().map(shown).collect::<Vec<_>>())
            .field("prefix", &self.prefix)
            .field("on_outage", &self.on_outage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_shows_nowhere() {
        let config = RedisConfig::at("redis://me:hunter2@db.example:6379/1");
        let debug = format!("{config:?}");
        assert!(!debug.contains("hunter2") && debug.contains("db.example"), "{debug}");
        let wrong = RedisConfig { url: "http://me:hunter2@x".to_owned(), prefix: "{".to_owned(), ..config };
        let line = wrong.validate().unwrap_err().to_string();
        assert!(
            !line.contains("hunter2") && line.contains("must begin with redis://") && line.contains("prefix")
        );
        assert!(RedisConfig::default().validate().is_err());
    }
}
