//! A configuration at work.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use infer_core::{
    CostEstimate, EmbedBatch, Embeddings, ExecuteBatch, Health, InferenceError, ListedModel, ModelRunner,
    RelayAnswer, RelayRequest, RunHandle, RunnerInfo,
};
use infer_router::Router;
use infer_store::budget::BudgetRule;
use infer_store::cache::{CacheControl, CacheOutcome, CachedRunner};
use infer_store::{BudgetConfig, Ledger};
use tokio::sync::{Mutex, watch};

use crate::books::BudgetKeeper;
use crate::builder::InferenceBuilder;
use crate::call::{self, Caller, Direct};
use crate::config::{Config, Faults, Source};
use crate::operate::with_rules;
use crate::plan::Plan;
use crate::stores::Stores;
use crate::watch::Watch;

/// Everything a configuration describes, as one runner. Cheap to clone; clones are the same.
///
/// ```no_run
/// # async fn demo() -> Result<(), inference::core::InferenceError> {
/// use inference::core::{ExecuteBatch, ModelRunner};
///
/// let inference = inference::Inference::from_file("llm.yaml").await?;
/// let run = inference.execute(ExecuteBatch::new("gpt-4o-mini", "Say hello")).await?;
/// println!("{}", run.collect().await?.text());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Inference {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    info: RunnerInfo,
    router: Arc<Router>,
    /// What calls and questions see; replaced as a whole.
    pub(crate) current: ArcSwap<Current>,
    /// Held over a reload, so that two of them do not mix.
    pub(crate) reloading: Mutex<()>,
    /// Budgets that come with keys, beside those of the configuration.
    pub(crate) key_rules: ArcSwap<Vec<BudgetRule>>,
    /// How many configurations have been in force before this one.
    pub(crate) reloads: watch::Sender<u64>,
    pub(crate) plan: Plan,
}

/// Told of every reload.
pub(crate) type Listener = Arc<dyn Fn(&Result<Reloaded, ReloadError>) + Send + Sync>;

pub(crate) struct Current {
    pub(crate) config: Config,
    default_model: Option<String>,
    built: Built,
    cached: Option<Arc<Cached>>,
}

/// The router behind the cache.
type Cached = CachedRunner<Arc<Router>>;

/// Runners by provider, each with the fingerprint of the settings it was made of.
pub(crate) type Built = BTreeMap<String, (blake3::Hash, Arc<dyn ModelRunner>)>;

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Providers that go on as they were, with their breakers, limits and connections.
    pub kept: Vec<String>,
    /// Providers that are new or whose settings changed, and begin anew.
    pub built: Vec<String>,
    /// Providers that are gone. Calls that run there end there.
    pub removed: Vec<String>,
    /// Sections of [`InferenceBuilder::with_section`] that say something else than before.
    pub sections: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration has faults.
    #[error("{0}")]
    Faults(#[from] Faults),
    /// It has none, and a provider or the routes could not be made of it.
    #[error("{0}")]
    Runner(#[from] InferenceError),
}

impl From<ReloadError> for InferenceError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Faults(faults) => faults.into(),
            ReloadError::Runner(error) => error,
        }
    }
}

impl Inference {
    /// Everything that a file describes, with the environment of this process.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with every fault of the file; whatever a provider's credential source says.
    pub async fn from_file(path: impl AsRef<Path>) -> Result<Self, InferenceError> {
        Self::builder().with_file(path).build().await
    }

    /// One put together by hand: own kinds of providers, own variables, text instead of a file.
    pub fn builder() -> InferenceBuilder {
        InferenceBuilder::default()
    }

    pub(crate) async fn start(
        config: Config,
        plan: Plan,
        gate: Option<Arc<dyn infer_router::Gate>>,
    ) -> Result<Self, InferenceError> {
        let (built, _) = plan.runners(&config, &Built::new()).await?;
        let gate = gate.unwrap_or_else(|| Arc::new(BudgetKeeper(Arc::clone(&plan.stores.books))));
        let router = Router::builder(plan.registry(&built), config.routing()).with_gate(gate);
        let router = Arc::new(router.build()?);
        let cached = plan.stores.cache(&config, &built, &router, None, None)?;
        let inner = Inner {
            info: RunnerInfo::new("inference", "inference"),
            router,
            current: ArcSwap::from_pointee(Current::new(config, built, cached)),
            reloading: Mutex::new(()),
            key_rules: ArcSwap::default(),
            reloads: watch::Sender::new(0),
            plan,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The runner as everything that takes one wants it.
    pub fn into_runner(self) -> Arc<dyn ModelRunner> {
        Arc::new(self)
    }

    /// The configuration in force.
    pub fn config(&self) -> Config {
        self.inner.current.load().config.clone()
    }

    /// The runner of one provider, past all routes.
    pub fn provider(&self, name: &str) -> Option<Arc<dyn ModelRunner>> {
        let inner = self.inner.current.load().built.get(name).map(|(_, runner)| Arc::clone(runner))?;
        let books = Arc::clone(&self.inner.plan.stores.books);
        Some(if books.ledger.is_some() { Arc::new(Direct { inner, books }) } else { inner })
    }

    /// The router, for its targets and the health of each.
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// Reads the file again and puts it in force: see [`Inference::apply`].
    ///
    /// # Errors
    /// As for [`Inference::apply`]; also when it was not made from a file.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.replace(|plan| match &plan.file {
            Some(path) => Ok(plan.reader.file(path, &*plan.around)?),
            None => Err(InferenceError::config("there is no file to read again: apply a source").into()),
        })
        .await
    }

    /// Puts another configuration in force, all of it or nothing.
    ///
    /// Providers whose settings did not change, secrets included, keep their runners, and with them breakers, limits and
    /// connections; targets keep what routing knows of them. Calls in flight finish on what they started with.
    ///
    /// # Errors
    /// Every fault of the source, or why a runner cannot be made. What was in force stays.
    pub async fn apply(&self, source: &Source) -> Result<Reloaded, ReloadError> {
        self.replace(|plan| Ok(plan.reader.read(source, &*plan.around)?)).await
    }

    async fn replace(
        &self,
        read: impl FnOnce(&Plan) -> Result<Config, ReloadError>,
    ) -> Result<Reloaded, ReloadError> {
        // Read under the lock, so that of two reloads the later one stands.
        let _alone = self.inner.reloading.lock().await;
        let outcome = match read(&self.inner.plan) {
            Ok(config) => self.put(config).await.map_err(ReloadError::from),
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(reloaded) => tracing::info!(
                kept = reloaded.kept.len(),
                built = reloaded.built.len(),
                removed = reloaded.removed.len(),
                "configuration reloaded"
            ),
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded: the one before stays in force");
            }
        }
        if let Some(listener) = &self.inner.plan.listener {
            listener(&outcome);
        }
        outcome
    }

    async fn put(&self, config: Config) -> Result<Reloaded, InferenceError> {
        let inner = &self.inner;
        let before = inner.current.load_full();
        let (built, mut reloaded) = inner.plan.runners(&config, &before.built).await?;
        reloaded.removed = before.built.keys().filter(|name| !built.contains_key(*name)).cloned().collect();
        reloaded.sections = config.added.changed_since(&before.config.added);
        let stores = &inner.plan.stores;
        Stores::may_become(&before.config, &config, inner.plan.own_data)?;
        let rules = inner.key_rules.load_full();
        let budgets =
            if inner.plan.own_gate { BudgetConfig::default() } else { with_rules(&config.budgets, &rules) };
        let shared = stores.prepare(&config, &budgets)?;
        let cached = stores.cache(
            &config,
            &built,
            &inner.router,
            Some((&before.config, before.cached.as_deref())),
            shared.as_ref(),
        )?;
        // The budgets go first: they alone may fail for a reason outside the configuration.
        if !inner.plan.own_gate && config.budgets != before.config.budgets {
            stores.replace_budgets(&budgets).await?;
        }
        if let Err(error) = inner.router.reload(inner.plan.registry(&built), &config.routing()) {
            if !inner.plan.own_gate && config.budgets != before.config.budgets {
                stores.replace_budgets(&with_rules(&before.config.budgets, &rules)).await?;
            }
            return Err(error);
        }
        stores.replace_limits(&before.config, &config)?;
        stores.books.shared.put(shared);
        inner.current.store(Arc::new(Current::new(config, built, cached)));
        inner.reloads.send_modify(|reloads| *reloads += 1);
        Ok(reloaded)
    }

    /// Reloads whenever the file or one that it names with `${file:…}` changes, and on SIGHUP where there is such a thing,
    /// until the result is dropped.
    ///
    /// A file that is being written is read once it has been quiet for a moment. What goes wrong is logged, and told to
    /// the listener of [`InferenceBuilder::with_listener`]; the configuration in force stays.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when it was not made from a file, or when that cannot be watched.
    pub fn watch(&self) -> Result<Watch, InferenceError> {
        Watch::begin(self)
    }

    /// Runs one request and says what the cache had to do with it, if there is one.
    ///
    /// Answers are kept apart by the key that asks, unless `control` names another tenant. A hit made no attempt, costs
    /// nothing, and is a row of the ledger.
    ///
    /// # Errors
    /// As for [`ModelRunner::execute`]; [`InferenceError::QueueFull`] while the ledger has no room for the call's row.
    pub fn execute_with<'a>(
        &'a self,
        batch: ExecuteBatch,
        control: &'a CacheControl,
    ) -> impl Future<Output = Result<(RunHandle, Option<CacheOutcome>), InferenceError>> + Send + 'a {
        // The request is large, and in a box it is moved and kept but once.
        self.execute_boxed(Box::new(batch), control)
    }

    async fn execute_boxed(
        &self,
        mut batch: Box<ExecuteBatch>,
        control: &CacheControl,
    ) -> Result<(RunHandle, Option<CacheOutcome>), InferenceError> {
        self.named(&mut batch.model);
        let streaming = batch.is_streaming();
        let call = call::admit(&self.inner.plan.stores.books, Caller::of_answer(&mut batch)).await?;
        let answer = Box::pin(self.answer(batch, control));
        let (run, outcome) = call::within(call.as_ref(), answer).await?;
        if let (Some(call), Some(CacheOutcome::Hit { .. })) = (&call, &outcome) {
            call.cached();
            return Ok((run, outcome));
        }
        Ok((call::answered(call, run, streaming), outcome))
    }

    async fn answer(
        &self,
        batch: Box<ExecuteBatch>,
        control: &CacheControl,
    ) -> Result<(RunHandle, Option<CacheOutcome>), InferenceError> {
        let Some(cached) = self.inner.current.load().cached.clone() else {
            return Ok((self.inner.router.execute(*batch).await?, None));
        };
        let mut control = control.clone();
        control.tenant = control.tenant.or_else(|| batch.routing.key.clone());
        // Most calls have no cache and should not carry its room.
        let (run, outcome) = Box::pin(cached.execute_with(*batch, &control)).await?;
        Ok((run, Some(outcome)))
    }

    /// Waits until what calls used so far is on disk and, for a few seconds at most, counted in Redis; a program that is about
    /// to end calls it. What goes wrong is logged.
    pub async fn flush(&self) {
        let books = &self.inner.plan.stores.books;
        if let Some(ledger) = &books.ledger
            && let Err(error) = ledger.flush().await
        {
            tracing::error!(%error, "ledger: rows are not on disk");
        }
        books.shared.flush().await;
    }

    /// The ledger, where there is a directory for it.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.inner.plan.stores.books.ledger.as_ref()
    }

    fn named<'a>(&self, model: &'a mut String) -> &'a mut String {
        if model.is_empty()
            && let Some(default) = &self.inner.current.load().default_model
        {
            model.clone_from(default);
        }
        model
    }
}

impl Current {
    fn new(config: Config, built: Built, cached: Option<Arc<Cached>>) -> Self {
        Self { default_model: config.default_model(), config, built, cached }
    }
}

#[async_trait]
impl ModelRunner for Inference {
    fn info(&self) -> &RunnerInfo {
        &self.inner.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        Ok(self.execute_with(batch, &CacheControl::default()).await?.0)
    }

    async fn embed(&self, mut batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        self.named(&mut batch.model);
        let call = call::admit(&self.inner.plan.stores.books, Caller::of_vectors(&mut batch)).await?;
        call::within(call.as_ref(), self.inner.router.embed(batch)).await
    }

    async fn relay(&self, mut request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let call = call::admit(&self.inner.plan.stores.books, Caller::of_relay(&mut request)).await?;
        let answer = call::within(call.as_ref(), self.inner.router.relay(request)).await?;
        Ok(call::passed_on(call, answer))
    }

    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        self.inner.router.models().await
    }

    async fn health(&self) -> Result<Health, InferenceError> {
        self.inner.router.health().await
    }

    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        if batch.model.is_empty() {
            let mut named = batch.clone();
            self.named(&mut named.model);
            return self.inner.router.estimate(&named);
        }
        self.inner.router.estimate(batch)
    }
}

impl fmt::Debug for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.inner.current.load();
        let providers: Vec<_> = current.built.keys().collect();
        f.debug_struct("Inference").field("providers", &providers).finish_non_exhaustive()
    }
}
