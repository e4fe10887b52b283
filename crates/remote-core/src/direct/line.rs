//! One connection and the one exchange on it, driven by whoever waits.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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

use super::pool::Pool;

/// A connection that is ours alone.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
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
        Ok(Box::new(Self { sender, connection, closed: false, authority, idle_since: Instant::now() }))
    }

    /// Moves whatever can be moved: the request out, the response in.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed {
            // Its errors are those of the exchange, which hears of them by itself.
            self.closed = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    /// Whether it can take another request.
    pub(super) fn is_free(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.closed && self.sender.is_ready()
    }

    /// Sends `request` and resolves with the head of the response.
    pub(super) async fn ask(
        mut self: Box<Self>,
        request: Request<Bytes>,
        home: Arc<Pool>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let mut answer = pin!(self.sender.send_request(request.map(Full::new)));
        let (connection, closed) = (&mut self.connection, &mut self.closed);
        let response = poll_fn(|cx| {
            if !*closed {
                *closed = Pin::new(&mut *connection).poll(cx).is_ready();
            }
            answer.as_mut().poll(cx)
        });
        let (head, incoming) = response.await.map_err(exchange_failure)?.into_parts();
        let mut body = Answer { incoming, line: Some(self), home };
        if body.incoming.is_end_stream() {
            poll_fn(|cx| Poll::Ready(body.give_back(cx))).await;
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
    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let Some(mut line) = self.line.take()
            && line.is_free(cx)
        {
            self.home.put(line);
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        let Some(line) = self.line.as_mut().filter(|_| frame.is_pending()) else { return frame };
        line.drive(cx);
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Stream for Answer {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.poll_frame(cx)) {
                None => {
                    self.give_back(cx);
                    None
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.give_back(cx);
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
