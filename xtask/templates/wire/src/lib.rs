//! Acme's wire format, seen from a client, without I/O (Acme's API reference, read 2000-01-01).
#![doc = include_str!("../README.md")]

mod answer;
mod codec;
mod decoder;
mod fault;
mod request;

pub use codec::AcmeCodec;
pub use decoder::AcmeDecoder;

/// The name of this wire format: what was received in it is passed on untouched to whoever speaks it too.
pub(crate) const FORMAT: infer_core::WireFormat = infer_core::WireFormat("acme");
