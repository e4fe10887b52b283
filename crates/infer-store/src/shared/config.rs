//! What an operator can set about Redis.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cache::CacheSecret;
use crate::{StoreError, clock};

/// Settings of the way to Redis. Not written back out, since addresses can hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS.
    pub url: String,
    /// Some nodes of a cluster, written like `url` and instead of it.
    pub cluster: Vec<String>,
    /// Sentinels, written like `url`. The host of `url` is then the name under which they know the server.
    pub sentinel: Vec<String>,
    /// A file with the certificates, in PEM, that servers behind `rediss://` are checked against. The system's when not
    /// set.
    pub ca: Option<PathBuf>,
    /// In front of every key, so that several installations can share a server. Processes with the same prefix are one
    /// installation: equal names of budgets, providers and models mean the same to all of them. `infer`.
    pub prefix: String,
    /// What the keys of kept answers are made with, so that whoever reads them cannot tell who asked what; the same in all
    /// processes. Made of `prefix` when not set, which keeps nothing secret.
    pub secret: Option<String>,
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
            sentinel: Vec::new(),
            ca: None,
            prefix: "infer".to_owned(),
            secret: None,
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

    /// Every address there is.
    fn addresses(&self) -> impl Iterator<Item = &String> {
        self.cluster.iter().chain(&self.sentinel).chain((!self.url.is_empty()).then_some(&self.url))
    }

    /// What the keys of kept answers are made with.
    pub fn cache_secret(&self) -> CacheSecret {
        const CONTEXT: &str = "infer-store 2026-11-21 secret of the response cache in redis";
        let secret = self.secret.as_deref().filter(|secret| !secret.is_empty()).unwrap_or(&self.prefix);
        CacheSecret::new(blake3::derive_key(CONTEXT, secret.as_bytes()))
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
        if self.url.is_empty() && !self.sentinel.is_empty() {
            faults.push("redis.sentinel: needs url, whose host is the name the sentinels know".to_owned());
        }
        let url = ("url".to_owned(), &self.url);
        let listed = [("cluster", &self.cluster), ("sentinel", &self.sentinel)];
        let listed = listed.into_iter().flat_map(|(key, urls)| {
            urls.iter().enumerate().map(move |(place, url)| (format!("{key}[{place}]"), url))
        });
        for (key, url) in [url].into_iter().filter(|(_, url)| !url.is_empty()).chain(listed) {
            if !url.starts_with("redis://") && !is_tls(url) {
                faults.push(format!("redis.{key}: must begin with redis:// or rediss://"));
            }
        }
        if self.ca.is_some() && !self.addresses().any(|url| is_tls(url)) {
            faults.push("redis.ca: has no effect without an address that begins with rediss://".to_owned());
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

/// Whether the server behind `url` is spoken to over TLS.
pub(super) fn is_tls(url: &str) -> bool {
    url.starts_with("rediss://")
}

/// Addresses without user and password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &String| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://(redacted)@{host}"),
            _ => url.clone(),
        };
        f.debug_struct("RedisConfig")
            .field("urls", &self.addresses().map(shown).collect::<Vec<_>>())
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

    #[test]
    fn settings_that_mean_nothing_together_are_refused_by_name() {
        let both = RedisConfig { cluster: vec!["redis://a".to_owned()], ..RedisConfig::at("redis://b") };
        let sentinel = RedisConfig { sentinel: vec!["redis://a".to_owned()], ..RedisConfig::default() };
        let ca = RedisConfig { ca: Some("ca.pem".into()), ..RedisConfig::at("redis://b") };
        let words = ["needs either url or cluster", "redis.sentinel: needs url", "redis.ca: has no effect"];
        for (config, words) in [both, sentinel, ca].into_iter().zip(words) {
            let line = config.validate().unwrap_err().to_string();
            assert!(line.contains(words), "{line}");
        }
    }

    #[test]
    fn answers_are_shared_by_those_who_know_the_secret_or_have_the_prefix() {
        let config = |prefix: &str, secret: Option<&str>| RedisConfig {
            prefix: prefix.to_owned(),
            secret: secret.map(str::to_owned),
            ..RedisConfig::at("redis://b")
        };
        let key = |config: RedisConfig| {
            config.cache_secret().key("s", None, &infer_core::ExecuteBatch::new("m", "hi")).unwrap()
        };
        assert_eq!(key(config("a", Some("x"))), key(config("b", Some("x"))));
        assert_eq!(key(config("a", None)), key(config("a", Some(""))));
        assert_ne!(key(config("a", None)), key(config("b", None)));
        assert_ne!(key(config("a", None)), key(config("a", Some("x"))));
    }
}
