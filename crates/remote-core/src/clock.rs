//! What runs out while a body is read.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use infer_core::{InferenceError, TimeoutPhase};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::TimeoutConfig;
use crate::context::Attempt;
use crate::provider::RemoteProvider;

/// What ran out.
pub(crate) struct Late {
    phase: Option<TimeoutPhase>,
    limit: Duration,
}

impl Late {
    pub(crate) fn into_error<P: RemoteProvider>(self, attempt: &Attempt<P>, chunks: u64) -> InferenceError {
        match self.phase {
            Some(phase) => attempt.timeout(phase, self.limit, chunks),
            None => attempt.deadline_exceeded(self.limit, chunks),
        }
    }
}

/// The limits of a stream in time. Only waiting counts: a caller who is slow to ask does not make the upstream late.
pub(crate) struct Clock {
    /// The first content is due then; `None` once it came.
    pub(crate) first_content: Option<(Instant, Duration)>,
    idle_bytes: Duration,
    idle_content: Duration,
    deadline: Option<(Instant, Duration)>,
    /// When bytes last came, or the caller began to wait.
    pub(crate) bytes_at: Instant,
    /// When the caller began to wait after the last content.
    content_at: Instant,
    pub(crate) waiting: bool,
    /// Whether content was handed over since the last wait began.
    pub(crate) moved: bool,
    /// Reads since the clock was last looked at.
    reads: u32,
    /// Made with the first wait and set again only when it fires: moving it with every read would cost more than the read.
    sleep: Option<(Pin<Box<Sleep>>, Waker)>,
}

impl Clock {
    /// A clock for a body whose first content is due in `first_content`. Must be made inside a tokio runtime.
    pub(crate) fn new(
        now: Instant,
        timeouts: &TimeoutConfig,
        first_content: Duration,
        deadline: Option<(Instant, Duration)>,
    ) -> Self {
        Self {
            first_content: Some((now + first_content, first_content)),
            idle_bytes: timeouts.idle_bytes,
            idle_content: timeouts.idle_content,
            deadline,
            bytes_at: now,
            content_at: now,
            waiting: false,
            moved: true,
            reads: 0,
            sleep: None,
        }
    }

    fn begin_wait(&mut self) {
        if !std::mem::replace(&mut self.waiting, true) {
            self.reads = 0;
            self.bytes_at = Instant::now();
            if std::mem::take(&mut self.moved) {
                self.content_at = self.bytes_at;
            }
        }
    }

    /// Bytes came. Says what ran out although they keep coming, which it need not find out at every read.
    pub(crate) fn received(&mut self) -> Option<Late> {
        self.waiting = false;
        self.bytes_at = Instant::now();
        self.reads += 1;
        if !self.reads.is_multiple_of(64) {
            return None;
        }
        if std::mem::take(&mut self.moved) {
            self.content_at = self.bytes_at;
        }
        let [content, deadline, ..] = self.limits();
        [content, deadline].into_iter().flatten().find(|(due, _)| *due <= self.bytes_at).map(|(_, late)| late)
    }

    fn limits(&self) -> [Option<(Instant, Late)>; 3] {
        let late = |phase, limit| Late { phase, limit };
        let content = match self.first_content {
            Some((due, limit)) => (due, late(Some(TimeoutPhase::FirstContent), limit)),
            None => (
                self.content_at + self.idle_content,
                late(Some(TimeoutPhase::IdleContent), self.idle_content),
            ),
        };
        let bytes = (self.bytes_at + self.idle_bytes, late(Some(TimeoutPhase::IdleBytes), self.idle_bytes));
        let deadline = self.deadline.map(|(due, limit)| (due, late(None, limit)));
        [Some(content), deadline, Some(bytes)]
    }

    pub(crate) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        self.begin_wait();
        // The timer is never later than what is due, and still knows whom to wake.
        if let Some((sleep, waker)) = &self.sleep
            && !sleep.is_elapsed()
            && waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        loop {
            let Some((due, late)) = self.limits().into_iter().flatten().min_by_key(|(due, _)| *due) else {
                return Poll::Pending;
            };
            let (sleep, waker) =
                self.sleep.get_or_insert_with(|| (Box::pin(sleep_until(due)), cx.waker().clone()));
            waker.clone_from(cx.waker());
            if sleep.deadline() > due || sleep.is_elapsed() && Instant::now() < due {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(late);
            }
        }
    }
}
