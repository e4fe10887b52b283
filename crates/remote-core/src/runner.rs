//! A provider as a runner.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use infer_core::{
    BreakerReport, Content, Controls, CostEstimate, EmbedBatch, Embeddings, ExecuteBatch, Health,
    InferenceError, LimitReport, ListedModel, Messages, ModelRunner, RelayAnswer, RelayRequest, RunHandle,
    RunnerInfo, Usage,
};
use tokio::time::Instant;

use crate::breaker::{Breaker, BreakerState};
use crate::breakers::Breakers;
use crate::config::RemoteConfig;
use crate::limit::{LimitState, LimitTable};
use crate::meter::{EventSink, MetricsSink};
use crate::parts;
use crate::pipeline::Pipeline;
use crate::provider::{Call, Operation, ProviderConfig, RemoteProvider};
use crate::retry::Budget;
use crate::run::Gates;
use crate::session::SessionHandle;
use crate::transport::{HttpTransport, Transport};

/// Runs requests against one upstream. Cheap to clone; clones share connections, credentials and state.
///
/// ```no_run
/// # use infer_core::{ExecuteBatch, ModelRunner};
/// # async fn demo<P: remote_core::RemoteProvider>(runner: remote_core::RemoteRunner<P>) -> Result<(), infer_core::InferenceError> {
/// let run = runner.execute(ExecuteBatch::new("gpt-4o-mini", "Say hello")).await?;
/// println!("{}", run.collect().await?.text());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RemoteRunner<P> {
    pipeline: Arc<Pipeline<P>>,
}

impl<P> Clone for RemoteRunner<P> {
    fn clone(&self) -> Self {
        Self { pipeline: Arc::clone(&self.pipeline) }
    }
}

impl<P: RemoteProvider> RemoteRunner<P> {
    /// A runner from settings, over HTTP. `session` comes from
    /// [`RemoteSessionActor::bootstrap`](crate::session::RemoteSessionActor::bootstrap).
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that do not fit.
    pub fn new<C: ProviderConfig<Provider = P>>(
        config: C,
        session: SessionHandle,
    ) -> Result<Self, InferenceError> {
        Self::named(C::KIND, config, session)
    }

    /// The same, with a name for logs and errors where the settings give none.
    ///
    /// # Errors
    /// As for [`RemoteRunner::new`].
    pub fn named<C: ProviderConfig<Provider = P>>(
        name: &str,
        config: C,
        session: SessionHandle,
    ) -> Result<Self, InferenceError> {
        let remote = config.remote();
        Self::builder(config.into_provider(name)?, session).with_config(remote).build()
    }

    /// The same for whoever does not care which provider it is; what becomes of its calls is told to `sink`.
    ///
    /// # Errors
    /// As for [`RemoteRunner::new`].
    pub fn shared<C: ProviderConfig<Provider = P>>(
        config: C,
        name: &str,
        session: SessionHandle,
        sink: Arc<dyn MetricsSink>,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        let remote = config.remote();
        let runner = Self::builder(config.into_provider(name)?, session).with_config(remote);
        Ok(Arc::new(runner.with_sink(sink).build()?))
    }

    /// A runner put together by hand: own transport, own settings.
    pub fn builder(provider: P, session: SessionHandle) -> RemoteRunnerBuilder<P> {
        RemoteRunnerBuilder {
            provider,
            session,
            config: RemoteConfig::default(),
            transport: None,
            sink: Arc::new(EventSink),
            seed: None,
        }
    }

    /// The provider.
    pub fn provider(&self) -> &P {
        &self.pipeline.provider
    }

    /// What the breaker of `operation` is doing, and the wait until its next try if there is one.
    pub fn breaker_state(&self, operation: Operation) -> (BreakerState, Option<Duration>) {
        self.pipeline.gates.breakers.state(operation, Instant::now())
    }

    /// Lets no call of `operation` through, for a time or until told otherwise; afterwards it probes.
    pub fn force_open(&self, operation: Operation, time: Option<Duration>) {
        let now = Instant::now();
        self.pipeline.gates.breakers.change(operation, now, |breaker| breaker.force_open(now, time));
    }

    /// Lets every call of `operation` through until told otherwise.
    pub fn force_closed(&self, operation: Operation) {
        self.pipeline.gates.breakers.change(operation, Instant::now(), Breaker::force_closed);
    }

    /// Begins anew with a closed breaker.
    pub fn reset_breaker(&self, operation: Operation) {
        self.pipeline.gates.breakers.change(operation, Instant::now(), Breaker::reset);
    }

    /// What is going on in the limits of `model`.
    pub fn limit_state(&self, model: &str) -> LimitState {
        self.pipeline.gates.limits.limits(model).state()
    }

    /// The credential in use, to swap it with [`rotate`](crate::session::rotate).
    pub fn session(&self) -> &SessionHandle {
        &self.pipeline.session
    }
}

/// Puts a [`RemoteRunner`] together.
#[derive(Debug)]
pub struct RemoteRunnerBuilder<P> {
    provider: P,
    session: SessionHandle,
    config: RemoteConfig,
    transport: Option<Arc<dyn Transport>>,
    sink: Arc<dyn MetricsSink>,
    seed: Option<u64>,
}

impl<P: RemoteProvider> RemoteRunnerBuilder<P> {
    /// Replaces the default settings.
    #[must_use]
    pub fn with_config(mut self, config: RemoteConfig) -> Self {
        self.config = config;
        self
    }

    /// Sends requests by `transport` instead of HTTP over TCP.
    #[must_use]
    pub fn with_transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Hands the record of every attempt and every call to `sink`. Without one they become `tracing` events.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn MetricsSink>) -> Self {
        self.sink = sink;
        self
    }

    /// Draws jitter from `seed`, so that a run can be repeated. Random when not set.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The runner.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that do not fit, or when TLS cannot be set up.
    pub fn build(self) -> Result<RemoteRunner<P>, InferenceError> {
        self.config.validate()?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => {
                let probe = ExecuteBatch::new("", Messages::Typed(Vec::new()));
                let uri = self.provider.endpoint(Call::Generate(&probe)).ok();
                let (timeouts, network) = (&self.config.timeouts, &self.config.network);
                Arc::new(HttpTransport::toward(uri.as_ref(), timeouts, network)?)
            }
        };
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let name = Arc::clone(&self.provider.site().info().name);
        let gates = Gates {
            breakers: Arc::new(Breakers::new(
                name,
                &self.config.circuit_breaker,
                seed,
                Arc::clone(&self.sink),
            )),
            limits: LimitTable::new(self.config.rate_limits.clone()),
            budget: Mutex::new(Budget::new(self.config.retry.budget.clone())),
            dice: Mutex::new(fastrand::Rng::with_seed(seed.wrapping_add(1))),
            sink: self.sink,
        };
        let pipeline = Pipeline {
            provider: Arc::new(self.provider),
            session: self.session,
            transport,
            config: self.config,
            gates: Arc::new(gates),
        };
        Ok(RemoteRunner { pipeline: Arc::new(pipeline) })
    }
}

#[async_trait]
impl<P: RemoteProvider> ModelRunner for RemoteRunner<P> {
    fn info(&self) -> &RunnerInfo {
        self.pipeline.provider.site().info()
    }

    fn execute<'a, 'f>(
        &'a self,
        batch: ExecuteBatch,
    ) -> Pin<Box<dyn Future<Output = Result<RunHandle, InferenceError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        // The request is large, and in a box it is moved and kept but once.
        Box::pin(self.pipeline.generate(Box::new(batch)))
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let limits = self.pipeline.provider.embed_limits(&batch.model);
        parts::embed(&self.pipeline, batch, limits).await
    }

    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        self.pipeline.relay(request).await
    }

    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        self.pipeline.models().await
    }

    async fn health(&self) -> Result<Health, InferenceError> {
        self.pipeline.health().await
    }

    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        let price = self.pipeline.provider.price(&batch.model)?;
        let output = u64::from(batch.max_output_tokens.unwrap_or(0)) * u64::from(batch.choices());
        let usage = Usage::new(prompt_bytes(&batch.messages).div_ceil(4), output);
        Some(price.cost(&usage, batch.service_tier.as_deref()))
    }

    fn ready_in(&self, model: &str) -> Duration {
        let gates = &self.pipeline.gates;
        let breaker = gates.breakers.state(Operation::Generate, Instant::now()).1;
        breaker.unwrap_or_default().max(gates.limits.limits(model).state().paused_for)
    }

    fn controls(&self) -> Option<&dyn Controls> {
        Some(self)
    }
}

impl<P: RemoteProvider> Controls for RemoteRunner<P> {
    fn breakers(&self) -> Vec<BreakerReport> {
        let now = Instant::now();
        guarded(None).map(|operation| self.pipeline.gates.breakers.report(operation, now)).collect()
    }

    fn force_open(&self, operation: Option<&str>, time: Option<Duration>) -> usize {
        guarded(operation).map(|operation| RemoteRunner::force_open(self, operation, time)).count()
    }

    fn force_closed(&self, operation: Option<&str>) -> usize {
        guarded(operation).map(|operation| RemoteRunner::force_closed(self, operation)).count()
    }

    fn reset(&self, operation: Option<&str>) -> usize {
        guarded(operation).map(|operation| self.reset_breaker(operation)).count()
    }

    fn limits(&self, model: &str) -> Option<LimitReport> {
        let state = self.limit_state(model);
        let mut report = LimitReport::default();
        (report.in_flight, report.waiting) = (state.in_flight, state.waiting);
        report.paused_for = state.paused_for;
        Some(report)
    }
}

/// The operations of this name that a breaker stands before; all of them without a name.
fn guarded(name: Option<&str>) -> impl Iterator<Item = Operation> {
    Operation::ALL
        .into_iter()
        .filter(move |operation| *operation != Operation::Health)
        .filter(move |operation| name.is_none_or(|name| name == operation.name()))
}

/// The size of a prompt; about four bytes make a token of English text.
fn prompt_bytes(messages: &Messages) -> u64 {
    let bytes = match messages {
        Messages::Typed(messages) => messages
            .iter()
            .map(|message| match &message.content {
                Content::Text(text) => text.len(),
                other => other.text().len(),
            })
            .sum(),
        Messages::Raw(raw) => raw.json().len(),
        _ => 0,
    };
    bytes as u64
}
