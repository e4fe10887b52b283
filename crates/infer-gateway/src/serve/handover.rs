//! How an answer gets out of hyper, to whoever owns the connection.
//!
//! The future that should give hyper the answer leaves it here and stays pending. hyper 1.12 (proto/h1, read 2026-11-22) is then
//! between two messages, so that it can be dropped and another begin where it stopped:
//!
//! - Nothing of the request is left in it. Its decoder is done with a body's last byte before that is handed on
//!   (`Conn::poll_read_body`); what was read beyond is the next request and comes out of `into_parts`.
//! - Nothing of earlier answers is left in it, unless the last write waits. `Dispatcher::poll_loop` ends every round that polled
//!   the service with a flush, and a flush writes until all is taken, the write waits, or the connection fails
//!   (`Buffered::poll_flush`). What was given to the connection and waits there goes on with the connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Io;
use super::streamed::Then;

pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) then: Then,
}

/// The place where an answer is left.
#[derive(Default)]
pub(super) struct Handover {
    answer: Mutex<Option<Answer>>,
    /// Whether hyper's last write waits.
    is_stalled: AtomicBool,
}

impl Handover {
    pub(super) fn put(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// The answer, once hyper holds nothing that has to be written before it; to be asked after hyper was polled.
    pub(super) fn take(&self) -> Option<Answer> {
        if self.is_stalled.load(Ordering::Relaxed) {
            return None;
        }
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The connection as hyper sees it: first what was read of it before.
pub(super) struct Watched {
    io: Io,
    ahead: Bytes,
    handover: Arc<Handover>,
}

impl Watched {
    pub(super) fn new(io: Io, ahead: Bytes, handover: Arc<Handover>) -> Self {
        Self { io, ahead, handover }
    }

    /// The connection, and what was not read again.
    pub(super) fn into_parts(self) -> (Io, Bytes) {
        (self.io, self.ahead)
    }

    fn noted(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.handover.is_stalled.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, to);
        }
        let most = self.ahead.len().min(to.remaining());
        to.put_slice(self.ahead.get(..most).unwrap_or_default());
        self.ahead.advance(most);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, data);
        self.noted(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, data);
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
