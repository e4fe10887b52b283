//! The JSON Schema of a configuration, so that editors complete it.
//!
//! The shape of settings is asked of the settings themselves: each type is read from a made-up value, and what it asks
//! for on the way is written down. So the schema cannot lag behind the types.

mod probe;
mod prose;
mod refusal;

use remote_core::{MemberDocs, Presets};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::kind::Kinds;
use super::section::Added;

/// The schema of what `T` reads.
pub(crate) fn of<T: DeserializeOwned>() -> Json {
    probe::of::<T>().0
}

/// The same with what its members are for.
pub(crate) fn described<T: DeserializeOwned>(docs: MemberDocs) -> Json {
    let (mut schema, aliases) = probe::of::<T>();
    prose::describe(&mut schema, &aliases, docs);
    schema
}

/// The schema of a whole configuration.
pub(crate) fn whole(kinds: &Kinds, added: &Added) -> Json {
    let mut definitions = Map::new();
    let mut named = Map::new();
    let mut others = Vec::new();
    for kind in kinds.iter() {
        let reference = json!({"$ref": format!("#/$defs/{}", kind.name())});
        let presets: Vec<&str> = kind.presets().into_iter().flat_map(Presets::names).collect();
        definitions.insert(kind.name().to_owned(), provider(kind.name(), &presets, kind.schema()));
        for preset in &presets {
            named.insert((*preset).to_owned(), reference.clone());
        }
        others.push(
            json!({"allOf": [reference, {"anyOf": [{"required": ["type"]}, {"required": ["preset"]}]}]}),
        );
        named.insert(kind.name().to_owned(), reference);
    }
    let mut properties = super::sections::schema();
    properties.extend(added.schemas());
    properties.insert(
        "providers".to_owned(),
        json!({
            "type": "object",
            "description": "The upstreams, each under a name of its own.",
            "properties": named,
            "additionalProperties": {"anyOf": others},
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm.yaml",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// What every provider understands, together with the settings of one kind.
fn provider(kind: &str, presets: &[&str], mut schema: Json) -> Json {
    let number = |text: &str| or_text(&json!({"type": "number", "exclusiveMinimum": 0, "description": text}));
    let whole = |text: &str| or_text(&json!({"type": "integer", "minimum": 0, "description": text}));
    let types: Vec<&str> = [kind].into_iter().chain(presets.iter().copied()).collect();
    let own = json!({
        "type": {"enum": types, "description": "The kind of provider; the entry's name when absent."},
        "preset": {"enum": presets, "description": "A known upstream, whose settings stand under those written here."},
        "priority": whole("Lower ones are asked first. 1."),
        "weight": number("Its share of the calls among those of the same priority. 1."),
        "model": {"type": "string", "description": "The model that calls get which name none."},
        "timeout": {
            "type": ["string", "number"],
            "description": "The whole call: 30s, or a number of seconds. Short for timeouts.total.",
        },
        "max_retries": whole("Attempts after the first. Short for retry.attempts, which counts the first."),
        "rate_limit": {
            "type": "object",
            "description": "How often the upstream may be asked. Short for a part of rate_limits.",
            "properties": {"requests_per_second": number("Short for rate_limits.requests_per_minute.")},
            "additionalProperties": false,
        },
    });
    if let (Some(schema), Json::Object(own)) = (schema.as_object_mut(), own) {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.extend(own);
        }
    }
    schema
}

/// A value that may also stand in a variable.
pub(crate) fn or_text(schema: &Json) -> Json {
    json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{"}]})
}
