//! What must hold for every input from outside, however it was made.
//!
//! Each law is a function of bytes that panics when the code under it does not keep what it promises. A fuzzer feeds them
//! (`fuzz/fuzz_targets`, by `cargo xtask fuzz`), and `tests/corpus.rs` replays with them what fuzzers found and the fixtures
//! of the crates. A law takes what an upstream, a caller or an operator may send, as it is: so fixtures are seeds.

mod bodies;
mod config;
mod cuts;
mod errors;
mod events;
mod headers;
mod requests;
mod sse;

pub use bodies::unary_bodies;
pub use config::llm_yaml;
pub use errors::error_bodies;
pub use events::{chat_events, messages_events};
pub use headers::header_tables;
pub use requests::gateway_bodies;
pub use sse::sse_framing;

/// A law: panics when it is broken.
pub type Law = fn(&[u8]);

/// Every law by the name that its target, its corpus and its row in `fuzz/targets.tsv` have.
pub const LAWS: [(&str, Law); 8] = [
    ("chat_events", chat_events),
    ("error_bodies", error_bodies),
    ("gateway_bodies", gateway_bodies),
    ("header_tables", header_tables),
    ("llm_yaml", llm_yaml),
    ("messages_events", messages_events),
    ("sse_framing", sse_framing),
    ("unary_bodies", unary_bodies),
];
