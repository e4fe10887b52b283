//! Acme's wire format, seen from a client, without I/O (Acme's API reference, read 2000-01-01).
#![doc = include_str!("../README.md")]

mod answer;
mod codec;
mod decoder;
mod fault;
mod request;

pub use codec::AcmeCodec;
pub use decoder::AcmeDecoder;
