//! From a tree to a value of a type, with all faults at once.
//!
//! Serde stops at the first fault. Here the value that was wrong is marked in the tree, reported, and left out of the
//! next attempt, until an attempt succeeds; every setting has a default, so leaving one out costs nothing. Each attempt
//! removes a fault, and there are at most [`MAX_FAULTS`](super::MAX_FAULTS) of them.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::MAX_FAULTS;
use super::fault::Fault;
use super::known::unknown;
use super::secret::is_secret;
use super::tree::{Node, Value, join, join_index};
use super::trouble::Trouble;

/// Reads `node`, which stands at `path`. Keys in `also` are known at the top beside those of `T`.
///
/// What is wrong goes into `faults`, and the result is what the rest says. `None` when nothing can be made of it.
pub(crate) fn read<T: DeserializeOwned>(
    node: &mut Node,
    path: &str,
    also: &[&str],
    faults: &mut Vec<Fault>,
) -> Option<T> {
    for _ in 0..MAX_FAULTS {
        let strangers = RefCell::new(Vec::new());
        let reader = Reader { node, way: &Way::Top(path), also, strangers: &strangers };
        let result = T::deserialize(reader);
        let strangers = strangers.into_inner();
        match result {
            Ok(value) => {
                faults.extend(strangers);
                return Some(value);
            }
            Err(trouble) => {
                let steps = trouble.steps.clone().unwrap_or_default();
                let wrong = node.at_mut(&steps)?;
                // A table that lacks what was wrong in it has been reported by that.
                if !(trouble.is_missing && wrong.is_spoiled()) {
                    let place = wrong.place.clone();
                    let path = wrong.written_as.as_deref().unwrap_or(&trouble.path).to_owned();
                    let hides = wrong.is_filled || is_secret(&path);
                    faults.push(Fault::new(&place, path, trouble.text(wrong, hides)));
                }
                wrong.value = Value::Broken;
                if steps.is_empty() {
                    faults.extend(strangers);
                    return None;
                }
            }
        }
    }
    None
}

/// How a reader came to its node.
enum Way<'a> {
    Top(&'a str),
    Below { parent: &'a Way<'a>, step: usize, name: &'a str },
    Item { parent: &'a Way<'a>, step: usize },
}

impl Way<'_> {
    fn path(&self) -> String {
        match self {
            Self::Top(path) => (*path).to_owned(),
            Self::Below { parent, name, .. } => join(&parent.path(), name),
            Self::Item { parent, step } => join_index(&parent.path(), *step),
        }
    }

    fn steps(&self) -> Vec<usize> {
        match self {
            Self::Top(_) => Vec::new(),
            Self::Below { parent, step, .. } | Self::Item { parent, step } => {
                let mut steps = parent.steps();
                steps.push(*step);
                steps
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    way: &'a Way<'a>,
    also: &'a [&'a str],
    strangers: &'a RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    fn at<V>(self, result: Result<V, Trouble>) -> Result<V, Trouble> {
        result.map_err(|mut trouble| {
            if trouble.steps.is_none() {
                trouble.steps = Some(self.way.steps());
                trouble.path = self.way.path();
            }
            trouble
        })
    }

    /// The text of a value that has no type of its own.
    fn loose(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if self.node.is_filled => Some(text),
            _ => None,
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let result = match &self.node.value {
            Value::Null | Value::Broken => visitor.visit_unit(),
            Value::Bool(is) => visitor.visit_bool(*is),
            Value::Integer(number) => integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { reader: self, nodes: items, next: 0 }),
            Value::Table(_) => visitor.visit_map(Entries::of(self, None)),
        };
        self.at(result)
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let Some(text) = self.loose() else { return self.any(visitor) };
        let result = match (text.parse::<i128>(), text.parse::<f64>()) {
            (Ok(whole), _) => integer(whole, visitor),
            (_, Ok(number)) if number.is_finite() => visitor.visit_f64(number),
            _ => Err(Trouble::invalid_type(Unexpected::Str(text), &visitor)),
        };
        self.at(result)
    }
}

fn integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Trouble> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        Err(Trouble::custom(format!("is too large a number: {number}")))
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            self.$to(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Trouble;

    forward!(any: deserialize_any deserialize_str deserialize_string deserialize_char deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier);
    forward!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.loose() {
            Some("true") => self.at(visitor.visit_bool(true)),
            Some("false") => self.at(visitor.visit_bool(false)),
            _ => self.any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let is_none = matches!(self.node.value, Value::Null) || self.loose() == Some("");
        let result = if is_none { visitor.visit_none() } else { visitor.visit_some(self) };
        self.at(result)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.at(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match (&self.node.value, self.loose()) {
            (Value::Null, _) => self.at(visitor.visit_seq(Items { reader: self, nodes: &[], next: 0 })),
            (_, Some(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let place = &self.node.place;
                let part = |part: &str| Node {
                    is_filled: true,
                    ..Node::new(place.clone(), Value::Text(part.to_owned()))
                };
                let items: Vec<Node> = parts.map(part).collect();
                // The parts stand nowhere in the tree: what is wrong with one is wrong with the whole.
                let result = visitor.visit_seq(Items { reader: self, nodes: &items, next: 0 });
                self.at(result.map_err(|mut trouble| {
                    trouble.steps = None;
                    trouble
                }))
            }
            _ => self.any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.value {
            Value::Null | Value::Table(_) => self.at(visitor.visit_map(Entries::of(self, None))),
            _ => self.any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        match &self.node.value {
            Value::Null | Value::Table(_) => self.at(visitor.visit_map(Entries::of(self, Some(fields)))),
            _ => self.any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let result = match &self.node.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(entries) if entries.len() == 1 => visitor.visit_enum(Variant { reader: self }),
            _ => return self.any(visitor),
        };
        self.at(result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    nodes: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        while let Some(node) = self.nodes.get(self.next) {
            let way = Way::Item { parent: self.reader.way, step: self.next };
            self.next += 1;
            if !matches!(node.value, Value::Broken) {
                let reader = Reader { node, way: &way, also: &[], strangers: self.reader.strangers };
                return reader.at(seed.deserialize(reader)).map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a table; of a struct's only those that it knows, while the others are reported.
struct Entries<'a> {
    reader: Reader<'a>,
    fields: Option<&'static [&'static str]>,
    next: usize,
    value: Option<usize>,
}

impl<'a> Entries<'a> {
    fn of(reader: Reader<'a>, fields: Option<&'static [&'static str]>) -> Self {
        Self { reader, fields, next: 0, value: None }
    }

    fn is_stranger(&self, name: &str) -> bool {
        self.fields.is_some_and(|fields| !fields.contains(&name))
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        while let Some((key, node)) = self.reader.node.entries().get(self.next) {
            let index = self.next;
            self.next += 1;
            if self.is_stranger(&key.name) {
                let known = self.fields.unwrap_or_default().iter().chain(self.reader.also).copied();
                let path = join(&self.reader.way.path(), &key.name);
                let message = unknown("key", &key.name, known);
                self.reader.strangers.borrow_mut().push(Fault::new(&key.place, path, message));
            } else if !matches!(node.value, Value::Broken) {
                self.value = Some(index);
                let key: StrDeserializer<'_, Trouble> = key.name.as_str().into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Trouble> {
        let found = self.value.take().and_then(|step| Some((step, self.reader.node.entries().get(step)?)));
        let Some((step, (key, node))) = found else {
            return Err(Trouble::custom("a value was asked for before its key"));
        };
        let way = Way::Below { parent: self.reader.way, step, name: &key.name };
        let reader = Reader { node, way: &way, also: &[], strangers: self.reader.strangers };
        reader.at(seed.deserialize(reader))
    }
}

/// A variant with content: a table of one entry.
struct Variant<'a> {
    reader: Reader<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Trouble;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'a>), Trouble> {
        let Some((key, _)) = self.reader.node.entries().first() else {
            return Err(Trouble::custom("must not be empty"));
        };
        let name: StrDeserializer<'_, Trouble> = key.name.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, Content { reader: self.reader }))
    }
}

struct Content<'a> {
    reader: Reader<'a>,
}

impl Content<'_> {
    fn read<T>(self, read: impl FnOnce(Reader<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let Some((key, node)) = self.reader.node.entries().first() else {
            return Err(Trouble::custom("must not be empty"));
        };
        let way = Way::Below { parent: self.reader.way, step: 0, name: &key.name };
        let reader = Reader { node, way: &way, also: &[], strangers: self.reader.strangers };
        reader.at(read(reader))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        self.read(|reader| match reader.node.value {
            Value::Null => Ok(()),
            _ => Err(Trouble::custom("takes no settings")),
        })
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Trouble> {
        self.read(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.read(|reader| reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.read(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
