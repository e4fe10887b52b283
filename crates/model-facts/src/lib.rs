//! What is publicly known of language models, and how many tokens a text has for them.
//!
#![doc = include_str!("../README.md")]

mod ability;
mod day;
mod estimate;
#[cfg(feature = "exact-tokens")]
mod exact;
mod facts;
mod published;
mod request;
mod table;

pub use ability::{Abilities, Ability};
pub use day::Day;
pub use estimate::estimate_tokens;
#[cfg(feature = "exact-tokens")]
pub use exact::{count_messages, count_request, count_tokens, has_encoding};
pub use facts::{ModelFacts, ModelKind, Status};
pub use published::{capabilities_of, facts_of, fits};
pub use request::{FILE_TOKENS, IMAGE_TOKENS, LOW_DETAIL_IMAGE_TOKENS, estimate_messages, estimate_request};
pub use table::{FactError, FactTable};
