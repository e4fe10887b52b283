//! The order of fields, which a JSON object of `serde_json` does not keep and a model follows.
//!
//! Models write members in the order of the schema (OpenAI's guide to structured outputs, found 2026-11-21), so whether
//! the reasons or the verdict come first is the type's matter. `serde_json` keeps the order of members only with a
//! feature that would change every crate of a program, so the order travels in `required`, which is a list.

use infer_core::RawJson;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

/// Writes `schema` with the properties of every object in the order of its `required`, the others after them.
///
/// ```
/// use serde_json::json;
/// let schema = json!({"properties": {"a": {}, "b": {}}, "required": ["b"]});
/// assert_eq!(infer_typed::in_order(&schema).get(), r#"{"properties":{"b":{},"a":{}},"required":["b"]}"#);
/// ```
pub fn in_order(schema: &Value) -> RawJson {
    // A `Value` has text keys and finite numbers, so writing it cannot fail; it would only lose the order.
    RawJson::from_value(&Ordered { value: schema, first: &[] })
        .unwrap_or_else(|_| RawJson::from(schema.clone()))
}

/// The members of `properties`: those that `first` names, in its order, then the others.
pub(crate) fn members<'a>(
    properties: &'a Map<String, Value>,
    first: &[&str],
) -> Vec<(&'a String, &'a Value)> {
    let place: std::collections::HashMap<&str, usize> =
        first.iter().enumerate().rev().map(|(place, name)| (*name, place)).collect();
    let mut members: Vec<_> = properties.iter().collect();
    members.sort_by_key(|(name, _)| place.get(name.as_str()).copied().unwrap_or(usize::MAX));
    members
}

/// The names in a schema's `required`.
pub(crate) fn required(schema: &Map<String, Value>) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// Puts every property of `schema` that `written` requires into `required`, in the order in which it does.
///
/// `written` is the same type's schema for writing, where an optional field is always there and so has its place in the
/// list. A field that may be left out in writing has none, and comes after the others.
pub(crate) fn take_over(schema: &mut Value, written: &Value) {
    match (schema, written) {
        (Value::Object(schema), Value::Object(written)) => {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                let declared = required(written).into_iter().filter(|name| properties.contains_key(*name));
                let mut names: Vec<Value> = declared.map(Value::from).collect();
                let others =
                    required(schema).into_iter().map(Value::from).filter(|name| !names.contains(name));
                names.extend(others.collect::<Vec<_>>());
                schema.insert("required".to_owned(), Value::Array(names));
            }
            for (word, inner) in schema {
                if let Some(written) = written.get(word) {
                    take_over(inner, written);
                }
            }
        }
        (Value::Array(schemas), Value::Array(written)) => {
            for (schema, written) in schemas.iter_mut().zip(written) {
                take_over(schema, written);
            }
        }
        _ => {}
    }
}

/// A value whose objects begin with the members that `first` names.
struct Ordered<'a> {
    value: &'a Value,
    first: &'a [&'a str],
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(object) => {
                let names = required(object);
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (word, value) in members(object, self.first) {
                    let first = if word == "properties" { names.as_slice() } else { &[] };
                    map.serialize_entry(word, &Ordered { value, first })?;
                }
                map.end()
            }
            Value::Array(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&Ordered { value, first: &[] })?;
                }
                list.end()
            }
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_property_called_properties_or_required_is_only_a_property() {
        let schema = json!({"properties": {
            "required": {"type": "string"},
            "properties": {"properties": {"b": {}, "a": {}}, "required": ["b", "a", "b", "c"]},
        }, "required": ["required"]});
        assert_eq!(
            in_order(&schema).get(),
            concat!(
                r#"{"properties":{"required":{"type":"string"},"properties":{"properties":{"b":{},"a":{}},"#,
                r#""required":["b","a","b","c"]}},"required":["required"]}"#
            )
        );
    }

    #[test]
    fn the_order_of_writing_is_taken_over_where_both_have_the_field() {
        let mut schema = json!({"properties": {"a": {}, "b": {}, "c": {}}, "required": ["c", "a"]});
        take_over(&mut schema, &json!({"properties": {}, "required": ["b", "gone", "a"]}));
        assert_eq!(schema["required"], json!(["b", "a", "c"]));
    }
}
