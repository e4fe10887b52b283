//! Keeps calls within requests a minute, tokens a minute and calls at once, all three or none.
//!
//! A pure state machine: time is an argument and nobody sleeps. Callers who must wait stand in a queue; only the one at
//! its head watches the clock, so nobody wakes in vain and nobody overtakes. A higher priority is a place further ahead
//! by a fixed time, so everyone's turn comes.

mod bucket;

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use infer_core::RateLimits;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::bucket::Bucket;
use crate::config::duration;

/// How much may be asked of the upstream. Without a number there is no limit but what the upstream itself asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Requests a minute, from 1.
    pub requests_per_minute: Option<u32>,
    /// Requests that may start at once after a pause; a tenth of a minute's when absent, at least 1.
    pub requests_burst: Option<u32>,
    /// Tokens a minute, input and output, from 1.
    pub tokens_per_minute: Option<u32>,
    /// Tokens that may start at once after a pause; a minute's when absent.
    pub tokens_burst: Option<u32>,
    /// Calls at once, from 1.
    pub max_in_flight: Option<u32>,
    /// The longest wait in the queue; a call that would wait longer is refused at once. 30 s.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Calls that may wait. 10,000.
    pub max_queue: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            requests_burst: None,
            tokens_per_minute: None,
            tokens_burst: None,
            max_in_flight: None,
            max_wait: Duration::from_secs(30),
            max_queue: 10_000,
        }
    }
}
