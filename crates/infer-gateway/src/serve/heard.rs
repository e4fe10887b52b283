//! Whether a request's body was read to its end, as far as a length tells.
//!
//! A body in chunks never counts as read: if it came with a length as well, hyper has taken that away and closes the connection
//! after the answer, since somebody in between may have seen another end of the request (RFC 9112, section 6.1, read
//! 2026-11-22). Only hyper knows that, so the answer stays with it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

/// Knows it of one request.
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn of(request: Request<Incoming>) -> (Request<Body>, Self) {
        let is_whole = http_body::Body::is_end_stream(request.body());
        let heard = Arc::new(AtomicBool::new(is_whole));
        let of = Arc::clone(&heard);
        let request =
            request.map(|body| if is_whole { Body::empty() } else { Body::new(Listened { body, heard }) });
        (request, Self(of))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Listened {
    body: Incoming,
    heard: Arc<AtomicBool>,
}

impl http_body::Body for Listened {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Not when there is no further frame: that is so after an error too, and at the end of chunks.
        if self.body.is_end_stream() {
            self.heard.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
