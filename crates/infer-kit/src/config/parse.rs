//! From text to a tree: YAML, JSON and TOML. A file that cannot be parsed, or says a thing twice, ends here.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error as YamlError, Location, Spanned};
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};
use super::tree::{Key, Node, Value, join, join_index};

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// YAML 1.2: of one document, booleans only as `true` and `false`.
    Yaml,
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

impl Format {
    /// The format that a file's name ends in; YAML where it ends in nothing known.
    pub fn of(file: &std::path::Path) -> Self {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "toml" => Self::Toml,
            _ => Self::Yaml,
        }
    }
}

/// The tree, whose root is a table. All keys that stand twice are reported at once.
pub(crate) fn parse(text: &str, format: Format) -> Result<Node, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(vec![empty()]);
    }
    let tree = match format {
        Format::Yaml => yaml(text)?,
        Format::Json => json(text)?,
        Format::Toml => toml(text)?,
    };
    let mut faults = Vec::new();
    twice(&tree, "", &mut faults);
    match &tree.value {
        Value::Table(_) if faults.is_empty() => Ok(tree),
        Value::Table(_) => Err(faults),
        Value::Null => Err(vec![empty()]),
        _ => {
            let message = "must be a table of settings that begins with a key such as providers:";
            Err(vec![Fault::new(&tree.place, "", message)])
        }
    }
}

fn empty() -> Fault {
    Fault::new(&Place::START, "", "is empty: name at least one provider under providers:")
}

/// Reports each key that stands twice in one table.
fn twice(node: &Node, path: &str, faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (key, child) in node.entries() {
        let path = join(path, &key.name);
        if !seen.insert(&key.name) {
            faults.push(Fault::new(&key.place, path.as_str(), "is there twice: keep one"));
        }
        twice(child, &path, faults);
    }
    if let Value::List(items) = &node.value {
        for (index, child) in items.iter().enumerate() {
            twice(child, &join_index(path, index), faults);
        }
    }
}

fn yaml(text: &str) -> Result<Node, Vec<Fault>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST },
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Loose>>(text, options)
        .map(node)
        .map_err(|error| vec![unreadable(&error)])
}

/// JSON is YAML; that it is nothing but JSON is checked before.
fn json(text: &str) -> Result<Node, Vec<Fault>> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
        let place = Place::File { line: error.line().max(1) as u64, column: error.column().max(1) as u64 };
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        vec![Fault::new(&place, "", format!("is not JSON: {message}"))]
    })?;
    yaml(text)
}

fn unreadable(error: &YamlError) -> Fault {
    let message = error.without_snippet().to_string();
    let message = message.split(" at line ").next().unwrap_or_default().lines().next().unwrap_or_default();
    let place = error.location().map_or(Place::START, place);
    Fault::new(&place, "", format!("cannot be read: {message}"))
}

fn place(location: Location) -> Place {
    Place::File { line: location.line().max(1), column: location.column().max(1) }
}

/// A value whose type is whatever the text says.
enum Loose {
    Scalar(Value),
    List(Vec<Spanned<Loose>>),
    Table(Vec<(Spanned<String>, Spanned<Loose>)>),
}

fn node(spanned: Spanned<Loose>) -> Node {
    let value = match spanned.value {
        Loose::Scalar(value) => value,
        Loose::List(items) => Value::List(items.into_iter().map(node).collect()),
        Loose::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(key, value)| (Key { name: key.value, place: place(key.referenced) }, node(value)))
                .collect(),
        ),
    };
    Node::new(place(spanned.referenced), value)
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, is: bool) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Bool(is)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Integer(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Integer(number.into())))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Integer(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Text(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Loose, E> {
        Ok(Loose::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Loose, D::Error> {
        Loose::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Loose, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Loose::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Loose, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Loose::Table(entries))
    }
}

/// How deep lists and tables may stand in each other: several times what any setting needs. What reads them calls itself, and
/// the YAML reader's own limit of 64 is more than the 2 MiB stack of a thread holds in a build without optimisation.
const DEEPEST: usize = 32;

fn toml(text: &str) -> Result<Node, Vec<Fault>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: &toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            Fault::new(&lines.place(start), "", format!("cannot be read: {message}"))
        };
        return Err(errors.iter().take(super::MAX_FAULTS).map(fault).collect());
    }
    let start = table.span().start;
    let value = toml_table(table.get_ref(), &lines, 1).map_err(|fault| vec![fault])?;
    Ok(Node::new(lines.place(start), value))
}

fn toml_table(table: &DeTable<'_>, lines: &Lines<'_>, depth: usize) -> Result<Value, Fault> {
    let entries = table.iter().map(|(key, value)| {
        let key = Key { name: key.get_ref().to_string(), place: lines.place(key.span().start) };
        let place = lines.place(value.span().start);
        Ok((key, Node::new(place.clone(), toml_value(value.get_ref(), lines, &place, depth)?)))
    });
    let mut entries = entries.collect::<Result<Vec<_>, Fault>>()?;
    entries.sort_by(|(one, _), (other, _)| one.place.cmp(&other.place));
    Ok(Value::Table(entries))
}

fn toml_value(value: &DeValue<'_>, lines: &Lines<'_>, place: &Place, depth: usize) -> Result<Value, Fault> {
    if depth > DEEPEST {
        return Err(Fault::new(place, "", format!("stands deeper than {DEEPEST} tables and lists")));
    }
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(Value::Integer)
            .map_err(|_| Fault::new(place, "", "is too large a number"))?,
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map(Value::Float)
            .map_err(|_| Fault::new(place, "", "is no number that can be held"))?,
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => {
            let item = |item: &toml::Spanned<DeValue<'_>>| {
                let place = lines.place(item.span().start);
                Ok(Node::new(place.clone(), toml_value(item.get_ref(), lines, &place, depth + 1)?))
            };
            Value::List(items.iter().map(item).collect::<Result<_, Fault>>()?)
        }
        DeValue::Table(table) => toml_table(table, lines, depth + 1)?,
    })
}

/// Turns byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Place::File { line: line as u64, column: column as u64 + 1 }
    }
}
