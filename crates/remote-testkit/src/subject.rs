//! What is tested: a provider, and what the suite must know of it.

use std::fmt;
use std::sync::Arc;

use infer_core::{InferenceError, ModelRunner, Rates};
use remote_core::meter::MetricsSink;
use remote_core::session::SessionHandle;
use remote_core::{RemoteConfig, RemoteProvider, RemoteRunner, Transport};

use crate::Wire;

/// What a scenario asks a runner to be made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts {
    /// The settings that all providers share.
    pub config: RemoteConfig,
    /// The credential.
    pub session: SessionHandle,
    /// How requests are sent; the provider's own way when `None`.
    pub transport: Option<Arc<dyn Transport>>,
    /// Scheme, host and port of the upstream, without a slash at the end.
    pub base_url: String,
    /// Where records go.
    pub sink: Arc<dyn MetricsSink>,
    /// For jitter, so that a run can be repeated.
    pub seed: u64,
}

impl Parts {
    /// The runner of `provider`, which must have been told [`base_url`](Self::base_url).
    ///
    /// # Errors
    /// As for [`RemoteRunnerBuilder::build`](remote_core::RemoteRunnerBuilder::build).
    pub fn runner<P: RemoteProvider>(self, provider: P) -> Result<RemoteRunner<P>, InferenceError> {
        let builder = RemoteRunner::builder(provider, self.session).with_config(self.config);
        let builder = builder.with_sink(self.sink).with_seed(self.seed);
        match self.transport {
            Some(transport) => builder.with_transport(transport).build(),
            None => builder.build(),
        }
    }
}

type Build = dyn Fn(Parts) -> Result<Arc<dyn ModelRunner>, InferenceError> + Send + Sync;

/// A provider under test.
pub struct Subject {
    pub(crate) model: String,
    pub(crate) rates: Rates,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) skips: Vec<(&'static str, &'static str)>,
    build: Box<Build>,
}

impl Subject {
    /// A provider whose runners `build` makes. It is asked for `model`, which costs `rates`, and its upstream speaks
    /// `wire`.
    pub fn new<R: ModelRunner + 'static>(
        model: impl Into<String>,
        rates: Rates,
        wire: impl Wire + 'static,
        build: impl Fn(Parts) -> Result<R, InferenceError> + Send + Sync + 'static,
    ) -> Self {
        let build = move |parts| build(parts).map(|runner| Arc::new(runner) as Arc<dyn ModelRunner>);
        Self { model: model.into(), rates, wire: Arc::new(wire), skips: Vec::new(), build: Box::new(build) }
    }

    /// Leaves out scenarios, each by its name and with the reason.
    #[must_use]
    pub fn skipping(mut self, skips: &[(&'static str, &'static str)]) -> Self {
        self.skips.extend(skips);
        self
    }

    pub(crate) fn runner(&self, parts: Parts) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        (self.build)(parts)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("model", &self.model)
            .field("wire", &self.wire)
            .field("skips", &self.skips)
            .finish_non_exhaustive()
    }
}
