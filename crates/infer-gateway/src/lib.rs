//! An OpenAI-compatible gateway over everything an `llm.yaml` describes.
#![doc = include_str!("../README.md")]

mod admission;
mod ask;
mod attempts;
mod caller;
mod config;
mod cors;
mod dashboard;
mod denial;
mod door;
mod drain;
mod events;
mod front;
mod gateway;
mod intake;
mod live;
mod log;
mod metrics;
mod observe;
mod reload;
mod reply;
mod routes;
mod sections;
mod serve;
#[cfg(feature = "redis")]
mod shared;
#[cfg(not(feature = "redis"))]
#[path = "unshared.rs"]
mod shared;
mod span;
mod state;
mod tls;
mod untaken;
mod watch;

pub use config::{AdminKey, AdmissionConfig, CorsConfig, GatewayConfig, TlsConfig};
pub use gateway::{Gateway, GatewayBuilder};
pub use log::AccessLog;
pub use metrics::Metrics;
pub use observe::{Ending, Observer, Seen};
pub use sections::{sections, settings};
