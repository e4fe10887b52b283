//! An OpenAI-compatible gateway over everything an `llm.yaml` describes.
#![doc = include_str!("../README.md")]

mod caller;
mod config;
mod dashboard;
mod denial;
mod live;
mod observe;

pub use config::{AdminKey, AdmissionConfig, CorsConfig, GatewayConfig, TlsConfig};
pub use observe::{Ending, Observer, Seen};
