//! What is publicly known of models, as the router asks it.

use infer_router::{FactsOf, ModelFacts, Needs};
use model_facts::Ability;

/// The published facts. What nobody has published stops nothing.
pub(crate) fn published() -> FactsOf {
    std::sync::Arc::new(|model| {
        let Some(known) = model_facts::facts_of(model) else { return ModelFacts::UNKNOWN };
        let abilities = [
            (Ability::Vision, Needs::VISION),
            (Ability::Tools, Needs::TOOLS),
            (Ability::JsonSchema, Needs::JSON_SCHEMA),
            (Ability::Streaming, Needs::STREAMING),
        ];
        let lacking = abilities.into_iter().filter(|(ability, _)| known.can(*ability) == Some(false));
        let facts = lacking.fold(ModelFacts::UNKNOWN, |facts, (_, needs)| facts.without(needs));
        known.context_window.map_or(facts, |tokens| facts.with_context_window(tokens))
    })
}
