//! The Chat Completions and embeddings wire format, client and server side, without I/O.
//!
//! Modelled after OpenAI's published API description 2.3.0 and the public documents and sources of the servers that
//! speak the same language, all read 2026-11-21:
//!
//! | part | here |
//! |---|---|
//! | `POST /chat/completions`, whole and streamed | [`ChatCodec`], [`ChatDecoder`] as a client, [`server`] as a server |
//! | `POST /embeddings` | the same two |
//! | legacy `POST /completions` | [`server`] only; upstreams are asked as in a chat |
//! | `GET /models`, in every shape it comes in | [`ChatCodec`] |
//! | how upstreams differ in what they take | [`ChatDialect`] |
//! | errors, of a response, in a stream and under a 200 | [`fault`], [`server::write_error`] |
//!
//! Not here: the Responses route, stored completions.
//!
//! What is known of a request or an answer becomes a value of `infer_core`; every other member travels as it was
//! written, requests in [`infer_core::Extra`], answers in `wire`. Reading is tolerant where servers differ and strict
//! where tolerance would turn a broken answer into a good one.

mod calls;
mod choice;
mod client;
mod decoder;
mod dialect;
mod dto;
mod embed;
pub mod fault;
mod filter;
mod foreign;
mod json;
mod message;
mod models;
mod outline;
mod request;
pub mod server;
mod style;
mod template;
mod usage;
mod write;

pub use client::ChatCodec;
pub use decoder::ChatDecoder;
pub use dialect::{
    Bounds, ChatDialect, DeveloperRole, EmbedDialect, ImageForm, LogprobsForm, ModelRule, OnUnsupported,
    ReasoningReturn, TokenLimit, ToolCallIds, is_reasoning_model,
};

#[cfg(doctest)] // the examples of the README
#[doc = include_str!("../README.md")]
struct Readme;
