//! Takes connections and serves them until it is told to stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

use crate::config::GatewayConfig;
use crate::drain::{Drain, Phase};
use crate::front::Front;
use crate::tls::Tls;
use crate::untaken::dropped_untaken;

/// The pause after the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);
/// What HTTP/2 begins with, and no request of HTTP/1 (RFC 9113, section 3.4, read 2026-11-21).
const HTTP2: &[u8] = b"PRI ";
/// The pause after bytes too few to tell.
const TOO_FEW: Duration = Duration::from_millis(10);

/// Serves until `drain` says that it is over and every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Front,
    config: &GatewayConfig,
    tls: Option<Tls>,
    drain: Drain,
) {
    let tasks = TaskTracker::new();
    let room = Arc::new(Semaphore::new(config.admission.max_connections));
    let server = Arc::new(server(config));
    let mut draining = pin!(drain.reached(Phase::Draining));
    loop {
        let permit = tokio::select! {
            () = &mut draining => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::error!(%error, "cannot take a connection");
                    tokio::time::sleep(NO_ROOM).await;
                }
                continue;
            }
        };
        // A stream's events are small and must not wait for each other.
        _ = stream.set_nodelay(true);
        let (server, front, drain, tls) = (Arc::clone(&server), front.clone(), drain.clone(), tls.clone());
        let (patience, write_timeout) = (config.head_timeout, config.write_timeout);
        tasks.spawn(async move {
            let _permit = permit;
            let Some(tls) = tls else {
                let begins = tokio::select! {
                    () = drain.reached(Phase::Draining) => return,
                    begins = tokio::time::timeout(patience, version(&stream)) => begins,
                };
                return match begins {
                    Ok(Ok(version)) => {
                        let stream = Impatient::new(stream, write_timeout);
                        connection(&server, stream, version, address, front, drain, write_timeout).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no request"),
                    Err(_) => tracing::debug!(%address, "no request in time"),
                };
            };
            let stream = Impatient::new(stream, write_timeout);
            match tokio::time::timeout(patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let version = if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 };
                    connection(&server, stream, version, address, front, drain, write_timeout).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "no handshake"),
                Err(_) => tracing::debug!(%address, "no handshake in time"),
            }
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// How connections are served, by version.
struct Server {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

fn server(config: &GatewayConfig) -> Server {
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(config.head_timeout).max_buf_size(64 << 10);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(config.head_timeout);
    Server { http1, http2 }
}

/// The version that a client without TLS begins with, which is looked at and left where it is.
async fn version(stream: &TcpStream) -> io::Result<Version> {
    let mut first = [0; HTTP2.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let begin = first.get(..seen).unwrap_or_default();
        if seen == 0 || !HTTP2.starts_with(begin) {
            return Ok(Version::HTTP_11);
        }
        if begin == HTTP2 {
            return Ok(Version::HTTP_2);
        }
        tokio::time::sleep(TOO_FEW).await;
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: &Server,
    stream: S,
    version: Version,
    address: SocketAddr,
    front: Front,
    drain: Drain,
    write_timeout: Duration,
) {
    let is_h2 = version == Version::HTTP_2;
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        let answered = front.clone().answer(request);
        async move {
            let response = answered.await;
            Ok::<_, Infallible>(if is_h2 {
                response.map(|body| dropped_untaken(body, write_timeout))
            } else {
                response
            })
        }
    });
    let stream = TokioIo::new(stream);
    let ended = if is_h2 {
        // Boxed, so that the many connections of HTTP/1 are not as large as this.
        Box::pin(to_its_end(server.http2.serve_connection(stream, service), drain)).await
    } else {
        to_its_end(server.http1.serve_connection(stream, service), drain).await
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}

/// Serves until the client leaves; when the gateway drains, until the answers that run have ended.
async fn to_its_end<C: GracefulConnection>(connection: C, drain: Drain) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut draining = pin!(drain.reached(Phase::Draining));
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = &mut draining => {
            // Answers that run go on to their end; no further request is taken.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Whether the failure is that of one connection, gone before it was taken.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// A connection that is given up when the other side takes nothing for too long, so that a client who stopped reading does
/// not hold an answer, and an upstream's connection, for ever.
struct Impatient {
    stream: TcpStream,
    limit: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let limit = self.limit;
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
