#![doc = include_str!("../README.md")]

pub mod config;

pub use config::{Config, Fault, Faults};
/// Requests, answers, errors and money.
pub use infer_core as core;
/// OpenAI and every upstream that speaks its wire format.
#[cfg(feature = "openai")]
pub use runtime_openai as openai;
