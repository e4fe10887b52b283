//! What a limiter tells: refusals, and what is going on.

use std::time::Duration;

/// Why a call was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It would wait longer than it may, or too many wait already.
    #[error("too many calls are waiting: a turn would come in {wait:?}")]
    QueueFull {
        /// The wait that would have been needed: certain as far as rates and pauses go, usual as far as running calls go.
        wait: Duration,
    },
    /// Its deadline has passed.
    #[error("the deadline passed while waiting for a turn")]
    Deadline,
}

/// What is going on in a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitState {
    /// Calls that run.
    pub in_flight: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// How long nothing will start, as the upstream asked.
    pub paused_for: Duration,
    /// How much of the configured rates is in force, from 1 to 16; 16 unless the upstream said "too many" of late.
    pub sixteenths: u32,
    /// Requests that could start now, where they are limited.
    pub requests_left: Option<u64>,
    /// Tokens that could start now, where they are limited.
    pub tokens_left: Option<u64>,
}
