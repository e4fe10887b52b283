//! Requests that are passed on: the same routes, policies, gates and fallbacks as for calls that are read.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use infer_core::{
    InferenceError, ModelRunner, Origin, RelayAnswer, RelayBody, RelayRequest, RequestId, Routing,
};
use tokio::time::{Sleep, sleep_until};
use tracing::Instrument as _;

use crate::ask::Ask;
use crate::course::Course;
use crate::gate::{End, Request, Spent};
use crate::router::{Router, resolve};
use crate::stream::Held;
use crate::table::Resolved;
use crate::target::Changes;
use crate::work::Work;

impl Router {
    /// Passes a request on by the route of the model it names.
    pub(crate) async fn pass_on(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        request.check()?;
        let table = self.table.load_full();
        let pin = request.routing.pin.as_deref();
        let Resolved { route, rest } = match request.model.as_deref() {
            Some(model) => resolve(&table, model, pin)?,
            None => table.nameless(pin)?,
        };
        let ask = Ask::of_relay(&request, rest);
        let request_id = request.request_id.clone();
        let mut course = Course::new(&table, route, ask, self.gate.as_deref(), &self.dice, Box::new(request));
        let due = course.due;
        let span = course.span();
        let won = course.run().instrument(span).await?;
        let RelayAnswer { mut meta, status, headers, body, .. } = won.answer;
        meta.tried = won.tried;
        let due = due.map(|(due, limit)| (Box::pin(sleep_until(due)), limit));
        let body = RoutedBody {
            inner: Some(body),
            held: won.held,
            due,
            provider: won.provider,
            request_id,
            pieces: 0,
        };
        Ok(RelayAnswer::new(meta, status, headers, body))
    }
}

impl Work for RelayRequest {
    type Out = RelayAnswer;
    /// What is passed on may make something, and asked of two it would be made twice.
    const MAY_RACE: bool = false;

    fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn routing(&self) -> &Routing {
        &self.routing
    }

    fn readdress(self: Box<Self>, model: &str, route: &Arc<str>, _: Changes) -> Option<Box<Self>> {
        let mut request = self.for_model(model).ok()?;
        request.routing.route = Some(Arc::clone(route));
        Some(Box::new(request))
    }

    fn request(&self) -> Request<'_> {
        Request::Relay(self)
    }

    fn run(
        mut self: Box<Self>,
        runner: Arc<dyn ModelRunner>,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<RelayAnswer, InferenceError>> {
        self.deadline = time;
        async move { runner.relay(*self).await }.boxed()
    }
}

/// A body on its way to the caller, and what is held for it until it ends.
struct RoutedBody {
    /// None once it has ended.
    inner: Option<RelayBody>,
    held: Held,
    due: Option<(Pin<Box<Sleep>>, Duration)>,
    provider: Arc<str>,
    request_id: RequestId,
    pieces: u64,
}

impl RoutedBody {
    fn stop(&mut self, end: End) {
        self.inner = None;
        self.held.settle(Spent { end, usage: None, cost: None });
    }

    fn late(&self, limit: Duration) -> InferenceError {
        let mut at = Origin::default();
        at.provider = Some(Arc::clone(&self.provider));
        at.request_id = Some(self.request_id.clone());
        at.chunks = self.pieces;
        InferenceError::DeadlineExceeded { at: Box::new(at), limit }
    }
}

impl Stream for RoutedBody {
    type Item = Result<Bytes, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        let polled = inner.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => this.pieces += 1,
            Poll::Ready(Some(Err(error))) => this.stop(End::Failed(error.kind())),
            Poll::Ready(None) => this.stop(End::Whole),
            // The runner's own deadline is the same instant and knows more, so it is asked first.
            Poll::Pending => {
                let Some((due, limit)) = this.due.as_mut() else { return Poll::Pending };
                let limit = *limit;
                if due.as_mut().poll(cx).is_ready() {
                    let error = this.late(limit);
                    this.stop(End::Failed(error.kind()));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        polled
    }
}

impl Drop for RoutedBody {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.stop(End::Left);
        }
    }
}
