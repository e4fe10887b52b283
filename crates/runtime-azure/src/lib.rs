//! Azure OpenAI as a runner.
#![doc = include_str!("../README.md")]

pub mod config;
mod pricing;
mod provider;

pub use config::{AzureCloud, AzureConfig};
pub use pricing::PriceScope;
pub use provider::Azure;

/// Runs requests against one Azure OpenAI resource.
pub type AzureRunner = remote_core::RemoteRunner<Azure>;

/// Makes runners from settings.
pub const fn factory() -> remote_core::RemoteFactory<AzureConfig> {
    remote_core::RemoteFactory::new()
}
