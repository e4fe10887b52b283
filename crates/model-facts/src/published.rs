//! The table this crate carries.

use std::sync::LazyLock;

use infer_core::Capabilities;

use crate::{FactTable, ModelFacts};

/// Read once; a test holds the file to being readable.
static PUBLISHED: LazyLock<FactTable> =
    LazyLock::new(|| FactTable::parse(include_str!("../facts.tsv")).unwrap_or_default());

impl FactTable {
    /// What public model pages and price lists say, see [`FactTable::source`] and [`FactTable::as_of`].
    pub fn published() -> &'static Self {
        &PUBLISHED
    }
}

/// What is publicly known of `model`, found as by [`FactTable::facts`].
///
/// ```
/// let facts = model_facts::facts_of("openai/gpt-4o-2024-08-06").unwrap();
/// assert_eq!(facts.max_output_tokens, Some(16_384));
/// assert_eq!(model_facts::facts_of("our-own-model"), None);
/// ```
pub fn facts_of(model: &str) -> Option<&'static ModelFacts> {
    PUBLISHED.facts(model)
}

/// What `model` can do, as a runner reports it; `None` when the model is unknown or one of these is not published.
pub fn capabilities_of(model: &str) -> Option<Capabilities> {
    facts_of(model)?.capabilities()
}

/// Whether a call of this size fits `model`, see [`ModelFacts::fits`]; `None` when the model is unknown as well.
///
/// ```
/// assert_eq!(model_facts::fits("gpt-4o", 120_000, 4_000), Some(true));
/// assert_eq!(model_facts::fits("gpt-4o", 127_000, 4_000), Some(false));
/// assert_eq!(model_facts::fits("our-own-model", 1, 1), None);
/// ```
pub fn fits(model: &str, input_tokens: u64, output_tokens: u64) -> Option<bool> {
    facts_of(model)?.fits(input_tokens, output_tokens)
}
