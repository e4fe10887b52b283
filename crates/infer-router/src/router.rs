//! The router: a runner over runners.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use infer_core::{
    CostEstimate, EmbedBatch, Embeddings, ExecuteBatch, Health, InferenceError, ListedModel, ModelRunner,
    RelayAnswer, RelayRequest, RunHandle, RunnerInfo,
};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::ask::{Ask, TokenCount};
use crate::config::RouterConfig;
use crate::course::Course;
use crate::gate::{End, Gate, Spent};
use crate::policy::Rolls;
use crate::registry::Registry;
use crate::route::Pick;
use crate::shadow::Shadows;
use crate::stream::RoutedStream;
use crate::table::{Resolved, Table};
use crate::target::Passed;
use crate::work::Answer;

/// Runs requests on the targets that routes name. See the crate's first page.
///
/// Dropping it ends the copies that run for shadow targets; calls keep what they need and go on.
pub struct Router {
    info: RunnerInfo,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) gate: Option<Arc<dyn Gate>>,
    count: Option<TokenCount>,
    pub(crate) dice: Mutex<fastrand::Rng>,
    shadows: Shadows,
}

/// Puts a [`Router`] together.
pub struct RouterBuilder {
    registry: Registry,
    config: RouterConfig,
    name: Arc<str>,
    gate: Option<Arc<dyn Gate>>,
    count: Option<TokenCount>,
    seed: Option<u64>,
}

/// What is going on at one model of one provider.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TargetState {
    /// The provider's name.
    pub provider: Arc<str>,
    /// The model there, with a `*` where calls name it.
    pub model: String,
    /// Calls whose answer is not read to its end.
    pub in_flight: u32,
    /// Calls begun.
    pub calls: u64,
    /// Those of them that failed before content in a way that another target may do better.
    pub failures: u64,
    /// To the first content of streamed answers, as a moving average of what was measured; `None` before the first. Failures
    /// are no part of it, whatever routing makes of them.
    pub latency: Option<Duration>,
}

/// A target chosen for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The route.
    pub route: Arc<str>,
    /// The provider's name.
    pub provider: Arc<str>,
    /// The model there.
    pub model: String,
}

impl Router {
    /// A router with everything but providers and routes as usual.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with everything that is wrong, in one line.
    pub fn new(registry: Registry, config: &RouterConfig) -> Result<Self, InferenceError> {
        Self::builder(registry, config.clone()).build()
    }

    /// A router put together by hand.
    pub fn builder(registry: Registry, config: RouterConfig) -> RouterBuilder {
        RouterBuilder { registry, config, name: "router".into(), gate: None, count: None, seed: None }
    }

    /// Replaces all providers and routes at once. Running calls end on what they began with; what is known of targets that
    /// stay is kept: calls in flight, latencies and whose turn it is.
    ///
    /// # Errors
    /// As for [`Router::new`]; everything stays as it was then.
    pub fn reload(&self, registry: Registry, config: &RouterConfig) -> Result<(), InferenceError> {
        let table = Table::build(registry, config, Some(&self.table.load_full()))?;
        self.table.store(Arc::new(table));
        Ok(())
    }

    /// Chooses a target as a call does, so that it counts as its turn, and asks nobody but it whether it is ready. `None`
    /// when no route or no target takes the call now.
    pub fn choose(&self, batch: &ExecuteBatch) -> Option<Choice> {
        let table = self.table.load();
        let Resolved { route, rest } = resolve(&table, &batch.model, batch.routing.pin.as_deref()).ok()?;
        let wants = route.wants_for(&rest);
        let ask = Ask::of(batch, rest, wants, self.count.as_ref());
        match route.pick(&ask, &Passed::default(), Instant::now(), &|| self.rolls()) {
            Pick::Ready(target) => Some(Choice {
                route: Arc::clone(&route.name),
                provider: Arc::clone(target.provider.name()),
                model: target.model.name(&ask.rest).into_owned(),
            }),
            Pick::Cooling(_) | Pick::Nobody => None,
        }
    }

    /// What is going on at every target, by provider and model; where calls name the model, once there was one.
    pub fn targets(&self) -> Vec<TargetState> {
        let table = self.table.load_full();
        let state = |((provider, model), stats): (&(Arc<str>, String), &Arc<crate::target::TargetStats>)| {
            let (calls, failures) = stats.counts();
            TargetState {
                provider: Arc::clone(provider),
                model: model.clone(),
                in_flight: stats.in_flight(),
                calls,
                failures,
                latency: stats.first_content(),
            }
        };
        let mut states: Vec<_> = table.stats().map(state).collect();
        states.retain(|state| state.calls > 0 || !state.model.contains('*'));
        states.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
        states
    }

    /// Copies for shadow targets that run now.
    pub fn shadows_in_flight(&self) -> usize {
        self.shadows.running()
    }

    /// Asks every provider for its health, all at once.
    pub async fn health_of_each(&self) -> Vec<(Arc<str>, Result<Health, InferenceError>)> {
        let table = self.table.load_full();
        let ask = table
            .registry
            .providers()
            .map(|provider| async { (Arc::clone(provider.name()), provider.runner().health().await) });
        join_all(ask).await
    }

    /// An answer, from the first target that gives one.
    async fn answer(&self, batch: Box<ExecuteBatch>) -> Result<RunHandle, InferenceError> {
        let table = self.table.load_full();
        let request_id = batch.request_id.clone();
        let mut course = self.course_of(&table, batch)?;
        let due = course.due;
        let span = course.span();
        let mut won = course.run().instrument(span).await?;
        match won.answer {
            Answer::Whole(mut meta, whole) => {
                meta.tried = won.tried;
                won.held.settle(Spent { end: End::Whole, usage: whole.usage, cost: whole.cost });
                Ok(RunHandle::collected(meta, whole))
            }
            Answer::Streamed(run) => {
                let mut meta = run.meta().clone();
                meta.tried = won.tried;
                let stream = RoutedStream::new(run.into_stream(), won.held, due, won.provider, request_id);
                Ok(RunHandle::streaming(meta, stream))
            }
        }
    }

    fn rolls(&self) -> Rolls {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Rolls(dice.u64(..), dice.u64(..))
    }

    /// The course of `batch`, and when it must be over.
    fn course_of<'a>(
        &'a self,
        table: &'a Table,
        batch: Box<ExecuteBatch>,
    ) -> Result<Course<'a, ExecuteBatch>, InferenceError> {
        let Resolved { route, rest } = resolve(table, &batch.model, batch.routing.pin.as_deref())?;
        if route.shadow.is_some() {
            let roll = self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64();
            self.shadows.copy(&route, &rest, &batch, roll);
        }
        let wants = route.wants_for(&rest);
        let wants = if self.gate.is_some() { wants.and(table.wants) } else { wants };
        let ask = Ask::of(&batch, rest, wants, self.count.as_ref());
        Ok(Course::new(table, route, ask, self.gate.as_deref(), &self.dice, batch))
    }
}

/// The route for `model`; one that no route knows is the pinned provider's own.
pub(crate) fn resolve(table: &Table, model: &str, pin: Option<&str>) -> Result<Resolved, InferenceError> {
    let resolved = table.resolve(model);
    match pin.filter(|_| table.direct) {
        Some(pin) if resolved.is_err() && table.registry.provider(pin).is_some() => {
            table.resolve(&format!("{pin}/{model}"))
        }
        _ => resolved,
    }
}

impl RouterBuilder {
    /// Its name for logs and errors. `router`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Asks `gate` before every try.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Counts input tokens with `count` instead of by their bytes.
    #[must_use]
    pub fn with_token_count(mut self, count: TokenCount) -> Self {
        self.count = Some(count);
        self
    }

    /// Draws from `seed`, so that a run can be repeated. Random when not set.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The router.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with everything that is wrong, in one line.
    pub fn build(self) -> Result<Router, InferenceError> {
        let table = Table::build(self.registry, &self.config, None)?;
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(Router {
            info: RunnerInfo::new("router", self.name),
            table: ArcSwap::from_pointee(table),
            gate: self.gate,
            count: self.count,
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            shadows: Shadows::default(),
        })
    }
}

#[async_trait]
impl ModelRunner for Router {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    fn execute<'a, 'f>(&'a self, batch: ExecuteBatch) -> BoxFuture<'f, Result<RunHandle, InferenceError>>
    where
        'a: 'f,
        Self: 'f,
    {
        // The request is large, and in a box it is moved and kept but once.
        Box::pin(self.answer(Box::new(batch)))
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let table = self.table.load_full();
        let Resolved { route, rest } = resolve(&table, &batch.model, batch.routing.pin.as_deref())?;
        let ask = Ask::of_embedding(&batch, rest);
        let mut course = Course::new(&table, route, ask, self.gate.as_deref(), &self.dice, Box::new(batch));
        let span = course.span();
        let mut won = course.run().instrument(span).await?;
        won.held.settle(Spent { end: End::Whole, usage: won.answer.usage, cost: won.answer.cost });
        won.answer.provider = Some(won.provider);
        won.answer.tried = won.tried;
        Ok(won.answer)
    }

    async fn relay(&self, request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        self.pass_on(request).await
    }

    /// The names of routes and aliases, and where `provider/model` is allowed, what each provider lists under its name.
    ///
    /// A provider that cannot be asked is left out; the error is the first one if there is nothing else to list.
    async fn models(&self) -> Result<Vec<ListedModel>, InferenceError> {
        let table = self.table.load_full();
        let mut listed: Vec<ListedModel> = table
            .names()
            .map(|(name, route)| {
                let mut model = ListedModel::new(name);
                let windows = route.into_iter().flat_map(|route| route.targets());
                model.context_window = windows.filter_map(|target| target.facts("").context_window).max();
                model
            })
            .collect();
        let ask = table
            .registry
            .providers()
            .filter(|_| table.direct)
            .map(|provider| async { (Arc::clone(provider.name()), provider.runner().models().await) });
        let mut failed = None;
        for (provider, answer) in join_all(ask).await {
            match answer {
                Ok(models) => listed.extend(models.into_iter().map(|mut model| {
                    model.id = format!("{provider}/{}", model.id);
                    // The entry as received has another name.
                    model.wire = None;
                    model
                })),
                Err(error) => {
                    tracing::debug!(%provider, %error, "no list of models");
                    failed = failed.or(Some(error));
                }
            }
        }
        match failed {
            Some(error) if listed.is_empty() => Err(error),
            _ => {
                listed.sort_by(|a, b| (a.id.contains('/'), &a.id).cmp(&(b.id.contains('/'), &b.id)));
                listed.dedup_by(|later, first| later.id == first.id);
                Ok(listed)
            }
        }
    }

    /// The quickest answer of all providers; the last error if none answers.
    async fn health(&self) -> Result<Health, InferenceError> {
        let mut best: Option<Result<Health, InferenceError>> = None;
        for (_, answer) in self.health_of_each().await {
            best = match (best, answer) {
                (Some(Ok(best)), Ok(health)) if health.latency >= best.latency => Some(Ok(best)),
                (Some(Ok(best)), Err(_)) => Some(Ok(best)),
                (_, answer) => Some(answer),
            };
        }
        best.unwrap_or_else(|| Err(InferenceError::config("there are no providers to ask")))
    }

    /// What the call costs at the target that would be chosen now.
    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        let table = self.table.load_full();
        let Resolved { route, rest } = resolve(&table, &batch.model, batch.routing.pin.as_deref()).ok()?;
        let wants = route.wants_for(&rest);
        let ask = Ask::of(batch, rest, wants, self.count.as_ref());
        let (now, rolls) = (Instant::now(), self.rolls());
        let target = route.stages.iter().find_map(|stage| stage.peek(&ask, now, rolls))?;
        let mut batch = batch.clone();
        batch.model = target.model.name(&ask.rest).into_owned();
        target.changes.apply(&mut batch);
        target.provider.runner().estimate(&batch)
    }

    /// Until the first target of the route lets a call through.
    fn ready_in(&self, model: &str) -> Duration {
        let table = self.table.load_full();
        let Ok(Resolved { route, rest }) = table.resolve(model) else { return Duration::ZERO };
        route.targets().map(|target| target.ready_in(&rest)).min().unwrap_or_default()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("name", &self.info.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
