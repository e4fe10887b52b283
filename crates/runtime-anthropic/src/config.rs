//! Settings of one upstream.

pub use remote_core::session::{Secret, SecretRef};
use serde::Deserialize;
use wire_messages::MessagesDialect;

use crate::Anthropic;

/// Anthropic itself.
pub(crate) const ANTHROPIC: &str = "https://api.anthropic.com/v1";

remote_core::provider_settings! {
    /// Settings of Anthropic or a compatible upstream. Write the members you change over
    /// [`AnthropicConfig::defaults_for_anthropic`].
    pub struct AnthropicConfig {
        /// The base URL, with or without a trailing slash; without a path it gets `/v1`. Anthropic when empty.
        #[serde(alias = "base_url")]
        pub endpoint: String,
        /// How the key is sent.
        pub auth: KeyHeader,
        /// Sent as `anthropic-version`; `2023-06-01` when absent, which every current model is served under (Anthropic's
        /// page on versions, read 2026-11-21).
        pub version: Option<String>,
        /// Names of features in beta, sent together as `anthropic-beta`.
        pub betas: Vec<String>,
        /// What the upstream understands.
        pub dialect: MessagesDialect,
    }
    impl "anthropic" for Anthropic
}

/// How the key is sent. It is never sent both ways, which upstreams refuse or read as they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyHeader {
    /// `x-api-key`, for keys.
    #[default]
    ApiKey,
    /// `Authorization: Bearer`, for tokens and for gateways that want theirs so.
    Bearer,
}

impl AnthropicConfig {
    /// Anthropic itself, with the key from `api_key`.
    pub fn defaults_for_anthropic(api_key: SecretRef) -> Self {
        Self { endpoint: ANTHROPIC.into(), api_key, ..Self::default() }
    }
}
