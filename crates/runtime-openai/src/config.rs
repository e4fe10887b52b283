//! Settings of one upstream.

use std::collections::BTreeMap;

use infer_core::{InferenceError, Rates};
use remote_core::config::{
    BreakerConfig, HedgeConfig, RateLimitConfig, RetryConfig, SizeLimits, TimeoutConfig,
};
pub use remote_core::session::{Secret, SecretRef};
use remote_core::{ProviderConfig, RemoteConfig};
use serde::Deserialize;
use wire_chat::ChatDialect;

use crate::OpenAi;

/// OpenAI itself.
pub(crate) const OPENAI: &str = "https://api.openai.com/v1";

/// Settings of OpenAI or a compatible upstream. Write the members you change over
/// [`OpenAiConfig::defaults_for_openai`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiConfig {
    /// The name in logs and errors; `openai` when absent.
    pub name: Option<String>,
    /// The base URL, with or without a trailing slash; without a path it gets `/v1`. OpenAI when empty.
    #[serde(alias = "base_url")]
    pub endpoint: String,
    /// The key; none for local upstreams.
    pub api_key: SecretRef,
    /// Sent as `OpenAI-Organization`.
    pub organization: Option<String>,
    /// Sent as `OpenAI-Project`.
    pub project: Option<String>,
    /// Further headers. Their values are treated as secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Further query parameters. Their values are treated as secrets.
    pub query: BTreeMap<String, Secret>,
    /// What the upstream understands; chosen by its host when absent.
    pub dialect: Option<ChatDialect>,
    /// Which list prices hold.
    pub prices: PriceSource,
    /// Own prices by model, before the list.
    pub price_overrides: BTreeMap<String, Rates>,
    /// How much may be asked of the upstream.
    pub rate_limits: RateLimitConfig,
    /// Whether and how calls are repeated.
    pub retry: RetryConfig,
    /// When to stop asking a failing upstream.
    pub circuit_breaker: BreakerConfig,
    /// When to send a request a second time because no answer has begun.
    pub hedge: HedgeConfig,
    /// How long to wait for what.
    pub timeouts: TimeoutConfig,
    /// How much the upstream may send.
    pub limits: SizeLimits,
}

/// Which list prices hold for an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// OpenAI's own for OpenAI's own hosts, none elsewhere: a name alone does not make a model OpenAI's.
    #[default]
    Auto,
    /// OpenAI's own, for proxies in front of OpenAI.
    Published,
    /// None: only own prices count.
    None,
}

impl OpenAiConfig {
    /// OpenAI itself, with the key from `api_key`.
    pub fn defaults_for_openai(api_key: SecretRef) -> Self {
        Self { endpoint: OPENAI.into(), api_key, ..Self::default() }
    }
}

impl ProviderConfig for OpenAiConfig {
    const KIND: &'static str = "openai";
    type Provider = OpenAi;

    fn remote(&self) -> RemoteConfig {
        RemoteConfig {
            timeouts: self.timeouts.clone(),
            limits: self.limits.clone(),
            retry: self.retry.clone(),
            rate_limits: self.rate_limits.clone(),
            circuit_breaker: self.circuit_breaker.clone(),
            hedge: self.hedge.clone(),
        }
    }

    fn secret(&self) -> &SecretRef {
        &self.api_key
    }

    fn into_provider(self, name: &str) -> Result<OpenAi, InferenceError> {
        OpenAi::new(self, name)
    }
}
