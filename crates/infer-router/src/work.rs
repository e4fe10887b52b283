//! The kinds of calls that can be sent to one target after another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use infer_core::{
    Completion, EmbedBatch, Embeddings, ExecuteBatch, InferenceError, ModelRunner, RequestId, RunHandle,
    RunMeta,
};

use crate::gate::Request;
use crate::target::Changes;

/// A call that can be sent to one target after another.
pub(crate) trait Work: Send + Sync {
    type Batch: Send + Sync + 'static;
    type Out: Send + 'static;
    /// Whether two targets may be asked at a time.
    const MAY_RACE: bool = true;

    /// The request for `model`. The last one that will be asked for is not a copy.
    fn prepare(
        &mut self,
        model: &str,
        route: &Arc<str>,
        changes: Changes,
        is_last: bool,
    ) -> Option<Self::Batch>;
    fn request(batch: &Self::Batch) -> Request<'_>;
    fn run(
        runner: Arc<dyn ModelRunner>,
        batch: Self::Batch,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Self::Out, InferenceError>>;
    fn request_id(&self) -> &RequestId;
}

/// Asks for an answer.
pub(crate) struct Answers(RequestId, Option<ExecuteBatch>);

/// An answer at its commit point.
pub(crate) enum Answer {
    Whole(RunMeta, Box<Completion>),
    Streamed(RunHandle),
}

impl Answers {
    pub(crate) fn new(batch: ExecuteBatch) -> Self {
        Self(batch.request_id.clone(), Some(batch))
    }
}

impl Work for Answers {
    type Batch = ExecuteBatch;
    type Out = Answer;

    fn prepare(
        &mut self,
        model: &str,
        route: &Arc<str>,
        changes: Changes,
        is_last: bool,
    ) -> Option<ExecuteBatch> {
        let mut batch = if is_last { self.1.take() } else { self.1.clone() }?;
        model.clone_into(&mut batch.model);
        batch.routing.route = Some(Arc::clone(route));
        changes.apply(&mut batch);
        Some(batch)
    }

    fn request(batch: &ExecuteBatch) -> Request<'_> {
        Request::Answer(batch)
    }

    fn run(
        runner: Arc<dyn ModelRunner>,
        mut batch: ExecuteBatch,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Answer, InferenceError>> {
        batch.deadline = time;
        let streaming = batch.is_streaming();
        async move {
            let run = runner.execute(batch).await?;
            if streaming {
                return Ok(Answer::Streamed(run));
            }
            let meta = run.meta().clone();
            // Nothing was handed to the caller yet, so what fails here can still fail over.
            Ok(Answer::Whole(meta, Box::new(run.collect().await?)))
        }
        .boxed()
    }

    fn request_id(&self) -> &RequestId {
        &self.0
    }
}

/// Asks for vectors.
pub(crate) struct Vectors(RequestId, Option<EmbedBatch>);

impl Vectors {
    pub(crate) fn new(batch: EmbedBatch) -> Self {
        Self(batch.request_id.clone(), Some(batch))
    }
}

impl Work for Vectors {
    type Batch = EmbedBatch;
    type Out = Embeddings;

    fn prepare(&mut self, model: &str, route: &Arc<str>, _: Changes, is_last: bool) -> Option<EmbedBatch> {
        let mut batch = if is_last { self.1.take() } else { self.1.clone() }?;
        model.clone_into(&mut batch.model);
        batch.routing.route = Some(Arc::clone(route));
        Some(batch)
    }

    fn request(batch: &EmbedBatch) -> Request<'_> {
        Request::Vectors(batch)
    }

    fn run(
        runner: Arc<dyn ModelRunner>,
        mut batch: EmbedBatch,
        time: Option<Duration>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        batch.deadline = time;
        async move { runner.embed(batch).await }.boxed()
    }

    fn request_id(&self) -> &RequestId {
        &self.0
    }
}
