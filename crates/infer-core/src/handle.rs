//! A run that has begun: what is known about it, and its answer as a stream or as one piece.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::{Completion, InferenceError, RequestId, TokenChunk, Tried};

/// Pieces of an answer, ended by `None` after a finish reason, or by one error.
pub type TokenStream = Pin<Box<dyn Stream<Item = Result<TokenChunk, InferenceError>> + Send>>;

/// What is known about a run once it has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunMeta {
    /// The provider's name in this process.
    pub provider: Arc<str>,
    /// Our name for the call.
    pub request_id: RequestId,
    /// The upstream's name for the attempt that answers.
    pub upstream_request_id: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// From the call to the head of the response.
    pub time_to_head: Option<Duration>,
    /// From the call to the first piece of content, or to the whole answer when collected.
    pub time_to_first_chunk: Option<Duration>,
    /// What the upstream says of its limits.
    pub rate_limits: Option<Box<RateLimits>>,
    /// Targets that were asked before the one that answers, and what each failed with. Filled in by a router.
    pub tried: Vec<Tried>,
}

impl RunMeta {
    /// A run of one attempt of which no more is known.
    pub fn new(provider: impl Into<Arc<str>>, request_id: RequestId) -> Self {
        Self {
            provider: provider.into(),
            request_id,
            upstream_request_id: None,
            attempts: 1,
            time_to_head: None,
            time_to_first_chunk: None,
            rate_limits: None,
            tried: Vec::new(),
        }
    }
}

/// An upstream's own limits as it reports them; what it does not report, or reports as unknown, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Requests in a period, which is a minute at most upstreams and a day at some.
    pub limit_requests: Option<u64>,
    /// Tokens in a period.
    pub limit_tokens: Option<u64>,
    /// Requests left.
    pub remaining_requests: Option<u64>,
    /// Tokens left.
    pub remaining_tokens: Option<u64>,
    /// Until requests are full again.
    pub reset_requests: Option<Duration>,
    /// Until tokens are full again.
    pub reset_tokens: Option<Duration>,
}

/// A run that has begun. Dropping it, or the stream it becomes, cancels the run and closes its connection.
///
/// [`RunHandle::collect`] is enough for most. Who wants to keep what came before an error folds the pieces:
///
/// ```
/// use std::future::poll_fn;
/// use infer_core::{Completion, InferenceError, RunHandle};
///
/// async fn as_far_as_it_went(run: RunHandle) -> (Completion, Option<InferenceError>) {
///     let mut stream = run.into_stream();
///     let mut whole = Completion::default();
///     while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
///         match piece {
///             Ok(piece) => whole.push(piece),
///             Err(error) => return (whole, Some(error)),
///         }
///     }
///     (whole, None) // it is whole
/// }
/// ```
pub struct RunHandle {
    meta: RunMeta,
    answer: Answer,
}

enum Answer {
    Stream(TokenStream),
    Whole(Box<Completion>),
}

impl RunHandle {
    /// An answer that arrives in pieces.
    pub fn streaming(
        meta: RunMeta,
        stream: impl Stream<Item = Result<TokenChunk, InferenceError>> + Send + 'static,
    ) -> Self {
        Self { meta, answer: Answer::Stream(Box::pin(stream)) }
    }

    /// An answer that is all there.
    pub fn collected(meta: RunMeta, completion: impl Into<Box<Completion>>) -> Self {
        Self { meta, answer: Answer::Whole(completion.into()) }
    }

    /// What is known about the run.
    pub fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// The answer in pieces. One that is all there replays as a few, so callers need only one shape.
    pub fn into_stream(self) -> TokenStream {
        match self.answer {
            Answer::Stream(stream) => stream,
            Answer::Whole(whole) => Box::pin(Replay(whole.into_chunks().into_iter())),
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// Whatever ends the stream early; what had arrived is lost then. Read [`RunHandle::into_stream`] to keep it.
    pub async fn collect(self) -> Result<Completion, InferenceError> {
        Ok(*self.into_whole().await?.1)
    }

    /// The whole answer in its box, with what is known about the run; for whoever passes both on.
    ///
    /// # Errors
    /// As for [`RunHandle::collect`].
    pub async fn into_whole(self) -> Result<(RunMeta, Box<Completion>), InferenceError> {
        let mut stream = match self.answer {
            Answer::Whole(whole) => return Ok((self.meta, whole)),
            Answer::Stream(stream) => stream,
        };
        let mut whole = Box::<Completion>::default();
        while let Some(chunk) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            whole.push(chunk?);
        }
        Ok((self.meta, whole))
    }
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunHandle").field("meta", &self.meta).finish_non_exhaustive()
    }
}

struct Replay(std::vec::IntoIter<TokenChunk>);

impl Stream for Replay {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
