//! A configuration as it was written: values with their places, before anybody knows what they should be.

use super::fault::Place;

/// One value.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
    /// Came from outside the file (a variable, another file), so it has no type of its own and is never shown.
    pub(crate) is_filled: bool,
    /// Its path as it was written, where that is not where it stands now.
    pub(crate) written_as: Option<Box<str>>,
}

/// What a value is.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
    /// Was wrong, and somebody has been told.
    Broken,
}

/// Where a path leads.
pub(crate) struct Found<'a> {
    pub(crate) node: &'a Node,
    /// The path as it is in the file.
    pub(crate) path: String,
    /// Whether nothing of the path is missing.
    pub(crate) is_there: bool,
}

/// The name of a value.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Node {
    pub(crate) fn new(place: Place, value: Value) -> Self {
        Self { place, value, is_filled: false, written_as: None }
    }

    /// The entries, if it is a table.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The value called `name`, if it is a table that has one.
    pub(crate) fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(key, _)| key.name == name)
    }

    /// The value called `name`, to be changed.
    pub(crate) fn entry_mut(&mut self, name: &str) -> Option<&mut (Key, Self)> {
        let Value::Table(entries) = &mut self.value else { return None };
        entries.iter_mut().find(|(key, _)| key.name == name)
    }

    /// Takes the value called `name` out.
    pub(crate) fn take(&mut self, name: &str) -> Option<(Key, Node)> {
        let Value::Table(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|(key, _)| key.name == name)?;
        Some(entries.remove(index))
    }

    /// The table called `name`, made at `place` where there is none; `None` when something else stands there.
    pub(crate) fn table_mut(&mut self, name: &str, place: &Place) -> Option<&mut Vec<(Key, Node)>> {
        let Value::Table(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|(key, _)| key.name == name).unwrap_or_else(|| {
            let key = Key { name: name.to_owned(), place: place.clone() };
            entries.push((key, Self::new(place.clone(), Value::Table(Vec::new()))));
            entries.len() - 1
        });
        let (_, node) = entries.get_mut(index)?;
        if matches!(node.value, Value::Null) {
            node.value = Value::Table(Vec::new());
        }
        if let Value::Table(inner) = &mut node.value { Some(inner) } else { None }
    }

    /// The value at `steps`, each the number of a child.
    pub(crate) fn at_mut(&mut self, steps: &[usize]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |node, step| match &mut node.value {
            Value::List(items) => items.get_mut(*step),
            Value::Table(entries) => entries.get_mut(*step).map(|(_, node)| node),
            _ => None,
        })
    }

    /// The value nearest to `path`: names with dots between, and numbers in brackets.
    ///
    /// A number counts the items that were read, so those that were wrong are passed over.
    pub(crate) fn nearest(&self, path: &str) -> Found<'_> {
        let mut found = Found { node: self, path: String::new(), is_there: true };
        let mut rest = path;
        while !rest.is_empty() {
            let Some((node, path, left)) = found.node.child(&found.path, rest) else {
                let path = if rest.starts_with('[') { found.path + rest } else { join(&found.path, rest) };
                return Found { path, is_there: false, ..found };
            };
            found = Found { node, path, is_there: true };
            rest = left;
        }
        found
    }

    /// The child that `path` begins with, its own path below `parent`, and what is left. A name may hold dots, as models'
    /// names do.
    fn child<'p>(&self, parent: &str, path: &'p str) -> Option<(&Self, String, &'p str)> {
        let after = |name: &str| match path.strip_prefix(name)? {
            "" => Some(""),
            rest if rest.starts_with('[') => Some(rest),
            rest => rest.strip_prefix('.'),
        };
        match &self.value {
            Value::Table(entries) => entries
                .iter()
                .filter_map(|(key, node)| Some((node, key, after(&key.name)?)))
                .min_by_key(|(_, _, rest)| rest.len())
                .map(|(node, key, rest)| (node, join(parent, &key.name), rest)),
            Value::List(items) => {
                let (number, rest) = path.strip_prefix('[')?.split_once(']')?;
                let read = items.iter().enumerate().filter(|(_, node)| !matches!(node.value, Value::Broken));
                let (index, node) = { read }.nth(number.parse().ok()?)?;
                Some((node, join_index(parent, index), rest.strip_prefix('.').unwrap_or(rest)))
            }
            _ => None,
        }
    }

    /// Whether it, or anything directly in it, was wrong.
    pub(crate) fn is_spoiled(&self) -> bool {
        let broken = |node: &Self| matches!(node.value, Value::Broken);
        broken(self)
            || match &self.value {
                Value::List(items) => items.iter().any(broken),
                Value::Table(entries) => entries.iter().any(|(_, node)| broken(node)),
                _ => false,
            }
    }

    /// As JSON. What came from outside becomes what it looks like: `30` a number, `true` a truth value.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Broken => Json::Null,
            Value::Bool(is) => Json::Bool(*is),
            Value::Integer(number) => i64::try_from(*number)
                .map(Json::from)
                .or_else(|_| u64::try_from(*number).map(Json::from))
                .unwrap_or_else(|_| Json::from(number.to_string())),
            Value::Float(number) => Json::from(*number),
            Value::Text(text) if self.is_filled => guess(text),
            Value::Text(text) => Json::from(text.as_str()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => {
                entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect()
            }
        }
    }
}

fn guess(text: &str) -> serde_json::Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => text
            .parse::<i64>()
            .map(serde_json::Value::from)
            .ok()
            .or_else(|| {
                let looks_like = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                text.parse::<f64>().ok().filter(|_| looks_like).map(serde_json::Value::from)
            })
            .unwrap_or_else(|| text.into()),
    }
}

/// `parent.name`, and `name` where there is no parent.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// `parent[0]`.
pub(crate) fn join_index(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}
