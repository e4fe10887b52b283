//! The laws of the limiter: the machine against a slow obvious model, and its shell on a paused clock.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod driver;
mod laws;
mod lockstep;
mod model;
mod shell;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
