//! Anthropic as a runner.
#![doc = include_str!("../README.md")]

pub mod config;
mod pricing;
mod provider;

pub use config::{AnthropicConfig, KeyHeader};
pub use pricing::AnthropicPricing;
pub use provider::Anthropic;

/// Runs requests against Anthropic or an upstream that speaks its Messages API.
pub type AnthropicRunner = remote_core::RemoteRunner<Anthropic>;

/// Makes runners from settings.
pub const fn factory() -> remote_core::RemoteFactory<AnthropicConfig> {
    remote_core::RemoteFactory::new()
}
