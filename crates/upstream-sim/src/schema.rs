//! A value that fits a plain JSON Schema.
//!
//! Knows types, properties, items, enumerations, bounds, common formats, references inside the document and the first
//! of several alternatives. Patterns and conditions are not looked at.

use fastrand::Rng;
use serde_json::{Map, Value, json};

const MAX_DEPTH: usize = 12;
/// Below this optional members and elements are left out, so that a schema that contains itself ends.
const FULL_DEPTH: usize = 4;
const MAX_VALUES: usize = 2_000;
const MAX_ITEMS: u64 = 64;
const MAX_STRING: u64 = 4_096;

/// A value that fits `schema`.
pub(crate) fn fit(schema: &Value, rng: &mut Rng) -> Value {
    Fitter { root: schema, rng, left: MAX_VALUES }.value(schema, 0)
}

struct Fitter<'a> {
    root: &'a Value,
    rng: &'a mut Rng,
    left: usize,
}

impl Fitter<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        let member = |name: &str| schema.get(name);
        if let Some(target) = member("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            let root = self.root;
            return root.pointer(target).map_or(Value::Null, |target| self.value(target, depth + 1));
        }
        if let Some(fixed) = member("const").or_else(|| member("default")) {
            return fixed.clone();
        }
        if let Some(allowed) = member("enum").and_then(Value::as_array) {
            return self.rng.choice(allowed).cloned().unwrap_or_default();
        }
        if let Some(first) = ["anyOf", "oneOf"].into_iter().find_map(|name| member(name)?.get(0)) {
            return self.value(first, depth + 1);
        }
        if let Some(all) = member("allOf").and_then(Value::as_array) {
            return self.all(all, depth);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => self.number(schema, true),
            "number" => self.number(schema, false),
            "boolean" => Value::Bool(self.rng.bool()),
            "null" => Value::Null,
            _ => string(schema),
        }
    }

    fn all(&mut self, schemas: &[Value], depth: usize) -> Value {
        let mut merged = Map::new();
        for schema in schemas {
            match self.value(schema, depth + 1) {
                Value::Object(members) => merged.extend(members),
                other if schemas.len() == 1 => return other,
                _ => {}
            }
        }
        Value::Object(merged)
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let members = properties
            .into_iter()
            .flatten()
            .filter(|(name, _)| depth < FULL_DEPTH || required.contains(&name.as_str()))
            .map(|(name, schema)| (name.clone(), self.value(schema, depth + 1)))
            .collect();
        Value::Object(members)
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let usual = u64::from(depth < FULL_DEPTH);
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let count = bound("minItems").unwrap_or(usual).min(bound("maxItems").unwrap_or(MAX_ITEMS));
        let items = schema.get("items").unwrap_or(&Value::Bool(true));
        (0..count.min(MAX_ITEMS)).map(|_| self.value(items, depth + 1)).collect()
    }

    fn number(&mut self, schema: &Value, whole: bool) -> Value {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let step = bound("multipleOf").filter(|step| *step > 0.0).unwrap_or(1.0);
        let above = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + step));
        let below = bound("maximum").or(bound("exclusiveMaximum").map(|most| most - step));
        let low = above.unwrap_or_else(|| below.map_or(1.0, |most| most - 99.0));
        let high = below.unwrap_or(low + 99.0).max(low);
        let number = low + self.rng.f64() * (high - low);
        let number = ((number / step).floor() * step).clamp((low / step).ceil() * step, high);
        if whole {
            #[expect(clippy::cast_possible_truncation, reason = "a bound beyond i64 stops at its end")]
            return json!(number.ceil() as i64);
        }
        json!(number)
    }
}

/// The first type that is not `null`; without one, what the other members suggest.
fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.clone().find(|name| *name != "null").or_else(|| names.next())
        }
        _ => None,
    };
    named.unwrap_or_else(|| {
        let has = |name| schema.get(name).is_some();
        if has("properties") {
            "object"
        } else if has("items") {
            "array"
        } else {
            "string"
        }
    })
}

fn string(schema: &Value) -> Value {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-11-21T09:00:00Z",
        Some("date") => "2026-11-21",
        Some("time") => "09:00:00Z",
        Some("email") => "simulator@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("ipv4") => "192.0.2.1",
        _ => "simulated",
    };
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let least = usize::try_from(bound("minLength").unwrap_or(0).min(MAX_STRING)).unwrap_or(0);
    let most = usize::try_from(bound("maxLength").unwrap_or(MAX_STRING)).unwrap_or(usize::MAX);
    let length = text.len().max(least).min(most);
    Value::String(text.chars().chain(std::iter::repeat('x')).take(length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(schema: &Value) -> Value {
        fit(schema, &mut Rng::with_seed(7))
    }

    #[test]
    fn members_have_their_types_and_bounds() {
        let value = fitted(&json!({
            "type": "object",
            "properties": {
                "city": { "type": "string", "minLength": 12 },
                "unit": { "enum": ["c", "f"] },
                "days": { "type": "integer", "minimum": 3, "maximum": 5 },
                "share": { "type": "number", "minimum": 0, "maximum": 1 },
                "tags": { "type": "array", "items": { "type": "string", "maxLength": 3 }, "minItems": 2 },
                "next": { "type": ["null", "boolean"] },
            },
            "required": ["city"],
        }));
        assert_eq!(value["city"].as_str().unwrap().len(), 12);
        assert!(["c", "f"].contains(&value["unit"].as_str().unwrap()));
        assert!((3..=5).contains(&value["days"].as_i64().unwrap()));
        assert!((0.0..=1.0).contains(&value["share"].as_f64().unwrap()));
        assert_eq!(value["tags"], json!(["sim", "sim"]));
        assert!(value["next"].is_boolean());
    }

    #[test]
    fn references_are_followed_and_a_schema_that_contains_itself_ends() {
        let value = fitted(&json!({
            "$defs": { "node": {
                "type": "object",
                "properties": {
                    "name": { "const": "n" },
                    "children": { "type": "array", "items": { "$ref": "#/$defs/node" } },
                },
                "required": ["name"],
            } },
            "$ref": "#/$defs/node",
        }));
        assert_eq!(value["name"], "n");
        assert_eq!(value["children"][0]["name"], "n");
    }

    #[test]
    fn a_schema_without_sense_gives_some_value() {
        for schema in [json!(true), json!({}), json!({ "type": 7 }), json!({ "$ref": "#/nowhere" })] {
            _ = fitted(&schema);
        }
    }
}
