//! The words of JSON Schema: which strict mode takes, which it cannot take, and which only describe.

use serde_json::{Map, Value};

/// Words that change what fits and that strict mode has nothing for, each with the way out.
///
/// The first eight are named by OpenAI's guide to structured outputs (found 2026-11-21); the others are refused by
/// OpenAI's own client before it sends (its source, read 2026-11-21), or lead to places this crate does not follow.
const REFUSED: &[(&str, &str)] = &[
    ("not", "a negation; say what fits instead"),
    ("if", "a condition; use an enum of structs"),
    ("then", "a condition; use an enum of structs"),
    ("else", "a condition; use an enum of structs"),
    ("dependentRequired", "fields that depend on each other; use an enum of structs"),
    ("dependentSchemas", "fields that depend on each other; use an enum of structs"),
    ("dependencies", "fields that depend on each other; use an enum of structs"),
    ("patternProperties", MAP),
    ("propertyNames", MAP),
    ("contains", "a rule about some items; say what every item is"),
    ("prefixItems", TUPLE),
    ("additionalItems", TUPLE),
    ("unevaluatedItems", TUPLE),
    ("contentSchema", "JSON inside text; make it a field of its own type"),
    ("$dynamicRef", "a dynamic reference; use `$ref`"),
    ("$recursiveRef", "a recursive reference; use `$ref`"),
];

pub(super) const MAP: &str = "a map with free keys; use a list of pairs";
pub(super) const TUPLE: &str = "a tuple; use a struct with named fields";
pub(super) const ANYTHING: &str = "any JSON fits here; say which type it is";

/// What is said about the words of `schema` that cannot be taken, each reason once.
pub(super) fn refusals(schema: &Map<String, Value>) -> Vec<&'static str> {
    let mut reasons: Vec<&str> = Vec::new();
    for (word, reason) in REFUSED {
        if schema.contains_key(*word) && !reasons.contains(reason) {
            reasons.push(reason);
        }
    }
    let is_open = |word: &str| schema.get(word).is_some_and(|value| *value != Value::Bool(false));
    if (is_open("additionalProperties") || is_open("unevaluatedProperties")) && !reasons.contains(&MAP) {
        reasons.push(MAP);
    }
    reasons
}

/// Formats that strict mode knows (OpenAI's guide to structured outputs, found 2026-11-21).
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Words that strict mode takes, by the type they speak of (the same guide).
pub(super) const KEPT: &[(&str, &[&str])] = &[
    ("string", &["pattern"]),
    ("number", &["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"]),
    ("integer", &["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"]),
    ("array", &["minItems", "maxItems"]),
];

/// Words that say what fits. Beside a reference or a choice they would have to hold as well.
pub(super) fn is_rule(word: &str) -> bool {
    const RULES: &[&str] = &[
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "unevaluatedProperties",
        "minProperties",
        "maxProperties",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "pattern",
        "format",
        "minLength",
        "maxLength",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "$ref",
        "anyOf",
        "oneOf",
        "allOf",
    ];
    RULES.contains(&word)
}

/// The format, where strict mode knows it.
pub(super) fn known_format(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("format").and_then(Value::as_str).filter(|format| FORMATS.contains(format))
}

/// What strict mode cannot hold the model to, in words for the description.
pub(super) fn hints(schema: &Map<String, Value>, types: &[&str]) -> Vec<String> {
    let has = |kind: &str| types.contains(&kind);
    let count = |word: &str| schema.get(word).and_then(Value::as_u64);
    let text = |word: &str| schema.get(word).and_then(Value::as_str);
    let mut hints = Vec::new();
    if has("string") {
        hints.extend(count("minLength").map(|n| format!("at least {n} characters")));
        hints.extend(count("maxLength").map(|n| format!("at most {n} characters")));
        let unknown = text("format").filter(|format| !FORMATS.contains(format));
        hints.extend(unknown.map(|format| format!("format: {format}")));
        hints.extend(text("contentEncoding").map(|encoding| format!("encoding: {encoding}")));
        hints.extend(text("contentMediaType").map(|kind| format!("media type: {kind}")));
    }
    if has("array") && schema.get("uniqueItems") == Some(&Value::Bool(true)) {
        hints.push("no item twice".to_owned());
    }
    hints
}
