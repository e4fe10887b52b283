//! Sources of Entra tokens against scripted services.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[cfg(unix)]
mod cli;
mod faults;
mod requests;
mod rig;
mod sessions;
