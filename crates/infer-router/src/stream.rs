//! An answer on its way to the caller, and what is held for it until it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use infer_core::{CostEstimate, InferenceError, Origin, RequestId, TokenChunk, TokenStream, Usage};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gate::{End, Permit, Spent};
use crate::target::Flight;

/// Passes pieces on unchanged. Nothing is sent elsewhere from here on: text was handed over.
pub(crate) struct RoutedStream {
    /// None once it has ended.
    inner: Option<TokenStream>,
    held: Held,
    due: Option<(Pin<Box<Sleep>>, Duration)>,
    provider: Arc<str>,
    request_id: RequestId,
    chunks: u64,
}

/// What a call holds until its answer is over.
#[derive(Debug)]
pub(crate) struct Held {
    flight: Option<Flight>,
    permit: Option<Box<dyn Permit>>,
    usage: Option<Usage>,
    cost: Option<CostEstimate>,
}

impl Held {
    pub(crate) fn new(flight: Flight, permit: Option<Box<dyn Permit>>) -> Self {
        Self { flight: Some(flight), permit, usage: None, cost: None }
    }

    /// Gives everything back, once.
    pub(crate) fn settle(&mut self, spent: Spent) {
        drop(self.flight.take());
        if let Some(permit) = self.permit.take() {
            permit.settle(spent);
        }
    }

    fn over(&mut self, end: End) {
        self.settle(Spent { end, usage: self.usage, cost: self.cost });
    }
}

impl RoutedStream {
    pub(crate) fn new(
        inner: TokenStream,
        held: Held,
        due: Option<(Instant, Duration)>,
        provider: Arc<str>,
        request_id: RequestId,
    ) -> Self {
        let due = due.map(|(due, limit)| (Box::pin(sleep_until(due)), limit));
        Self { inner: Some(inner), held, due, provider, request_id, chunks: 0 }
    }

    fn stop(&mut self, end: End) {
        self.inner = None;
        self.held.over(end);
    }

    fn late(&self, limit: Duration) -> InferenceError {
        let mut at = Origin::default();
        at.provider = Some(Arc::clone(&self.provider));
        at.request_id = Some(self.request_id.clone());
        at.chunks = self.chunks;
        InferenceError::DeadlineExceeded { at: Box::new(at), limit }
    }
}

impl Stream for RoutedStream {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        match inner.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                this.chunks += 1;
                this.held.usage = chunk.usage.or(this.held.usage);
                this.held.cost = chunk.cost.as_deref().copied().or(this.held.cost);
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.stop(End::Failed(error.kind()));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.stop(End::Whole);
                Poll::Ready(None)
            }
            // The runner's own deadline is the same instant and knows more, so it is asked first.
            Poll::Pending => {
                let Some((due, limit)) = this.due.as_mut() else { return Poll::Pending };
                let limit = *limit;
                if due.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let error = this.late(limit);
                this.stop(End::Failed(error.kind()));
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for RoutedStream {
    fn drop(&mut self) {
        if self.inner.take().is_some() {
            self.held.over(End::Left);
        }
    }
}
