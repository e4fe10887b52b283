//! The Messages wire format, client and server side, without I/O.
#![doc = include_str!("../README.md")]

mod answer;
mod block;
mod codec;
mod decoder;
mod dialect;
mod dto;
mod fault;
mod finish;
mod foreign;
mod json;
mod media;
mod models;
mod open;
mod refusal;
mod request;
pub mod server;
mod thinking;
mod tools;
mod turns;
mod usage;

pub use codec::MessagesCodec;
pub use decoder::MessagesDecoder;
pub use dialect::{LateSystem, MessagesDialect, ThinkingStyle, is_reasoning_model};

/// The name of this wire format, for messages that a server received in it: [`MessagesCodec`] copies them unread.
pub const MESSAGES: infer_core::WireFormat = infer_core::WireFormat::MESSAGES;
