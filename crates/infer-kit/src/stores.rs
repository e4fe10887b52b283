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
use crate::shared::{Prepared, is_shared_alike};

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
        let rules = budgets.clone();
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
        let books = Books::new(budgets, ledger);
        books.shared.put(books.shared.prepare(config, &rules, &books.budgets)?);
        Ok(Self { books, data })
    }

    /// What of `config` is shared with other processes, to be put in force once nothing can fail any more.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        budgets: &BudgetConfig,
    ) -> Result<Option<Prepared>, InferenceError> {
        self.books.shared.prepare(config, budgets, &self.books.budgets)
    }

    /// Refuses what cannot change while files are open.
    pub(crate) fn may_become(before: &Config, after: &Config, own_data: bool) -> Result<(), InferenceError> {
        if !own_data && before.data != after.data {
            let why = "rows of calls in flight belong where they began";
            return Err(InferenceError::config(format!(
                "data: cannot change at work, since {why}: start anew"
            )));
        }
        match before.ledger.may_become(&after.ledger) {
            Err(StoreError::Config { what }) => Err(InferenceError::config(what)),
            other => Ok(other?),
        }
    }

    /// Puts other limits of the ledger in force, unless it was given with settings of its own.
    pub(crate) fn replace_limits(&self, before: &Config, after: &Config) -> Result<(), InferenceError> {
        match &self.books.ledger {
            Some(ledger) if ledger.config() == before.ledger => Ok(ledger.replace(&after.ledger)?),
            _ => Ok(()),
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
        prepared: Option<&Prepared>,
    ) -> Result<Option<Arc<CachedRunner<Arc<Router>>>>, InferenceError> {
        let Some(settings) = &config.cache else { return Ok(None) };
        let kept = before.and_then(|(before, cached)| {
            let is_same = before.cache.as_ref() == Some(settings) && is_shared_alike(before, config);
            is_same.then_some(cached?)
        });
        let cache = match kept {
            Some(cached) => cached.cache().clone(),
            None => match self.books.shared.cache(settings, prepared)? {
                Some(cache) => cache,
                None => self.open_cache(settings, before.and_then(|(_, cached)| cached))?,
            },
        };
        let runner = CachedRunner::new(Arc::clone(router), cache).with_scope(scope(config, built));
        Ok(Some(Arc::new(runner)))
    }

    /// With what is on disk already, where the cache from before has it open.
    fn open_cache(
        &self,
        settings: &CacheConfig,
        before: Option<&CachedRunner<Arc<Router>>>,
    ) -> Result<ResponseCache, InferenceError> {
        if let Some(cache) =
            before.map(|cached| cached.cache().with_config(settings.clone())).transpose()?.flatten()
        {
            return Ok(cache);
        }
        if settings.disk_bytes == 0 {
            return Ok(ResponseCache::in_memory(settings.clone(), Clock::system())?);
        }
        let Some(data) = &self.data else {
            return Err(InferenceError::config("cache.disk_bytes: there is no directory for it: set data"));
        };
        Ok(ResponseCache::open(data, settings.clone(), Clock::system())?)
    }
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
