//! A release from its plan to the registry: real cargo and git, a registry of files on loopback, four small crates.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod bump;
mod check;
mod plan;
mod publish;
mod registry;
mod scene;
