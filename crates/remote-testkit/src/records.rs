//! Sinks and sources that remember.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use infer_core::InferenceError;
use remote_core::meter::{MetricsSink, RunRecord, Scope};
use remote_core::session::{Credential, CredentialSource};

/// Keeps every record.
#[derive(Debug, Default)]
pub struct Records(Mutex<Vec<RunRecord>>);

impl Records {
    /// Those of attempts.
    pub fn attempts(&self) -> Vec<RunRecord> {
        self.all(|scope| matches!(scope, Scope::Attempt { .. }))
    }

    /// Those of calls.
    pub fn calls(&self) -> Vec<RunRecord> {
        self.all(|scope| scope == Scope::Call)
    }

    fn all(&self, wanted: impl Fn(Scope) -> bool) -> Vec<RunRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().filter(|record| wanted(record.scope)).cloned().collect()
    }
}

impl MetricsSink for Records {
    fn record(&self, record: &RunRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    }
}

/// Gives one key after the other, the last one again and again, and counts.
pub struct Keys(Mutex<(VecDeque<String>, usize)>);

impl Keys {
    /// Gives `keys` in their order.
    pub fn new<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(Mutex::new((keys.into_iter().map(Into::into).collect(), 0)))
    }

    fn state(&self) -> MutexGuard<'_, (VecDeque<String>, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        self.state().1
    }
}

/// Shows no key.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("fetches", &self.fetches()).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialSource for Keys {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let mut state = self.state();
        state.1 += 1;
        let next = if state.0.len() > 1 { state.0.pop_front() } else { state.0.front().cloned() };
        Ok(next.map_or_else(Credential::none, Credential::new))
    }
}
