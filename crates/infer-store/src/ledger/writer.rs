//! The thread that writes: it takes what has gathered and commits it as one group.
//!
//! While a commit waits for the disk the next group gathers, so the slower the disk, the larger the groups. Rows that nobody
//! waits for gather for a moment longer, since a commit costs the same for one row as for a hundred. A row that
//! somebody waits for is answered with the error when its commit fails. One that nobody waits for stays in hand and is
//! tried again; it keeps its place in the queue, so callers feel it before memory does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::Database;

use super::commit::{State, commit};
use super::orders::{Ack, MAX_GROUP, Order, Orders};
use super::row::LedgerRow;
use super::shared::Shared;
use super::{pack, recover};
use crate::{StoreError, clock};

/// Between two attempts on a disk that fails.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: Arc<Orders>,
    pub(super) state: State,
    /// Rows that nobody waits for and that are not written yet.
    pub(super) held: Vec<LedgerRow>,
    pub(super) doubt: Option<Doubt>,
}

impl Writer {
    /// Runs until all handles are gone, then writes what is left.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        loop {
            let room = MAX_GROUP.saturating_sub(self.held.len());
            match self.orders.take(room, (!self.held.is_empty()).then_some(AGAIN)) {
                Some(orders) => self.group(orders).map_or((), drop),
                None => return self.close(),
            }
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.group(Vec::new()).inspect_err(|error| {
            tracing::error!(rows = self.held.len(), %error, "ledger: closed with rows that could not be written");
        })
    }

    fn group(&mut self, orders: Vec<Order>) -> Result<(), StoreError> {
        let mut awaited: Vec<(LedgerRow, Ack)> = Vec::new();
        let mut flushes = Vec::new();
        for order in orders {
            match order {
                Order::Row(row, Some(ack)) => awaited.push((*row, ack)),
                Order::Row(row, None) => self.held.push(*row),
                Order::Flush(ack) => flushes.push(ack),
            }
        }
        let result = self.write(&awaited);
        let written = if result.is_ok() { self.held.len() } else { 0 };
        self.shared.settled(awaited.len() + written, awaited.len(), &result);
        if result.is_ok() {
            self.held.clear();
        }
        for ack in awaited.into_iter().map(|(_, ack)| ack).chain(flushes) {
            // A caller who has left does not want the answer.
            let _ = ack.send(result.clone());
        }
        result
    }

    fn write(&mut self, awaited: &[(LedgerRow, Ack)]) -> Result<(), StoreError> {
        if awaited.is_empty() && self.held.is_empty() {
            return Ok(());
        }
        let database = self.shared.database()?;
        self.settle_doubt(&database)?;
        let hour = clock::hour(self.shared.clock.now());
        let (numbered, unwritten) = {
            let mut names = self.shared.names.write().unwrap_or_else(PoisonError::into_inner);
            let rows = self.held.iter().chain(awaited.iter().map(|(row, _)| row));
            let numbered: Vec<_> = rows.map(|row| (row, pack::numbers(row, &mut names))).collect();
            (numbered, names.unwritten().collect::<Vec<_>>())
        };
        let expected = self.state.tail.next_sequence().saturating_add(numbered.len() as u64);
        match commit(&database, &self.state, &numbered, &unwritten, hour, &self.shared.limits()) {
            Ok(state) => {
                self.state = state;
                self.shared.names.write().unwrap_or_else(PoisonError::into_inner).written(unwritten.len());
                self.shared.hours_from.store(self.state.hours_from, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                let error = self.shared.fault(&error);
                tracing::warn!(%error, waiting = self.held.len(), "ledger: rows not written");
                // After a failed write the open file refuses everything; a fresh one says what is really there.
                drop(database);
                self.shared.let_go();
                self.doubt = Some(Doubt { next: expected, held: self.held.len() });
                let settled = self.shared.database().and_then(|database| self.settle_doubt(&database));
                if settled == Ok(Settled::Written) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Finds out whether the commit that failed last reached the disk all the same, and goes on from what is there.
    fn settle_doubt(&mut self, database: &Database) -> Result<Settled, StoreError> {
        let Some(doubt) = &self.doubt else { return Ok(Settled::NotWritten) };
        let found = recover::recover(database, self.shared.config.max_names)
            .map_err(|error| self.shared.fault(&error))?;
        let written = found.next >= doubt.next;
        if written {
            let rows = self.held.drain(..doubt.held.min(self.held.len())).count();
            self.shared.settled(rows, 0, &Ok(()));
        }
        self.state = State::new(found.next, found.hours_from);
        self.doubt = None;
        Ok(if written { Settled::Written } else { Settled::NotWritten })
    }
}

/// A commit of which nobody knows whether it reached the disk.
pub(super) struct Doubt {
    /// The number of the next row if it did.
    next: u64,
    /// How many of the rows in hand were in it.
    held: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Written,
    NotWritten,
}

/// Whatever ends the thread, nobody waits for it for ever.
impl Drop for Writer {
    fn drop(&mut self) {
        self.orders.abandon();
    }
}
