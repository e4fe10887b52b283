//! Who is let in, in which order: the gateway's own limit on calls at once, and those of each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use infer_core::Priority;
use infer_store::keys::{KeyLimits, KeyRecord};
use inference::Inference;
use inference::remote::limit::{Limits, Permit, RateLimitConfig, Refused};
use tokio::time::Instant;

use crate::config::AdmissionConfig;
use crate::denial::Denial;
use crate::shared::{Place, SharedLimit, Turn};

/// Lets calls in.
#[derive(Debug)]
pub(crate) struct Admission {
    all: Limits,
    config: AdmissionConfig,
    place: Place,
    /// By the name of the key; only of keys that there are.
    keys: Mutex<HashMap<Arc<str>, Own>>,
}

/// The limits of one key.
#[derive(Clone, Debug)]
struct Own {
    wanted: KeyLimits,
    /// Calls at once of this process, which are let in by how urgent they are; the rates too, where nothing is shared.
    here: Limits,
    /// Calls at once and the rates over all replicas.
    shared: Option<SharedLimit>,
}

/// The right to run one call. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct Admitted {
    key: Option<Permit>,
    shared: Option<Turn>,
    expected: u64,
    _all: Permit,
}

impl Admitted {
    /// Charges the key for what was really used; where nobody knows that of a call that ran, for what was expected.
    pub(crate) fn settle(self, tokens: Option<u64>) {
        let tokens = tokens.unwrap_or(self.expected);
        if let Some(key) = self.key {
            key.settle(tokens);
        }
        if let Some(shared) = self.shared {
            shared.settle(tokens);
        }
    }
}

impl Admission {
    pub(crate) fn new(config: &AdmissionConfig, inference: &Inference) -> Self {
        Self {
            all: Limits::new(&config.limits()),
            config: config.clone(),
            place: Place::new(inference.clone()),
            keys: Mutex::default(),
        }
    }

    /// Whether new settings need a new one.
    pub(crate) fn is_of(&self, config: &AdmissionConfig) -> bool {
        self.config == *config
    }

    /// Calls that run, and calls that wait.
    pub(crate) fn state(&self) -> (u32, u32) {
        let state = self.all.state();
        (state.in_flight, state.waiting)
    }

    /// Waits for the turn of a call that is expected to use `tokens`.
    ///
    /// # Errors
    /// 429 `rate_limited` for a limit of the key, `queue_full` for the gateway's own, with the wait that would be needed; 504
    /// when the deadline passes; 503 where limits are shared, cannot be asked, and calls are to be refused then.
    pub(crate) async fn admit(
        &self,
        key: Option<&KeyRecord>,
        tokens: u64,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Admitted, Denial> {
        let (mut here, mut shared) = (None, None);
        if let Some(own) = key.and_then(|key| self.limits(key)) {
            let permit = own.here.acquire(tokens, priority, Some(deadline)).await.map_err(|refused| {
                denial(refused, "rate_limited", "the limits of this key allow no more calls now")
            })?;
            here = Some(permit);
            if let Some(limit) = own.shared {
                let longest = if self.config.max_queue == 0 { Duration::ZERO } else { self.config.max_wait };
                let longest = longest.min(deadline.saturating_duration_since(Instant::now()));
                // Most gateways share nothing, and their calls should not carry its room.
                shared = Some(Box::pin(limit.take(tokens, longest)).await?);
            }
        }
        let all = self.all.acquire(0, priority, Some(deadline)).await.map_err(|refused| {
            denial(refused, "queue_full", "too many calls wait for this gateway already")
        })?;
        Ok(Admitted { key: here, shared, expected: tokens, _all: all })
    }

    /// The limits of a key, if it has any; new ones when they, or where they are shared, have changed.
    fn limits(&self, key: &KeyRecord) -> Option<Own> {
        let wanted = key.limits;
        if wanted.is_empty() {
            return None;
        }
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.get(&key.name)
            && own.wanted == wanted
            && self.place.is_of(own.shared.as_ref())
        {
            return Some(own.clone());
        }
        let mut config = RateLimitConfig {
            requests_per_minute: wanted.requests_per_minute.map(clamp),
            tokens_per_minute: wanted.tokens_per_minute.map(clamp),
            max_in_flight: wanted.concurrency,
            max_wait: self.config.max_wait,
            max_queue: self.config.max_queue,
            ..RateLimitConfig::default()
        };
        let shared = self.place.limit(&key.name, &config);
        if shared.is_some() {
            (config.requests_per_minute, config.tokens_per_minute) = (None, None);
        }
        let own = Own { wanted, here: Limits::new(&config), shared };
        known.insert(Arc::clone(&key.name), own.clone());
        Some(own)
    }

    /// Forgets keys that are no more.
    pub(crate) fn forget(&self, is_known: impl Fn(&str) -> bool) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_known(name));
    }
}

fn denial(refused: Refused, code: &'static str, message: &str) -> Denial {
    match refused {
        Refused::QueueFull { wait } => {
            let wait = wait.max(Duration::from_millis(1));
            Denial::new(StatusCode::TOO_MANY_REQUESTS, code, message).after(wait)
        }
        Refused::Deadline => Denial::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline_exceeded",
            "the call's time was up before its turn came",
        ),
    }
}

/// More than four billion a minute is no limit worth the name.
fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
