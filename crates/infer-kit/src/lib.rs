#![doc = include_str!("../README.md")]

mod builder;
pub mod config;
mod inference;
mod watch;

pub use builder::InferenceBuilder;
pub use config::{Config, Fault, Faults};
/// Requests, answers, errors and money.
pub use infer_core as core;
/// Routes, policies and fallback.
pub use infer_router as router;
/// Budgets, the ledger and the cache.
pub use infer_store as store;
pub use inference::{Inference, ReloadError, Reloaded};
/// What providers of one's own are built on.
pub use remote_core as remote;
/// OpenAI and every upstream that speaks its wire format.
#[cfg(feature = "openai")]
pub use runtime_openai as openai;
pub use watch::Watch;
