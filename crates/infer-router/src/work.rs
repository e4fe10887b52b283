//! The kinds of calls that can be sent to one target after another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use infer_core::{
    Completion, EmbedBatch, Embeddings, ExecuteBatch, InferenceError, ModelRunner, RequestId, Routing,
    RunHandle, RunMeta,
};

use crate::gate::Request;
use crate::target::Changes;

/// A call that can be sent to one target after another, as its batch.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    type Out: Send + 'static;
    /// Whether two targets may be asked at a time.
    const MAY_RACE: bool = true;

    fn request_id(&self) -> &RequestId;
    fn deadline(&self) -> Option<Duration>;
    fn routing(&self) -> &Routing;
    /// What a target of `route` is asked for; `None` where it cannot be asked for that model.
    fn readdress(self: Box<Self>, model: &str, route: &Arc<str>, changes: Changes) -> Option<Box<Self>>;
    fn request(&self) -> Request<'_>;
    fn run(
        self: Box<Self>,
        runner: Arc<dyn ModelRunner>,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Self::Out, InferenceError>>;
}

/// The request of one call, copied for every target but the last. It is large, so it stays in a box.
pub(crate) struct Copies<W> {
    pub(crate) request_id: RequestId,
    batch: Option<Box<W>>,
}

impl<W: Work> Copies<W> {
    pub(crate) fn new(batch: Box<W>) -> Self {
        Self { request_id: batch.request_id().clone(), batch: Some(batch) }
    }

    /// The request for `model`; `None` once the last one was taken.
    pub(crate) fn take(
        &mut self,
        model: &str,
        route: &Arc<str>,
        changes: Changes,
        is_last: bool,
    ) -> Option<Box<W>> {
        let batch = if is_last { self.batch.take() } else { self.batch.clone() }?;
        batch.readdress(model, route, changes)
    }
}

/// An answer at its commit point.
pub(crate) enum Answer {
    Whole(RunMeta, Box<Completion>),
    Streamed(RunHandle),
}

impl Work for ExecuteBatch {
    type Out = Answer;

    fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn routing(&self) -> &Routing {
        &self.routing
    }

    fn readdress(mut self: Box<Self>, model: &str, route: &Arc<str>, changes: Changes) -> Option<Box<Self>> {
        model.clone_into(&mut self.model);
        self.routing.route = Some(Arc::clone(route));
        changes.apply(&mut self);
        Some(self)
    }

    fn request(&self) -> Request<'_> {
        Request::Answer(self)
    }

    fn run(
        mut self: Box<Self>,
        runner: Arc<dyn ModelRunner>,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Answer, InferenceError>> {
        self.deadline = time;
        let streaming = self.is_streaming();
        async move {
            let run = runner.execute(*self).await?;
            if streaming {
                return Ok(Answer::Streamed(run));
            }
            // Nothing was handed to the caller yet, so what fails here can still fail over.
            let (meta, whole) = run.into_whole().await?;
            Ok(Answer::Whole(meta, whole))
        }
        .boxed()
    }
}

impl Work for EmbedBatch {
    type Out = Embeddings;

    fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn routing(&self) -> &Routing {
        &self.routing
    }

    fn readdress(mut self: Box<Self>, model: &str, route: &Arc<str>, _: Changes) -> Option<Box<Self>> {
        model.clone_into(&mut self.model);
        self.routing.route = Some(Arc::clone(route));
        Some(self)
    }

    fn request(&self) -> Request<'_> {
        Request::Vectors(self)
    }

    fn run(
        mut self: Box<Self>,
        runner: Arc<dyn ModelRunner>,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        self.deadline = time;
        async move { runner.embed(*self).await }.boxed()
    }
}
