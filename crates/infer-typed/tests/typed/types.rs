//! What the types people write become.

use std::collections::{BTreeSet, HashMap};

use infer_core::ResponseFormat;
use infer_typed::Schema;
use schemars::JsonSchema;
use serde_json::{Value, json};

fn strict<T: JsonSchema>() -> Value {
    Schema::of::<T>().unwrap_or_else(|error| panic!("{error}")).json().clone()
}

fn faults<T: JsonSchema>() -> Vec<String> {
    match Schema::of::<T>() {
        Ok(schema) => panic!("taken: {schema:?}"),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn fields_are_sent_in_the_order_they_are_declared_in() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Judgement {
        reasoning: Option<String>,
        answer: bool,
        #[serde(default)]
        also: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aside: Option<u8>,
        #[serde(rename = "Details")]
        details: Vec<Detail>,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Detail {
        what: Option<String>,
        about: u8,
    }
    let schema = Schema::of::<Judgement>().unwrap();
    assert_eq!(schema.json()["required"], json!(["reasoning", "answer", "also", "Details", "aside"]));
    assert_eq!(schema.json()["properties"]["also"], json!({"type": "integer", "maximum": 255, "minimum": 0}));
    let ResponseFormat::JsonSchema(format) = schema.response_format() else { panic!("no schema") };
    let text = format.schema.unwrap().get().to_owned();
    let places = ["what", "about", "reasoning", "answer", "also", "Details", "aside"]
        .map(|name| text.find(&format!("\"{name}\":{{")).unwrap_or_else(|| panic!("{name} in {text}")));
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn optional_fields_of_every_kind_are_required_and_may_be_null() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Inner {
        x: u64,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Outer {
        text: Option<String>,
        /// Where.
        inner: Option<Inner>,
        list: Option<Vec<Inner>>,
    }
    let schema = strict::<Outer>();
    assert_eq!(schema["required"], json!(["text", "inner", "list"]));
    let properties = &schema["properties"];
    assert_eq!(properties["text"]["type"], json!(["string", "null"]));
    assert_eq!(
        properties["inner"],
        json!({"description": "Where.", "anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]})
    );
    assert_eq!(properties["list"]["type"], json!(["array", "null"]));
    assert_eq!(schema["$defs"]["Inner"]["additionalProperties"], false);
}

#[test]
fn a_described_field_of_a_struct_type_keeps_its_description_and_no_word_stands_beside_a_reference() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Inner {
        x: u64,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Outer {
        /// The first.
        first: Inner,
        second: Inner,
    }
    let properties = &strict::<Outer>()["properties"];
    assert_eq!(
        properties["first"],
        json!({"description": "The first.", "anyOf": [{"$ref": "#/$defs/Inner"}]})
    );
    assert_eq!(properties["second"], json!({"$ref": "#/$defs/Inner"}));
}

#[derive(JsonSchema)]
#[serde(tag = "kind")]
#[expect(dead_code, reason = "only its schema counts")]
enum Shape {
    Circle { radius: f64 },
    Square(Square),
    Nothing,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema counts")]
struct Square {
    /// In metres.
    side: f64,
}

#[test]
fn a_tagged_enum_is_a_choice_of_closed_objects_that_begin_with_the_tag() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Drawing {
        shapes: Vec<Shape>,
    }
    let schema = strict::<Drawing>();
    let choices = schema["$defs"]["Shape"]["anyOf"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for (choice, tag) in choices.iter().zip(["Circle", "Square", "Nothing"]) {
        assert_eq!(
            (&choice["required"][0], &choice["properties"]["kind"]["const"]),
            (&json!("kind"), &json!(tag))
        );
        assert_eq!(choice["additionalProperties"], false);
    }
    assert_eq!(choices[1]["required"], json!(["kind", "side"]));
    assert_eq!(choices[1]["properties"]["side"]["description"], "In metres.");
    assert_eq!(schema["$defs"]["Shape"].get("oneOf"), None);
}

#[test]
fn an_enum_with_documented_variants_stays_an_enum() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    enum Mood {
        /// Glad.
        Good,
        /// Sad.
        Bad,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Report {
        mood: Mood,
    }
    let mood = &strict::<Report>()["$defs"]["Mood"];
    assert_eq!(mood["anyOf"][1], json!({"description": "Sad.", "type": "string", "const": "Bad"}));
}

#[test]
fn a_type_that_contains_itself_refers_to_itself() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Tree {
        leaf: Option<u8>,
        branches: Vec<Tree>,
    }
    assert_eq!(strict::<Tree>()["properties"]["branches"]["items"], json!({"$ref": "#"}));
}

#[test]
fn rules_that_strict_mode_does_not_know_are_told_in_the_description() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Form {
        /// A name.
        #[schemars(length(min = 2, max = 9), regex(pattern = "^[a-z]+$"))]
        name: String,
        #[schemars(url)]
        page: String,
        #[schemars(email)]
        mail: String,
        tags: BTreeSet<String>,
        #[schemars(range(min = 1, max = 5), extend("default" = 3, "x-ours" = true))]
        stars: u8,
        #[schemars(length(max = 4))]
        letters: [char; 2],
    }
    let properties = &strict::<Form>()["properties"];
    assert_eq!(
        properties["name"],
        json!({"description": "A name. (at least 2 characters, at most 9 characters)", "type": "string", "pattern": "^[a-z]+$"})
    );
    assert_eq!(properties["page"], json!({"description": "format: uri", "type": "string"}));
    assert_eq!(properties["mail"], json!({"type": "string", "format": "email"}));
    assert_eq!(
        properties["tags"],
        json!({"description": "no item twice", "type": "array", "items": {"type": "string"}})
    );
    assert_eq!(properties["stars"], json!({"type": "integer", "minimum": 1, "maximum": 5}));
    assert_eq!(properties["letters"]["minItems"], 2);
}

#[test]
fn a_flattened_struct_becomes_part_of_the_one_around_it() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Page {
        number: u32,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct List {
        total: u32,
        #[serde(flatten)]
        page: Page,
    }
    assert_eq!(strict::<List>()["required"], json!(["total", "number"]));
}

#[test]
fn what_strict_mode_cannot_say_is_named_all_at_once_with_its_place() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Bad {
        any: Value,
        list: Vec<Value>,
        map: HashMap<String, u8>,
        numbered: HashMap<u32, u8>,
        pair: (u8, String),
        object: serde_json::Map<String, Value>,
        good: Option<u8>,
        deep: Vec<Deep>,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Deep {
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }
    let any = "any JSON fits here; say which type it is";
    let map = "a map with free keys; use a list of pairs";
    assert_eq!(
        faults::<Bad>(),
        [
            format!("#/properties/any: {any}"),
            format!("#/properties/list/items: {any}"),
            format!("#/properties/map: {map}"),
            format!("#/properties/numbered: {map}"),
            "#/properties/pair: a tuple; use a struct with named fields".to_owned(),
            format!("#/properties/object: {map}"),
            format!("#/$defs/Deep: {map}"),
        ]
    );
}

#[test]
fn a_root_that_is_no_plain_object_is_refused_with_the_way_out() {
    for found in [
        faults::<Shape>(),
        faults::<Option<Square>>(),
        faults::<Vec<u8>>(),
        faults::<String>(),
        faults::<()>(),
    ] {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("#: the root ") && found[0].ends_with("a struct with one field"),
            "{found:?}"
        );
    }
}

#[test]
fn choices_that_cannot_be_told_apart_by_their_first_field_are_refused() {
    #[derive(JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its schema counts")]
    enum Either {
        A { name: String, a: u8 },
        B { name: String, b: u8 },
    }
    #[derive(JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its schema counts")]
    enum Fine {
        A { a: u8, name: String },
        B { b: u8, name: String },
        C(u8),
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Holder<T> {
        it: T,
    }
    let found = faults::<Holder<Either>>();
    assert!(
        found.len() == 1
            && found[0].starts_with("#/$defs/Either: several choices begin with the field `name`"),
        "{found:?}"
    );
    strict::<Holder<Fine>>();
    strict::<Holder<Option<Shape>>>();
}

#[test]
fn a_flattened_enum_is_refused() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Outer {
        id: u8,
        #[serde(flatten)]
        shape: Shape,
    }
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Holder {
        outer: Outer,
    }
    let found = faults::<Holder>();
    assert!(
        found.iter().any(|fault| fault.starts_with("#/$defs/Outer: ") && fault.contains("flattened enum")),
        "{found:?}"
    );
}
