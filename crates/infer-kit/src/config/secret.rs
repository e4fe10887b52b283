//! Which settings are secrets, told by their names, and the tree as it may be shown.

use std::collections::BTreeSet;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::tree::{Node, Value};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Secrets shorter than this are placeholders of local servers and stay where else they occur.
const SHORTEST: usize = 8;

/// Secrets that are looked for elsewhere; where it stands, each is hidden.
const MOST: usize = 1000;

/// Names of settings that are secret, whatever table they are in, together with everything below them.
const SECRET: [&str; 12] = [
    "api_key",
    "admin_key",
    "key",
    "secret",
    "client_secret",
    "password",
    "token",
    "headers",
    "query",
    "url",
    // Addresses of Redis, as `url` is.
    "cluster",
    "sentinel",
];

/// Whether what stands at `path` must not be shown.
pub(crate) fn is_secret(path: &str) -> bool {
    path.split(['.', '[']).any(|name| SECRET.contains(&name))
}

/// Whether `name` is a secret in a table that is one, or not.
fn is_hidden(is_table_hidden: bool, name: &str) -> bool {
    // Where a key comes from is no secret: `{ env: NAME }`, `{ file: PATH }`.
    let is_place = is_table_hidden && matches!(name, "env" | "file" | "command");
    (is_table_hidden || is_secret(name)) && !is_place
}

/// A tree without its secrets, to be serialised.
pub(crate) struct Shown<'a> {
    node: &'a Node,
    hides: bool,
    secrets: &'a BTreeSet<String>,
}

/// All secrets of a tree that are long enough to be told from other words.
pub(crate) fn secrets(node: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(node, false, &mut found);
    found
}

fn collect(node: &Node, is_secret_here: bool, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Text(text) if is_secret_here && text.len() >= SHORTEST && found.len() < MOST => {
            found.insert(text.clone());
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, is_secret_here, found)),
        Value::Table(entries) => {
            for (key, item) in entries {
                collect(item, is_hidden(is_secret_here, &key.name), found);
            }
        }
        _ => {}
    }
}

impl<'a> Shown<'a> {
    pub(crate) fn new(node: &'a Node, secrets: &'a BTreeSet<String>) -> Self {
        Self { node, hides: false, secrets }
    }

    fn below(&self, node: &'a Node, name: &str) -> Self {
        Self { node, hides: is_hidden(self.hides, name), secrets: self.secrets }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.node.value {
            Value::Null | Value::Broken => serializer.serialize_unit(),
            Value::Text(text) if text.is_empty() => serializer.serialize_str(""),
            Value::List(items) => serializer.collect_seq(items.iter().map(|node| Self {
                node,
                hides: self.hides,
                secrets: self.secrets,
            })),
            Value::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&key.name, &self.below(node, &key.name))?;
                }
                map.end()
            }
            _ if self.hides => serializer.serialize_str(HIDDEN),
            Value::Text(text) => {
                let shown = self
                    .secrets
                    .iter()
                    .filter(|secret| text.contains(secret.as_str()))
                    .fold(text.clone(), |text, secret| text.replace(secret.as_str(), HIDDEN));
                serializer.serialize_str(&shown)
            }
            Value::Bool(is) => serializer.serialize_bool(*is),
            Value::Integer(number) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_str(&number.to_string()),
            },
            Value::Float(number) => serializer.serialize_f64(*number),
        }
    }
}
