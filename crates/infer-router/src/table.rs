//! All routes as one value: built once, never changed, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use infer_core::{InferenceError, Origin};

use crate::ask::Wants;
use crate::config::{PolicyConfig, RouteConfig, RouterConfig, TargetConfig};
use crate::names;
use crate::registry::{Provider, Registry};
use crate::route::{Route, Shadow, Stage};
use crate::target::{Model, Target, TargetStats};

/// Routes by name. A running call keeps the one it began with.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) registry: Registry,
    pub(crate) max_cooldown_wait: Duration,
    /// What the choices of any exact route depend on, for calls that may be sent to another one.
    pub(crate) wants: Wants,
    pub(crate) direct: bool,
    exact: BTreeMap<String, Arc<Route>>,
    aliases: BTreeMap<String, String>,
    /// By what stands before the `*`, longest first.
    wild: Vec<(String, Arc<Route>)>,
    default: Option<Arc<Route>>,
    stats: StatsByTarget,
    own: BTreeMap<String, Vec<Arc<Stage>>>,
}

/// What is going on, by provider and model.
type StatsByTarget = HashMap<(Arc<str>, String), Arc<TargetStats>>;

/// The route for a name, and what its `*` stands for.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) route: Arc<Route>,
    pub(crate) rest: String,
}

impl Table {
    /// Builds all routes, or says everything that is wrong. What goes on at targets that were in `before` goes on.
    pub(crate) fn build(
        registry: Registry,
        config: &RouterConfig,
        before: Option<&Self>,
    ) -> Result<Self, InferenceError> {
        let mut faults = Vec::new();
        config.validate(&registry, &mut faults);
        if !faults.is_empty() {
            return Err(InferenceError::config(faults.join("; ")));
        }
        let mut building = Building { registry: &registry, before, stats: HashMap::new() };
        let mut own: BTreeMap<String, Vec<Arc<Stage>>> = BTreeMap::new();
        for (name, route) in &config.routes {
            own.insert(name.clone(), building.stages(name, route)?);
        }
        let mut routes = config
            .routes
            .iter()
            .map(|(name, route)| Ok((name.clone(), Arc::new(building.route(name, route, config, &own)?))))
            .collect::<Result<BTreeMap<_, _>, InferenceError>>()?;
        if config.direct {
            for provider in registry.providers() {
                let name = format!("{}/*", provider.name());
                if !routes.contains_key(&name) {
                    let target =
                        TargetConfig { provider: provider.name().to_string(), ..TargetConfig::default() };
                    let route = RouteConfig { targets: vec![target], ..RouteConfig::default() };
                    own.insert(name.clone(), building.stages(&name, &route)?);
                    routes.insert(name.clone(), Arc::new(building.route(&name, &route, config, &own)?));
                }
            }
        }
        let default = config.default_route.as_ref().and_then(|name| routes.get(name)).map(Arc::clone);
        let stats = building.stats;
        let (wild, exact): (BTreeMap<_, _>, BTreeMap<_, _>) =
            routes.into_iter().partition(|(name, _)| name.ends_with('*'));
        let mut wild: Vec<_> =
            wild.into_iter().map(|(name, route)| (name.trim_end_matches('*').to_owned(), route)).collect();
        wild.sort_by_key(|(head, _)| std::cmp::Reverse(head.len()));
        Ok(Self {
            wants: exact.values().fold(Wants::default(), |wants, route| wants.and(route.wants)),
            max_cooldown_wait: config.max_cooldown_wait,
            direct: config.direct,
            aliases: config.aliases.clone(),
            registry,
            exact,
            wild,
            default,
            stats,
            own,
        })
    }

    /// Where calls for `name` go.
    ///
    /// # Errors
    /// [`InferenceError::ModelNotFound`] with the nearest names.
    pub(crate) fn resolve(&self, name: &str) -> Result<Resolved, InferenceError> {
        let mut meant = name;
        while let Some(next) = self.aliases.get(meant) {
            meant = next; // ends: circles are refused when the table is built
        }
        if let Some(route) = self.exact.get(meant) {
            return Ok(Resolved { route: Arc::clone(route), rest: String::new() });
        }
        let wild = self.wild.iter().find_map(|(head, route)| {
            let rest = meant.strip_prefix(head.as_str()).filter(|rest| !rest.is_empty())?;
            Some(Resolved { route: Arc::clone(route), rest: rest.to_owned() })
        });
        let default = || Some(Resolved { route: Arc::clone(self.default.as_ref()?), rest: meant.to_owned() });
        wild.or_else(default).ok_or_else(|| {
            let near = names::near(name, self.exact.keys().chain(self.aliases.keys()));
            let shown: String = name.chars().take(100).collect();
            let mut at = Origin::default();
            at.message = Some(format!("no route for model {shown:?}{near}"));
            InferenceError::ModelNotFound { at: Box::new(at) }
        })
    }

    /// Where calls go that name no model: to the pinned provider, by the default route, or to the only provider.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] with the ways to say where.
    pub(crate) fn nameless(&self, pin: Option<&str>) -> Result<Resolved, InferenceError> {
        let whole = |provider: &str| {
            let found = self.wild.iter().find(|(head, _)| head.strip_suffix('/') == Some(provider));
            found.map(|(_, route)| Arc::clone(route))
        };
        let mut names = self.registry.names();
        let only = names.next().filter(|_| names.next().is_none());
        let route = pin.and_then(whole).or_else(|| self.default.clone()).or_else(|| whole(only?));
        match route {
            Some(route) => Ok(Resolved { route, rest: String::new() }),
            None => {
                let known = self.registry.names().take(8).collect::<Vec<_>>().join(", ");
                Err(InferenceError::invalid_request(format!(
                    "the request names no model, so nothing says which provider it is for: pin it to one of {known}, or set default_route"
                )))
            }
        }
    }

    /// The route of exactly this name, aliases included.
    pub(crate) fn exact(&self, name: &str) -> Option<&Arc<Route>> {
        let mut meant = name;
        while let Some(next) = self.aliases.get(meant) {
            meant = next;
        }
        self.exact.get(meant)
    }

    /// The names that can be asked for without a `*`, with the route each stands for.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, Option<&Arc<Route>>)> {
        let aliases = self.aliases.keys().map(|name| (name.as_str(), self.exact(name)));
        self.exact.iter().map(|(name, route)| (name.as_str(), Some(route))).chain(aliases)
    }

    /// What is going on at each provider and model.
    pub(crate) fn stats(&self) -> impl Iterator<Item = (&(Arc<str>, String), &Arc<TargetStats>)> {
        self.stats.iter()
    }
}

struct Building<'a> {
    registry: &'a Registry,
    before: Option<&'a Table>,
    stats: StatsByTarget,
}

impl Building<'_> {
    fn provider(&self, name: &str) -> Result<Arc<Provider>, InferenceError> {
        let known = self.registry.provider(name).map(Arc::clone);
        known.ok_or_else(|| InferenceError::config(format!("there is no provider {name:?}")))
    }

    fn target(&mut self, route: &str, config: &TargetConfig) -> Result<Target, InferenceError> {
        let provider = self.provider(&config.provider)?;
        let model = Model::new(config.model.as_deref(), route);
        let key = (Arc::clone(provider.name()), model.to_string());
        let before = self.before.and_then(|before| before.stats.get(&key)).map(Arc::clone);
        let stats = Arc::clone(self.stats.entry(key).or_insert_with(|| before.unwrap_or_default()));
        Ok(Target::new(provider, model, config, stats))
    }

    /// The stages of a route itself: one for each priority.
    fn stages(&mut self, name: &str, route: &RouteConfig) -> Result<Vec<Arc<Stage>>, InferenceError> {
        let mut tiers: BTreeMap<u32, Vec<Target>> = BTreeMap::new();
        for config in &route.targets {
            let target = self.target(name, config)?;
            tiers.entry(config.priority).or_default().push(target);
        }
        let before = self.before.and_then(|before| before.own.get(name));
        let stages = tiers.into_iter().map(|(priority, targets)| {
            let same =
                |stage: &&Arc<Stage>| stage.priority == priority && route.policy == PolicyConfig::Weighted;
            let before = before.and_then(|stages| stages.iter().find(same));
            Arc::new(Stage::new(priority, route.policy, targets, before.map(AsRef::as_ref)))
        });
        Ok(stages.collect())
    }

    /// A route with the stages of those it falls back to behind its own.
    fn route(
        &self,
        name: &str,
        route: &RouteConfig,
        config: &RouterConfig,
        own: &BTreeMap<String, Vec<Arc<Stage>>>,
    ) -> Result<Route, InferenceError> {
        let mut stages = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            if seen.insert(name) {
                stages.extend(own.get(name).into_iter().flatten().map(Arc::clone));
                let fallback = config.routes.get(name).map(|route| &route.fallback);
                next.extend(fallback.into_iter().flatten().rev().map(String::as_str));
            }
        }
        let shadow = route.shadow.as_ref().map(|shadow| {
            Ok::<_, InferenceError>(Shadow {
                provider: self.provider(&shadow.provider)?,
                model: Model::new(shadow.model.as_deref(), name),
                config: shadow.clone(),
            })
        });
        let wants = stages.iter().fold(Wants::default(), |wants, stage| wants.and(stage.wants(None)));
        let is_wild =
            |stage: &Arc<Stage>| stage.targets.iter().any(|target| matches!(target.model, Model::Around(..)));
        Ok(Route {
            name: name.into(),
            hold_back: route.hold_back,
            shadow: shadow.transpose()?,
            is_wild: stages.iter().any(is_wild),
            wants,
            stages,
        })
    }
}
