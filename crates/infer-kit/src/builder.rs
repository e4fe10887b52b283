//! How an [`Inference`] is put together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use infer_core::{InferenceError, RunnerFactory};
use infer_router::{FactsOf, Gate};
use infer_store::Ledger;
use remote_core::ProviderConfig;
use remote_core::meter::MetricsSink;

use crate::config::{Process, Reader, Section, Source, Surroundings};
use crate::facts_of;
use crate::inference::{Inference, Listener, ReloadError, Reloaded};
use crate::plan::Plan;
use crate::stores::Stores;

/// Puts an [`Inference`] together.
///
/// ```
/// # #[cfg(feature = "openai")]
/// # async fn demo() -> Result<(), inference::core::InferenceError> {
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use inference::Inference;
/// use inference::config::{Format, Source};
///
/// let text = "providers: { openai: { api_key: '${OPENAI_API_KEY}' } }";
/// let variables = BTreeMap::from([("OPENAI_API_KEY".to_owned(), "sk-123".to_owned())]);
/// let inference = Inference::builder()
///     .with_source(Source::text(text, Format::Yaml))
///     .with_surroundings(Arc::new(variables)) // in place of the environment of this process
///     .build()
///     .await?;
/// assert!(inference.provider("openai").is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct InferenceBuilder {
    reader: Reader,
    file: Option<PathBuf>,
    source: Option<Source>,
    around: Option<Arc<dyn Surroundings>>,
    facts: Option<FactsOf>,
    gate: Option<Arc<dyn Gate>>,
    data: Option<PathBuf>,
    ledger: Option<Ledger>,
    sink: Option<Arc<dyn MetricsSink>>,
    listener: Option<Listener>,
}

impl InferenceBuilder {
    /// Reads this file, and reads it again on every reload.
    #[must_use]
    pub fn with_file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(path.as_ref().to_owned());
        self
    }

    /// Begins with this text. Without a file there is nothing to reload from; see [`Inference::apply`].
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds a kind of provider, in place of one of the same name.
    #[must_use]
    pub fn with_factory(mut self, factory: Arc<dyn RunnerFactory>) -> Self {
        self.reader = self.reader.with_factory(factory);
        self
    }

    /// Adds a kind of provider whose settings are a type, in place of one of the same name.
    #[must_use]
    pub fn with_kind<C: ProviderConfig + Clone>(mut self) -> Self {
        self.reader = self.reader.with_kind::<C>();
        self
    }

    /// Adds a section at the top of the file: see [`Reader::with_section`]. `inference.config().section::<T>()` has what it
    /// says, also after a reload.
    #[must_use]
    pub fn with_section(mut self, section: Section) -> Self {
        self.reader = self.reader.with_section(section);
        self
    }

    /// Reads variables and files from here instead of from this process.
    #[must_use]
    pub fn with_surroundings(mut self, around: Arc<dyn Surroundings>) -> Self {
        self.around = Some(around);
        self
    }

    /// Looks up here what is known of models, context windows and what they cannot do, instead of in [`facts`](crate::facts).
    #[must_use]
    pub fn with_facts(mut self, facts: FactsOf) -> Self {
        self.facts = Some(facts);
        self
    }

    /// Asks `gate` before every try, in place of the budgets of the configuration, which are its own matter then.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Keeps the ledger and a cache on disk in this directory, whatever the configuration says.
    #[must_use]
    pub fn with_data(mut self, directory: impl AsRef<Path>) -> Self {
        self.data = Some(directory.as_ref().to_owned());
        self
    }

    /// Writes settled calls into `ledger`, which is open already.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Hands the record of every attempt and every call to `sink` as well. Runners of a [`RunnerFactory`] tell of calls
    /// alone.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn MetricsSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Tells `listener` of every reload, whatever became of it. It is called between two reloads and must be quick.
    #[must_use]
    pub fn with_listener(
        mut self,
        listener: impl Fn(&Result<Reloaded, ReloadError>) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Everything as configured.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with every fault of the configuration; whatever a provider's credential source says.
    pub async fn build(self) -> Result<Inference, InferenceError> {
        let around = self.around.unwrap_or_else(|| Arc::new(Process));
        let source = match (self.source, &self.file) {
            (Some(source), _) => source,
            (None, Some(path)) => Source::file(path)?,
            (None, None) => {
                return Err(InferenceError::config("there is no configuration: name a file or a source"));
            }
        };
        let config = self.reader.read(&source, &*around)?;
        let data = self.data.clone().or_else(|| config.data.clone());
        let stores = Stores::open(&config, data, self.ledger, self.gate.is_some()).await?;
        let plan = Plan {
            reader: self.reader,
            around,
            file: self.file,
            facts: self.facts.unwrap_or_else(facts_of::published),
            own_gate: self.gate.is_some(),
            own_data: self.data.is_some(),
            sink: self.sink,
            stores,
            drills: crate::drill::Drills::default(),
            listener: self.listener,
        };
        Inference::start(config, plan, self.gate).await
    }
}

impl fmt::Debug for InferenceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferenceBuilder")
            .field("reader", &self.reader)
            .field("file", &self.file)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
