//! What is asked of the limiter, and what it answers.

use infer_core::Priority;

use super::Refused;

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Tokens the call is expected to use, input and output together.
    pub tokens: u64,
    /// Who goes first.
    pub priority: Priority,
    /// From when on there is no point in starting.
    pub deadline: Option<u64>,
}

/// The answer to a call that arrives.
#[derive(Debug)]
pub enum Reserve {
    /// It starts now.
    Ready(Grant),
    /// It stands in the queue and asks for its [`turn`](super::Limiter::turn) at once, and again whenever woken.
    Queued(Ticket),
    /// It may not wait. Nothing is charged.
    Refused(Refused),
}

/// The answer to a call that waits.
#[derive(Debug)]
pub enum Turn {
    /// It starts now and is no longer in the queue.
    Ready(Grant),
    /// It asks again when woken, and at this time at the latest, which is later than now. If it is first in the queue it
    /// starts then, unless it waits for a running call's end.
    At(u64),
    /// It waited too long, or would have to, and is no longer in the queue. Nothing was charged.
    Refused(Refused),
}

/// A place in the queue, to be given up by a turn or by [`Limiter::leave`](super::Limiter::leave).
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Ticket {
    pub(super) place: u64,
    pub(super) ask: Ask,
    /// From when on it has waited too long.
    pub(super) expires: u64,
}

/// What a running call holds, to be handed in once, by [`Limiter::settle`](super::Limiter::settle) or
/// [`Limiter::release`](super::Limiter::release).
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Grant {
    pub(super) tokens: u64,
    pub(super) since: u64,
}
