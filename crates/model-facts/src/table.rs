//! Facts by model: the published table, and those an operator adds.
//!
//! A table is text with tabs, so that a new model is a diff of one line.

use std::collections::BTreeMap;
use std::fmt;

use infer_core::PriceTable;

use crate::day::glimpse;
use crate::{Abilities, Day, ModelFacts, ModelKind, Status};

/// Facts by provider and model.
///
/// ```
/// use model_facts::FactTable;
/// let mine = FactTable::parse(
///     "# source: our own measurements\n# as-of: 2026-11-21\n\
///      -\tour-llama\tchat\t8192\t-\t2048\t-\ttools !vision\tcurrent\t-\n",
/// )?;
/// let table = FactTable::published().clone().with(mine);
/// assert_eq!(table.facts("our-llama").unwrap().context_window, Some(8192));
/// assert_eq!(table.facts("gpt-4o").unwrap().context_window, Some(128_000));
/// # Ok::<(), model_facts::FactError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactTable {
    source: String,
    as_of: Option<Day>,
    /// By model; the rows of one model in the order in which a plain name finds them.
    models: BTreeMap<String, Vec<ModelFacts>>,
}

impl FactTable {
    /// Reads a table.
    ///
    /// Lines starting with `#` are comments; two of them are required, `# source:` and `# as-of: YYYY-MM-DD`. Every
    /// other line has ten columns separated by tabs: provider, model, kind (`chat`, `embedding`), context window, max
    /// input, max output, dimensions, abilities (see [`Abilities::parse`]), status (`current`, `ending`, `retired`) and
    /// shutdown day. `-` is "not known"; as a provider it makes a row that holds wherever its name is used.
    ///
    /// # Errors
    /// The first line that does not fit, by number.
    pub fn parse(text: &str) -> Result<Self, FactError> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            let fault = |what: String| FactError { line: index + 1, what };
            if let Some(comment) = line.strip_prefix('#') {
                let comment = comment.trim();
                if let Some(source) = comment.strip_prefix("source:") {
                    source.trim().clone_into(&mut table.source);
                } else if let Some(as_of) = comment.strip_prefix("as-of:") {
                    table.as_of = Some(as_of.trim().parse().map_err(fault)?);
                }
            } else if !line.trim().is_empty() {
                let facts = read_row(line).map_err(fault)?;
                let name = format!("{}: {}", facts.provider, facts.model);
                if table.insert(facts).map_err(fault)?.is_some() {
                    return Err(fault(format!("{name}: given twice")));
                }
            }
        }
        if table.as_of.is_none() {
            return Err(FactError { line: 1, what: "needs a line `# as-of: YYYY-MM-DD`".into() });
        }
        if table.source.is_empty() {
            return Err(FactError { line: 1, what: "needs a line `# source: …`".into() });
        }
        Ok(table)
    }

    /// What is known of `name`.
    ///
    /// A name is looked up in these steps, and the first that finds a row decides:
    ///
    /// 1. as `provider/model`, then as a model's name. Where several providers have it, a row without a provider goes
    ///    first, then `openai`'s, then the others by name;
    /// 2. the same without a trailing ISO date: `gpt-4o-2031-01-01` finds `gpt-4o`;
    /// 3. the same with `gpt-35-`, as Azure writes it, read as `gpt-3.5-`;
    /// 4. for a fine-tuned model, steps 1 to 3 with its base: `ft:gpt-4o-mini-2024-07-18:acme::7q` is a `gpt-4o-mini`;
    /// 5. steps 1 to 4 with what follows the last `/`: `proxy/gpt-4o` finds `gpt-4o`;
    /// 6. for a name without `/`, a model whose name ends in it after a `/`.
    ///
    /// A name is what its owner says it is: a server may serve anything as `gpt-4o`. Windows differ between providers
    /// of one model, so whoever knows the provider asks [`FactTable::facts_at`] first.
    pub fn facts(&self, name: &str) -> Option<&ModelFacts> {
        self.find(name).or_else(|| self.find(name.rsplit_once('/')?.1)).or_else(|| self.ending_in(name))
    }

    /// What `provider` says of `model`: the exact name, else the name without a trailing ISO date.
    pub fn facts_at(&self, provider: &str, model: &str) -> Option<&ModelFacts> {
        self.at(provider, model).or_else(|| self.at(provider, PriceTable::family(model)?))
    }

    /// Adds or replaces the row of a provider's model.
    ///
    /// # Errors
    /// What is wrong with the row: a name with spaces, a limit of 0, or one beyond the context window.
    pub fn set(&mut self, facts: ModelFacts) -> Result<(), String> {
        self.insert(facts).map(|_| ())
    }

    /// Takes over every row of `other`, replacing rows of the same provider and model. Source and day stay.
    pub fn merge(&mut self, other: Self) {
        for facts in other.models.into_values().flatten() {
            self.put(facts);
        }
    }

    /// The same with the rows of `other`, see [`FactTable::merge`].
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.merge(other);
        self
    }

    /// Every row, by model.
    pub fn iter(&self) -> impl Iterator<Item = &ModelFacts> {
        self.models.values().flatten()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.models.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Where the facts were read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day they were read; `None` for a table made by hand.
    pub fn as_of(&self) -> Option<Day> {
        self.as_of
    }

    fn find(&self, name: &str) -> Option<&ModelFacts> {
        self.named(name).or_else(|| self.named(base_model(name)?))
    }

    fn named(&self, name: &str) -> Option<&ModelFacts> {
        let dated = |name: &str| self.exact(name).or_else(|| self.exact(PriceTable::family(name)?));
        dated(name).or_else(|| dated(&format!("gpt-3.5-{}", name.strip_prefix("gpt-35-")?)))
    }

    fn exact(&self, name: &str) -> Option<&ModelFacts> {
        let qualified = name.split_once('/').and_then(|(provider, model)| self.at(provider, model));
        qualified.or_else(|| self.models.get(name)?.first())
    }

    fn at(&self, provider: &str, model: &str) -> Option<&ModelFacts> {
        self.models.get(model)?.iter().find(|facts| facts.provider == provider)
    }

    fn ending_in(&self, name: &str) -> Option<&ModelFacts> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let ends = |model: &str| model.rsplit_once('/').is_some_and(|(_, last)| last == name);
        self.models.iter().find(|(model, _)| ends(model))?.1.first()
    }

    fn insert(&mut self, facts: ModelFacts) -> Result<Option<ModelFacts>, String> {
        facts.validate()?;
        Ok(self.put(facts))
    }

    fn put(&mut self, facts: ModelFacts) -> Option<ModelFacts> {
        let rows = self.models.entry(facts.model.clone()).or_default();
        if let Some(row) = rows.iter_mut().find(|row| row.provider == facts.provider) {
            return Some(std::mem::replace(row, facts));
        }
        rows.push(facts);
        rows.sort_by(|a, b| precedence(&a.provider).cmp(&precedence(&b.provider)));
        None
    }
}

/// `ft:gpt-4o:acme::7q` → `gpt-4o`.
pub(crate) fn base_model(name: &str) -> Option<&str> {
    name.strip_prefix("ft:")?.split(':').next()
}

fn precedence(provider: &str) -> (u8, &str) {
    match provider {
        "" => (0, ""),
        "openai" => (1, ""),
        other => (2, other),
    }
}

fn read_row(line: &str) -> Result<ModelFacts, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [provider, model, kind, window, input, output, dimensions, abilities, status, shutdown] =
        columns.as_slice()
    else {
        return Err(format!("needs 10 columns separated by tabs, got {}", columns.len()));
    };
    let kind = match *kind {
        "chat" => ModelKind::Chat,
        "embedding" => ModelKind::Embedding,
        other => return Err(format!("unknown kind {:?}: use chat or embedding", glimpse(other))),
    };
    let mut facts = ModelFacts::new(if *provider == "-" { "" } else { provider }, *model, kind);
    facts.context_window = number("context window", window)?;
    facts.max_input_tokens = number("max input", input)?;
    facts.max_output_tokens = number("max output", output)?;
    facts.dimensions = number("dimensions", dimensions)?;
    facts.abilities = Abilities::parse(abilities)?;
    facts.status = match *status {
        "-" => None,
        "current" => Some(Status::Current),
        "ending" => Some(Status::Ending),
        "retired" => Some(Status::Retired),
        other => {
            return Err(format!("unknown status {:?}: use current, ending, retired or -", glimpse(other)));
        }
    };
    facts.shutdown = if *shutdown == "-" { None } else { Some(shutdown.parse()?) };
    Ok(facts)
}

fn number(name: &str, text: &str) -> Result<Option<u64>, String> {
    if text == "-" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{name}: not a whole number: {:?}", glimpse(text)))
}

/// A line of a table of facts that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FactError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for FactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fact table line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for FactError {}
