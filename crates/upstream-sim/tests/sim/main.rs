//! The simulator over a plain socket, as any HTTP client sees it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod answers;
mod client;
mod faults;
mod relay;
