//! Objects: closed, every property required, and those that are put together from a reference and fields beside it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::fault::Pointer;
use super::{Place, Walk, described, keywords, reference, size, types};
use crate::order;

/// A property as it was found: name, schema and where it stands.
pub(super) type Member<'a> = (&'a str, &'a Value, Pointer);

/// The properties of `schema`, which stands at `at`, in the order of `required`.
pub(super) fn members<'a>(schema: &'a Map<String, Value>, at: &Pointer) -> Vec<Member<'a>> {
    let at = at.to("properties");
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let members = order::members(properties, &order::required(schema)).into_iter();
    members.map(|(name, property)| (name.as_str(), property, at.to(name))).collect()
}

impl Walk<'_> {
    /// Writes `members` as a closed object; `sources` are the schemas they come from.
    pub(super) fn object(
        &mut self,
        sources: &[&Map<String, Value>],
        members: &[Member<'_>],
        place: &Place,
        strict: &mut Map<String, Value>,
    ) {
        self.faults.extend(size::nesting_fault(place.objects, &place.at));
        let mut properties = Map::new();
        for (name, property, at) in members {
            self.size.property(name);
            let inside = Place { objects: place.objects + 1, ..place.within(at.clone()) };
            properties.insert((*name).to_owned(), self.schema(property, &inside));
        }
        for name in sources.iter().flat_map(|source| order::required(source)) {
            if !properties.contains_key(name) {
                self.fault(place, format!("requires `{name}`, which it does not have; declare it"));
            }
        }
        let required: Vec<Value> = members.iter().map(|(name, ..)| Value::from(*name)).collect();
        strict.insert("properties".to_owned(), Value::Object(properties));
        strict.insert("required".to_owned(), Value::Array(required));
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    }

    /// A reference, alone or with something beside it.
    pub(super) fn reference(&mut self, schema: &Map<String, Value>, place: &Place) -> Value {
        let Some(Value::String(reference)) = schema.get("$ref") else {
            return self.refuse(place, "`$ref` must be text");
        };
        let (target, target_at) = match reference::target(self.root, reference) {
            Ok(found) => found,
            Err(what) => return self.refuse(place, &what),
        };
        let rules: Vec<&str> = schema
            .keys()
            .map(String::as_str)
            .filter(|word| *word != "$ref" && keywords::is_rule(word))
            .collect();
        if place.is_root() || !rules.is_empty() {
            return self.merged(schema, &rules, (target, &target_at), place);
        }
        let mut strict = described(schema, &[]);
        let reference = Map::from_iter([("$ref".to_owned(), Value::from(reference.as_str()))]);
        if strict.is_empty() {
            return Value::Object(reference);
        }
        // OpenAI refuses every word beside a reference (reported in openai/openai-python pull request 1637 and seen
        // again in reports of 2026-08). A choice of one keeps the description and copies nothing.
        strict.insert("anyOf".to_owned(), Value::Array(vec![Value::Object(reference)]));
        Value::Object(strict)
    }

    /// The fields of `schema` and of the struct it refers to, as one object. That is how a struct inside a tagged enum
    /// comes, and a root that is a definition.
    fn merged(
        &mut self,
        schema: &Map<String, Value>,
        rules: &[&str],
        (target, target_at): (&Map<String, Value>, &Pointer),
        place: &Place,
    ) -> Value {
        const OF_OBJECTS: [&str; 5] =
            ["type", "properties", "required", "additionalProperties", "unevaluatedProperties"];
        let is_object = |schema: &Map<String, Value>| types(schema).is_ok_and(|types| types == ["object"]);
        let is_plain = !["$ref", "anyOf", "oneOf", "allOf"].iter().any(|word| target.contains_key(*word));
        let takes_fields = rules.iter().all(|word| OF_OBJECTS.contains(word))
            && (rules.is_empty() || is_object(schema))
            && is_object(target);
        if !is_plain || !takes_fields {
            let what = if rules.is_empty() {
                "the root must be an object; put the value into a struct with one field"
            } else {
                "rules beside a reference to something that is no struct; give it a field of its own"
            };
            return self.refuse(place, what);
        }
        let words = ["title", "description"].into_iter();
        let words =
            words.filter_map(|word| Some((word.to_owned(), schema.get(word).or(target.get(word))?.clone())));
        let mut strict = described(&words.collect(), &[]);
        strict.insert("type".to_owned(), Value::from("object"));
        let mut all = members(schema, &place.at);
        let own: HashSet<&str> = all.iter().map(|(name, ..)| *name).collect();
        let inherited = members(target, target_at).into_iter().filter(|(name, ..)| !own.contains(name));
        all.extend(inherited.collect::<Vec<_>>());
        self.object(&[schema, target], &all, place, &mut strict);
        Value::Object(strict)
    }
}
