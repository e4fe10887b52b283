//! Places in the queue: rows that wait have one each, and so have calls whose rows are still to come.
//!
//! A call may leave more rows than the one it has a place for: one at each target it was sent to. They are taken all the
//! same and owed; places that become free pay that back before anybody gets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

use super::config::WhenFull;
use super::orders::Order;
use super::row::LedgerRow;
use super::{Handle, Ledger};
use crate::StoreError;

/// Places, taken and given back.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    owed: AtomicUsize,
    /// Rows handed in and not written.
    pub(super) waiting: AtomicUsize,
    total: usize,
}

impl Places {
    pub(super) fn new(total: usize) -> Self {
        Self { free: Semaphore::new(total), owed: AtomicUsize::new(0), waiting: AtomicUsize::new(0), total }
    }

    pub(super) async fn take(&self) -> Result<(), StoreError> {
        self.free.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        Ok(())
    }

    pub(super) fn try_take(&self) -> Result<(), StoreError> {
        match self.free.try_acquire() {
            Ok(place) => {
                place.forget();
                Ok(())
            }
            Err(TryAcquireError::Closed) => Err(StoreError::Closed),
            Err(TryAcquireError::NoPermits) => {
                Err(StoreError::QueueFull { waiting: self.waiting.load(Ordering::Relaxed) })
            }
        }
    }

    /// Takes one beyond the bound if there is none.
    fn take_anyway(&self) {
        if self.try_take().is_err() {
            self.owed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back(&self, places: usize) {
        let mut paid = 0;
        let pay = |owed: usize| {
            paid = owed.min(places);
            Some(owed - paid)
        };
        // It always stores, so there is no other outcome to look at.
        let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        self.free.add_permits(places - paid);
    }

    /// Places taken by rows and by calls, those beyond the bound included.
    pub(super) fn taken(&self) -> usize {
        self.total.saturating_sub(self.free.available_permits()) + self.owed.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.free.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.free.is_closed()
    }
}

/// Room for the rows of one call, from before it begins until they are handed in.
///
/// Dropping it without a row gives its place to the next.
pub struct RowPermit {
    handle: Arc<Handle>,
    place: Place,
    rows: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Reserved,
    /// There was none, and calls go on all the same.
    Missing,
}

impl RowPermit {
    /// Hands in a row, which is written within moments or as soon as the disk is back.
    ///
    /// It never waits and never fails: the first row has its place, and more of the same call are taken beyond the bound.
    /// Only with [`WhenFull::Lose`], or once the ledger was closed, can a row be lost, which is counted in
    /// [`Ledger::stats`] and warned of.
    pub fn write(&self, row: LedgerRow) {
        let places = &self.handle.shared.places;
        let first = self.rows.fetch_add(1, Ordering::Relaxed) == 0;
        match (self.place, first) {
            (Place::Reserved, true) => {}
            (Place::Reserved, false) => places.take_anyway(),
            (Place::Missing, _) => {
                // Counted and warned of there.
                let _ = self.handle.offer(row);
                return;
            }
        }
        self.handle.enqueue(row);
    }

    /// How many rows were handed in.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl Drop for RowPermit {
    fn drop(&mut self) {
        if self.place == Place::Reserved && self.rows() == 0 {
            self.handle.shared.places.give_back(1);
        }
    }
}

impl std::fmt::Debug for RowPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowPermit")
            .field("place", &self.place)
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Takes a row of something that a call with a [`RowPermit`] began and left behind, such as a copy of it. It never
    /// waits, and is taken beyond the bound where there is no place.
    pub fn write_beyond(&self, row: LedgerRow) {
        self.handle.shared.places.take_anyway();
        self.handle.enqueue(row);
    }

    /// Reserves a place for the row of a call that is about to begin, so that it cannot be lost.
    ///
    /// While all places are taken this waits, for [`LedgerConfig::max_wait`](super::LedgerConfig::max_wait) and no longer
    /// than `limit`, first come first served. Dropping the future gives up the turn.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`] when there still is no place: the call should not begin. Counted as
    /// [`turned_away`](super::LedgerStats::turned_away). With [`WhenFull::Lose`] the permit is given without a place
    /// instead. [`StoreError::Closed`].
    pub async fn reserve(&self, limit: Option<Duration>) -> Result<RowPermit, StoreError> {
        let shared = &self.handle.shared;
        let permit = |place| RowPermit { handle: Arc::clone(&self.handle), place, rows: AtomicU64::new(0) };
        let full = match shared.places.try_take() {
            Ok(()) => return Ok(permit(Place::Reserved)),
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(full) => full,
        };
        if shared.config.when_full == WhenFull::Lose {
            return Ok(permit(Place::Missing));
        }
        let most = limit.map_or(shared.config.max_wait, |limit| limit.min(shared.config.max_wait));
        match tokio::time::timeout(most, shared.places.take()).await {
            Ok(Ok(())) => Ok(permit(Place::Reserved)),
            Ok(Err(closed)) => Err(closed),
            Err(_) => {
                shared.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                Err(full)
            }
        }
    }
}

impl Handle {
    /// Takes a row if there is a place for it.
    pub(super) fn offer(&self, row: LedgerRow) -> Result<(), StoreError> {
        if let Err(error) = self.shared.places.try_take() {
            self.lost(Some(&row), &error);
            return Err(error);
        }
        self.enqueue(row);
        Ok(())
    }

    /// Hands in a row that has a place.
    fn enqueue(&self, row: LedgerRow) {
        if let Err((error, order)) = self.send(Order::Row(Box::new(row), None)) {
            self.shared.places.give_back(1);
            self.lost(order.row(), &error);
        }
    }

    /// Hands an order to the writer, or says why not and gives it back.
    pub(super) fn send(&self, order: Order) -> Result<(), (StoreError, Order)> {
        let is_row = order.row().is_some();
        let waiting = &self.shared.places.waiting;
        if is_row {
            waiting.fetch_add(1, Ordering::Relaxed);
        }
        self.orders.give(order).map_err(|refused| {
            if is_row {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            (StoreError::Closed, refused)
        })
    }

    fn lost(&self, row: Option<&LedgerRow>, error: &StoreError) {
        self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        let request_id = row.map_or("", |row| &row.request_id);
        tracing::error!(request_id, %error, "ledger: row lost");
    }
}
