//! The one trait over remote language models.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Controls, CostEstimate, EmbedBatch, Embeddings, ExecuteBatch, Health, InferenceError, ListedModel,
    RelayAnswer, RelayRequest, RunHandle,
};

/// Something that runs requests: a provider, or anything built over providers.
///
/// Shared as `Arc<dyn ModelRunner>`; state is inside. Only `info` and `execute` must be written:
///
/// ```
/// use std::sync::Arc;
/// use infer_core::{Completion, ExecuteBatch, FinishKind, InferenceError, ModelRunner, RunHandle, RunMeta, RunnerInfo, TokenChunk};
///
/// #[derive(Debug)]
/// struct Echo(RunnerInfo);
///
/// #[async_trait::async_trait]
/// impl ModelRunner for Echo {
///     fn info(&self) -> &RunnerInfo {
///         &self.0
///     }
///
///     async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
///         let mut answer = Completion::default();
///         answer.push(TokenChunk::text(0, batch.model.clone()));
///         answer.push(TokenChunk::finish(0, FinishKind::Stop));
///         Ok(RunHandle::collected(RunMeta::new("echo", batch.request_id), answer))
///     }
/// }
///
/// let runner: Arc<dyn ModelRunner> = Arc::new(Echo(RunnerInfo::new("echo", "echo")));
/// assert_eq!(&*runner.info().name, "echo");
/// ```
#[async_trait]
pub trait ModelRunner: Send + Sync + fmt::Debug {
    /// Who this is and what it can do. Constant for the life of the runner.
    fn info(&self) -> &RunnerInfo;

    /// Runs one request.
    ///
    /// Resolves at the *commit point*: with the first piece of content when streaming, with the whole answer when
    /// collected. Before it a call may be repeated or sent elsewhere, after it never. Dropping the future or the handle
    /// cancels the run and closes its connection.
    ///
    /// # Errors
    /// One [`InferenceError`]; [`InferenceError::retryability`] and [`InferenceError::fails_over`] say what may be done.
    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError>;

    /// Turns texts into vectors. Dropping the future cancels.
    ///
    /// # Errors
    /// As for [`ModelRunner::execute`]; [`InferenceError::InvalidRequest`] where there are no embeddings.
    async fn embed(&self, _batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        Err(InferenceError::invalid_request(format!("{} has no embeddings", self.info().name)))
    }

    /// Passes on a request of a route that is not modelled here, and its answer, byte for byte.
    ///
    /// Resolves at the *commit point*: with the first whole event of a stream, with the whole of a JSON answer, with the
    /// first piece of anything else. Dropping the future or the answer cancels.
    ///
    /// # Errors
    /// As for [`ModelRunner::execute`], an answer of status 400 and above included;
    /// [`InferenceError::InvalidRequest`] where nothing is passed on.
    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let (name, method, path) = (&self.info().name, request.method.name(), &request.path);
        let what = format!("{name} passes on no requests: {method} {path}: ask a provider that does");
        Err(InferenceError::invalid_request(what))
    }

    /// The models that can be asked for. Dropping the future cancels.
    ///
    /// # Errors
    /// As for [`ModelRunner::execute`]; [`InferenceError::InvalidRequest`] where there is no list.
    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        Err(InferenceError::invalid_request(format!("{} has no list of models", self.info().name)))
    }

    /// Asks whether the upstream answers, once and cheaply, and how long that took. Dropping the future cancels.
    ///
    /// It waits for no limit, is stopped by no breaker and changes neither, so it can be asked at any time.
    ///
    /// # Errors
    /// Why it does not answer; [`InferenceError::InvalidRequest`] where nothing can be asked.
    async fn health(&self) -> Result<Health, InferenceError> {
        Err(InferenceError::invalid_request(format!("{} cannot be asked for its health", self.info().name)))
    }

    /// What the request would cost at least, or `None` when the model has no known price.
    ///
    /// Input is counted from bytes, output as the request's limit; without a limit output counts as nothing.
    fn estimate(&self, _batch: &ExecuteBatch) -> Option<CostEstimate> {
        None
    }

    /// How long until a call for an answer of `model` would be let through, as far as is known without asking the upstream:
    /// an open breaker, a pause the upstream asked for. Zero when nothing stands in the way.
    ///
    /// Cheap, and takes nothing: a router asks it of every target it is about to choose.
    fn ready_in(&self, _model: &str) -> Duration {
        Duration::ZERO
    }

    /// Its breakers and limits, for an operator; `None` where it has none of its own.
    fn controls(&self) -> Option<&dyn Controls> {
        None
    }
}

/// Who a runner is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunnerInfo {
    /// The kind of provider: `openai`.
    pub provider: &'static str,
    /// Its name in this process, unique among the runners of a configuration.
    pub name: Arc<str>,
    /// What it can do.
    pub capabilities: Capabilities,
}

impl RunnerInfo {
    /// A runner that can do everything.
    pub fn new(provider: &'static str, name: impl Into<Arc<str>>) -> Self {
        Self { provider, name: name.into(), capabilities: Capabilities::ALL }
    }
}

/// What a runner can pass on. Whether a model obeys is the model's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent facts, read by name")]
pub struct Capabilities {
    /// Answers as they are written.
    pub streaming: bool,
    /// Tools.
    pub tools: bool,
    /// Pictures.
    pub vision: bool,
    /// Answers that fit a schema.
    pub json_schema: bool,
    /// A reasoning effort.
    pub reasoning: bool,
    /// Vectors.
    pub embeddings: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self {
        streaming: true,
        tools: true,
        vision: true,
        json_schema: true,
        reasoning: true,
        embeddings: true,
    };
}

/// What a method of a runner gives back: a box of its own that says nothing more would be a box for nothing.
type Running<'f, T> = Pin<Box<dyn Future<Output = Result<T, InferenceError>> + Send + 'f>>;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<R: ModelRunner + ?Sized> ModelRunner for $pointer {
            fn info(&self) -> &RunnerInfo {
                (**self).info()
            }

            fn execute<'a, 'f>(&'a self, batch: ExecuteBatch) -> Running<'f, RunHandle>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).execute(batch)
            }

            fn embed<'a, 'f>(&'a self, batch: EmbedBatch) -> Running<'f, Embeddings>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).embed(batch)
            }

            fn relay<'a, 'f>(&'a self, request: RelayRequest) -> Running<'f, RelayAnswer>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).relay(request)
            }

            fn models<'a, 'f>(&'a self) -> Running<'f, Vec<ListedModel>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).models()
            }

            fn health<'a, 'f>(&'a self) -> Running<'f, Health>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).health()
            }

            fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
                (**self).estimate(batch)
            }

            fn ready_in(&self, model: &str) -> Duration {
                (**self).ready_in(model)
            }

            fn controls(&self) -> Option<&dyn Controls> {
                (**self).controls()
            }
        }
    )*};
}

forward!(Arc<R>, Box<R>);
