//! Laws of the strict form, over schemas made from a small grammar, with good and bad words in it.

use infer_typed::strict;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Map, Value, json};

/// Says what is wrong with a strict schema; written from the documented rules and not from the code that applies them.
fn objection(document: &Value) -> Option<String> {
    let root = document.as_object()?;
    if root.get("type") != Some(&json!("object")) || root.contains_key("anyOf") {
        return Some("the root is no object".to_owned());
    }
    let defs = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut open: Vec<(&Value, bool)> = vec![(document, true)];
    while let Some((schema, is_root)) = open.pop() {
        let Some(schema) = schema.as_object() else { return Some(format!("no object: {schema}")) };
        for (word, value) in schema {
            let is_fine = match word.as_str() {
                "title" | "description" | "pattern" => value.is_string(),
                "type" => true,
                "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
                "const" | "multipleOf" | "maximum" | "minimum" | "exclusiveMaximum" | "exclusiveMinimum" => {
                    true
                }
                "minItems" | "maxItems" => value.is_u64(),
                "format" => {
                    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
                        .contains(&value.as_str()?)
                }
                "$defs" => is_root,
                "additionalProperties" => *value == json!(false),
                "properties" | "required" | "items" | "anyOf" => true,
                "$ref" => {
                    schema.len() == 1
                        && value.as_str().is_some_and(|to| {
                            to == "#"
                                || to.strip_prefix("#/$defs/").is_some_and(|name| defs.contains_key(name))
                        })
                }
                _ => false,
            };
            if !is_fine {
                return Some(format!("{word}: {value}"));
            }
        }
        let kinds = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind.clone()],
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(|k| k.as_str().map(ToOwned::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        let is_elsewhere = schema.contains_key("$ref") || schema.contains_key("anyOf");
        if kinds.is_empty() != is_elsewhere {
            return Some(format!("says its type twice or never: {schema:?}"));
        }
        if kinds.iter().any(|kind| kind == "object") {
            let mut names: Vec<&String> = schema.get("properties")?.as_object()?.keys().collect();
            names.sort_unstable();
            let mut required: Vec<&str> =
                schema.get("required")?.as_array()?.iter().filter_map(Value::as_str).collect();
            required.sort_unstable();
            if names != required || schema.get("additionalProperties") != Some(&json!(false)) {
                return Some(format!("open or optional: {schema:?}"));
            }
        }
        if kinds.iter().any(|kind| kind == "array") && !schema.contains_key("items") {
            return Some(format!("a list of anything: {schema:?}"));
        }
        let below = ["properties", "$defs"].iter().filter_map(|word| schema.get(*word)?.as_object());
        open.extend(below.flat_map(Map::values).map(|schema| (schema, false)));
        open.extend(schema.get("items").map(|schema| (schema, false)));
        open.extend(schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().map(|s| (s, false)));
    }
    None
}

/// Words that are added to a schema: harmless ones, and some that cannot be taken.
fn extras() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let harmless = prop::sample::select(vec![
        ("description", json!("words")),
        ("title", json!("T")),
        ("default", json!(null)),
        ("examples", json!([1])),
        ("format", json!("uint32")),
        ("format", json!("uuid")),
        ("minLength", json!(2)),
        ("pattern", json!("^a")),
        ("minimum", json!(0)),
        ("x-ours", json!({"type": 1})),
        ("uniqueItems", json!(true)),
    ]);
    let harmful = prop::sample::select(vec![
        ("not", json!({})),
        ("patternProperties", json!({"^a": true})),
        ("prefixItems", json!([{}])),
        ("additionalProperties", json!({"type": "string"})),
        ("dependentRequired", json!({})),
        ("allOf", json!([{"type": "string"}, {}])),
        ("oneOf", json!([])),
        ("required", json!(["nobody"])),
        ("$ref", json!("#/$defs/missing")),
        ("type", json!("unknown")),
        ("enum", json!([])),
    ]);
    let some = prop_oneof![20 => harmless.boxed(), 1 => harmful.boxed()];
    prop::collection::vec(some, 0..3)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => prop::sample::select(vec!["string", "number", "integer", "boolean", "null"]).prop_map(|t| json!({"type": t})),
        2 => Just(json!({"type": ["string", "null"]})),
        2 => Just(json!({"enum": ["a", "b", null]})),
        2 => Just(json!({"const": 1})),
        2 => prop::sample::select(vec!["#", "#/$defs/A", "#/$defs/B"]).prop_map(|r| json!({"$ref": r})),
        1 => prop::sample::select(vec![json!(true), json!(false), json!({}), json!(7), json!({"type": "array"})]),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = leaf().prop_flat_map(with_extras);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            2 => inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            2 => (prop::sample::select(vec!["anyOf", "oneOf"]), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(word, choices)| json!({ word: choices })),
            1 => inner.clone().prop_map(|only| json!({"allOf": [only]})),
            1 => (object(inner), prop::sample::select(vec!["#/$defs/A", "#/$defs/B"]))
                .prop_map(|(mut object, to)| { object["$ref"] = json!(to); object }),
        ]
        .prop_flat_map(with_extras)
    })
}

fn with_extras(schema: Value) -> impl Strategy<Value = Value> {
    extras().prop_map(move |extras| {
        let mut schema = schema.clone();
        if let Some(object) = schema.as_object_mut() {
            object.extend(extras.into_iter().map(|(word, value)| (word.to_owned(), value)));
        }
        schema
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "c/d", "e~f", "g h", "é"]);
    (prop::collection::vec((names, inner), 0..4), any::<prop::sample::Index>()).prop_map(|(members, some)| {
        let properties: Map<String, Value> =
            members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        let required: Vec<String> =
            properties.keys().take(some.index(properties.len() + 1)).cloned().collect();
        json!({"type": "object", "properties": properties, "required": required})
    })
}

fn document() -> impl Strategy<Value = Value> {
    let root = prop_oneof![9 => object(schema()).boxed(), 1 => schema().boxed()];
    (root, schema(), object(schema())).prop_map(|(mut root, a, b)| {
        if let Some(root) = root.as_object_mut() {
            root.insert("$defs".to_owned(), json!({"A": a, "B": b}));
        }
        root
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // What comes out obeys every rule and is a fixed point; what is refused is refused at places that exist.
    #[test]
    fn a_strict_schema_obeys_every_rule_and_a_refusal_points_at_what_is_there(document in document()) {
        match strict(&document) {
            Ok(first) => {
                prop_assert_eq!(objection(&first), None, "{}", first);
                let again = strict(&first);
                prop_assert_eq!(again.map(|again| again.to_string()), Ok(first.to_string()));
            }
            Err(error) => {
                prop_assert!(!error.faults().is_empty());
                prop_assert!(!error.to_string().contains('\n'));
                for fault in error.faults() {
                    let path = fault.pointer.strip_prefix('#');
                    prop_assert!(path.is_some_and(|path| document.pointer(path).is_some()), "{} in {}", fault, document);
                }
            }
        }
    }
}

#[test]
fn the_grammar_makes_schemas_of_both_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0_u32; 2];
    for _ in 0..500 {
        let tree = document().new_tree(&mut runner).unwrap();
        counts[usize::from(strict(&tree.current()).is_ok())] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 25), "refused and taken: {counts:?}");
}

#[test]
fn a_schema_that_unfolds_without_end_is_refused_and_not_followed() {
    let both = json!({"type": "object", "properties": {
        "l": {"type": "object", "properties": {"x": {"type": "null"}}, "$ref": "#/$defs/A"},
        "r": {"type": "object", "properties": {"x": {"type": "null"}}, "$ref": "#/$defs/A"},
    }});
    let document = json!({"type": "object", "properties": {}, "$defs": {"A": both}});
    let error = strict(&document).unwrap_err();
    assert!(error.to_string().contains("unfolds too far"), "{error}");

    let deep = (0..500).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    let error = strict(&json!({"type": "object", "properties": {"a": deep}})).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{error}");
}

#[test]
fn a_choice_that_leads_back_to_itself_is_looked_at_once() {
    let choice = json!({"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}, {"type": "null"}]});
    let document = json!({"type": "object", "properties": {"a": choice}, "$defs": {"A": choice}});
    assert!(strict(&document).is_ok());
}
