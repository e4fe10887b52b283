//! OpenAI and compatible upstreams as runners.
#![doc = include_str!("../README.md")]

pub mod config;
mod pricing;
mod provider;

pub use config::{OpenAiConfig, PriceSource};
pub use pricing::OpenAiPricing;
pub use provider::OpenAi;

/// Runs requests against OpenAI or a compatible upstream.
pub type OpenAiRunner = remote_core::RemoteRunner<OpenAi>;

/// Makes runners from settings.
pub const fn factory() -> remote_core::RemoteFactory<OpenAiConfig> {
    remote_core::RemoteFactory::new()
}

#[cfg(doctest)] // the examples of the workspace's README
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)] // and those of the guide for new providers
#[doc = include_str!("../../../docs/new-provider.md")]
struct NewProvider;
