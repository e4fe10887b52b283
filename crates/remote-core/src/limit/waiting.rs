//! A call that waits for its turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep_until};

use super::ask::{Grant, Ticket, Turn};
use super::{Limits, Refused};

/// A place in the queue as a future. Dropping it gives up the place.
pub(super) struct Waiting<'a> {
    limits: &'a Limits,
    /// `None` once the place is gone.
    ticket: Option<Ticket>,
    /// Goes off when it is first and may start; behind others, only if those before it do not come. On the heap, to keep
    /// the futures of calls that need not wait small.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(limits: &'a Limits, ticket: Ticket) -> Self {
        Self { limits, ticket: Some(ticket), timer: None }
    }
}

impl Future for Waiting<'_> {
    type Output = Result<Grant, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let Some(ticket) = &this.ticket else { return Poll::Pending };
            let mut waker = cx.waker().clone();
            match this.limits.with(|machine, now| machine.turn(now, ticket, &mut waker)) {
                Turn::Ready(grant) => {
                    this.ticket = None;
                    return Poll::Ready(Ok(grant));
                }
                Turn::Refused(refused) => {
                    this.ticket = None;
                    return Poll::Ready(Err(refused));
                }
                Turn::At(time) => {
                    // Without a time there is only a running call's end to wait for, which wakes us.
                    let Some(time) = this.limits.instant(time) else { return Poll::Pending };
                    let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(time)));
                    if timer.deadline() != time {
                        timer.as_mut().reset(time);
                    }
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // What woke it is dropped here, outside the lock.
            let _waker = self.limits.with(|machine, _| machine.leave(&ticket));
        }
    }
}
