//! What goes on right now, for the dashboard: in memory only, bounded, without a word of what was said in calls.
//!
//! [`Board`] decides and takes the time as an argument. [`Live`] is the board behind a lock that is held for
//! about a microsecond when a request ends, and for some tens of them when somebody looks.

mod board;
mod pace;
mod ring;
mod spend;
#[cfg(test)]
mod tests;
mod times;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use infer_store::ledger::{Dimension, Query};
use infer_store::{Clock, Ledger, StoreError};

use self::board::Board;
pub(crate) use self::pace::BudgetView;
use self::spend::By;
pub(crate) use self::view::{LiveSnapshot, Overview, ProviderView, Since};
use crate::observe::{Observer, Seen};

/// What the dashboard shows.
#[derive(Debug)]
pub(crate) struct Live {
    board: Mutex<Board>,
    in_flight: AtomicU64,
    clock: Clock,
}

impl Live {
    /// Nothing yet.
    pub(crate) fn new() -> Arc<Self> {
        Self::with_clock(Clock::system())
    }

    /// The same by another clock.
    pub(crate) fn with_clock(clock: Clock) -> Arc<Self> {
        let board = Mutex::new(Board::new(clock.now()));
        Arc::new(Self { board, in_flight: AtomicU64::new(0), clock })
    }

    /// Begins with what the ledger says was spent today and this month. Reads the disk, so call it where blocking is
    /// allowed, once, and before the first request: what ends in between would be counted twice.
    ///
    /// # Errors
    /// Why the ledger cannot be read; what was read until then is kept.
    pub(crate) fn seed(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let spans = self.board().spans(self.clock.now());
        for (span, began) in spans {
            let since = Query::new().since(SystemTime::UNIX_EPOCH + Duration::from_secs(began));
            for (by, dimension) in [(By::Model, Dimension::Model), (By::Key, Dimension::Key)] {
                let mut groups = ledger.query(&since.clone().by(dimension))?.groups;
                // The dearest first, so that they are the ones with names of their own.
                groups.sort_by_key(|group| std::cmp::Reverse(group.sums.cost));
                let mut board = self.board();
                for group in &groups {
                    let name = group.names.first().and_then(Option::as_ref);
                    board.restore(span, by, name, &(&group.sums).into());
                }
            }
        }
        Ok(())
    }

    /// What there is to show, without what `since` says is known already.
    pub(crate) fn snapshot(&self, since: &Since) -> LiveSnapshot {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        self.board().snapshot(self.clock.now(), since, in_flight)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Live {
    fn began(&self, _endpoint: &'static str) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, seen: &Seen) {
        let call = seen.into();
        // More ends than beginnings would be a mistake elsewhere; it must not show as billions under way.
        let _ = self.in_flight.try_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        self.board().ended(self.clock.now(), seen, call);
    }
}
