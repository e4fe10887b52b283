//! One connection and the one exchange on it, driven by whoever waits.
//!
//! It holds nothing while it waits: what is read comes into a buffer of the thread, and from there in one piece as large as
//! what came.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::uri::Authority;
use http::{Method, Request, Response};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::transport::{TransportBody, TransportError};

use super::fault::Fault;
use super::framing::Framing;
use super::head::{self, Head};
use super::pool::Pool;

/// The most that one read brings.
const READ: usize = 64 << 10;
/// A body up to this length goes out in one piece with its head.
const SMALL: usize = 4 << 10;

thread_local! {
    static READING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection that is ours alone.
pub(super) struct Line {
    socket: TcpStream,
    pub(super) authority: Authority,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

impl Line {
    pub(super) fn new(socket: TcpStream, authority: Authority) -> Self {
        Self { socket, authority, idle_since: Instant::now() }
    }

    /// Whether it can take another request: the other side has neither closed it nor said anything unasked.
    pub(super) fn is_free(&self) -> bool {
        let read = self.socket.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends `request` and resolves with the head of the response.
    pub(super) async fn ask(
        self,
        question: Question,
        home: Arc<Pool>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let mut asking = Asking::new(self, question);
        let head = poll_fn(|cx| asking.poll_head(cx)).await.map_err(Fault::before)?;
        let Asking { line, sending, came, start, .. } = asking;
        let home = head.keeps.then_some(home);
        let mut answer = Answer { line: Some(line), sending, framing: head.framing, home };
        let first = Some(answer.take(came.get(start..).unwrap_or_default()));
        let body: TransportBody = Box::pin(Body { first, answer });
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Reads once and hands what came to `look`; nothing at the end of the connection.
    fn poll_read<T>(&mut self, cx: &mut Context<'_>, look: impl FnOnce(&[u8]) -> T) -> Poll<io::Result<T>> {
        READING.with_borrow_mut(|reading| {
            let mut reading = ReadBuf::new(reading);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut reading))?;
            Poll::Ready(Ok(look(reading.filled())))
        })
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A request as it is sent.
pub(super) struct Question {
    method: Method,
    sending: Sending,
}

impl Question {
    pub(super) fn new(request: Request<Bytes>) -> Self {
        let method = request.method().clone();
        let length = request.body().len();
        let is_small = length <= SMALL;
        let mut head = Vec::with_capacity(head::USUAL + if is_small { length } else { 0 });
        head::write(&request, &mut head);
        let mut body = request.into_body();
        if is_small {
            head.extend_from_slice(&mem::take(&mut body));
        }
        Self { method, sending: Sending { head, sent: 0, body } }
    }
}

/// What is still to be sent.
#[derive(Debug, Default)]
struct Sending {
    head: Vec<u8>,
    /// How much of the head is sent.
    sent: usize,
    body: Bytes,
}

impl Sending {
    fn is_done(&self) -> bool {
        self.sent == self.head.len() && self.body.is_empty()
    }

    /// Sends what the connection takes.
    fn poll(&mut self, line: &mut Line, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_done() {
            let head = self.head.get(self.sent..).unwrap_or_default();
            let slices = [io::IoSlice::new(head), io::IoSlice::new(&self.body)];
            let socket = Pin::new(&mut line.socket);
            let sent = ready!(if self.body.is_empty() {
                socket.poll_write(cx, head)
            } else {
                socket.poll_write_vectored(cx, &slices)
            })?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = sent.min(head.len());
            self.sent += of_head;
            _ = self.body.split_to(sent - of_head);
        }
        // Nothing of the request stays in memory for the length of the answer.
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}

/// An exchange before the head of its answer.
struct Asking {
    line: Line,
    method: Method,
    sending: Sending,
    /// Why the rest of the request cannot be sent. The answer may still come.
    unsent: Option<io::Error>,
    /// What has come.
    came: Vec<u8>,
    /// Where in it the head begins that is still awaited, after those of 1xx responses.
    start: usize,
    /// How much of it was looked through.
    seen: usize,
}

impl Asking {
    fn new(line: Line, Question { method, sending }: Question) -> Self {
        Self { line, method, sending, unsent: None, came: Vec::new(), start: 0, seen: 0 }
    }

    /// The head; what came of the body along with it stands in `came` from `start` on.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        if self.unsent.is_none()
            && let Poll::Ready(Err(error)) = self.sending.poll(&mut self.line, cx)
        {
            self.unsent = Some(error);
        }
        loop {
            let came = &mut self.came;
            let read = self.line.poll_read(cx, |bytes| {
                came.extend_from_slice(bytes);
                bytes.len()
            });
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(self.unanswered())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.unsent.take().unwrap_or(error).into())),
            }
            if let Some(head) = self.find()? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    fn unanswered(&mut self) -> Fault {
        match self.unsent.take() {
            Some(error) => error.into(),
            None if self.came.is_empty() => Fault::Unanswered,
            None => Fault::Cut,
        }
    }

    /// The head, if it has come.
    fn find(&mut self) -> Result<Option<Head>, Fault> {
        loop {
            let new = self.came.get(self.start..).unwrap_or_default();
            if new.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(Fault::Invalid("the head begins with a blank line"));
            }
            let end = head::end(new, self.seen.saturating_sub(self.start));
            if end.map_or(self.came.len(), |end| self.start + end) > head::LONGEST {
                return Err(Fault::Invalid("the head is too long"));
            }
            let Some(end) = end else {
                self.seen = self.came.len();
                return Ok(None);
            };
            let head = head::read(new.get(..end).unwrap_or_default(), &self.method)?;
            self.start += end;
            if head.is_some() {
                return Ok(head);
            }
        }
    }
}

/// A response body, which holds its connection until its end.
struct Answer {
    line: Option<Line>,
    /// An answer can come before its request is sent to the end.
    sending: Sending,
    framing: Framing,
    /// Where the connection goes at the end, unless it ends with its answer.
    home: Option<Arc<Pool>>,
}

impl Answer {
    /// What `came` has of the body. At the end of the body the connection is given back.
    fn take(&mut self, came: &[u8]) -> Result<Bytes, Fault> {
        let fed = fed(&mut self.framing, came)?;
        Ok(self.taken(fed))
    }

    /// Keeps the connection for the next request if the body has ended and nothing is in the way of one.
    fn taken(&mut self, (body, is_all): (Bytes, bool)) -> Bytes {
        if !self.framing.is_ended() {
            return body;
        }
        // What follows an answer was not asked for, and the rest of a request cannot be sent any more.
        let is_clean = is_all && self.sending.is_done();
        if let (Some(line), Some(home)) = (self.line.take(), self.home.take())
            && is_clean
        {
            home.put(line);
        }
        body
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let Some(line) = self.line.as_mut() else { return Poll::Ready(None) };
            // What becomes of it is told by the answer.
            if let Poll::Ready(Err(_)) = self.sending.poll(line, cx) {
                self.home = None;
                self.sending = Sending::default();
            }
            let framing = &mut self.framing;
            let read = line.poll_read(cx, |came| (!came.is_empty()).then(|| fed(framing, came)));
            let Some(fed) = ready!(read)? else {
                self.line = None;
                let is_whole = self.framing == Framing::Close;
                return Poll::Ready(if is_whole { None } else { Some(Err(Fault::Cut)) });
            };
            let body = self.taken(fed?);
            if !body.is_empty() {
                return Poll::Ready(Some(Ok(body)));
            }
        }
    }
}

/// What `came` has of a body, and whether that is all of what came.
fn fed(framing: &mut Framing, came: &[u8]) -> Result<(Bytes, bool), Fault> {
    let mut body = Vec::with_capacity(came.len());
    let read = framing.feed(came, &mut body)?;
    Ok((body.into(), read == came.len()))
}

/// The same as a stream, after what came with the head.
struct Body {
    first: Option<Result<Bytes, Fault>>,
    answer: Answer,
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let first = self.first.take().filter(|first| first.as_ref().map_or(true, |data| !data.is_empty()));
        let polled = match first {
            Some(first) => Some(first),
            None => ready!(self.answer.poll(cx)),
        };
        if matches!(polled, Some(Err(_))) {
            self.answer.line = None;
        }
        Poll::Ready(polled.map(|data| data.map_err(Fault::within)))
    }
}
