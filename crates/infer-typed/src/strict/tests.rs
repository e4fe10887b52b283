//! Schemas that no derived type gives, and what becomes of them.

use serde_json::json;

use super::*;

fn fields(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties, "$defs": {
        "Point": {"type": "object", "description": "A point.", "properties": {"x": {"type": "number"}}},
        "Word": {"type": "string"},
    }})
}

/// What the field `a` becomes.
fn field(schema: &Value) -> Value {
    strict(&fields(&json!({ "a": schema }))).unwrap()["properties"]["a"].clone()
}

fn faults(document: &Value) -> Vec<String> {
    let error = strict(document).unwrap_err();
    error.faults().iter().map(ToString::to_string).collect()
}

#[test]
fn a_type_that_is_not_said_is_taken_from_the_values() {
    assert_eq!(field(&json!({"const": 1.5}))["type"], "number");
    assert_eq!(field(&json!({"enum": ["a", 1, null, "b"]}))["type"], json!(["string", "integer", "null"]));
    assert_eq!(field(&json!({"items": {"type": "null"}}))["type"], "array");
    assert_eq!(field(&json!({"properties": {}}))["type"], "object");
}

#[test]
fn a_root_that_is_a_definition_is_written_out() {
    let mut document = fields(&json!({}));
    document["$ref"] = json!("#/$defs/Point");
    let strict = strict(&document).unwrap();
    assert_eq!((&strict["type"], &strict["required"]), (&json!("object"), &json!(["x"])));
    assert_eq!(strict["description"], "A point.");
    document["$ref"] = json!("#/$defs/Word");
    assert_eq!(faults(&document).len(), 1);
}

#[test]
fn fields_beside_a_reference_come_first_and_win() {
    let schema = json!({"type": "object", "$ref": "#/$defs/Point", "required": ["kind", "x"],
        "properties": {"kind": {"const": "p"}, "x": {"type": "integer"}}});
    let strict = field(&schema);
    assert_eq!(strict["required"], json!(["kind", "x"]));
    assert_eq!(strict["properties"]["x"]["type"], "integer");
}

#[test]
fn a_lone_schema_inside_all_of_is_taken_out_of_it() {
    let strict = field(&json!({"description": "Here.", "allOf": [{"$ref": "#/$defs/Point"}]}));
    assert_eq!(strict, json!({"description": "Here.", "anyOf": [{"$ref": "#/$defs/Point"}]}));
}

#[test]
fn every_word_that_cannot_be_taken_is_refused_where_it_stands() {
    let cases = [
        (json!({"type": "string", "not": {"const": "x"}}), "#/properties/a: a negation"),
        (json!({"type": "object", "if": {}, "then": {}}), "#/properties/a: a condition"),
        (json!({"type": "object", "dependentRequired": {}}), "#/properties/a: fields that depend"),
        (json!({"type": "object", "additionalProperties": true}), "#/properties/a: a map"),
        (json!({"type": "object", "patternProperties": {}}), "#/properties/a: a map"),
        (json!({"type": "array", "items": [{}]}), "#/properties/a: a tuple"),
        (json!({"type": "array"}), "#/properties/a: a list of anything"),
        (json!({"allOf": [{"type": "string"}, {"pattern": "a"}]}), "#/properties/a: several schemas at once"),
        (json!({"anyOf": [{"type": "null"}], "minimum": 1}), "#/properties/a: `minimum` beside a choice"),
        (json!({"anyOf": [], "description": "x"}), "#/properties/a: a choice of nothing"),
        (json!({"anyOf": [{"type": "null"}], "$ref": "#"}), "#/properties/a: `$ref` and `anyOf` together"),
        (json!({"$ref": "#/$defs/Word", "minLength": 1}), "#/properties/a: rules beside a reference"),
        (json!({"$ref": "https://example.com/x"}), "#/properties/a: refers to `https://example.com/x`; only"),
        (json!({"$ref": "#/$defs/None"}), "#/properties/a: refers to `#/$defs/None`, which is not there"),
        (json!({"type": "object", "required": ["b"]}), "#/properties/a: requires `b`"),
        (json!({"type": "text"}), "#/properties/a: `text` is no type"),
        (json!({"type": "string", "enum": []}), "#/properties/a: an enum without values"),
        (json!({"type": "object", "$defs": {}}), "#/properties/a: `$defs` below the root"),
        (json!({"pattern": "x"}), "#/properties/a: any JSON fits"),
        (json!(false), "#/properties/a: nothing fits"),
        (json!("string"), "#/properties/a: no schema"),
    ];
    for (schema, expected) in cases {
        let found = faults(&fields(&json!({ "a": schema })));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{schema}: {found:?}");
    }
}

#[test]
fn one_constraint_of_a_shared_first_field_is_enough_to_be_refused() {
    let choice =
        |kind: &Value| json!({"type": "object", "properties": {"kind": kind, "x": {"type": "null"}}});
    let pair = |a: Value, b: Value| fields(&json!({"a": {"anyOf": [choice(&a), choice(&b)]}}));
    assert!(strict(&pair(json!({"const": 1}), json!({"enum": [2, 3]}))).is_ok());
    for (a, b) in [
        (json!({"const": 1}), json!({"const": 1})),
        (json!({"const": 1}), json!({"type": "integer"})),
        (json!({"type": "integer"}), json!({"const": 1})),
    ] {
        let found = faults(&pair(a, b));
        assert!(found.len() == 1 && found[0].contains("begin with the field `kind`"), "{found:?}");
    }
}
