//! Keeps calls within requests a minute, tokens a minute and calls at once, all three or none.
//!
//! - [`Limiter`] decides. It is a pure state machine: time is an argument and nobody sleeps.
//! - [`Limits`] is the shell around one: it owns the clock, and calls wait in it for a [`Permit`].
//! - [`LimitTable`] holds one for each model.
//!
//! Who must wait stands in a queue in which nobody overtakes an equal; a higher priority is a head start of some seconds,
//! so everyone's turn comes. Only the first in the queue watches the clock, so nobody wakes in vain. Whoever stops waiting
//! leaves no trace, and a permit gives back what was not used.
//!
//! ```
//! # use infer_core::Priority;
//! # use remote_core::limit::{Limits, RateLimitConfig, Refused};
//! # async fn demo() -> Result<(), Refused> {
//! let config = RateLimitConfig { tokens_per_minute: Some(30_000), ..RateLimitConfig::default() };
//! let limits = Limits::new(&config);
//! let permit = limits.acquire(1_200, Priority::Normal, None).await?;
//! // … the call …
//! permit.settle(870);
//! # Ok(())
//! # }
//! ```

mod ask;
mod bucket;
mod config;
mod machine;
mod order;
mod pace;
mod queue;
mod shell;
mod state;
mod table;
mod waiting;

pub use ask::{Ask, Grant, Reserve, Ticket, Turn};
pub use config::RateLimitConfig;
pub use machine::Limiter;
pub use shell::{Limits, Permit};
pub use state::{LimitState, Refused};
pub use table::LimitTable;

use std::time::Duration;

/// A span in nanoseconds; 584 years and more count as for ever.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
