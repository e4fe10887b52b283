//! The HTTP server: connections in, replies out.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::body::SimBody;
use crate::record::{Live, Recorded};
use crate::reply::{Reply, Steps};
use crate::routes;
use crate::sim::State;

/// What OpenAI's own front takes is not documented; this is above any prompt a test would send.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Read and thrown away before a refusal, so that a client still writing sees the answer and not a reset.
const MAX_DRAIN_BYTES: usize = 64 << 20;

/// Serves until it is dropped.
pub(crate) async fn run(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&state)));
            }
            // Out of file descriptors, most likely: they come back when connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // Without it every small event would wait for the acknowledgement of the one before.
    _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(request, Arc::clone(&state)));
    // What ends a connection early is the client's doing or a scripted fault.
    _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, state: Arc<State>) -> Result<Response<SimBody>, Infallible> {
    // Dropped with this future when the client leaves, which counts it.
    let mut live = Live::new(Arc::clone(&state));
    let (head, incoming) = request.into_parts();
    // Whoever watches changes nothing.
    if head.uri.path() == routes::STATS {
        live.done();
    }
    let reply = match read(incoming).await {
        Ok(body) => {
            let is_call = head.uri.path() != routes::STATS;
            let number = if is_call { state.log.keep(Recorded::new(&head, &body.kept)) } else { 0 };
            let reply = if body.is_whole {
                routes::reply(&state, &head, &body.kept)
            } else {
                Reply::too_large(MAX_BODY_BYTES)
            };
            reply.header("x-request-id", &format!("req_sim_{number}"))
        }
        // The client left while it was still writing: nobody is there to answer.
        Err(_) => Reply::silent(),
    };
    let wait = state.script.latency + reply.latency;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    if matches!(reply.steps, Steps::Never) {
        pending::<()>().await;
    }
    live.will_use(reply.usage.as_deref().copied());
    let mut response = Response::new(SimBody::new(reply.steps, live));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

struct Received {
    kept: Bytes,
    is_whole: bool,
}

async fn read(mut incoming: Incoming) -> io::Result<Received> {
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        seen += data.len();
        if seen <= MAX_BODY_BYTES {
            kept.extend_from_slice(&data);
        } else if seen > MAX_DRAIN_BYTES {
            break;
        }
    }
    Ok(Received { kept: kept.freeze(), is_whole: seen <= MAX_BODY_BYTES })
}
