//! The `infer` command as its users see it: against a simulated upstream, by its outputs and exit codes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod answers;
mod config;
mod configured;
mod cost;
mod faults;
mod keys;
mod observability;
mod observed;
mod running;
mod stopping;
mod upstreams;
mod usage;
