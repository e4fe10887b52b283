//! How a configuration becomes runners.

use std::path::PathBuf;
use std::sync::Arc;

use infer_core::InferenceError;
use infer_router::{FactsOf, Provider, Registry};
use remote_core::meter::MetricsSink;

use crate::books::Clerk;
use crate::config::{Config, Reader, Surroundings};
use crate::drill::{Drilled, Drills};
use crate::inference::{Built, Listener, Reloaded};
use crate::shared::Witness;
use crate::stores::Stores;

/// How a configuration becomes runners.
pub(crate) struct Plan {
    pub(crate) reader: Reader,
    pub(crate) around: Arc<dyn Surroundings>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) facts: FactsOf,
    /// Whether somebody else keeps the budgets.
    pub(crate) own_gate: bool,
    /// Whether the data directory was given beside the configuration.
    pub(crate) own_data: bool,
    pub(crate) sink: Option<Arc<dyn MetricsSink>>,
    pub(crate) stores: Stores,
    pub(crate) drills: Drills,
    pub(crate) listener: Option<Listener>,
}

impl Plan {
    /// A runner for each provider: the one there is where nothing changed, a new one otherwise.
    pub(crate) async fn runners(
        &self,
        config: &Config,
        before: &Built,
    ) -> Result<(Built, Reloaded), InferenceError> {
        let mut built = Built::new();
        let mut reloaded = Reloaded::default();
        for (name, entry) in &config.providers {
            let kept = before.get(name).filter(|(fingerprint, _)| *fingerprint == entry.fingerprint);
            let runner = match kept {
                Some((_, runner)) => {
                    reloaded.kept.push(name.clone());
                    Arc::clone(runner)
                }
                None => {
                    reloaded.built.push(name.clone());
                    let (sink, witness) = self.sink(name);
                    let inner = entry.settings.build(name, Arc::clone(&sink)).await?;
                    witness.watch(&inner);
                    Arc::new(Drilled { inner, switch: self.drills.of(name), sink })
                }
            };
            built.insert(name.clone(), (entry.fingerprint, runner));
        }
        Ok((built, reloaded))
    }

    pub(crate) fn registry(&self, built: &Built) -> Registry {
        built.iter().fold(Registry::new(), |registry, (name, (_, runner))| {
            let provider = Provider::new(name.as_str(), Arc::clone(runner));
            let provider = provider.with_facts(Arc::clone(&self.facts));
            registry.with(self.stores.books.shared.hinted(provider))
        })
    }

    /// Whom a provider tells of its calls, and who of them wants to know its runner.
    fn sink(&self, provider: &str) -> (Arc<dyn MetricsSink>, Witness) {
        let books = Arc::clone(&self.stores.books);
        let provider: Arc<str> = provider.into();
        let (witness, also) = books.shared.witness(&provider, self.sink.clone());
        (Arc::new(Clerk { books, provider, also }), witness)
    }
}
