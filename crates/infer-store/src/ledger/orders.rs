//! What callers ask of the writer, in the order in which they ask.
//!
//! Waking a thread costs more than a row, so a row that nobody waits for wakes the writer only when it sleeps; while rows
//! gather it is left alone until somebody waits, the group is full, or the time is up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::row::LedgerRow;
use crate::StoreError;

/// Rows in one commit at most.
pub(super) const MAX_GROUP: usize = 8_192;
/// How long rows that nobody waits for gather.
const GATHER: Duration = Duration::from_millis(10);

pub(super) type Ack = oneshot::Sender<Result<(), StoreError>>;

/// One thing that is asked.
pub(super) enum Order {
    /// Write this; the sender of the answer is absent when nobody waits.
    Row(Box<LedgerRow>, Option<Ack>),
    /// Say when everything before this is written.
    Flush(Ack),
}

impl Order {
    /// The row to be written, if it is one.
    pub(super) fn row(&self) -> Option<&LedgerRow> {
        match self {
            Self::Row(row, _) => Some(row),
            Self::Flush(_) => None,
        }
    }

    fn is_awaited(&self) -> bool {
        !matches!(self, Self::Row(_, None))
    }
}

/// The way to the writer.
#[derive(Default)]
pub(super) struct Orders {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    orders: VecDeque<Order>,
    /// How many of them somebody waits for.
    awaited: usize,
    /// The writer has nothing to do.
    is_idle: bool,
    is_closed: bool,
}

impl Queue {
    /// Whether the writer should not wait any longer.
    fn is_pressing(&self) -> bool {
        self.awaited > 0 || self.orders.len() >= MAX_GROUP || self.is_closed
    }
}

impl Orders {
    /// Asks; gives the order back when nobody will ever take it.
    pub(super) fn give(&self, order: Order) -> Result<(), Order> {
        let mut queue = self.queue();
        if queue.is_closed {
            return Err(order);
        }
        queue.awaited += usize::from(order.is_awaited());
        queue.orders.push_back(order);
        if queue.is_idle || queue.is_pressing() {
            queue.is_idle = false;
            drop(queue);
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes what has gathered, at most `room` orders and at least one: waits for the first of them, for `patience` or for
    /// ever, and for those that follow it at once. None at all once patience is over; `None` once the way is closed and
    /// everything was taken.
    pub(super) fn take(&self, room: usize, patience: Option<Duration>) -> Option<Vec<Order>> {
        let mut queue = self.queue();
        queue.is_idle = queue.orders.is_empty();
        let is_empty = |queue: &mut Queue| queue.orders.is_empty() && !queue.is_closed;
        queue = match patience {
            None => self.bell.wait_while(queue, is_empty).unwrap_or_else(PoisonError::into_inner),
            Some(time) => self.wait(queue, time, is_empty),
        };
        queue.is_idle = false;
        if !queue.orders.is_empty() {
            queue = self.wait(queue, GATHER, |queue| !queue.is_pressing());
        } else if queue.is_closed {
            return None;
        }
        let count = queue.orders.len().min(room.max(1));
        let taken: Vec<_> = queue.orders.drain(..count).collect();
        queue.awaited -= taken.iter().filter(|order| order.is_awaited()).count();
        Some(taken)
    }

    /// Takes no further orders; those that were given are still there to be taken.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        self.bell.notify_one();
    }

    /// Gives up what was given: whoever waits for it hears that the ledger is closed.
    pub(super) fn abandon(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        queue.awaited = 0;
        queue.orders.clear();
    }

    fn wait<'a>(
        &self,
        queue: MutexGuard<'a, Queue>,
        time: Duration,
        goes_on: impl FnMut(&mut Queue) -> bool,
    ) -> MutexGuard<'a, Queue> {
        let (queue, _) =
            self.bell.wait_timeout_while(queue, time, goes_on).unwrap_or_else(PoisonError::into_inner);
        queue
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use super::*;

    fn row() -> Order {
        Order::Row(Box::new(LedgerRow::new(SystemTime::UNIX_EPOCH, "m", "r")), None)
    }

    #[test]
    fn orders_come_out_in_the_order_in_which_they_went_in_and_no_more_than_there_is_room() {
        let orders = Orders::default();
        for place in 0..5 {
            let order = if place == 3 { Order::Flush(oneshot::channel().0) } else { row() };
            assert!(orders.give(order).is_ok());
        }
        let awaited = |taken: &[Order]| taken.iter().map(Order::is_awaited).collect::<Vec<_>>();
        assert_eq!(awaited(&orders.take(2, None).unwrap()), [false, false]);
        assert_eq!(awaited(&orders.take(0, None).unwrap()), [false]);
        assert_eq!(awaited(&orders.take(9, None).unwrap()), [true, false]);
    }

    #[test]
    fn a_closed_way_gives_what_was_given_before_and_takes_nothing() {
        let orders = Orders::default();
        assert!(orders.give(row()).is_ok());
        orders.close();
        assert!(orders.give(row()).is_err());
        assert_eq!(orders.take(9, None).map(|taken| taken.len()), Some(1));
        assert!(orders.take(9, None).is_none());
    }

    #[test]
    fn whoever_waits_for_an_order_that_is_given_up_hears_of_it() {
        let orders = Orders::default();
        let (ack, mut written) = oneshot::channel();
        assert!(orders.give(Order::Flush(ack)).is_ok());
        orders.abandon();
        assert!(written.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(orders.give(row()).is_err());
    }

    #[test]
    fn nothing_comes_out_when_nothing_came_in_time() {
        let orders = Orders::default();
        assert_eq!(orders.take(9, Some(Duration::ZERO)).map(|taken| taken.len()), Some(0));
    }

    /// Every order that many threads give comes out once, whatever the writer does meanwhile.
    #[test]
    fn no_order_is_lost_between_threads() {
        let orders = Orders::default();
        let taken = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut taken = 0;
                while let Some(group) = orders.take(3, None) {
                    taken += group.len();
                }
                taken
            });
            let givers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..250 {
                            assert!(orders.give(row()).is_ok());
                        }
                        let (ack, _written) = oneshot::channel();
                        assert!(orders.give(Order::Flush(ack)).is_ok());
                    })
                })
                .collect();
            for giver in givers {
                giver.join().unwrap();
            }
            orders.close();
            writer.join().unwrap()
        });
        assert_eq!(taken, 4 * 251);
    }
}
