//! A schema as rows: one for each key, with what it takes and what it is for.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::sources::{Member, Sources};

/// One key of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// From the section on: `limits[].usd`.
    pub(crate) key: String,
    pub(crate) takes: String,
    pub(crate) text: String,
}

/// The keys of a table, and of the tables in it. `name` stands for the names that people make up.
pub(crate) fn of(table: &Value, sources: &Sources, missing: &mut Vec<String>) -> Vec<Row> {
    let mut walk = Walk { sources, missing, rows: Vec::new() };
    walk.inside(table, "");
    walk.rows
}

/// One key with what is below it.
pub(crate) fn of_key(
    key: &str,
    schema: &Value,
    member: Option<&Member>,
    sources: &Sources,
    missing: &mut Vec<String>,
) -> Vec<Row> {
    let mut walk = Walk { sources, missing, rows: Vec::new() };
    walk.key(key, schema, member);
    walk.rows
}

/// The shape itself, where a variable may stand in its place.
pub(crate) fn bare(schema: &Value) -> &Value {
    let first = schema["anyOf"].as_array().and_then(|any| any.first());
    first.filter(|_| schema["type"].is_null()).unwrap_or(schema)
}

/// What the schema itself says of it.
fn description(schema: &Value) -> Option<&str> {
    schema["description"].as_str().or_else(|| bare(schema)["description"].as_str())
}

struct Walk<'a> {
    sources: &'a Sources,
    missing: &'a mut Vec<String>,
    rows: Vec<Row>,
}

impl Walk<'_> {
    fn key(&mut self, key: &str, schema: &Value, member: Option<&Member>) {
        let said = description(schema).or(member.map(|member| member.docs.as_str()));
        let shape = bare(schema);
        let mut text = said.unwrap_or_default().replace('|', "\\|");
        if text.is_empty() {
            self.missing.push(key.to_owned());
        }
        if let Some(words) = words(shape) {
            let meanings = self.sources.choice(&words).unwrap_or_default();
            let listed = words.iter().zip(meanings).filter(|(_, meaning)| !meaning.is_empty());
            let listed: Vec<String> =
                listed.map(|(word, meaning)| format!("<br>`{word}`: {meaning}")).collect();
            text.push_str(&listed.concat().replace('|', "\\|"));
        }
        let is_duration = member.is_some_and(|member| member.is_duration);
        let takes = if is_duration { "time".to_owned() } else { takes(schema) };
        self.rows.push(Row { key: key.to_owned(), takes, text });
        self.inside(schema, key);
    }

    /// The keys of a table, of those in a list, or of those under made-up names.
    fn inside(&mut self, schema: &Value, path: &str) {
        let shape = bare(schema);
        if let Some(members) = shape["properties"].as_object() {
            self.members(members, path);
        } else if shape["items"]["properties"].is_object() {
            self.inside(&shape["items"], &format!("{path}[]"));
        } else if shape["additionalProperties"]["properties"].is_object() {
            let path = if path.is_empty() { "NAME".to_owned() } else { format!("{path}.NAME") };
            self.inside(&shape["additionalProperties"], &path);
        }
    }

    fn members(&mut self, members: &Map<String, Value>, path: &str) {
        let keys: BTreeSet<&str> = members.keys().map(String::as_str).collect();
        let table = self.sources.table(&keys).cloned();
        for (key, schema) in members {
            let member = table.as_ref().and_then(|table| table.members.get(key));
            let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.key(&key, schema, member);
        }
    }
}

/// The words of a choice, if the shape is one.
fn words(shape: &Value) -> Option<Vec<&str>> {
    let choice = if shape["enum"].is_array() { shape } else { bare(shape) };
    choice["enum"].as_array().map(|words| words.iter().filter_map(Value::as_str).collect())
}

/// What may stand there, in words.
fn takes(schema: &Value) -> String {
    let shape = bare(schema);
    if let Some(words) = words(shape) {
        let mut seen = BTreeSet::new();
        let quoted = words.iter().filter(|word| seen.insert(**word)).map(|word| format!("`{word}`"));
        return quoted.collect::<Vec<_>>().join(", ");
    }
    let kinds: Vec<&str> = match &shape["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return "text or table".to_owned(),
    };
    let names = kinds.iter().map(|kind| match *kind {
        "integer" => "whole number".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        "string" => "text".to_owned(),
        "array" if shape["items"]["properties"].is_object() => "list of tables".to_owned(),
        "array" => "list of texts".to_owned(),
        "object" if shape["additionalProperties"]["properties"].is_object() => "tables by name".to_owned(),
        "object" if shape["additionalProperties"].is_object() => "values by name".to_owned(),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    });
    names.collect::<Vec<_>>().join(" or ")
}
