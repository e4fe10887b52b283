//! What all requests share.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use infer_store::Clock;
use infer_store::keys::KeyBook;
use inference::Inference;

use crate::admission::Admission;
use crate::attempts::Attempts;
use crate::config::GatewayConfig;
use crate::drain::Drain;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::reload::Followed;
use crate::watch::Observers;

/// What all requests share.
pub(crate) struct State {
    pub(crate) inference: Inference,
    keys: KeyBook,
    config: ArcSwap<GatewayConfig>,
    admission: ArcSwap<Admission>,
    pub(crate) observers: Observers,
    pub(crate) live: Arc<Live>,
    /// Whether answers come from the built-in simulator.
    pub(crate) simulator: bool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    pub(crate) followed: Followed,
    pub(crate) attempts: Attempts,
    always_asks: bool,
    clock: Clock,
}

/// What it is put together from.
pub(crate) struct Parts {
    pub(crate) inference: Inference,
    pub(crate) keys: KeyBook,
    pub(crate) config: GatewayConfig,
    pub(crate) observers: Observers,
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    pub(crate) followed: Followed,
    pub(crate) simulator: bool,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { inference, keys, config, observers, live, metrics, drain, followed, simulator } = parts;
        let admission = Admission::new(&config.admission, &inference);
        let always_asks = !config.insecure && !config.listen.ip().is_loopback();
        Self {
            inference,
            keys,
            config: ArcSwap::from_pointee(config),
            admission: ArcSwap::from_pointee(admission),
            observers,
            live,
            simulator,
            metrics,
            drain,
            followed,
            attempts: Attempts::default(),
            always_asks,
            clock: Clock::system(),
        }
    }

    pub(crate) fn config(&self) -> Arc<GatewayConfig> {
        self.config.load_full()
    }

    pub(crate) fn keys(&self) -> &KeyBook {
        &self.keys
    }

    pub(crate) fn admission(&self) -> Arc<Admission> {
        self.admission.load_full()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Whether callers need a key: from the first one on, also when it is expired or revoked. Beyond this machine that stays
    /// so when the last key is taken away.
    pub(crate) fn asks_for_keys(&self) -> bool {
        !self.keys.is_empty() || self.always_asks
    }

    /// Puts other settings in force. Those of the listener stay until it is started anew.
    pub(crate) fn replace(&self, config: GatewayConfig) {
        if !self.admission.load().is_of(&config.admission) {
            self.admission.store(Arc::new(Admission::new(&config.admission, &self.inference)));
        }
        self.config.store(Arc::new(config));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("keys", &self.keys)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
