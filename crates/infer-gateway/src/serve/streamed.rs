//! An answer that comes in pieces, written on the connection itself: while it is silent, nothing is held for it.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::Body;
use http::header::DATE;
use http::{Response, StatusCode};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is collected of an answer before it is written.
const ENOUGH: usize = 16 << 10;
/// What is read of the requests that follow while the answer runs.
const MOST_AHEAD: usize = 8 << 10;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoesOn,
    Closes,
}

/// Writes `answer`, which begins at `now`, to its end. `ahead` is what was read of later requests, and grows with what
/// comes meanwhile.
///
/// # Errors
/// The client left, or takes nothing, or the answer broke off. The answer's body is gone then and the connection must not be
/// used further; without the last chunk the client sees that the answer is not whole (RFC 9112, section 8, read 2026-11-22).
pub(super) fn stream<I: AsyncRead + AsyncWrite + Unpin>(
    io: &mut I,
    ahead: &mut Vec<u8>,
    answer: Response<Body>,
    then: Then,
    now: SystemTime,
) -> impl Future<Output = io::Result<()>> {
    let mut streamed = Streamed::new(answer, then, now);
    poll_fn(move |cx| streamed.poll(io, ahead, cx))
}

struct Streamed {
    /// None once it has ended.
    body: Option<Body>,
    /// Why it ended before its time.
    broken: Option<axum::Error>,
    /// Collected and not yet written, but for the first `taken` bytes.
    out: Vec<u8>,
    taken: usize,
    /// Whether the connection still has to take or to pass on something.
    is_held: bool,
}

impl Streamed {
    fn new(answer: Response<Body>, then: Then, now: SystemTime) -> Self {
        let mut out = Vec::new();
        head(&mut out, &answer, then, now);
        Self { body: Some(answer.into_body()), broken: None, out, taken: 0, is_held: false }
    }

    fn poll<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        ahead: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_answer(io, cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => poll_left(io, ahead, cx).map(Err),
        }
    }

    fn poll_answer<I: AsyncWrite + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.is_held {
                ready!(self.poll_send(io, cx))?;
            }
            // Only now, so that a slow client holds the answer back.
            self.collect(cx);
            if !self.is_held {
                return match (&self.body, self.broken.take()) {
                    (Some(_), _) => Poll::Pending,
                    (None, None) => Poll::Ready(Ok(())),
                    (None, Some(error)) => Poll::Ready(Err(io::Error::other(error))),
                };
            }
        }
    }

    /// Takes of the body what is there, up to enough for a write.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while self.out.len() < ENOUGH
            && let Some(body) = &mut self.body
        {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => {
                    // No trailers were announced, so none are sent.
                    if let Some(data) = frame.data_ref() {
                        chunk(&mut self.out, data);
                    }
                    if body.is_end_stream() {
                        self.end();
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    self.broken = Some(error);
                }
                Poll::Ready(None) => self.end(),
            }
        }
        self.is_held = !self.out.is_empty();
    }

    fn end(&mut self) {
        self.body = None;
        self.out.extend_from_slice(b"0\r\n\r\n");
    }

    fn poll_send<I: AsyncWrite + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.taken += taken,
            }
        }
        // The memory goes back: it may be long until more is said.
        self.out = Vec::new();
        self.taken = 0;
        ready!(Pin::new(io).poll_flush(cx))?;
        self.is_held = false;
        Poll::Ready(Ok(()))
    }
}

/// Until the client has left, and why that is thought; what it sends is kept in `ahead`, as far as there is room.
fn poll_left<I: AsyncRead + Unpin>(io: &mut I, ahead: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Error> {
    while ahead.len() < MOST_AHEAD {
        let mut space = [MaybeUninit::uninit(); 1 << 10];
        let room = space.len().min(MOST_AHEAD - ahead.len());
        let mut read = ReadBuf::uninit(space.get_mut(..room).unwrap_or_default());
        if let Err(error) = ready!(Pin::new(&mut *io).poll_read(cx, &mut read)) {
            return Poll::Ready(error);
        }
        if read.filled().is_empty() {
            return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
        }
        ahead.extend_from_slice(read.filled());
    }
    Poll::Pending
}

fn head(out: &mut Vec<u8>, answer: &Response<Body>, then: Then, now: SystemTime) {
    let headers = answer.headers();
    out.reserve(
        128 + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>(),
    );
    put(out, format_args!("HTTP/1.1 {} {}\r\n", answer.status().as_str(), reason(answer.status())));
    for (name, value) in headers {
        line(out, name.as_str(), value.as_bytes());
    }
    line(out, "transfer-encoding", b"chunked");
    if then == Then::Closes {
        line(out, "connection", b"close");
    }
    if !headers.contains_key(DATE) {
        put(out, format_args!("date: {}\r\n", httpdate::HttpDate::from(now.max(SystemTime::UNIX_EPOCH))));
    }
    out.extend_from_slice(b"\r\n");
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// An empty one would say that the answer is over (RFC 9112, section 7.1, read 2026-11-22).
fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    // The size, up to 16 digits, and the ends of two lines; often the last chunk too.
    out.reserve(data.len() + 25);
    put(out, format_args!("{:x}\r\n", data.len()));
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Memory takes everything.
    _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests;
