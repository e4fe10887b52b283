//! Choices between schemas.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Place, Walk, described, keywords, reference};
use crate::order;

/// How deep and at how many schemas one looks to see how a choice begins.
const MAX_HOPS: usize = 16;
const MAX_LOOKS: usize = 10_000;

impl Walk<'_> {
    /// `anyOf` or `oneOf`. The choices of a tagged enum exclude each other by their tag, so `anyOf` says the same.
    pub(super) fn choice(&mut self, schema: &Map<String, Value>, word: &str, place: &Place) -> Value {
        if place.is_root() {
            self.fault(place, "the root is a choice (an enum); put it into a struct with one field");
        }
        if let Some(beside) = schema.keys().find(|other| *other != word && keywords::is_rule(other)) {
            let what =
                format!("`{beside}` beside a choice (a flattened enum); give the enum a field of its own");
            self.fault(place, what);
        }
        let Some(Value::Array(choices)) =
            schema.get(word).filter(|choices| **choices != Value::Array(Vec::new()))
        else {
            return self.refuse(place, "a choice of nothing; list at least one");
        };
        self.beginnings(choices, place);
        let at = place.at.to(word);
        let choices = (0..).zip(choices);
        let choices: Vec<Value> = choices
            .map(|(index, choice): (usize, _)| self.schema(choice, &place.within(at.to(&index.to_string()))))
            .collect();
        let mut strict = described(schema, &[]);
        strict.insert("anyOf".to_owned(), Value::Array(choices));
        Value::Object(strict)
    }

    /// `allOf`, which strict mode has not; around a single schema it says nothing and falls away.
    pub(super) fn all_of(&mut self, schema: &Map<String, Value>, place: &Place) -> Value {
        let is_alone = schema.keys().all(|word| word == "allOf" || !keywords::is_rule(word));
        match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::Object(only)]) if is_alone => {
                let mut only = only.clone();
                for word in ["title", "description"] {
                    if let Some(text) = schema.get(word) {
                        only.insert(word.to_owned(), text.clone());
                    }
                }
                self.schema(&Value::Object(only), &place.within(place.at.to("allOf").to("0")))
            }
            _ => self.refuse(place, "several schemas at once (`allOf`); write their fields into one struct"),
        }
    }

    /// Objects to choose from must differ in their first property: by its name, or by its fixed value.
    ///
    /// OpenAI refuses others ("must not share identical first keys": openai/openai-python issue 2193, 2025-03-13; the
    /// message is still handled by clients of 2026).
    fn beginnings(&mut self, choices: &[Value], place: &Place) {
        let mut firsts = Vec::new();
        let mut looks = MAX_LOOKS;
        for choice in choices {
            self.first_members(choice, MAX_HOPS, &mut looks, &mut firsts);
        }
        let mut seen: HashMap<&str, Beginning> = HashMap::new();
        let mut clashes: Vec<String> = Vec::new();
        for (name, values) in &firsts {
            if seen.entry(*name).or_default().clashes_with(values.as_deref()) {
                clashes.push((*name).to_owned());
            }
        }
        for name in clashes {
            let what = format!(
                "several choices begin with the field `{name}`; tag the enum, or begin each with a field of its own"
            );
            self.fault(place, what);
        }
    }

    /// The first property of every object that `schema` can be, with the values it is fixed to.
    fn first_members<'a>(
        &'a self,
        schema: &'a Value,
        hops: usize,
        looks: &mut usize,
        firsts: &mut Vec<(&'a str, Option<Vec<String>>)>,
    ) {
        let (Some(schema), Some(hops)) = (schema.as_object(), hops.checked_sub(1)) else { return };
        let Some(left) = looks.checked_sub(1) else { return };
        *looks = left;
        let properties = schema.get("properties").and_then(Value::as_object);
        let first = properties
            .and_then(|properties| order::members(properties, &order::required(schema)).into_iter().next());
        if let Some((name, property)) = first {
            firsts.push((name, fixed(property)));
            return;
        }
        let inner = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(*word)?.as_array());
        for choice in inner.flatten() {
            self.first_members(choice, hops, looks, firsts);
        }
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return };
        if let Ok(path) = reference::path(reference)
            && let Some(target) = self.root.pointer(&path)
        {
            self.first_members(target, hops, looks, firsts);
        }
    }
}

/// What is known of the objects that begin with one property.
#[derive(Default)]
struct Beginning {
    count: usize,
    /// Some object takes any value there, or one that another takes as well.
    is_shared: bool,
    values: HashSet<String>,
    is_told: bool,
}

impl Beginning {
    /// Adds an object whose property is fixed to `values`, and says once whether it cannot be told from the others.
    fn clashes_with(&mut self, values: Option<&[String]>) -> bool {
        let is_new =
            values.is_some_and(|values| values.iter().all(|value| self.values.insert(value.clone())));
        self.is_shared |= !is_new;
        self.count += 1;
        let is_first_clash = self.is_shared && self.count > 1 && !self.is_told;
        self.is_told |= is_first_clash;
        is_first_clash
    }
}

/// The values a property is fixed to, as JSON.
fn fixed(property: &Value) -> Option<Vec<String>> {
    match (property.get("const"), property.get("enum")) {
        (Some(value), _) => Some(vec![value.to_string()]),
        (None, Some(Value::Array(values))) => Some(values.iter().map(ToString::to_string).collect()),
        _ => None,
    }
}
