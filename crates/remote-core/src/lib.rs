//! Everything hard about calling a remote model, done once.
//!
//! A provider says where it is, how it is asked, what its errors mean and what it costs ([`RemoteProvider`]);
//! [`RemoteRunner`] makes a [`ModelRunner`] of it. In between stands one pipeline:
//!
//! ```text
//! request ─► encode ─► session ─► authorize ─► transport ─► status ─► classify ─► refine ─► error
//!                                                   │
//!                                                   └► frame ─► decode ─► commit point ─► chunk … chunk ─► one end
//! ```
//!
//! - **Streams end honestly.** `None` follows a finish reason; a body that was cut, stalled or spoiled ends in an error
//!   that says which ([`sse`] cuts the bytes into events).
//! - **Nothing is handed over before the commit point**, the first piece of content. A call that fails before it left no
//!   trace with the caller.
//! - **Every wait has its own limit and its own error**: connect, head, first content, bytes, content, the whole call
//!   ([`config::TimeoutConfig`]).
//! - **Redirects are refused**, since following one could carry the key to another host.
//! - **Keys cannot be printed** ([`session::Secret`]), and are taken out of what an upstream says.
//! - **Dropping cancels**: the connection closes at once, in every phase.
//! - **What is not modelled passes through** ([`ModelRunner::relay`]): byte for byte, under
//!   all of the above. Event streams are watched for their last event and for errors; the first whole event is the commit
//!   point, as the whole of a JSON answer is and the first piece of anything else. Only what a POST sets to work is billed
//!   and counted against limits, and nothing of it is sent twice at a time.
//!
//! # Features
//!
//! `rustls` (default) brings TLS by rustls with the system's root certificates, `native-tls` the platform's own library.
//! With neither, only plain HTTP works.

pub mod address;
mod body;
pub mod breaker;
mod breakers;
mod clock;
pub mod config;
mod context;
mod course;
mod direct;
pub mod headers;
mod hedge;
pub mod limit;
pub mod meter;
mod outbound;
mod parts;
mod pipeline;
mod presets;
mod provider;
mod relay;
mod relay_address;
mod relay_read;
mod relay_stream;
pub mod retry;
mod run;
mod runner;
pub mod session;
mod settings;
mod site;
pub mod sse;
mod stream;
mod transport;
mod whole;

pub use config::RemoteConfig;
#[doc(no_inline)]
pub use infer_core::{InferenceError, ModelRunner, Rates};
pub use presets::{About, Preset, Presets};
pub use provider::{Call, EmbedLimits, Fault, Operation, ProviderConfig, RemoteFactory, RemoteProvider};
pub use runner::{RemoteRunner, RemoteRunnerBuilder};
pub use settings::MemberDocs;
pub use site::{Site, SiteSettings};
pub use transport::{HttpTransport, Transport, TransportBody, TransportError, TransportFault};

#[cfg(doctest)] // the examples of the README
#[doc = include_str!("../README.md")]
struct Readme;
