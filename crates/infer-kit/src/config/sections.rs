//! Everything in a configuration beside the providers.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::fault::Fault;
use super::schema;
use super::tree::Node;
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
}

/// The names of the sections, the providers among them.
pub(crate) const NAMES: [&str; 2] = ["providers", "model"];

/// Reads every section of `tree` but the providers.
pub(crate) fn read(tree: &mut Node, faults: &mut Vec<Fault>) -> Sections {
    let mut sections = Sections::default();
    if let Some((_, node)) = tree.entry_mut("model") {
        sections.model = typed::read::<Option<ModelChoice>>(node, "model", &[], faults).flatten();
    }
    sections
}

/// The schema of every section but the providers.
pub(crate) fn schema() -> Map<String, Json> {
    let mut properties = Map::new();
    properties.insert("model".to_owned(), schema::of::<ModelChoice>());
    properties
}
