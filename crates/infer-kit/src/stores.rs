//! What outlives a call: the ledger, the budgets and the cache, as a configuration wants them.

use std::path::PathBuf;
use std::sync::Arc;

use infer_core::InferenceError;
use infer_router::Router;
use infer_store::cache::CachedRunner;
use infer_store::{BudgetConfig, Budgets, CacheConfig, Clock, Ledger, ResponseCache, StoreError};

use crate::books::Books;
use crate::config::Config;
use crate::inference::Built;

/// The ledger of this process, its budgets, and where a cache may be kept.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) books: Arc<Books>,
    data: Option<PathBuf>,
}

impl Stores {
    /// Opens what `config` wants. Budgets begin with what the ledger says.
    pub(crate) async fn open(
        config: &Config,
        data: Option<PathBuf>,
        ledger: Option<Ledger>,
        own_gate: bool,
    ) -> Result<Self, InferenceError> {
        let budgets = if own_gate { BudgetConfig::default() } else { config.budgets.clone() };
        let (directory, settings) = (data.clone(), config.ledger.clone());
        if ledger.is_none() && data.is_none() && !budgets.limits.is_empty() {
            tracing::warn!(
                "budgets begin anew with every start: set data to a directory where they are kept"
            );
        }
        let open = move || {
            let ledger = match (ledger, directory) {
                (Some(ledger), _) => Some(ledger),
                (None, Some(directory)) => Some(Ledger::open(directory, settings)?),
                (None, None) => None,
            };
            let budgets = Budgets::open(&budgets, ledger.as_ref(), Clock::system())?;
            Ok::<_, StoreError>((ledger, budgets))
        };
        let (ledger, budgets) = blocking(open).await?;
        Ok(Self { books: Books::new(budgets, ledger), data })
    }

    /// Refuses what cannot change while files are open.
    pub(crate) fn may_become(before: &Config, after: &Config, own_data: bool) -> Result<(), InferenceError> {
        let refused = [
            ("data", !own_data && before.data != after.data),
            ("ledger", before.ledger != after.ledger),
            ("cache.disk_bytes", disk(before) != disk(after)),
        ];
        match refused.into_iter().find(|(_, changed)| *changed) {
            Some((key, _)) => {
                Err(InferenceError::config(format!("{key}: cannot change while it is in use: start anew")))
            }
            None => Ok(()),
        }
    }

    /// Puts other budgets in force, with all that is written and reserved so far.
    pub(crate) async fn replace_budgets(&self, config: &BudgetConfig) -> Result<(), InferenceError> {
        let (books, config) = (Arc::clone(&self.books), config.clone());
        if let Some(ledger) = &books.ledger {
            ledger.flush().await?;
        }
        blocking(move || books.budgets.replace(&config, books.ledger.as_ref())).await
    }

    /// The router behind the cache that `config` wants: the one from before where nothing changed, answers and all.
    pub(crate) fn cache(
        &self,
        config: &Config,
        built: &Built,
        router: &Arc<Router>,
        before: Option<(&Config, Option<&CachedRunner<Arc<Router>>>)>,
    ) -> Result<Option<Arc<CachedRunner<Arc<Router>>>>, InferenceError> {
        let Some(settings) = &config.cache else { return Ok(None) };
        let kept =
            before.and_then(|(before, cached)| (before.cache.as_ref() == Some(settings)).then_some(cached?));
        let cache = match kept {
            Some(cached) => cached.cache().clone(),
            None => self.open_cache(settings)?,
        };
        let runner = CachedRunner::new(Arc::clone(router), cache).with_scope(scope(config, built));
        Ok(Some(Arc::new(runner)))
    }

    fn open_cache(&self, settings: &CacheConfig) -> Result<ResponseCache, InferenceError> {
        if settings.disk_bytes == 0 {
            return Ok(ResponseCache::in_memory(settings.clone(), Clock::system())?);
        }
        let Some(data) = &self.data else {
            return Err(InferenceError::config("cache.disk_bytes: there is no directory for it: set data"));
        };
        Ok(ResponseCache::open(data, settings.clone(), Clock::system())?)
    }
}

fn disk(config: &Config) -> u64 {
    config.cache.as_ref().map_or(0, |cache| cache.disk_bytes)
}

/// Changes with whatever may make a call be answered by somebody else.
fn scope(config: &Config, built: &Built) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(serde_json::to_string(&config.routing()).unwrap_or_default().as_bytes());
    for (name, (fingerprint, _)) in built {
        hasher.update(name.as_bytes());
        hasher.update(fingerprint.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Runs `work`, which reads files, off the threads that calls run on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, InferenceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(InferenceError::config(format!("the stores cannot be opened: {error}"))),
    }
}
