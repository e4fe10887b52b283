//! One connection and the one exchange on it, driven by whoever waits.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::uri::Authority;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::transport::{TransportBody, TransportError, TransportFault, exchange_failure};

use super::bell::Bell;
use super::pool::Pool;

/// A connection that is ours alone.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
    bell: Bell,
    closed: bool,
    pub(super) authority: Authority,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

impl Line {
    pub(super) async fn new(
        socket: TokioIo<TcpStream>,
        authority: Authority,
    ) -> Result<Box<Self>, TransportError> {
        let (sender, connection) = handshake(socket).await.map_err(exchange_failure)?;
        let (bell, idle_since) = (Bell::new(), Instant::now());
        Ok(Box::new(Self { sender, connection, bell, closed: false, authority, idle_since }))
    }

    /// Looks for something, and where there is nothing moves whatever can be moved, the request out and the response in.
    fn drive<T>(&mut self, cx: &Context<'_>, look: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let (connection, closed) = (&mut self.connection, &mut self.closed);
        let drive = |cx: &mut Context<'_>| {
            if !*closed {
                // Its errors are those of the exchange, which hears of them by itself.
                *closed = Pin::new(connection).poll(cx).is_ready();
            }
        };
        self.bell.attend(cx, drive, look)
    }

    /// Whether it can take another request. Nobody is woken by it until it does.
    pub(super) fn is_free(&mut self) -> bool {
        let nothing = |_: &mut Context<'_>| Poll::<()>::Pending;
        _ = self.drive(&Context::from_waker(Waker::noop()), nothing);
        self.bell.silence();
        !self.closed && self.sender.is_ready()
    }

    /// Sends `request` and resolves with the head of the response.
    pub(super) async fn ask(
        mut self: Box<Self>,
        request: Request<Bytes>,
        home: Arc<Pool>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let mut answer = pin!(self.sender.send_request(request.map(Full::new)));
        let response = poll_fn(|cx| self.drive(cx, |cx| answer.as_mut().poll(cx)));
        let (head, incoming) = response.await.map_err(exchange_failure)?.into_parts();
        let mut body = Answer { incoming, line: Some(self), home };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        Ok(Response::from_parts(head, Box::pin(body)))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A response body, which holds its connection until its end.
struct Answer {
    incoming: Incoming,
    line: Option<Box<Line>>,
    home: Arc<Pool>,
}

impl Answer {
    /// Keeps the connection for the next request if it can take one.
    fn give_back(&mut self) {
        if let Some(mut line) = self.line.take()
            && line.is_free()
        {
            self.home.put(line);
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        let mut incoming = Pin::new(&mut self.incoming);
        match self.line.as_mut() {
            Some(line) => line.drive(cx, |cx| incoming.as_mut().poll_frame(cx)),
            None => incoming.poll_frame(cx),
        }
    }
}

impl Stream for Answer {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.poll_frame(cx)) {
                None => {
                    self.give_back();
                    None
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.give_back();
                        }
                        Some(Ok(data))
                    }
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => {
                    self.line = None;
                    Some(Err(TransportError::new(TransportFault::Body, error)))
                }
            });
        }
    }
}
