//! Answers as Rust types, tools as async functions.
