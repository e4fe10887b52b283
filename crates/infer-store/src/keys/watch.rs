//! Notices that others changed the stored keys.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::book::{Inner, KeyBook, Pace};
use super::{KeyError, KeyRecord};
use crate::StoreError;

/// How long to wait for more changes: a file is replaced in several steps.
const QUIET: Duration = Duration::from_millis(20);

/// Looks for changes while it lives.
#[must_use = "dropping it ends the watch"]
pub struct KeyWatch {
    task: Option<JoinHandle<()>>,
}

impl KeyWatch {
    pub(super) fn begin(book: &KeyBook) -> Result<Self, KeyError> {
        let Some(place) = &book.inner.place else { return Ok(Self { task: None }) };
        // It does not keep alive what it reloads.
        let look = run(Arc::downgrade(&book.inner), place.pace()?);
        Ok(Self { task: Some(tokio::spawn(look)) })
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").finish_non_exhaustive()
    }
}

async fn run(inner: Weak<Inner>, mut pace: Pace) {
    // Told once, however often it is seen.
    let mut told: Option<KeyError> = None;
    loop {
        // First of all: something may have changed before anybody listened.
        let Some(inner) = inner.upgrade() else { return };
        let book = KeyBook { inner };
        match book.reload().await {
            Ok(is_changed) => {
                if is_changed || told.is_some() {
                    let keys = book.list();
                    let revoked = keys.iter().filter(|key: &&Arc<KeyRecord>| key.revoked.is_some()).count();
                    tracing::info!(keys = keys.len(), revoked, "keys read");
                }
                told = None;
            }
            Err(error) => {
                if !told.as_ref().is_some_and(|told| is_the_same(told, &error)) {
                    tracing::warn!(%error, "keys cannot be read: those in force stay");
                }
                told = Some(error);
            }
        }
        drop(book);
        pace.next().await;
    }
}

/// Whether both tell of one trouble. A Redis that is away has many words for it.
fn is_the_same(one: &KeyError, other: &KeyError) -> bool {
    let is_redis = |error: &KeyError| matches!(error, KeyError::Store(StoreError::Redis { .. }));
    one == other || is_redis(one) && is_redis(other)
}

impl Pace {
    /// Waits until it is time to read again.
    async fn next(&mut self) {
        let Some(changes) = &mut self.changes else { return tokio::time::sleep(self.every).await };
        if matches!(timeout(self.every, changes.recv()).await, Ok(Some(()))) {
            while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
        }
    }
}
