//! The simulator as its owner sees it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::record::{Answered, Log, Recorded};
use crate::{Behaviour, server};

/// A running simulator. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Sim {
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// What is set before a simulator starts.
#[derive(Clone, Debug, Default)]
pub struct SimBuilder {
    port: u16,
    script: Script,
}

/// How to answer; the same for every connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) latency: Duration,
    pub(crate) chunk_delay: Duration,
    behaviours: HashMap<String, Behaviour>,
}

/// What the connections share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) address: SocketAddr,
    pub(crate) script: Script,
    pub(crate) log: Log,
}

impl Sim {
    /// A simulator on a free port, without delays.
    pub fn builder() -> SimBuilder {
        SimBuilder::default()
    }

    /// The address to give to a client: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.state.address)
    }

    /// The last requests, oldest first: at most 1,000, each with at most the first mebibyte of its body.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log.requests()
    }

    /// How many requests arrived, those no longer recorded included.
    pub fn calls(&self) -> u64 {
        self.state.log.calls()
    }

    /// How many clients left before their answer was complete.
    pub fn cancelled(&self) -> u64 {
        self.state.log.cancelled()
    }

    /// Answers of chat completions that were handed over whole.
    pub fn answered(&self) -> Answered {
        self.state.log.answered()
    }

    /// Waits until at least `count` requests have arrived.
    pub async fn until_calls(&self, count: u64) {
        self.state.log.until_calls(count).await;
    }

    /// Waits until at least `count` clients have left before their answer was complete.
    pub async fn until_cancelled(&self, count: u64) {
        self.state.log.until_cancelled(count).await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Connections are owned by this task and end with it.
        self.server.abort();
    }
}

impl SimBuilder {
    /// Listens on this port; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Varies what is said. A request's own seed is added to it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.script.seed = seed;
        self
    }

    /// Waits before the head of every response.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.script.latency = latency;
        self
    }

    /// Waits before every event of a stream but the first.
    #[must_use]
    pub fn chunk_delay(mut self, delay: Duration) -> Self {
        self.script.chunk_delay = delay;
        self
    }

    /// Gives a model a behaviour, in place of the one its name stands for.
    #[must_use]
    pub fn behaviour(mut self, model: impl Into<String>, behaviour: Behaviour) -> Self {
        self.script.behaviours.insert(model.into(), behaviour);
        self
    }

    /// Starts listening on `127.0.0.1`.
    ///
    /// # Errors
    /// When the port is taken.
    ///
    /// # Panics
    /// Outside a Tokio runtime with its network driver enabled.
    pub async fn start(self) -> io::Result<Sim> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { address, script: self.script, log: Log::default() });
        let server = tokio::spawn(server::run(listener, Arc::clone(&state)));
        Ok(Sim { state, server })
    }
}

impl State {
    /// What `model` does this time; `None` for a `sim-` name that stands for nothing.
    pub(crate) fn behaviour(&self, model: &str) -> Option<Behaviour> {
        match self.script.behaviours.get(model) {
            Some(Behaviour::Sequence(steps)) => {
                let turn = self.log.next_turn(model);
                Some(steps.get(turn).or(steps.last()).cloned().unwrap_or(Behaviour::Answer))
            }
            Some(behaviour) => Some(behaviour.clone()),
            None => Behaviour::of_model(model),
        }
    }
}
