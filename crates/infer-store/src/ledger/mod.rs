//! The spend ledger: one row for every settled call, kept in one file, and sums by hour and day that outlive the rows.
//!
//! Writing is done by one thread in groups, one commit of rows and sums together, so an acknowledged row and its sums
//! survive `kill -9`, and no row is ever counted without being there or there without being counted.

mod commit;
mod config;
mod export;
mod lines;
mod names;
mod orders;
mod pack;
mod places;
mod query;
mod recover;
mod rollup;
mod row;
mod shared;
#[cfg(unix)]
mod socket;
mod sums;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use config::{LedgerConfig, WhenFull};
pub use names::{Dimension, OTHER_NAME};
pub use places::RowPermit;
pub use query::{Group, Period, Query, Report};
pub use row::{LedgerRow, Outcome, RowCost};
pub use sums::Sums;

use crate::StoreError;
use crate::clock::Clock;
use crate::directory::Held;
use orders::{Order, Orders};
use recover::OpenDatabase;
use shared::Shared;
use writer::Writer;

const FILE: &str = "ledger.redb";

/// The spend ledger of this process. Cheap to clone; dropping the last handle writes what is left and waits for it.
#[derive(Clone)]
pub struct Ledger {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    /// Where other processes ask.
    #[cfg(unix)]
    socket: Mutex<Option<socket::QuerySocket>>,
}

/// What became of the rows given to a [`Ledger`] since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Written.
    pub written: u64,
    /// Lost: not taken by [`Ledger::offer`], or of a call that began without a place, because there was none.
    pub refused: u64,
    /// Calls that [`Ledger::reserve`] gave no place.
    pub turned_away: u64,
    /// Answered with an error because the disk failed.
    pub failed: u64,
    /// Waiting to be written.
    pub waiting: usize,
    /// Places held by calls whose rows are still to come.
    pub reserved: usize,
}

impl Ledger {
    /// Opens the ledger in `directory`, which is made if need be.
    ///
    /// One process holds a directory at a time. Blocks while a ledger that was not closed is checked.
    ///
    /// # Errors
    /// One [`StoreError`]: for a directory that is none, cannot be written, is full, is held by another process, or was
    /// written by a newer version. Nothing is changed then.
    pub fn open(directory: impl AsRef<Path>, config: LedgerConfig) -> Result<Self, StoreError> {
        Self::open_at(directory, config, Clock::system())
    }

    /// The same with another clock, which decides when rows and hours are old.
    ///
    /// # Errors
    /// As for [`Ledger::open`].
    pub fn open_at(
        directory: impl AsRef<Path>,
        config: LedgerConfig,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        config.validate()?;
        let lock = Held::take(directory.as_ref(), FILE)?;
        let path = lock.path().to_owned();
        let (file, cache) = (path.clone(), config.cache_bytes);
        recover::create(&path).map_err(|refusal| refusal.at(&path))?;
        let open: OpenDatabase =
            Box::new(move || redb::Database::builder().set_cache_size(cache).open(&file));
        let ledger = Self::start(&path, Some(lock), open, config, clock)?;
        #[cfg(unix)]
        ledger.handle.listen(directory.as_ref());
        Ok(ledger)
    }

    fn start(
        path: &Path,
        lock: Option<Held>,
        open: OpenDatabase,
        config: LedgerConfig,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (shared, found) = Shared::new(path.to_owned(), lock, open, config, clock)?;
        let shared = Arc::new(shared);
        let orders = Arc::new(Orders::default());
        let state = commit::State::new(found.next, found.hours_from);
        let (of_writer, held) = (Arc::clone(&orders), Vec::new());
        let writer = Writer { shared: Arc::clone(&shared), orders: of_writer, state, held, doubt: None };
        let thread = std::thread::Builder::new()
            .name("infer-ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::io(path, &error))?;
        let handle = Handle {
            shared,
            orders,
            thread: Mutex::new(Some(thread)),
            #[cfg(unix)]
            socket: Mutex::default(),
        };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Its settings.
    pub fn config(&self) -> LedgerConfig {
        self.handle.shared.limits()
    }

    /// Puts other settings in force, from the next commit on.
    ///
    /// # Errors
    /// [`StoreError::Config`] for wrong ones, and for those that are fixed while it is open
    /// ([`LedgerConfig::may_become`]). Nothing is changed then.
    pub fn replace(&self, config: &LedgerConfig) -> Result<(), StoreError> {
        config.validate()?;
        let shared = &self.handle.shared;
        shared.config.may_become(config)?;
        shared.limit(config.clone());
        Ok(())
    }

    /// Writes a row and resolves once it would survive a crash.
    ///
    /// Rows are numbered in the order in which they are given, whatever their times say. Waits for a place in the queue
    /// first. Dropping the future after that does not take the row back.
    ///
    /// # Errors
    /// Why it was not written. It is not written later either.
    pub async fn append(&self, row: LedgerRow) -> Result<(), StoreError> {
        let (ack, written) = oneshot::channel();
        self.handle.shared.places.take().await?;
        self.send(Order::Row(Box::new(row), Some(ack)))?;
        written.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes a row to be written within moments, and waits only for a place in the queue.
    ///
    /// A crash may lose the last few. A disk that fails does not: the row is tried again until it is written, and once
    /// the queue is full of such rows callers wait here.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn post(&self, row: LedgerRow) -> Result<(), StoreError> {
        self.handle.shared.places.take().await?;
        self.send(Order::Row(Box::new(row), None))
    }

    /// The same without waiting, for where nobody can wait, such as a destructor.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`]; the row is gone then, counted in [`Ledger::stats`] and logged. A row of a call that has
    /// a [`RowPermit`] is not.
    pub fn offer(&self, row: LedgerRow) -> Result<(), StoreError> {
        self.handle.offer(row)
    }

    /// Resolves once every row given before is written.
    ///
    /// # Errors
    /// Why the last of them is not.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (ack, written) = oneshot::channel();
        self.send(Order::Flush(ack))?;
        written.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Writes what is left and releases the directory; other handles find the ledger closed. Blocks until then.
    ///
    /// # Errors
    /// Why rows that nobody waited for could not be written.
    pub fn close(self) -> Result<(), StoreError> {
        self.handle.close()
    }

    /// What became of the rows so far.
    pub fn stats(&self) -> LedgerStats {
        let shared = &self.handle.shared;
        let waiting = shared.places.waiting.load(Ordering::Relaxed);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LedgerStats {
            written: count(&shared.counts.written),
            refused: count(&shared.counts.refused),
            failed: count(&shared.counts.failed),
            turned_away: count(&shared.counts.turned_away),
            waiting,
            reserved: shared.places.taken().saturating_sub(waiting),
        }
    }

    fn send(&self, order: Order) -> Result<(), StoreError> {
        let is_row = order.row().is_some();
        self.handle.send(order).map_err(|(error, _)| {
            if is_row {
                self.handle.shared.places.give_back(1);
            }
            error
        })
    }
}

impl Handle {
    /// Answers other processes; a ledger of which nobody can ask is one all the same.
    #[cfg(unix)]
    fn listen(&self, directory: &Path) {
        match socket::QuerySocket::open(directory, Arc::clone(&self.shared)) {
            Ok(socket) => *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket),
            Err(error) => tracing::warn!(
                directory = %directory.display(), %error,
                "ledger: other processes cannot ask while this one runs: no socket there (its path may have about 100 bytes)"
            ),
        }
    }

    fn close(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        drop(self.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.orders.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = match thread.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::Closed),
            None => Ok(()),
        };
        self.shared.places.close();
        self.shared.release();
        result
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The writer has logged what could not be written.
        let _ = self.close();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("path", &self.handle.shared.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
