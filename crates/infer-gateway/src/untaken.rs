//! Ends an answer that the client does not take although its connection lives, as HTTP/2 allows: each stream has a window of
//! its own, and while it is closed nobody asks for the next piece, no write waits, and the upstream's call would stay open.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// `body`, dropped when it is ready to go on and nobody asks for `limit`. One in one piece stays as it is: nothing stands
/// behind it any more.
pub(crate) fn dropped_untaken(body: Body, limit: Duration) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let held = Arc::new(Mutex::new(Held { body: Some(body), since: Some(Instant::now()) }));
    let (alive, gone) = oneshot::channel();
    tokio::spawn(watch(Arc::clone(&held), limit, gone));
    Body::new(Watched { held, _alive: alive })
}

struct Held {
    body: Option<Body>,
    /// Since when the client could take the next piece; none while there is none.
    since: Option<Instant>,
}

async fn watch(held: Arc<Mutex<Held>>, limit: Duration, mut gone: oneshot::Receiver<()>) {
    let mut wait = limit;
    loop {
        tokio::select! {
            _ = &mut gone => return,
            () = tokio::time::sleep(wait) => {}
        }
        let untaken = {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = held.since.map_or(Duration::ZERO, |since| since.elapsed());
            wait = limit.saturating_sub(idle);
            if wait.is_zero() { held.body.take() } else { None }
        };
        if untaken.is_some() {
            tracing::debug!(?limit, "answer not taken");
            return;
        }
    }
}

struct Watched {
    held: Arc<Mutex<Held>>,
    /// Dropped with the answer, which ends the watch.
    _alive: oneshot::Sender<()>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = &mut held.body else {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
        };
        let polled = Pin::new(body).poll_frame(cx);
        held.since = polled.is_ready().then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn streamed(pieces: impl futures_core::Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Body {
        dropped_untaken(Body::from_stream(pieces), LIMIT)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_in_time_comes_whole_however_long_it_takes_to_be_made() {
        let pieces = stream::unfold(0, |nth| async move {
            tokio::time::sleep(LIMIT * 3).await;
            (nth < 3).then(|| (Ok(Bytes::from_static(b"x")), nth + 1))
        });
        assert_eq!(streamed(pieces).collect().await.unwrap().to_bytes(), "xxx");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_dropped_and_the_end_is_no_good_one() {
        let (held, dropped) = oneshot::channel::<()>();
        let pieces = stream::repeat_with(move || {
            let _held = &held;
            Ok(Bytes::from_static(b"x"))
        });
        let mut body = streamed(pieces);
        assert!(body.frame().await.unwrap().is_ok());
        let start = Instant::now();
        assert!(dropped.await.is_err());
        assert!((LIMIT..=LIMIT * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(body.frame().await.unwrap().is_err());
    }
}
