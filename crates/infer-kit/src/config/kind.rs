//! Kinds of providers: which settings each has, how they are checked, and how a runner is made of them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use infer_core::{InferenceError, ModelRunner, RunnerFactory};
use remote_core::meter::{EventSink, Fanout, MetricsSink};
use remote_core::session::RemoteSessionActor;
use remote_core::{Presets, ProviderConfig};

use super::fault::Fault;
use super::tree::Node;
use super::typed;
use crate::recorded::Recorded;

/// A kind of provider.
pub(crate) trait Kind: Send + Sync {
    /// The `type` in a configuration.
    fn name(&self) -> &str;

    /// Reads settings that stand at `path`; what is wrong goes into `faults`.
    fn read(
        &self,
        node: &mut Node,
        path: &str,
        also: &[&str],
        faults: &mut Vec<Fault>,
    ) -> Option<Arc<dyn Settings>>;

    /// The JSON Schema of its settings.
    fn schema(&self) -> serde_json::Value;

    /// Its settings by name.
    fn presets(&self) -> Option<&Presets> {
        None
    }
}

/// Settings of one provider that have the right shape.
#[async_trait]
pub(crate) trait Settings: Send + Sync + fmt::Debug {
    /// Whether the values make sense together.
    fn check(&self, name: &str) -> Result<(), InferenceError>;

    /// How much may be asked of the upstream, where that is settled here.
    #[cfg(feature = "redis")]
    fn rate_limits(&self) -> Option<remote_core::config::RateLimitConfig> {
        None
    }

    /// The runner; what becomes of its calls is told to `sink`.
    async fn build(
        &self,
        name: &str,
        sink: Arc<dyn MetricsSink>,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError>;
}

/// A kind whose settings are a type of this workspace.
pub(crate) struct Remote<C> {
    presets: Presets,
    settings: PhantomData<fn() -> C>,
}

impl<C: ProviderConfig> Remote<C> {
    pub(crate) fn new() -> Self {
        // A kind whose presets cannot be read has none; its own tests read them all.
        Self { presets: Presets::parse(C::PRESETS).unwrap_or_default(), settings: PhantomData }
    }
}

impl<C: ProviderConfig + Clone> Kind for Remote<C> {
    fn name(&self) -> &str {
        C::KIND
    }

    fn read(
        &self,
        node: &mut Node,
        path: &str,
        also: &[&str],
        faults: &mut Vec<Fault>,
    ) -> Option<Arc<dyn Settings>> {
        let config: C = typed::read(node, path, also, faults)?;
        Some(Arc::new(RemoteSettings(config)))
    }

    fn schema(&self) -> serde_json::Value {
        super::schema::described::<C>(C::DOCS)
    }

    fn presets(&self) -> Option<&Presets> {
        Some(&self.presets)
    }
}

#[derive(Debug)]
struct RemoteSettings<C>(C);

#[async_trait]
impl<C: ProviderConfig + Clone> Settings for RemoteSettings<C> {
    fn check(&self, name: &str) -> Result<(), InferenceError> {
        let shared = self.0.remote().validate();
        let own = self.0.clone().into_provider(name).map(|_| ());
        match (shared, own) {
            (Err(InferenceError::Config { what: one }), Err(InferenceError::Config { what: other })) => {
                Err(InferenceError::config(format!("{one}; {other}")))
            }
            (shared, own) => shared.and(own),
        }
    }

    #[cfg(feature = "redis")]
    fn rate_limits(&self) -> Option<remote_core::config::RateLimitConfig> {
        Some(self.0.remote().rate_limits)
    }

    async fn build(
        &self,
        name: &str,
        sink: Arc<dyn MetricsSink>,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        let session = RemoteSessionActor::bootstrap(self.0.credentials()?).await?;
        let sink = Fanout(vec![Arc::new(EventSink), sink]);
        self.0.clone().into_runner(name, session, Arc::new(sink))
    }
}

/// A kind that a program brings; what its settings mean is its own matter.
pub(crate) struct Foreign(pub(crate) Arc<dyn RunnerFactory>);

impl Kind for Foreign {
    fn name(&self) -> &str {
        self.0.kind()
    }

    fn read(&self, node: &mut Node, _: &str, _: &[&str], _: &mut Vec<Fault>) -> Option<Arc<dyn Settings>> {
        Some(Arc::new(ForeignSettings { factory: Arc::clone(&self.0), settings: node.to_json() }))
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }
}

struct ForeignSettings {
    factory: Arc<dyn RunnerFactory>,
    settings: serde_json::Value,
}

/// Without the settings, which may hold keys.
impl fmt::Debug for ForeignSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignSettings").field("factory", &self.factory).finish_non_exhaustive()
    }
}

#[async_trait]
impl Settings for ForeignSettings {
    fn check(&self, _: &str) -> Result<(), InferenceError> {
        Ok(())
    }

    async fn build(
        &self,
        name: &str,
        sink: Arc<dyn MetricsSink>,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        Ok(Arc::new(Recorded::new(self.factory.build(name, self.settings.clone()).await?, sink)))
    }
}

/// The kinds that can be named in a configuration.
#[derive(Clone)]
pub(crate) struct Kinds(Vec<Arc<dyn Kind>>);

impl Kinds {
    /// Those that are compiled in.
    pub(crate) fn compiled() -> Self {
        Self(vec![
            #[cfg(feature = "openai")]
            Arc::new(Remote::<runtime_openai::OpenAiConfig>::new()),
            #[cfg(feature = "azure")]
            Arc::new(Remote::<runtime_azure::AzureConfig>::new()),
            #[cfg(feature = "anthropic")]
            Arc::new(Remote::<runtime_anthropic::AnthropicConfig>::new()),
        ])
    }

    /// Adds a kind, in place of one of the same name.
    pub(crate) fn add(&mut self, kind: Arc<dyn Kind>) {
        match self.0.iter_mut().find(|other| other.name() == kind.name()) {
            Some(other) => *other = kind,
            None => self.0.push(kind),
        }
    }

    pub(crate) fn of(&self, name: &str) -> Option<&dyn Kind> {
        self.0.iter().find(|kind| kind.name() == name).map(AsRef::as_ref)
    }

    /// The kind that has a preset called `name`, and what the preset is called there.
    pub(crate) fn with_preset(&self, name: &str) -> Option<(&dyn Kind, &str)> {
        self.iter().find_map(|kind| Some((kind, kind.presets()?.find(name).ok()?.0)))
    }

    /// The names of all presets.
    pub(crate) fn presets(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(Kind::presets).flat_map(Presets::names)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Kind> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Kind::name)).finish()
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::compiled()
    }
}

/// Kinds of this workspace, each with the feature that brings it.
pub(crate) const FEATURES: [&str; 3] = ["openai", "azure", "anthropic"];
