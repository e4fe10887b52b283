//! Equal calls under way: one goes ahead, the others wait for what it brings.
//!
//! Whoever goes ahead holds the turn. When it ends, for whatever reason, the next in line gets it, looks whether there is
//! an answer now, and goes ahead itself if not. An answer that cannot be shared opens the gate for all who wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::key::CacheKey;

/// All calls under way, by what they ask.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<CacheKey, Arc<Semaphore>>>);

/// A place among equal calls. Dropping it gives the turn to the next.
#[derive(Debug)]
pub(super) struct Seat {
    flights: Arc<Flights>,
    key: CacheKey,
    gate: Option<Arc<Semaphore>>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Flights {
    /// Takes a place behind the equal calls that are under way.
    pub(super) fn join(self: &Arc<Self>, key: CacheKey) -> Seat {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry(key).or_insert_with(|| Arc::new(Semaphore::new(1)));
        Seat { flights: Arc::clone(self), key, gate: Some(Arc::clone(gate)), turn: None }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Seat {
    /// Waits for the turn; not at all where the gate is open.
    pub(super) async fn turn(&mut self) {
        if let Some(gate) = self.gate.clone() {
            self.turn = gate.acquire_owned().await.ok();
        }
    }

    /// Lets all who wait go ahead by themselves.
    pub(super) fn open(&self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.turn.take();
        let mut gates = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate.take();
        // The last to leave; a newcomer would have to come past the same lock.
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}
