//! Remote language models from one file: the rollup of this workspace.
#![doc = include_str!("../README.md")]

mod books;
mod builder;
mod call;
pub mod config;
mod drill;
mod facts_of;
#[cfg(feature = "redis")]
mod hints;
mod inference;
mod operate;
#[cfg(feature = "otel")]
pub mod otel;
mod plan;
mod recorded;
#[cfg(feature = "redis")]
mod shared;
#[cfg(not(feature = "redis"))]
#[path = "unshared.rs"]
mod shared;
mod stores;
mod watch;

pub use builder::InferenceBuilder;
pub use config::{Config, Fault, Faults};
pub use drill::{Drill, DrillFault, DrillReport};
/// Requests, answers, errors and money.
pub use infer_core as core;
/// Routes, policies and fallback.
pub use infer_router as router;
/// Budgets, the ledger and the cache.
pub use infer_store as store;
/// Answers as types, and tools as functions.
pub use infer_typed as typed;
pub use inference::{Inference, ReloadError, Reloaded};
/// What is publicly known of models.
pub use model_facts as facts;
pub use operate::Balances;
/// What providers of one's own are built on.
pub use remote_core as remote;
/// Anthropic.
#[cfg(feature = "anthropic")]
pub use runtime_anthropic as anthropic;
/// Azure OpenAI.
#[cfg(feature = "azure")]
pub use runtime_azure as azure;
/// OpenAI and every upstream that speaks its wire format.
#[cfg(feature = "openai")]
pub use runtime_openai as openai;
pub use watch::Watch;

#[cfg(all(doctest, feature = "openai"))] // the examples of the book
mod book {
    #[doc = include_str!("../../../docs/introduction.md")]
    struct Introduction;
    #[doc = include_str!("../../../docs/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../../../docs/library.md")]
    struct Library;
    #[doc = include_str!("../../../docs/migrating/async-openai.md")]
    struct FromAsyncOpenAi;
    #[doc = include_str!("../../../docs/migrating/genai.md")]
    struct FromGenai;
}
