//! Reads a response that comes in one piece.

use std::future::poll_fn;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use infer_core::{DecodeKind, InferenceError, TimeoutPhase};
use tokio::time::{Instant, timeout_at};

use crate::config::RemoteConfig;
use crate::context::Attempt;
use crate::provider::RemoteProvider;
use crate::transport::{TransportBody, TransportError};

/// Reads `body` to its end, at most `limits.max_body_bytes` of it.
pub(crate) async fn read_whole<P: RemoteProvider>(
    attempt: &Attempt<P>,
    mut body: TransportBody,
    config: &RemoteConfig,
) -> Result<Bytes, InferenceError> {
    let limit = config.limits.max_body_bytes;
    let mut whole = Pieces::default();
    while let Some(piece) = next_piece(attempt, &mut body, config).await? {
        if whole.len() + piece.len() > limit {
            return Err(attempt.decode(DecodeKind::BodyTooLarge, format!("more than {limit} bytes"), 0));
        }
        whole.push(piece);
    }
    Ok(whole.into_bytes())
}

/// Reads what fits of an error response; what cannot be read any more is left out, since the status already says that the
/// call failed.
pub(crate) async fn read_error<P: RemoteProvider>(
    attempt: &Attempt<P>,
    mut body: TransportBody,
    config: &RemoteConfig,
) -> Bytes {
    let limit = config.limits.max_error_bytes;
    let mut whole = Pieces::default();
    while whole.len() < limit {
        match next_piece(attempt, &mut body, config).await {
            Ok(Some(mut piece)) => {
                piece.truncate(limit - whole.len());
                whole.push(piece);
            }
            Ok(None) | Err(_) => break,
        }
    }
    whole.into_bytes()
}

async fn next_piece<P: RemoteProvider>(
    attempt: &Attempt<P>,
    body: &mut TransportBody,
    config: &RemoteConfig,
) -> Result<Option<Bytes>, InferenceError> {
    // Bytes that are there already need no timer and no look at the clock.
    match poll_fn(|cx| Poll::Ready(body.as_mut().poll_next(cx))).await {
        Poll::Ready(piece) => return received(attempt, piece),
        Poll::Pending => {}
    }
    let idle = config.timeouts.idle_bytes;
    let idle_due = Instant::now() + idle;
    let due = attempt.deadline.map_or(idle_due, |(deadline, _)| deadline.min(idle_due));
    match timeout_at(due, poll_fn(|cx| body.as_mut().poll_next(cx))).await {
        Ok(piece) => received(attempt, piece),
        Err(_) => Err(match attempt.deadline {
            Some((deadline, limit)) if deadline <= idle_due => attempt.deadline_exceeded(limit, 0),
            _ => attempt.timeout(TimeoutPhase::IdleBytes, idle, 0),
        }),
    }
}

fn received<P: RemoteProvider>(
    attempt: &Attempt<P>,
    piece: Option<Result<Bytes, TransportError>>,
) -> Result<Option<Bytes>, InferenceError> {
    piece.transpose().map_err(|error| attempt.interrupted(Some(error), 0))
}

/// Pieces of a body. One piece, the usual case, is kept as it is.
#[derive(Default)]
struct Pieces {
    only: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.only.len() + self.joined.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.only = piece;
            return;
        }
        if !self.only.is_empty() {
            self.joined.reserve(self.only.len() + piece.len());
            self.joined.extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.only } else { self.joined.freeze() }
    }
}
