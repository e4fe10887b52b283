//! One connection of HTTP/1. hyper reads the requests and writes the answers that are in one piece. An answer that comes in
//! pieces is written without it: hyper would keep two buffers and itself for as long as that takes, which may be minutes.

use std::convert::Infallible;
use std::future::{Future as _, pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;

use super::handover::{Answer, Handover, Watched};
use super::heard::Heard;
use super::socket::Io;
use super::streamed::{Then, stream};
use super::{Failure, Server, answer};
use crate::drain::Phase;

/// Serves until the client leaves; when the gateway drains, until the answer that runs has ended.
pub(super) async fn serve(server: Arc<Server>, mut io: Io, address: SocketAddr) -> Result<(), Failure> {
    let mut ahead = Vec::new();
    loop {
        // Boxed, so that it is there only as long as it is needed.
        let round = Box::pin(until_streamed(Arc::clone(&server), io, ahead, address));
        let Some((on, beyond, Answer { response, then })) = round.await? else { return Ok(()) };
        (io, ahead) = (on, beyond);
        let then = if server.is_draining() { Then::Closes } else { then };
        stream(&mut io, &mut ahead, response, then, now()).await?;
        if then == Then::Closes {
            return Ok(poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await?);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell, which owns the clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Lets hyper serve what comes, after `ahead`, until there is an answer in pieces: on what it is to be written, and what was
/// read beyond its request. None when the connection has ended before.
async fn until_streamed(
    server: Arc<Server>,
    io: Io,
    ahead: Vec<u8>,
    address: SocketAddr,
) -> Result<Option<(Io, Vec<u8>, Answer)>, Failure> {
    let handover = Arc::new(Handover::default());
    let (serving, slot) = (Arc::clone(&server), Arc::clone(&handover));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let then = then(&request);
        let (request, heard) = Heard::of(request);
        let answered = answer(&serving.front, request, address);
        let slot = Arc::clone(&slot);
        async move {
            let response = answered.await;
            match then {
                Some(then) if heard.is_whole() && is_in_pieces(&response) => {
                    slot.put(Answer { response, then });
                    // hyper is dropped before it would need an answer.
                    pending().await
                }
                _ => Ok::<_, Infallible>(response),
            }
        }
    });
    let io = TokioIo::new(Watched::new(io, Bytes::from(ahead), Arc::clone(&handover)));
    let mut connection = server.http1.serve_connection(io, service);
    let mut draining = pin!(server.drain.reached(Phase::Draining));
    let mut is_draining = false;
    let answer = poll_fn(|cx| {
        if !is_draining && draining.as_mut().poll(cx).is_ready() {
            is_draining = true;
            // The answer that runs goes on to its end; no further request is taken.
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => handover.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(Some(answer)))),
        }
    })
    .await?;
    let Some(answer) = answer else { return Ok(None) };
    let parts = connection.into_parts();
    let (io, unread) = parts.io.into_inner().into_parts();
    // Copied: what hyper read lies in a buffer that is much larger.
    Ok(Some((io, [parts.read_buf, unread].concat(), answer)))
}

/// What becomes of the connection after the answer to `request`; none when hyper has to write it in any case.
fn then(request: &Request<Incoming>) -> Option<Then> {
    let is_plain =
        request.version() == Version::HTTP_11 && !matches!(*request.method(), Method::HEAD | Method::CONNECT);
    is_plain.then(|| if says_close(request.headers()) { Then::Closes } else { Then::GoesOn })
}

fn says_close(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close")))
}

fn is_in_pieces(response: &Response<Body>) -> bool {
    let (status, body) = (response.status(), response.body());
    let is_bodiless =
        status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framed = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TRAILER, UPGRADE];
    !is_bodiless
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
        && !framed.iter().any(|name| response.headers().contains_key(name))
}
