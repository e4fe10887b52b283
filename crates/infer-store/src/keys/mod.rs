//! Virtual keys: who may call, as whom, and for how much.
//!
//! A [`KeyBook`] holds the keys in force: those of the configuration, and those stored in a file of the data directory or
//! in Redis. Who calls presents a secret; the book knows only its hash. What a key may use is data for whoever takes the
//! calls, and its budgets are rules for [`crate::budget`].

mod book;
mod config;
mod error;
mod file;
mod hash;
mod pattern;
mod record;
mod secret;
mod stored;
mod table;
mod terms;
mod time;
mod watch;

pub use book::KeyBook;
pub use config::{KeysConfig, StaticKey};
pub use error::{KeyError, Refusal};
pub use hash::KeyHash;
pub use record::{KeyOrigin, KeyRecord, KeySpec, KeyState};
pub use secret::KeySecret;
pub use terms::{KeyBudget, KeyLimits};
pub use watch::KeyWatch;

#[cfg(feature = "redis")]
pub(crate) use book::{KeyPlace, Pace, Reading};
#[cfg(feature = "redis")]
pub(crate) use stored::{Edit, Stored, StoredKey};
