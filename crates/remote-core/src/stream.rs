//! The answer as a stream with one honest end.
//!
//! Polled in place: no task and no channel between the socket and the caller, so a caller who stalls stops the upstream
//! and a caller who leaves closes the connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use infer_core::{Codec, DecodeKind, EventDecoder as _, InferenceError, Step, TokenChunk};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{SizeLimits, TimeoutConfig};
use crate::context::Attempt;
use crate::provider::RemoteProvider;
use crate::run::Run;
use crate::sse::Framer;
use crate::transport::TransportBody;

type Decoder<P> = <<P as RemoteProvider>::Codec as Codec>::Decoder;

/// Frames, decodes and prices the events of one response.
pub(crate) struct MeteredStream<P: RemoteProvider> {
    attempt: Attempt<P>,
    /// The call's permits and record; here from the commit point on, until the end is known.
    run: Option<Box<Run<P>>>,
    body: TransportBody,
    framer: Framer,
    decoder: Decoder<P>,
    decoded: Vec<TokenChunk>,
    ready: VecDeque<TokenChunk>,
    end: Option<End>,
    limits: SizeLimits,
    clock: Clock,
    /// Bytes of events held back before the first content.
    held_bytes: usize,
    has_content: bool,
    committed: bool,
    /// Pieces of content handed over.
    chunks: u64,
}

enum End {
    /// The body ended where it may.
    Complete,
    /// The format said that this was all; the end of the body was not seen.
    Done,
    Fault(Box<InferenceError>),
    /// Told to the caller.
    Over,
}

// Nothing is pinned in place: the body and the timer are boxed.
impl<P: RemoteProvider> Unpin for MeteredStream<P> {}

impl<P: RemoteProvider> MeteredStream<P> {
    /// A stream that has not looked at `body` yet. Must be made inside a tokio runtime.
    pub(crate) fn new(
        attempt: Attempt<P>,
        body: TransportBody,
        limits: &SizeLimits,
        timeouts: &TimeoutConfig,
        first_content: Duration,
    ) -> Self {
        let now = Instant::now();
        let decoder = attempt.provider.codec().decoder();
        let clock = Clock::new(now, timeouts, first_content, attempt.deadline);
        Self {
            attempt,
            run: None,
            body,
            framer: Framer::new(limits.max_event_bytes),
            decoder,
            // Room for one, as chunks mostly come one by one: an open stream should be small.
            decoded: Vec::with_capacity(1),
            ready: VecDeque::with_capacity(1),
            end: None,
            limits: limits.clone(),
            clock,
            held_bytes: 0,
            has_content: false,
            committed: false,
            chunks: 0,
        }
    }

    /// Waits for the first content. Until then nothing is handed over, so the call may be repeated.
    pub(crate) async fn commit(&mut self, run: &mut Run<P>) -> Result<(), InferenceError> {
        poll_fn(|cx| self.poll_fill(cx, run)).await;
        if !self.has_content {
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
        match &self.end {
            Some(End::Fault(error)) => run.fail(error, None, Instant::now()),
            _ => drop(run.complete(Instant::now())),
        }
        self.run = None;
    }

    /// Makes progress until there is something to hand over, or the end is known.
    fn poll_fill(&mut self, cx: &mut Context<'_>, run: &mut Run<P>) -> Poll<()> {
        loop {
            let enough = if self.committed { !self.ready.is_empty() } else { self.has_content };
            if enough || self.end.is_some() {
                self.clock.waiting = false;
                return Poll::Ready(());
            }
            match self.framer.next_event() {
                Ok(Some(event)) => {
                    self.decode(&event.name, &event.data, run);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    let limit = self.limits.max_event_bytes;
                    self.fail(|attempt, chunks| attempt.frame(error, limit, chunks));
                    continue;
                }
            }
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    run.note(|timer| timer.received(bytes.len()));
                    self.framer.push(bytes);
                    // A flood of keep-alives never waits, so the timer alone would not see it.
                    if let Some(late) = self.clock.received() {
                        self.fail(|attempt, chunks| late.into_error(attempt, chunks));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.fail(|attempt, chunks| attempt.interrupted(Some(error), chunks));
                }
                Poll::Ready(None) => match self.decoder.finish() {
                    Ok(()) => self.end = Some(End::Complete),
                    Err(fault) => self.fail(|attempt, chunks| attempt.fault(fault, chunks, true)),
                },
                Poll::Pending => {
                    let late = ready!(self.clock.poll_overdue(cx));
                    self.fail(|attempt, chunks| late.into_error(attempt, chunks));
                }
            }
        }
    }

    fn decode(&mut self, name: &str, data: &bytes::Bytes, run: &mut Run<P>) {
        let now = self.clock.bytes_at;
        let step = self.decoder.event(name, data, &mut self.decoded);
        for mut chunk in self.decoded.drain(..) {
            run.note(|timer| timer.chunk(now, &chunk));
            if let Some(usage) = &chunk.usage {
                chunk.cost = run.cost(usage).map(Box::new);
            }
            self.has_content |= chunk.is_content();
            self.ready.push_back(chunk);
        }
        match step {
            Ok(Step::More) => {}
            Ok(Step::Done) => self.end = Some(End::Done),
            Err(fault) => self.fail(|attempt, chunks| attempt.fault(fault, chunks, true)),
        }
        if !self.has_content {
            self.held_bytes += data.len();
            let limit = self.limits.max_event_bytes;
            if self.held_bytes > limit && self.end.is_none() {
                let detail = format!("more than {limit} bytes of events before any output");
                self.fail(|attempt, chunks| attempt.decode(DecodeKind::EventTooLarge, detail, chunks));
            }
        }
    }

    /// Ends the stream with an error, after what is ready.
    fn fail(&mut self, error: impl FnOnce(&Attempt<P>, u64) -> InferenceError) {
        let pending = self.ready.iter().filter(|chunk| chunk.is_content()).count() as u64;
        let chunks = if self.has_content { self.chunks + pending } else { 0 };
        self.end = Some(End::Fault(Box::new(error(&self.attempt, chunks))));
    }
}

impl<P: RemoteProvider> Stream for MeteredStream<P> {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(mut run) = this.run.take() {
            let filled = this.poll_fill(cx, &mut run);
            this.run = Some(run);
            this.settle();
            ready!(filled);
        }
        if let Some(chunk) = this.ready.pop_front() {
            if chunk.is_content() {
                this.chunks += 1;
                this.clock.moved = true;
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match this.end.replace(End::Over) {
            Some(End::Fault(error)) => {
                this.body = Box::pin(futures_util::stream::empty()); // close the connection now
                Poll::Ready(Some(Err(*error)))
            }
            Some(End::Done) => {
                // The end of the body is usually there already; seeing it lets the connection be used again.
                let _ = this.body.as_mut().poll_next(cx);
                Poll::Ready(None)
            }
            Some(End::Complete | End::Over) | None => Poll::Ready(None),
        }
    }
}

/// A caller who leaves after the finish reason has the whole answer.
impl<P: RemoteProvider> Drop for MeteredStream<P> {
    fn drop(&mut self) {
        if self.run.is_some() && self.decoder.finish().is_ok() {
            self.end = Some(End::Complete);
            self.settle();
        }
    }
}
