#![doc = include_str!("../README.md")]

pub mod budget;
mod clock;
mod codec;
mod directory;
mod error;
pub mod ledger;

pub use budget::{BudgetConfig, BudgetGate, Budgets};
pub use clock::Clock;
pub use error::StoreError;
pub use ledger::{Ledger, LedgerConfig, LedgerRow};
