//! The server put together, and its life.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use infer_core::InferenceError;
use infer_store::Clock;
use infer_store::keys::KeyBook;
use inference::Inference;
use tokio::net::TcpListener;

use crate::config::GatewayConfig;
use crate::drain::{Drain, Phase};
use crate::front::Front;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::reload::Followed;
use crate::state::{Parts, State};
use crate::tls::Tls;
use crate::watch::Observers;
use crate::{reload, sections, serve};

/// Puts a [`Gateway`] together.
#[derive(Debug)]
pub struct GatewayBuilder {
    inference: Inference,
    config: GatewayConfig,
    keys: Option<KeyBook>,
    observers: Vec<Arc<dyn Observer>>,
    simulator: bool,
    metrics: Option<Arc<Metrics>>,
    listener: Option<std::net::TcpListener>,
}

impl GatewayBuilder {
    /// Asks callers for one of these keys, from the first one that there is.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyBook) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Tells `observer` of every request.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Takes connections from `listener`, in place of one at [`GatewayConfig::listen`]: a socket that was opened by whoever
    /// starts this process, or before there was a runtime.
    #[must_use]
    pub fn with_listener(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Says on the dashboard that answers come from a simulator and from no model.
    #[must_use]
    pub fn with_simulator(mut self) -> Self {
        self.simulator = true;
        self
    }

    /// Serves `metrics`, which is best the sink of what is served as well.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Listens.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that cannot be served: an address beyond this machine without keys, an
    /// address that is taken, files for HTTPS that cannot be read.
    pub async fn bind(self) -> Result<Gateway, InferenceError> {
        let Self { inference, mut config, keys, mut observers, simulator, metrics, listener } = self;
        let unusable =
            |error: io::Error| InferenceError::config(format!("the listener cannot be used: {error}"));
        if let Some(listener) = &listener {
            config.listen = listener.local_addr().map_err(unusable)?;
            listener.set_nonblocking(true).map_err(unusable)?;
        }
        config.validate().map_err(InferenceError::config)?;
        let keys = match keys {
            Some(keys) => keys,
            None => KeyBook::fixed(&infer_store::KeysConfig::default(), Clock::system())
                .map_err(|error| InferenceError::config(error.to_string()))?,
        };
        if keys.is_empty() && !config.insecure && !config.listen.ip().is_loopback() {
            return Err(InferenceError::config(format!(
                "gateway.listen: {} is beyond this machine and there are no keys: make one with `infer keys create`, \
                 listen on 127.0.0.1, or say --insecure",
                config.listen
            )));
        }
        let tls = config.tls.as_ref().map(Tls::new).transpose().map_err(InferenceError::config)?;
        let listener = match listener {
            Some(listener) => TcpListener::from_std(listener).map_err(unusable)?,
            None => TcpListener::bind(config.listen).await.map_err(|error| {
                InferenceError::config(format!("gateway.listen: cannot listen on {}: {error}", config.listen))
            })?,
        };
        let address = listener
            .local_addr()
            .map_err(|error| InferenceError::config(format!("gateway.listen: {error}")))?;
        let drain = Drain::new();
        let live = Live::new();
        if let Some(ledger) = inference.ledger().cloned() {
            let live = Arc::clone(&live);
            let seeded = tokio::task::spawn_blocking(move || live.seed(&ledger)).await;
            if let Ok(Err(error)) = seeded {
                tracing::warn!(%error, "what was spent before is not shown");
            }
        }
        observers.push(Arc::clone(&live) as Arc<dyn Observer>);
        let metrics = metrics.unwrap_or_else(Metrics::new);
        observers.push(metrics.clone());
        let observers = Observers(observers.into());
        let (said, said_of_keys) = sections::settings(&inference.config());
        let followed = Followed::new(said, said_of_keys, tls.clone());
        let parts = Parts { inference, keys, config, observers, live, metrics, drain, followed, simulator };
        let state = Arc::new(State::new(parts));
        reload::follow_keys(&state).await.map_err(InferenceError::config)?;
        state.metrics.learn(&state);
        Ok(Gateway { state, listener, address, tls })
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Gateway {
    state: Arc<State>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Gateway {
    /// One for what `inference` describes.
    pub fn builder(inference: Inference, config: GatewayConfig) -> GatewayBuilder {
        GatewayBuilder {
            inference,
            config,
            keys: None,
            observers: Vec::new(),
            simulator: false,
            metrics: None,
            listener: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks HTTPS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether callers need a key.
    pub fn asks_for_keys(&self) -> bool {
        self.state.asks_for_keys()
    }

    /// All routes, for a program that serves them beside its own. Limits on connections, heads and writes belong to
    /// [`serve`](Self::serve) and are then that program's, and so is telling the address of a caller, as axum's
    /// `ConnectInfo<SocketAddr>`: without it, `/admin` asks everybody for a key.
    pub fn router(&self) -> axum::Router {
        axum::Router::new().fallback_service(Front::new(Arc::clone(&self.state)))
    }

    /// Serves until `stop` is ready, then lets running calls finish for as long as configured. Calls that still run then
    /// end with an error event, and connections are closed.
    ///
    /// Dropping the future ends everything at once.
    ///
    /// # Errors
    /// None today; room for a listener that breaks.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { state, listener, tls, .. } = self;
        let config = state.config();
        let drain = state.drain.clone();
        let front = Front::new(Arc::clone(&state));
        let served = serve::serve(listener, front, &config, tls, drain.clone());
        let mut served = std::pin::pin!(served);
        let mut follow = std::pin::pin!(reload::follow(Arc::clone(&state)));
        let until_stopped = async {
            let mut stop = std::pin::pin!(stop);
            tokio::select! {
                () = &mut stop => {}
                // It ends by itself only with what it follows.
                () = &mut follow => stop.await,
            }
        };
        tokio::select! {
            () = &mut served => return Ok(()),
            () = until_stopped => {}
        }
        let drain_time = state.config().drain;
        tracing::info!(drain = ?drain_time, "stopping: running calls may finish");
        drain.enter(Phase::Draining);
        if tokio::time::timeout(drain_time, &mut served).await.is_err() {
            tracing::warn!("the time for running calls is up");
            drain.enter(Phase::Over);
            // What is left has been told to end; it may take a moment to say so.
            _ = tokio::time::timeout(std::time::Duration::from_secs(2), &mut served).await;
        }
        state.inference.flush().await;
        Ok(())
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.address)
    }
}
