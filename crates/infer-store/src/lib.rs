//! What outlives a process or is shared by several.
#![doc = include_str!("../README.md")]

pub mod budget;
pub mod cache;
mod clock;
mod codec;
mod directory;
mod error;
pub mod keys;
pub mod ledger;
#[cfg(feature = "redis")]
pub mod shared;

pub use budget::{BudgetConfig, BudgetGate, Budgets};
pub use cache::{CacheConfig, CachedRunner, ResponseCache};
pub use clock::Clock;
pub use error::StoreError;
pub use keys::{KeyBook, KeyRecord, KeysConfig};
pub use ledger::{Ledger, LedgerConfig, LedgerRow};
