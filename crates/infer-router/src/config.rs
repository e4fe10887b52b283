//! What an operator writes about routes.

use std::collections::BTreeMap;
use std::time::Duration;

use infer_core::duration;
use serde::{Deserialize, Serialize};

/// Routes by model name.
///
/// ```
/// let config: infer_router::RouterConfig = serde_json::from_str(r#"{
///     "routes": {
///         "fast": {
///             "targets": [
///                 { "provider": "openai", "model": "gpt-4o-mini", "weight": 0.7 },
///                 { "provider": "azure", "model": "mini-eu", "weight": 0.3 },
///                 { "provider": "local", "model": "llama", "priority": 2 }
///             ],
///             "hold_back": "800ms"
///         },
///         "openai/*": { "targets": [{ "provider": "openai" }], "fallback": ["fast"] }
///     },
///     "aliases": { "gpt-3.5-turbo": "fast" },
///     "default_route": "fast"
/// }"#).unwrap();
/// assert_eq!(config.routes["fast"].targets[2].priority, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// Routes by the model name that callers ask for. A name that ends in `*` stands for every name with that beginning;
    /// the longest one wins, and a name without `*` wins over all.
    pub routes: BTreeMap<String, RouteConfig>,
    /// Other names: each for a route, another alias, or anything else that a caller may ask for.
    pub aliases: BTreeMap<String, String>,
    /// The route of names that no other route takes. None: such names are not found.
    pub default_route: Option<String>,
    /// Whether `provider/model` reaches every model of every provider. Yes: routes can be added one by one.
    pub direct: bool,
    /// The longest wait, over a whole call, for targets that all cool down. 5 s: most breakers open for that long, and
    /// whoever waits longer would rather know. With 0 s nothing waits.
    #[serde(with = "duration")]
    pub max_cooldown_wait: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            default_route: None,
            direct: true,
            max_cooldown_wait: Duration::from_secs(5),
        }
    }
}

/// Where the calls for one name go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Whom to ask. At least one.
    pub targets: Vec<TargetConfig>,
    /// How to choose among the targets of the best priority.
    pub policy: PolicyConfig,
    /// Routes to go on with when no target of this one is left, in order.
    pub fallback: Vec<String>,
    /// How long to wait for a target's first content before the next one is asked as well; the first to answer is
    /// taken and the other one dropped. None: never, since what the other one did may be billed too.
    #[serde(with = "duration::optional")]
    pub hold_back: Option<Duration>,
    /// A second target that gets a copy of some calls.
    pub shadow: Option<ShadowConfig>,
}

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetConfig {
    /// The provider, by name.
    pub provider: String,
    /// The model to ask for there; `*` stands for what the `*` of the route's name stood for. None: the name of the route,
    /// or where that has a `*`, what it stood for.
    pub model: Option<String>,
    /// Its share among the targets of equal priority, above 0. 1. Policies other than `weighted` and `lowest_cost` read
    /// it as what the target can take.
    pub weight: f64,
    /// Targets of the lowest number are asked first, under every policy; others when none of those is left. 1.
    pub priority: u32,
    /// The most tokens an answer may have here, from 1; a call that wants more gets this many.
    pub max_output_tokens: Option<u32>,
    /// Replaces the call's temperature, 0 to 2, for models that take only one.
    pub temperature: Option<f64>,
    /// Tokens of input and output together, from 1, instead of what is known of the model.
    pub max_context_tokens: Option<u64>,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            provider: String::new(),
            model: None,
            weight: 1.0,
            priority: 1,
            max_output_tokens: None,
            temperature: None,
            max_context_tokens: None,
        }
    }
}

impl TargetConfig {
    /// `model` at `provider`, of weight and priority 1.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider: provider.into(), model: Some(model.into()), ..Self::default() }
    }
}

/// How to choose among the targets of the best priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyConfig {
    /// By weight, evenly spread over time. `priority` is another word for it, since priorities count everywhere.
    #[default]
    #[serde(alias = "priority")]
    Weighted,
    /// The one with the fewest calls in flight for its weight.
    LeastInFlight,
    /// The faster one of two drawn at random, by a moving average that rises at once and falls slowly.
    LowestLatency,
    /// The cheapest one for the length of the call; those without a known price come last.
    LowestCost,
    /// Always the same one for calls with the same sticky key, user, or beginning of the conversation.
    Sticky,
}

/// A second target whose answers are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShadowConfig {
    /// The provider, by name.
    pub provider: String,
    /// The model to ask for there, as in a target.
    pub model: Option<String>,
    /// The share of calls that are copied, above 0 and at most 1. 0.01: copies cost what calls cost.
    pub rate: f64,
    /// Copies in flight at the most, from 1; beyond it none is made. 16.
    pub max_in_flight: u32,
}

impl Default for ShadowConfig {
    fn default() -> Self {
        Self { provider: String::new(), model: None, rate: 0.01, max_in_flight: 16 }
    }
}
