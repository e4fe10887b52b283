//! The body of an answer that is passed on: watched, never changed, with one honest end.
//!
//! Polled in place like the stream of a modelled answer. Of an event stream, an event is handed over once it is whole, so
//! whoever passes it on can still add one of its own after an error.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use infer_core::{Codec as _, DecodeKind, ErrorBody, EventDecoder as _, InferenceError, Served, WireFault};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::RemoteConfig;
use crate::context::Attempt;
use crate::provider::RemoteProvider;
use crate::relay_read::{self, RelayReader};
use crate::run::Run;
use crate::sse::Framer;
use crate::transport::TransportBody;

/// Passes on the body of one response.
pub(crate) struct RelayStream<P: RemoteProvider> {
    attempt: Attempt<P>,
    /// The call's permits and record; here from the commit point on, until the end is known.
    run: Option<Box<Run<P>>>,
    body: TransportBody,
    kind: BodyKind,
    /// Received and not handed over.
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// How many of them may be handed over.
    free: usize,
    /// What is still to come, where the head told.
    missing: Option<u64>,
    end: Option<End>,
    /// What an answer failed with that came to its honest end.
    failure: Option<Box<InferenceError>>,
    clock: Clock,
    max_event_bytes: usize,
    max_body_bytes: usize,
    /// Whether there is enough for the commit point.
    is_ready: bool,
    committed: bool,
    /// Whether an event came since something was handed over.
    has_moved: bool,
    /// Pieces handed over.
    pieces: u64,
}

/// How a body is watched.
pub(crate) enum BodyKind {
    /// Event by event.
    Events(Box<Framer>, RelayReader),
    /// As a whole, if it is not too large. Errors and usage are looked for if the call is billed.
    Json {
        /// Whether it is.
        is_billed: bool,
    },
    /// Not at all.
    Opaque,
}

enum End {
    Complete,
    Fault(Box<InferenceError>),
    /// Told to the caller.
    Over,
}

// Nothing is pinned in place: the body and the timer are boxed.
impl<P: RemoteProvider> Unpin for RelayStream<P> {}

impl<P: RemoteProvider> RelayStream<P> {
    /// A stream that has not looked at `body` yet, of which `length` bytes are to come where that is known. Must be made
    /// inside a tokio runtime.
    pub(crate) fn new(
        attempt: Attempt<P>,
        body: TransportBody,
        kind: BodyKind,
        length: Option<u64>,
        config: &RemoteConfig,
        first: Duration,
    ) -> Self {
        let clock = Clock::new(Instant::now(), &config.timeouts, first, attempt.deadline);
        Self {
            attempt,
            run: None,
            body,
            kind,
            held: VecDeque::new(),
            held_bytes: 0,
            free: 0,
            missing: length,
            end: None,
            failure: None,
            clock,
            max_event_bytes: config.limits.max_event_bytes,
            max_body_bytes: config.limits.max_body_bytes,
            is_ready: false,
            committed: false,
            has_moved: false,
            pieces: 0,
        }
    }

    /// Waits for the first whole event, for all of a JSON body, or for the first piece of anything else. Until then nothing
    /// is handed over, so the call may be repeated.
    pub(crate) async fn commit(&mut self, run: &mut Run<P>) -> Result<(), InferenceError> {
        poll_fn(|cx| self.poll_fill(cx, run)).await;
        if !self.is_ready {
            match self.end.replace(End::Over) {
                Some(End::Fault(error)) => return Err(*error),
                _ => return Err(self.attempt.interrupted(None, 0)),
            }
        }
        self.committed = true;
        self.clock.first_content = None;
        run.commit(Instant::now());
        Ok(())
    }

    /// Takes over the call, to settle it when its end is known or the caller leaves.
    pub(crate) fn carry(&mut self, run: Box<Run<P>>) {
        self.run = Some(run);
        self.settle();
    }

    /// Settles the call once its end is known.
    fn settle(&mut self) {
        let Some(run) = self.run.as_mut().filter(|_| self.end.is_some()) else { return };
        match (&self.end, &self.failure) {
            (Some(End::Fault(error)), _) | (_, Some(error)) => run.fail(error, None, Instant::now()),
            _ => drop(run.complete(Instant::now())),
        }
        self.run = None;
    }

    /// Makes progress until there is something to hand over, or the end is known.
    fn poll_fill(&mut self, cx: &mut Context<'_>, run: &mut Run<P>) -> Poll<()> {
        loop {
            let enough = if self.committed { self.free > 0 } else { self.is_ready };
            if enough || self.end.is_some() {
                self.clock.waiting = false;
                return Poll::Ready(());
            }
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    run.note(|timer| timer.received(bytes.len()));
                    self.take(bytes, run);
                    // A flood of keep-alives never waits, so the timer alone would not see it.
                    if let Some(late) = self.clock.received() {
                        self.broken(|attempt, pieces| late.into_error(attempt, pieces));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.close();
                    self.broken(|attempt, pieces| attempt.interrupted(Some(error), pieces));
                }
                Poll::Ready(None) => {
                    self.close();
                    self.ended(run);
                }
                Poll::Pending => {
                    let late = ready!(self.clock.poll_overdue(cx));
                    self.broken(|attempt, pieces| late.into_error(attempt, pieces));
                }
            }
        }
    }

    /// Takes the next bytes of the body.
    fn take(&mut self, bytes: Bytes, run: &mut Run<P>) {
        self.missing = self.missing.map(|missing| missing.saturating_sub(bytes.len() as u64));
        self.held_bytes += bytes.len();
        self.held.push_back(bytes.clone());
        match &mut self.kind {
            BodyKind::Events(framer, _) => {
                framer.push(bytes);
                self.read_events(run);
            }
            BodyKind::Json { .. } if self.held_bytes <= self.max_body_bytes => {}
            BodyKind::Json { .. } => {
                self.kind = BodyKind::Opaque;
                self.opaque(run);
            }
            BodyKind::Opaque => self.opaque(run),
        }
    }

    fn opaque(&mut self, run: &mut Run<P>) {
        if !std::mem::replace(&mut self.is_ready, true) {
            let now = self.clock.bytes_at;
            run.note(|timer| timer.whole(now, None, Served::default(), None));
        }
        self.free = self.held_bytes;
        self.has_moved = true;
    }

    fn read_events(&mut self, run: &mut Run<P>) {
        loop {
            let BodyKind::Events(framer, reader) = &mut self.kind else { return };
            match framer.next_event() {
                Ok(Some(event)) => {
                    let noted = reader.event(&event.name, &event.data);
                    let is_done = noted.is_done;
                    self.free = self.held_bytes.saturating_sub(framer.pending());
                    self.has_moved = true;
                    let now = self.clock.bytes_at;
                    run.note(|timer| timer.chunk(now, &noted.chunk));
                    if let Some(error) = noted.error {
                        let error = self.reported(&error, true);
                        if self.is_ready && noted.is_failure {
                            self.failure = Some(Box::new(error));
                        } else {
                            self.end = Some(End::Fault(Box::new(error)));
                            return;
                        }
                    }
                    self.is_ready = true;
                    if is_done {
                        self.free = self.held_bytes;
                        self.end = Some(End::Complete);
                        return;
                    }
                }
                Ok(None) => {
                    let pending = framer.pending();
                    self.free = self.held_bytes.saturating_sub(pending);
                    break;
                }
                Err(error) => {
                    let limit = self.max_event_bytes;
                    return self.fail(|attempt, pieces| attempt.frame(error, limit, pieces));
                }
            }
        }
        let limit = self.max_event_bytes;
        if !self.is_ready && self.held_bytes > limit {
            let detail = format!("more than {limit} bytes before any event");
            self.fail(|attempt, pieces| attempt.decode(DecodeKind::EventTooLarge, detail, pieces));
        }
    }

    /// The body is over: was that allowed here?
    fn ended(&mut self, run: &mut Run<P>) {
        let is_short = self.missing.is_some_and(|missing| missing > 0);
        match &self.kind {
            _ if is_short => return self.broken(|attempt, pieces| attempt.interrupted(None, pieces)),
            BodyKind::Events(framer, reader) => {
                let is_whole = reader.is_whole() || reader.may_end() && framer.pending() == 0;
                if !self.is_ready || !is_whole {
                    return self.fail(|attempt, pieces| attempt.interrupted(None, pieces));
                }
            }
            BodyKind::Json { is_billed } => {
                let noted = if *is_billed { relay_read::read_whole(&self.joined()) } else { <_>::default() };
                if let Some(error) = noted.error {
                    self.end = Some(End::Fault(Box::new(self.reported(&error, false))));
                    return;
                }
                let (now, chunk) = (self.clock.bytes_at, noted.chunk);
                let served = chunk.served.map(|served| *served).unwrap_or_default();
                run.note(|timer| timer.whole(now, chunk.usage, served, chunk.finish));
            }
            BodyKind::Opaque => self.opaque(run),
        }
        self.is_ready = true;
        self.free = self.held_bytes;
        self.end = Some(End::Complete);
    }

    /// All that is held, as one piece.
    fn joined(&mut self) -> Bytes {
        if self.held.len() != 1 {
            let mut whole = BytesMut::with_capacity(self.held_bytes);
            self.held.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
            self.held.push_back(whole.freeze());
        }
        self.held.front().cloned().unwrap_or_default()
    }

    /// What an error means that came under a success, as the wire format reads it.
    fn reported(&self, body: &Bytes, streamed: bool) -> InferenceError {
        let codec = self.attempt.provider.codec();
        let said: Box<ErrorBody> = match codec.decoder().event("error", body, &mut Vec::new()) {
            Err(WireFault::Reported(said)) => said,
            _ => Box::new(codec.error_body(body)),
        };
        self.attempt.fault(WireFault::Reported(said), self.handed_over(), streamed)
    }

    /// The network or the clock ended it, which no longer matters once the answer is whole.
    fn broken(&mut self, error: impl FnOnce(&Attempt<P>, u64) -> InferenceError) {
        if matches!(&self.kind, BodyKind::Events(_, reader) if reader.is_whole()) {
            self.end = Some(End::Complete);
        } else {
            self.fail(error);
        }
    }

    /// Ends the body with an error, after what is ready.
    fn fail(&mut self, error: impl FnOnce(&Attempt<P>, u64) -> InferenceError) {
        self.end = Some(End::Fault(Box::new(error(&self.attempt, self.handed_over()))));
    }

    /// Pieces that the caller will have by then.
    fn handed_over(&self) -> u64 {
        if self.is_ready { self.pieces + u64::from(self.free > 0) } else { 0 }
    }

    /// Lets go of the connection: a body must not be asked after its end.
    fn close(&mut self) {
        self.body = Box::pin(futures_util::stream::empty());
    }

    /// The next bytes that may be handed over.
    fn next_piece(&mut self) -> Option<Bytes> {
        let mut piece = self.held.pop_front().filter(|_| self.free > 0)?;
        if piece.len() > self.free {
            self.held.push_front(piece.split_off(self.free));
        }
        self.free -= piece.len();
        self.held_bytes -= piece.len();
        Some(piece)
    }
}

impl<P: RemoteProvider> Stream for RelayStream<P> {
    type Item = Result<Bytes, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(mut run) = this.run.take() {
            let filled = this.poll_fill(cx, &mut run);
            this.run = Some(run);
            this.settle();
            ready!(filled);
        }
        if this.free > 0
            && let Some(piece) = this.next_piece()
        {
            this.pieces += 1;
            this.clock.moved |= std::mem::take(&mut this.has_moved);
            return Poll::Ready(Some(Ok(piece)));
        }
        match this.end.replace(End::Over) {
            Some(End::Fault(error)) => {
                this.close();
                Poll::Ready(Some(Err(*error)))
            }
            Some(End::Complete) => {
                // The end of the body is usually there already; seeing it lets the connection be used again.
                let _ = this.body.as_mut().poll_next(cx);
                Poll::Ready(None)
            }
            Some(End::Over) | None => Poll::Ready(None),
        }
    }
}

/// A caller who leaves after the last event has the whole answer.
impl<P: RemoteProvider> Drop for RelayStream<P> {
    fn drop(&mut self) {
        if self.run.is_some() && matches!(&self.kind, BodyKind::Events(_, reader) if reader.is_whole()) {
            self.end = Some(End::Complete);
            self.settle();
        }
    }
}
