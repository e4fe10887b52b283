//! Settings from variables: `INFER__PROVIDERS__OPENAI__TIMEOUT=30s` is `providers.openai.timeout`.
//!
//! Two underscores part the names. Upper and lower case, and `-`, `.` and `_`, are alike in what the file already has;
//! a setting that it does not have is written in lower case. Providers and routes have to be in the file.

use super::fault::{Fault, Place};
use super::known::nearest;
use super::surroundings::Surroundings;
use super::tree::{Key, Node, Value, join};

/// How the names of variables begin that stand for settings.
pub(crate) const PREFIX: &str = "INFER__";

/// Tables whose keys the operator invents.
const NAMED: [&str; 3] = ["providers", "routes", "aliases"];

/// Puts the values of variables into the tree.
pub(crate) fn apply(tree: &mut Node, around: &dyn Surroundings, faults: &mut Vec<Fault>) {
    let mut variables = around.variables(PREFIX);
    variables.sort();
    for (variable, value) in variables {
        let place = Place::Variable(variable.clone());
        let names: Vec<_> = variable.get(PREFIX.len()..).unwrap_or_default().split("__").collect();
        if names.iter().any(|name| name.is_empty()) {
            let message = "names no setting: write it like INFER__PROVIDERS__OPENAI__TIMEOUT";
            faults.push(Fault::new(&place, "", message));
            continue;
        }
        let node = Node { is_filled: true, ..Node::new(place.clone(), Value::Text(value)) };
        if let Err((path, message)) = put(tree, "", &names, node) {
            faults.push(Fault::new(&place, path, message));
        }
    }
}

fn put(at: &mut Node, path: &str, names: &[&str], value: Node) -> Result<(), (String, String)> {
    let Some((name, rest)) = names.split_first() else {
        *at = value;
        return Ok(());
    };
    if matches!(at.value, Value::Null) {
        at.value = Value::Table(Vec::new());
    }
    match &mut at.value {
        Value::Table(entries) => {
            let index = match entries.iter().position(|(key, _)| same(&key.name, name)) {
                Some(index) => index,
                None if NAMED.contains(&path) => {
                    let near =
                        nearest(&name.to_ascii_lowercase(), entries.iter().map(|(key, _)| key.name.as_str()));
                    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    let wanted = name.to_ascii_lowercase();
                    return Err((join(path, &wanted), format!("the file has no such entry{near}")));
                }
                None => {
                    let key = Key { name: name.to_ascii_lowercase(), place: value.place.clone() };
                    entries.push((key, Node::new(value.place.clone(), Value::Null)));
                    entries.len() - 1
                }
            };
            match entries.get_mut(index) {
                Some((key, child)) => put(child, &join(path, &key.name), rest, value),
                None => Ok(()),
            }
        }
        Value::List(items) => {
            let count = items.len();
            let child = name.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            let path = join(path, &name.to_ascii_lowercase());
            match child {
                Some(child) => put(child, &path, rest, value),
                None => Err((path, format!("is a list of {count}: name one of them by its number, from 0"))),
            }
        }
        _ => Err((path.to_owned(), "is one value and has no settings below it".to_owned())),
    }
}

fn same(key: &str, name: &str) -> bool {
    let plain = |c: char| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_lowercase() };
    key.chars().map(plain).eq(name.chars().map(plain))
}
