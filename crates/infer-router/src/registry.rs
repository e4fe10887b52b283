//! The providers that can be routed to, by name, and what is known of their models.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use infer_core::ModelRunner;

use crate::needs::Needs;

/// What is known of one model. What is not known stops nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Tokens of input and output together.
    pub context_window: Option<u64>,
    /// What it is known to be unable to do.
    pub lacks: Needs,
}

impl ModelFacts {
    /// Nothing known.
    pub const UNKNOWN: Self = Self { context_window: None, lacks: Needs::NONE };

    /// Tokens of input and output together.
    #[must_use]
    pub const fn with_context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// Cannot do this either.
    #[must_use]
    pub fn without(mut self, needs: Needs) -> Self {
        self.lacks = self.lacks | needs;
        self
    }
}

/// Looks up what is known of a model by its name upstream. Asked when routes are built, and for routes with a wildcard
/// with every call: it must be quick.
pub type FactsOf = Arc<dyn Fn(&str) -> ModelFacts + Send + Sync>;

/// For how long a model, by its name upstream, is better left alone, as others know. Asked with every call: it must be quick.
pub type HintOf = Arc<dyn Fn(&str) -> Duration + Send + Sync>;

/// A runner under a name.
#[derive(Clone)]
pub struct Provider {
    name: Arc<str>,
    runner: Arc<dyn ModelRunner>,
    facts: Option<FactsOf>,
    hint: Option<HintOf>,
}

impl Provider {
    /// A runner of which only its own [`RunnerInfo`](infer_core::RunnerInfo) is known.
    pub fn new(name: impl Into<Arc<str>>, runner: Arc<dyn ModelRunner>) -> Self {
        Self { name: name.into(), runner, facts: None, hint: None }
    }

    /// Adds what is known of its models.
    #[must_use]
    pub fn with_facts(mut self, facts: FactsOf) -> Self {
        self.facts = Some(facts);
        self
    }

    /// Adds what others know of it. While a hint lasts other targets are preferred, also those of lower priority; where there
    /// is none that can be asked now, the hint counts for nothing.
    #[must_use]
    pub fn with_hint(mut self, hint: HintOf) -> Self {
        self.hint = Some(hint);
        self
    }

    /// For how long `model` is better left alone.
    pub fn hint(&self, model: &str) -> Duration {
        self.hint.as_ref().map_or(Duration::ZERO, |hint| hint(model))
    }

    /// Its name, by which routes refer to it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The runner.
    pub fn runner(&self) -> &Arc<dyn ModelRunner> {
        &self.runner
    }

    /// What is known of `model` here: its own facts, and what the runner cannot pass on.
    pub fn facts(&self, model: &str) -> ModelFacts {
        let facts = self.facts.as_ref().map_or(ModelFacts::UNKNOWN, |facts| facts(model));
        facts.without(Needs::lacking(self.runner.info().capabilities))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Providers by name.
///
/// A value: a changed configuration makes a new one, and a runner that did not change is carried over by its `Arc`, with
/// its connections, breakers and limits.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    providers: BTreeMap<Arc<str>, Arc<Provider>>,
    twice: Vec<Arc<str>>,
}

impl Registry {
    /// Nothing to route to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider. A second one of the same name is a fault that the build of a router reports.
    #[must_use]
    pub fn with(mut self, provider: Provider) -> Self {
        if self.providers.contains_key(provider.name()) {
            self.twice.push(Arc::clone(provider.name()));
        } else {
            self.providers.insert(Arc::clone(provider.name()), Arc::new(provider));
        }
        self
    }

    /// The provider of that name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// All providers, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(AsRef::as_ref)
    }

    /// Adds what is wrong to `faults`.
    pub(crate) fn validate(&self, faults: &mut Vec<String>) {
        for name in &self.twice {
            faults.push(format!("providers.{name}: there are two providers of this name: rename one"));
        }
        for name in self.names() {
            if name.is_empty() || name.contains(['*', '/']) || name.contains(char::is_control) {
                faults.push(format!("providers.{name:?}: a name must not be empty or contain '*' or '/'"));
            }
        }
    }
}
