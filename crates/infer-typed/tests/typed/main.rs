//! The crate through its public face, over a runner that follows a script.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod answers;
mod deadlines;
mod loop_laws;
mod script;
mod strict_laws;
mod tools;
mod types;
