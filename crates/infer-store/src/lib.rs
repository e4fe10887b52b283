#![doc = include_str!("../README.md")]

mod clock;
mod codec;
mod directory;
mod error;
pub mod ledger;

pub use clock::Clock;
pub use error::StoreError;
pub use ledger::{Ledger, LedgerConfig, LedgerRow};
