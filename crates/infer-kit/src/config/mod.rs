//! `llm.yaml`: reading it, checking it and saying everything that is wrong with it at once.
//!
//! A file goes through five steps, each in a file of its own: text to a tree with places (`parse`), variables filled
//! in, settings overridden from the environment, short spellings made long, and sections read into their types. A fault
//! in one setting stops nothing but what depends on it.

mod fault;
mod interpolate;
mod kind;
mod known;
mod observability;
mod overrides;
mod parse;
mod preset;
mod provider;
mod report;
mod routes;
mod schema;
mod secret;
mod section;
mod sections;
mod shorthand;
mod source;
mod surroundings;
mod tree;
mod trouble;
mod typed;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use infer_core::RunnerFactory;
use infer_router::RouterConfig;
use infer_store::{BudgetConfig, CacheConfig, LedgerConfig};
use remote_core::ProviderConfig;

pub use fault::{Fault, Faults, Place};
pub use observability::{LogConfig, LogFormat, LogLevel, ObservabilityConfig};
pub use parse::Format;
pub use provider::ProviderEntry;
pub use section::Section;
pub use sections::ModelChoice;
pub use source::Source;
pub use surroundings::{Process, Surroundings};

use kind::{Foreign, Kinds, Remote};
use secret::Shown;
use section::{Added, AddedValues};
use tree::{Node, Value};

/// The largest configuration, in bytes: 16 MiB. A larger one is refused unread.
pub const MAX_BYTES: u64 = 16 << 20;

/// The most faults of one kind that are reported of one section; who has more has another problem.
const MAX_FAULTS: usize = 100;

/// A configuration without faults.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The upstreams by name; at least one.
    pub providers: BTreeMap<String, ProviderEntry>,
    /// The model that calls get which name none.
    pub model: Option<ModelChoice>,
    /// Routes and aliases as they are written; [`Config::routing`] adds what follows from the providers.
    pub router: RouterConfig,
    /// The directory of the ledger and of a cache on disk. None: nothing is written.
    pub data: Option<PathBuf>,
    /// What may be spent.
    pub budgets: BudgetConfig,
    /// What is kept of settled calls.
    pub ledger: LedgerConfig,
    /// Which answers are kept and given again; none where the file has no `cache`.
    pub cache: Option<CacheConfig>,
    /// What is to be told of the work. [`Inference`](crate::Inference) does not act on it: the program that has the process
    /// does.
    pub observability: ObservabilityConfig,
    pub(crate) added: AddedValues,
    /// Where budgets, limits and answers are shared with other processes; none where the file has no `redis`.
    #[cfg(feature = "redis")]
    pub redis: Option<infer_store::shared::RedisConfig>,
    tree: Arc<Node>,
}

impl Config {
    /// Checks a configuration that has no file, with the kinds of providers that are compiled in.
    ///
    /// JSON is read as the YAML that it is; read a [`Source`] of [`Format::Toml`] for TOML.
    ///
    /// # Errors
    /// Every fault at once.
    ///
    /// ```
    /// # #[cfg(feature = "openai")] {
    /// use std::collections::BTreeMap;
    ///
    /// use inference::Config;
    ///
    /// let text = "
    /// providers:
    ///   openai:
    ///     api_key: ${OPENAI_API_KEY:-}
    ///     timout: 30s
    ///     rate_limit: { requests_per_second: -2 }
    /// ";
    /// let faults = Config::check(text, &BTreeMap::new()).unwrap_err();
    /// assert_eq!(
    ///     faults.to_string(),
    ///     "5:5: providers.openai.timout: unknown key; did you mean timeout?\n\
    ///      6:40: providers.openai.rate_limit.requests_per_second: must be above 0, got -2"
    /// );
    /// # }
    /// ```
    pub fn check(text: &str, around: &dyn Surroundings) -> Result<Self, Faults> {
        Reader::default().read(&Source::text(text, Format::Yaml), around)
    }

    /// Reads a file with the environment of this process.
    ///
    /// # Errors
    /// Every fault at once; one alone when the file cannot be read, is empty, or is larger than [`MAX_BYTES`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Faults> {
        Reader::default().file(path.as_ref(), &Process)
    }

    /// What the section says that [`Reader::with_section`] added with this type, the first of them; the default where the
    /// file has no such section. None where none was added.
    pub fn section<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.added.of()
    }

    /// The JSON Schema of a configuration, for editors.
    pub fn schema() -> serde_json::Value {
        Reader::default().schema()
    }

    /// What was read, variables and overrides filled in and secrets replaced by `***`, as YAML.
    pub fn show(&self) -> String {
        let secrets = secret::secrets(&self.tree);
        serde_saphyr::to_string(&Shown::new(&self.tree, &secrets)).unwrap_or_default()
    }

    /// The same for programs.
    pub fn show_json(&self) -> serde_json::Value {
        let secrets = secret::secrets(&self.tree);
        serde_json::to_value(Shown::new(&self.tree, &secrets)).unwrap_or_default()
    }
}

/// As [`Config::show`] has it.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({})", self.show_json())
    }
}

/// Reads configurations; knows which kinds of providers and which sections there are.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    kinds: Kinds,
    added: Added,
}

impl Reader {
    /// Adds a kind of provider, in place of one of the same name. Its settings are handed over as JSON and checked when
    /// a runner is made of them.
    #[must_use]
    pub fn with_factory(mut self, factory: Arc<dyn RunnerFactory>) -> Self {
        self.kinds.add(Arc::new(Foreign(factory)));
        self
    }

    /// Adds a kind of provider whose settings are a type, in place of one of the same name. They are checked, completed by
    /// the schema and reloaded like those of the kinds that are compiled in.
    #[must_use]
    pub fn with_kind<C: ProviderConfig + Clone>(mut self) -> Self {
        self.kinds.add(Arc::new(Remote::<C>::new()));
        self
    }

    /// Adds a section at the top of the file, in place of an added one of the same name; [`Config::section`] has what it
    /// says. A built-in section cannot be replaced: every read reports the attempt.
    #[must_use]
    pub fn with_section(mut self, section: Section) -> Self {
        self.added.add(section);
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As for [`Config::from_file`].
    pub fn file(&self, path: &Path, around: &dyn Surroundings) -> Result<Config, Faults> {
        let source = Source::file(path)?;
        self.read(&source, around)
    }

    /// Reads a source. Files that it names with `${file:…}` and variables come from `around`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(&self, source: &Source, around: &dyn Surroundings) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        let config = self.collect(source, around, &mut faults);
        match (Faults::of(faults, source.name()), config) {
            (None, Some(config)) => Ok(config),
            (Some(faults), _) => Err(faults),
            (None, None) => Err(Faults::one(Fault::new(&Place::START, "", "cannot be read"), source.name())),
        }
    }

    fn collect(&self, source: &Source, around: &dyn Surroundings, faults: &mut Vec<Fault>) -> Option<Config> {
        let mut tree = match source.tree() {
            Ok(tree) => tree,
            Err(found) => {
                faults.extend(found);
                return None;
            }
        };
        interpolate::fill(&mut tree, "", around, faults);
        overrides::apply(&mut tree, around, faults);
        let shown = Arc::new(tree.clone());
        self.added.check_names(&tree, faults);
        let providers = self.providers(&mut tree, faults);
        let names: Vec<String> = match tree.entry("providers") {
            Some((_, node)) => node.entries().iter().map(|(key, _)| key.name.clone()).collect(),
            None => Vec::new(),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sections = sections::read(&mut tree, &names, faults);
        let config = Config {
            providers,
            model: sections.model,
            data: sections.data,
            router: sections.router,
            budgets: sections.budgets,
            ledger: sections.ledger,
            cache: sections.cache,
            observability: sections.observability,
            added: self.added.read(&mut tree, faults),
            #[cfg(feature = "redis")]
            redis: sections.redis,
            tree: shown,
        };
        routes::check_downgrades(&config, &tree, faults);
        Some(config)
    }

    fn providers(&self, tree: &mut Node, faults: &mut Vec<Fault>) -> BTreeMap<String, ProviderEntry> {
        const NONE: &str = "name at least one provider, such as openai:";
        let mut found = BTreeMap::new();
        let place = tree.place.clone();
        let Some((_, node)) = tree.entry_mut("providers") else {
            faults.push(Fault::new(&place, "providers", format!("is missing: {NONE}")));
            return found;
        };
        let place = node.place.clone();
        let Value::Table(entries) = &mut node.value else {
            if !matches!(node.value, Value::Broken) {
                faults.push(Fault::new(&place, "providers", format!("must be a table: {NONE}")));
            }
            return found;
        };
        if entries.is_empty() {
            faults.push(Fault::new(&place, "providers", format!("is empty: {NONE}")));
        }
        for (key, node) in entries {
            let path = format!("providers.{}", key.name);
            if let Some(message) = bad_name(&key.name) {
                faults.push(Fault::new(&key.place, path.as_str(), message));
            }
            if let Some(entry) = provider::read(node, &key.name, &path, &self.kinds, faults) {
                found.insert(key.name.clone(), entry);
            }
        }
        found
    }

    /// The JSON Schema of what it reads.
    pub fn schema(&self) -> serde_json::Value {
        schema::whole(&self.kinds, &self.added)
    }
}

/// What is wrong with a provider's name. It stands before the slash in `provider/model`.
fn bad_name(name: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Some("a name has 1 to 64 letters, digits, dots, dashes and underscores");
    }
    None
}

#[cfg(test)]
#[cfg(feature = "openai")]
mod tests;
