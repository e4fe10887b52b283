//! Three ways to ask the same server for the same answers.

pub(crate) mod floor;
pub(crate) mod ours;
pub(crate) mod plain;

use anyhow::Result;
use serde::Serialize;

/// A way to call a chat model.
pub(crate) trait Client {
    /// An answer that is being read.
    type Reader: Reader;

    /// Makes one call for an answer in one piece; says how many bytes of text it held.
    async fn unary(&self) -> Result<usize>;

    /// Makes one call for an answer in pieces.
    async fn open(&self) -> Result<Self::Reader>;
}

/// An answer that is being read.
pub(crate) trait Reader {
    /// Reads the next piece; says how many bytes of text it held. `None` at the end.
    async fn next(&mut self) -> Result<Option<usize>>;
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Who {
    /// The HTTP client alone: bytes are received and thrown away.
    Floor,
    /// What most people write by hand over the same HTTP client.
    Plain,
    /// This workspace.
    Ours,
}

impl Who {
    /// All three.
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Plain, Self::Ours];

    /// As the table and the command line write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Plain => "plain",
            Self::Ours => "ours",
        }
    }
}

/// The key every client sends.
pub(crate) const KEY: &str = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz";
/// What every client asks.
pub(crate) const MODEL: &str = "gpt-4o-mini";
pub(crate) const SYSTEM: &str = "You are a helpful assistant. Answer in plain words and keep it short.";
pub(crate) const PROMPT: &str = "How does a stream of tokens end?";

/// The HTTP client under `floor` and `plain`, set up as `remote_core::HttpTransport` sets up its own.
///
/// Make `ours` first: it chooses the cryptography of the process, without which reqwest may not start.
fn http() -> Result<reqwest::Client> {
    use std::time::Duration;
    let builder = reqwest::Client::builder()
        .user_agent("infer/0.1.0")
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_adaptive_window(true)
        .no_proxy();
    Ok(builder.build()?)
}
