//! Takes connections and serves them until it is told to stop.

mod handover;
mod heard;
mod http1;
mod impatient;
mod socket;
mod streamed;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::impatient::Impatient;
use self::socket::Io;
use crate::config::GatewayConfig;
use crate::drain::{Drain, Phase};
use crate::front::Front;
use crate::tls::Tls;
use crate::untaken::dropped_untaken;

/// Why a connection ended before its time; told to whoever debugs.
type Failure = Box<dyn Error + Send + Sync>;

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
    let server = Arc::new(Server::new(config, front, tls, drain.clone()));
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
        let server = Arc::clone(&server);
        tasks.spawn(async move {
            let _permit = permit;
            if let Err(error) = connection(server, stream, address).await {
                tracing::debug!(%address, %error, "connection ended");
            }
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// How connections are served.
struct Server {
    http1: conn::http1::Builder,
    http2: conn::http2::Builder<TokioExecutor>,
    tls: Option<Tls>,
    front: Front,
    drain: Drain,
    head_timeout: Duration,
    write_timeout: Duration,
}

impl Server {
    fn new(config: &GatewayConfig, front: Front, tls: Option<Tls>, drain: Drain) -> Self {
        let (head_timeout, write_timeout) = (config.head_timeout, config.write_timeout);
        let mut http1 = conn::http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(64 << 10);
        let mut http2 = conn::http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .max_header_list_size(64 << 10)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(head_timeout);
        Self { http1, http2, tls, front, drain, head_timeout, write_timeout }
    }

    fn is_draining(&self) -> bool {
        self.drain.phase() >= Phase::Draining
    }
}

/// Serves one connection. Open streams are many and all of HTTP/1 but few, so everything else is boxed: their task is small.
async fn connection(server: Arc<Server>, stream: TcpStream, address: SocketAddr) -> Result<(), Failure> {
    match Box::pin(greeted(&server, stream)).await? {
        None => Ok(()),
        Some((io, Version::HTTP_2)) => Box::pin(http2(server, io, address)).await,
        Some((io, _)) => http1::serve(server, io, address).await,
    }
}

/// The connection and what will be spoken on it; none when the gateway stops before that is known.
async fn greeted(server: &Server, stream: TcpStream) -> Result<Option<(Io, Version)>, Failure> {
    tokio::select! {
        () = server.drain.reached(Phase::Draining) => Ok(None),
        greeted = tokio::time::timeout(server.head_timeout, greet(server, stream)) => Ok(Some(greeted??)),
    }
}

async fn greet(server: &Server, stream: TcpStream) -> io::Result<(Io, Version)> {
    let Some(tls) = &server.tls else {
        let version = version(&stream).await?;
        return Ok((Io::Plain(Impatient::new(stream, server.write_timeout)), version));
    };
    let stream = tls.accept(Impatient::new(stream, server.write_timeout)).await?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let version = if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok((Io::Tls(Box::new(stream)), version))
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

async fn http2(server: Arc<Server>, io: Io, address: SocketAddr) -> Result<(), Failure> {
    let serving = Arc::clone(&server);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answered = answer(&serving.front, request.map(Body::new), address);
        let limit = serving.write_timeout;
        async move { Ok::<_, Infallible>(answered.await.map(|body| dropped_untaken(body, limit))) }
    });
    let mut connection = pin!(server.http2.serve_connection(TokioIo::new(io), service));
    let mut draining = pin!(server.drain.reached(Phase::Draining));
    tokio::select! {
        ended = connection.as_mut() => ended?,
        () = &mut draining => {
            // Answers that run go on to their end; no further request is taken.
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}

/// What is answered to `request`, which came from `address`.
fn answer(
    front: &Front,
    mut request: Request<Body>,
    address: SocketAddr,
) -> impl Future<Output = Response<Body>> + use<> {
    request.extensions_mut().insert(ConnectInfo(address));
    front.clone().answer(request)
}

/// Whether the failure is that of one connection, gone before it was taken.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
