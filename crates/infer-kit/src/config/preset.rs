//! Named settings, laid under those that were written.

use remote_core::Presets;
use serde_json::Value as Json;

use super::fault::{Fault, Place};
use super::tree::{Key, Node, Value, join};

/// Lays the preset that `node` names, else the one called `implied`, under its settings. What was written wins; tables
/// are taken member by member, but for `api_key`, which names one place.
pub(crate) fn fill(
    node: &mut Node,
    presets: Option<&Presets>,
    implied: Option<&str>,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    let Some(presets) = presets else { return };
    let (place, name) = match node.take("preset") {
        None => (node.place.clone(), implied.map(ToOwned::to_owned)),
        Some((_, Node { value: Value::Text(name), place, .. })) => (place, Some(name)),
        Some((_, Node { value: Value::Broken, .. })) => return,
        Some((_, wrong)) => {
            faults.push(Fault::new(&wrong.place, join(path, "preset"), "must be a name, such as groq"));
            return;
        }
    };
    let Some(name) = name else { return };
    let preset = match presets.find(&name) {
        Ok((_, preset)) => preset,
        Err(error) => {
            faults.push(Fault::new(&place, join(path, "preset"), error.to_string()));
            return;
        }
    };
    for (name, value) in &preset.settings {
        // Two spellings of one setting would be two settings.
        if name == "endpoint" && node.entry("base_url").is_some() {
            continue;
        }
        let laid = node_of(value, &place);
        match (node.entry_mut(name), laid.value) {
            (None, value) => {
                if let Value::Table(entries) = &mut node.value {
                    entries.push((key(name, &place), Node::new(place.clone(), value)));
                }
            }
            (Some((_, over)), Value::Table(under)) if name != "api_key" => {
                if let Value::Table(over) = &mut over.value {
                    let missing =
                        under.into_iter().filter(|(key, _)| over.iter().all(|(k, _)| k.name != key.name));
                    let missing: Vec<_> = missing.collect();
                    over.extend(missing);
                }
            }
            (Some(_), _) => {}
        }
    }
}

fn key(name: &str, place: &Place) -> Key {
    Key { name: name.to_owned(), place: place.clone() }
}

fn node_of(json: &Json, place: &Place) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole.into()),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| node_of(item, place)).collect()),
        Json::Object(members) => Value::Table(
            members.iter().map(|(name, json)| (key(name, place), node_of(json, place))).collect(),
        ),
    };
    Node::new(place.clone(), value)
}
