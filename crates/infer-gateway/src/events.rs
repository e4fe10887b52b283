//! A streamed answer on its way to the client.
//!
//! It is pulled: nothing is read from the upstream before the client takes what came before, so a slow client costs one
//! piece of memory. Dropping it drops the call, which closes the upstream's connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use infer_core::{InferenceError, Origin, TokenChunk, TokenStream};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::denial::for_callers;
use crate::observe::Ending;
use crate::watch::Watch;

/// How a wire format writes a stream.
pub(crate) trait Format: Send + Unpin + 'static {
    /// The event for one piece; none where there is nothing to send.
    fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes>;

    /// What ends a whole answer; asked once, after a finish.
    fn done(&mut self) -> Bytes;

    /// The one event that ends a broken answer.
    fn error(&mut self, error: &InferenceError) -> Bytes;

    /// What is sent into a silence.
    fn keep_alive(&mut self) -> Bytes {
        Bytes::from_static(b": keep-alive\n\n")
    }
}

/// A call that has not answered yet.
pub(crate) type Pending = Pin<
    Box<
        dyn Future<Output = Result<(TokenStream, Box<dyn FnOnce(&mut Watch) + Send>), InferenceError>> + Send,
    >,
>;

enum Phase {
    /// No content yet, and the head is sent.
    Waiting(Pending),
    Running(TokenStream),
    Over,
}

/// The body of a streamed answer.
pub(crate) struct Events<F> {
    phase: Phase,
    format: F,
    watch: Box<Watch>,
    silence: Pin<Box<Sleep>>,
    every: Duration,
    /// The end of the time for running calls.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    is_finished: bool,
}

/// What a stream needs beside its call.
pub(crate) struct Terms {
    /// How often a comment goes into a silence.
    pub(crate) keep_alive: Duration,
    pub(crate) over: WaitForCancellationFutureOwned,
}

/// Events that are ready are sent together up to so many bytes.
const TOGETHER: usize = 16 << 10;

impl<F: Format> Events<F> {
    pub(crate) fn running(stream: TokenStream, format: F, watch: Box<Watch>, terms: Terms) -> Self {
        Self::new(Phase::Running(stream), format, watch, terms)
    }

    pub(crate) fn waiting(pending: Pending, format: F, watch: Box<Watch>, terms: Terms) -> Self {
        Self::new(Phase::Waiting(pending), format, watch, terms)
    }

    fn new(phase: Phase, format: F, mut watch: Box<Watch>, terms: Terms) -> Self {
        // What is left from here on was left under a 200.
        watch.seen().status = 200;
        watch.written();
        let every = terms.keep_alive;
        let silence = Box::pin(tokio::time::sleep(every));
        Self { phase, format, watch, silence, every, over: Box::pin(terms.over), is_finished: false }
    }

    /// Takes the next piece; `Some` when there is something to send.
    fn take(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        let seen = self.watch.seen();
        seen.chunks += 1;
        if let Some(model) = chunk.served.as_ref().and_then(|served| served.model.as_ref()) {
            seen.served_model = Some(model.clone());
        }
        self.is_finished |= chunk.finish.is_some();
        if chunk.usage.is_some() {
            self.watch.used(chunk.usage, chunk.cost.as_deref().copied());
        }
        self.format.write(chunk)
    }

    fn end(&mut self, result: Result<(), InferenceError>) -> Bytes {
        self.phase = Phase::Over;
        let result = match result {
            Ok(()) if !self.is_finished => Err(interrupted("the answer ended without saying why")),
            result => result,
        };
        match result {
            Ok(()) => {
                self.watch.end(200, Ending::Answered);
                self.format.done()
            }
            Err(error) => {
                tracing::warn!(request_id = %self.watch.id(), %error, "stream broken");
                self.watch.end(200, Ending::Broken(error.kind().name()));
                self.format.error(&for_callers(error))
            }
        }
    }

    /// Everything that is ready now.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut ready = Ready::default();
        loop {
            let next = match &mut self.phase {
                Phase::Over => return Poll::Ready(ready.take()),
                Phase::Waiting(pending) => match pending.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok((stream, note))) => {
                        note(&mut self.watch);
                        self.phase = Phase::Running(stream);
                        continue;
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                },
                Phase::Running(stream) => stream.as_mut().poll_next(cx),
            };
            match next {
                Poll::Pending => {
                    let sent = ready.take();
                    return match sent {
                        Some(sent) => Poll::Ready(Some(sent)),
                        None => self.wait(cx),
                    };
                }
                Poll::Ready(Some(Ok(chunk))) => {
                    if ready.len() == 0 {
                        self.watch.piece();
                    }
                    if let Some(event) = self.take(&chunk) {
                        ready.add(event);
                    }
                }
                Poll::Ready(Some(Err(error))) => ready.add(self.end(Err(error))),
                Poll::Ready(None) => ready.add(self.end(Ok(()))),
            }
            if ready.len() >= TOGETHER {
                return Poll::Ready(ready.take());
            }
        }
    }

    /// Into a silence that has lasted, a comment; the end, where the gateway's time is up.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(self.end(Err(interrupted("the gateway is stopping")))));
        }
        match self.silence.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Some(self.format.keep_alive())),
        }
    }
}

pub(crate) fn interrupted(why: &str) -> InferenceError {
    let mut at = Origin::default();
    at.message = Some(why.to_owned());
    InferenceError::StreamInterrupted { at: Box::new(at), source: None }
}

/// Events that go out together; one alone goes as it is.
#[derive(Default)]
struct Ready {
    one: Option<Bytes>,
    many: BytesMut,
}

impl Ready {
    fn add(&mut self, event: Bytes) {
        match self.one.take() {
            None if self.many.is_empty() => self.one = Some(event),
            first => {
                self.many.extend_from_slice(&first.unwrap_or_default());
                self.many.extend_from_slice(&event);
            }
        }
    }

    fn len(&self) -> usize {
        self.many.len() + self.one.as_ref().map_or(0, Bytes::len)
    }

    fn take(&mut self) -> Option<Bytes> {
        let many = std::mem::take(&mut self.many);
        self.one.take().or_else(|| (!many.is_empty()).then(|| many.freeze()))
    }
}

impl<F: Format> http_body::Body for Events<F> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = this.poll(cx);
        if matches!(polled, Poll::Ready(Some(_))) {
            this.silence.as_mut().reset(Instant::now() + this.every);
        }
        polled.map(|event| event.map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}
