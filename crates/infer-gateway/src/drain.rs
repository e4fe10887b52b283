//! Stopping: first no new requests, then no more time for those that run.

use std::sync::Arc;

use http::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::denial::Denial;

/// How far the gateway is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It takes no new connections and says that it is not ready; what runs may finish.
    Draining,
    /// The time for that is up: what runs ends now, with an error event.
    Over,
}

/// Tells everybody how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    over: CancellationToken,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), over: CancellationToken::new() }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to `phase`; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
        if phase == Phase::Over {
            self.over.cancel();
        }
    }

    /// Until `phase` or a later one has begun.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender is held by whoever waits, so it cannot be gone.
        _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Until [`Phase::Over`]; cheap to ask again and again.
    pub(crate) fn over(&self) -> WaitForCancellationFutureOwned {
        self.over.clone().cancelled_owned()
    }
}

/// What is told to whoever comes, or still waits, too late.
pub(crate) fn stopping() -> Denial {
    Denial::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "draining",
        "the gateway is stopping: ask another one, or again soon",
    )
}
