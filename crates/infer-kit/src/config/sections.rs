//! Everything in a configuration beside the providers.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use infer_core::{ExecuteBatch, InferenceError, ModelRunner, RunHandle, RunnerInfo};
use infer_router::{Provider, Registry, RouterConfig};
#[cfg(feature = "redis")]
use infer_store::shared::RedisConfig;
use infer_store::{BudgetConfig, CacheConfig, LedgerConfig, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::fault::Fault;
use super::known::nearest;
use super::observability::{self, ObservabilityConfig};
use super::report::{report, report_one};
use super::schema;
use super::tree::{Node, Value};
use super::typed;

/// The model that calls get which name none: `openai/gpt-4o`, or `{ provider: openai, model: gpt-4o }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelChoice {
    /// The provider's name; none for what the routes make of `model`.
    pub provider: Option<String>,
    /// The model's name.
    pub model: String,
}

impl<'de> Deserialize<'de> for ModelChoice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "must be a model, provider/model, or { provider: NAME, model: NAME }")]
        enum Shape {
            Name(String),
            Pair(Pair),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            provider: String,
            model: String,
        }
        Ok(match Shape::deserialize(deserializer)? {
            Shape::Name(model) => Self { provider: None, model },
            Shape::Pair(Pair { provider, model }) => Self { provider: Some(provider), model },
        })
    }
}

impl ModelChoice {
    /// The one text that names it: `provider/model`, or `model`.
    pub fn address(&self) -> String {
        match &self.provider {
            Some(provider) => format!("{provider}/{}", self.model),
            None => self.model.clone(),
        }
    }
}

/// The sections that are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    pub(crate) model: Option<ModelChoice>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) router: RouterConfig,
    pub(crate) budgets: BudgetConfig,
    pub(crate) ledger: LedgerConfig,
    pub(crate) cache: Option<CacheConfig>,
    pub(crate) observability: ObservabilityConfig,
    #[cfg(feature = "redis")]
    pub(crate) redis: Option<RedisConfig>,
}

/// Those of them that the router reads as one.
const ROUTING: [&str; 5] = ["routes", "aliases", "default_route", "direct", "max_cooldown_wait"];

/// The names of the sections, the providers among them.
pub(crate) const NAMES: [&str; 13] = [
    "providers",
    "model",
    "data",
    "routes",
    "aliases",
    "default_route",
    "direct",
    "max_cooldown_wait",
    "budgets",
    "ledger",
    "cache",
    observability::NAME,
    "redis",
];

/// Sections that only a gateway reads. Programs without one leave them alone, so that a file serves both.
pub(crate) const ELSEWHERE: [&str; 2] = ["gateway", "keys"];

/// Reads every section of `tree` but the providers, whose names are `providers`.
pub(crate) fn read(tree: &mut Node, providers: &[&str], faults: &mut Vec<Fault>) -> Sections {
    let model = tree.entry_mut("model").and_then(|(_, node)| {
        let model = typed::read::<Option<ModelChoice>>(node, "model", &[], faults).flatten();
        let provider = model.as_ref().and_then(|model| model.provider.as_deref());
        if let Some(provider) = provider.filter(|provider| !providers.contains(provider)) {
            let shown: String = provider.chars().take(40).collect();
            let near = nearest(provider, providers.iter().copied());
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            report_one(&format!("provider: there is no provider {shown:?}{near}"), node, "model", faults);
        }
        model
    });
    let data = tree
        .entry_mut("data")
        .and_then(|(_, node)| typed::read::<Option<PathBuf>>(node, "data", &[], faults).flatten());
    let data = data.filter(|path| !path.as_os_str().is_empty());
    let router = routing(tree, providers, faults);
    let budgets = section(tree, "budgets", faults, stored(BudgetConfig::validate)).unwrap_or_default();
    let ledger = section(tree, "ledger", faults, stored(LedgerConfig::validate)).unwrap_or_default();
    let cache = tree
        .entry("cache")
        .is_some()
        .then(|| section(tree, "cache", faults, stored(CacheConfig::validate)).unwrap_or_default());
    let observability = observability::read(tree, faults);
    #[cfg(feature = "redis")]
    let redis = tree
        .entry("redis")
        .is_some()
        .then(|| section(tree, "redis", faults, stored(RedisConfig::validate)).unwrap_or_default());
    #[cfg(not(feature = "redis"))]
    if let Some((key, _)) = tree.entries().iter().find(|(key, _)| key.name == "redis") {
        faults.push(Fault::new(&key.place, "redis", "this build has no redis: build with the feature redis"));
    }
    Sections {
        model,
        data,
        router,
        budgets,
        ledger,
        cache,
        observability,
        #[cfg(feature = "redis")]
        redis,
    }
}

/// A check of the store, whose faults begin with the section, as every section's check has it.
fn stored<T>(validate: fn(&T) -> Result<(), StoreError>) -> impl Fn(&T) -> Result<(), InferenceError> {
    move |config| match validate(config) {
        Err(StoreError::Config { what }) => Err(InferenceError::config(what)),
        _ => Ok(()),
    }
}

/// Reads the section called `name` of `tree` and checks it; `None` where there is none, or nothing to be made of it.
pub(crate) fn section<T: DeserializeOwned>(
    tree: &mut Node,
    name: &str,
    faults: &mut Vec<Fault>,
    validate: impl Fn(&T) -> Result<(), InferenceError>,
) -> Option<T> {
    let (_, node) = tree.entry_mut(name)?;
    let config = typed::read::<T>(node, name, &[], faults)?;
    match validate(&config) {
        Ok(()) => {}
        // The paths of the checks begin with the section.
        Err(error @ InferenceError::Config { .. }) => report(&error, tree, "", faults),
        Err(error) => {
            if let Some((_, node)) = tree.entry(name) {
                report(&error, node, name, faults);
            }
        }
    }
    Some(config)
}

/// The routes, checked against providers of these names.
fn routing(tree: &mut Node, providers: &[&str], faults: &mut Vec<Fault>) -> RouterConfig {
    let entries = ROUTING.iter().filter_map(|name| tree.take(name)).collect();
    let mut node = Node::new(tree.place.clone(), Value::Table(entries));
    let Some(config) = typed::read::<RouterConfig>(&mut node, "", &[], faults) else {
        return RouterConfig::default();
    };
    let registry = providers.iter().fold(Registry::new(), |registry, name| {
        registry.with(Provider::new(*name, Arc::new(Unbuilt(RunnerInfo::new("unbuilt", *name)))))
    });
    let mut found = Vec::new();
    config.validate(&registry, &mut found);
    for fault in found.iter().filter(|fault| !fault.starts_with("providers.")) {
        report_one(fault, &node, "", faults);
    }
    config
}

/// Stands for a provider whose runner is not made yet, so that routes can be checked.
#[derive(Debug)]
struct Unbuilt(RunnerInfo);

#[async_trait]
impl ModelRunner for Unbuilt {
    fn info(&self) -> &RunnerInfo {
        &self.0
    }

    async fn execute(&self, _: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        Err(InferenceError::config("a provider that is only checked cannot be called"))
    }
}

/// The schema of every section but the providers.
pub(crate) fn schema() -> Map<String, Json> {
    let mut properties = Map::new();
    properties.insert("model".to_owned(), schema::of::<ModelChoice>());
    properties.insert("data".to_owned(), serde_json::json!({"type": "string"}));
    if let Json::Object(mut router) = schema::of::<RouterConfig>()
        && let Some(Json::Object(routing)) = router.remove("properties")
    {
        properties.extend(routing);
    }
    properties.insert("budgets".to_owned(), schema::of::<BudgetConfig>());
    properties.insert("ledger".to_owned(), schema::of::<LedgerConfig>());
    properties.insert("cache".to_owned(), schema::of::<CacheConfig>());
    properties.insert(observability::NAME.to_owned(), schema::of::<ObservabilityConfig>());
    for name in ELSEWHERE {
        properties.insert(name.to_owned(), serde_json::json!({"description": "Read by the gateway alone."}));
    }
    #[cfg(feature = "redis")]
    properties.insert("redis".to_owned(), schema::of::<RedisConfig>());
    properties
}
