//! Acme as runners.
#![doc = include_str!("../README.md")]

mod config;
mod provider;

pub use config::AcmeConfig;
pub use provider::Acme;

/// Runs requests against Acme.
pub type AcmeRunner = remote_core::RemoteRunner<Acme>;

/// Makes runners from settings.
pub const fn factory() -> remote_core::RemoteFactory<AcmeConfig> {
    remote_core::RemoteFactory::new()
}
