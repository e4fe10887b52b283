//! Finds out what a type reads.
//!
//! It is deserialised from made-up values, again and again: a value that a type refuses has been asked for, so its shape
//! is known, and the next pass leaves it out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Map, Value as Json, json};

use super::or_text;
use super::refusal::{Path, Refusal};

/// Passes over one type; each finds at least one more value out.
const MOST_PASSES: usize = 1000;

/// How deep types may stand in each other; one that holds itself ends there.
const DEEPEST: usize = 12;

/// The schema of what `T` reads, and what its members go by: another name, and the name it stands for.
pub(crate) fn of<T: DeserializeOwned>() -> (Json, Vec<(&'static str, &'static str)>) {
    let seen = Seen::default();
    for _ in 0..MOST_PASSES {
        let probe = Probe { path: Vec::new(), seen: &seen };
        match T::deserialize(probe) {
            Ok(_) => break,
            Err(Refusal { is_again: true, .. }) => {}
            Err(Refusal { at: Some(path), .. }) if !path.is_empty() => {
                if !seen.left_out.borrow_mut().insert(path) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    let schema = seen.schema(&mut Vec::new());
    let aliases = seen.aliases.take().into_iter().filter(|(path, _)| path.len() == 1);
    (schema, aliases.filter_map(|(path, name)| Some((path.last().copied()?, name))).collect())
}

/// The names of what has none.
const ITEM: &str = "[]";
const VALUE: &str = "{}";

#[derive(Default)]
struct Seen {
    shapes: RefCell<BTreeMap<Path, Shape>>,
    left_out: RefCell<BTreeSet<Path>>,
    /// Another name, and the name it stands for.
    aliases: RefCell<BTreeMap<Path, &'static str>>,
    /// Members that are asked for by their own name before any other.
    first: RefCell<BTreeSet<Path>>,
    /// The key that was handed out last, until its value is asked for.
    handed_out: RefCell<Option<Path>>,
}

#[derive(Clone)]
enum Shape {
    Any,
    Plain(Json),
    Struct(&'static [&'static str]),
    Map,
    List,
    Words { words: &'static [&'static str], has_content: bool },
}

impl Seen {
    fn note(&self, path: &Path, shape: Shape) {
        self.shapes.borrow_mut().insert(path.clone(), shape);
    }

    fn schema(&self, path: &mut Path) -> Json {
        let shape = self.shapes.borrow().get(path).cloned().unwrap_or(Shape::Any);
        match shape {
            Shape::Any => json!({}),
            Shape::Plain(schema) => schema,
            Shape::List => json!({"type": "array", "items": self.below(path, ITEM)}),
            Shape::Map => json!({"type": "object", "additionalProperties": self.below(path, VALUE)}),
            Shape::Words { words, has_content } => {
                let plain = json!({"enum": words});
                if has_content { json!({"anyOf": [plain, {"type": "object"}]}) } else { plain }
            }
            Shape::Struct(fields) => {
                let mut properties = Map::new();
                for field in fields {
                    path.push(field);
                    let alias = self.aliases.borrow().get(path).copied();
                    path.pop();
                    properties.insert((*field).to_owned(), self.below(path, alias.unwrap_or(field)));
                }
                json!({"type": "object", "properties": properties, "additionalProperties": false})
            }
        }
    }

    fn below(&self, path: &mut Path, name: &'static str) -> Json {
        path.push(name);
        let schema = self.schema(path);
        path.pop();
        schema
    }
}

struct Probe<'s> {
    path: Path,
    seen: &'s Seen,
}

impl Probe<'_> {
    fn plain<V>(self, schema: Json, visit: impl FnOnce() -> Result<V, Refusal>) -> Result<V, Refusal> {
        self.seen.note(&self.path, Shape::Plain(schema));
        let Self { path, .. } = self;
        visit().map_err(|_| Refusal::at(path))
    }

    /// The fields of a struct, those first that are asked for by their own name.
    fn in_order(&self, fields: &'static [&'static str]) -> Vec<&'static str> {
        let first = self.seen.first.borrow();
        let is_later = |field: &&'static str| {
            !first.iter().any(|path| path.split_last() == Some((field, self.path.as_slice())))
        };
        let mut fields = fields.to_vec();
        fields.sort_by_key(is_later);
        fields
    }

    fn is_left_out(&self) -> bool {
        self.path.len() > DEEPEST || self.seen.left_out.borrow().contains(&self.path)
    }
}

/// The refusal of what is inside, which names its place, or else that of `path`.
fn place<V>(path: Path, result: Result<V, Refusal>) -> Result<V, Refusal> {
    result.map_err(|refusal| Refusal { at: refusal.at.or(Some(path)), same_as: None, ..refusal })
}

macro_rules! numbers {
    ($schema:expr, $visit:ident, $sample:expr => $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.plain(or_text(&$schema), || visitor.$visit($sample))
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.plain(json!({"type": "string"}), || visitor.visit_str("1s"))
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refusal;

    numbers!(json!({"type": "integer", "minimum": 0}), visit_u64, 1 =>
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);
    numbers!(json!({"type": "integer"}), visit_i64, 1 =>
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64);
    numbers!(json!({"type": "number"}), visit_f64, 0.5 => deserialize_f32 deserialize_f64);
    numbers!(json!({"type": "boolean"}), visit_bool, false => deserialize_bool);
    texts!(deserialize_str deserialize_string deserialize_char deserialize_bytes deserialize_byte_buf deserialize_identifier);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.seen.note(&self.path, Shape::Any);
        place(self.path, visitor.visit_str("1s"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.plain(json!({"type": "null"}), || visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.seen.note(&self.path, Shape::List);
        let path = self.path.clone();
        place(path, visitor.visit_seq(OneItem(Some(self))))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.seen.note(&self.path, Shape::Map);
        let fields =
            Fields { rest: vec![VALUE].into_iter(), current: None, path: self.path.clone(), seen: self.seen };
        place(self.path, visitor.visit_map(fields))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.seen.note(&self.path, Shape::Struct(fields));
        let fields = Fields {
            rest: self.in_order(fields).into_iter(),
            current: None,
            path: self.path.clone(),
            seen: self.seen,
        };
        let result = visitor.visit_map(fields).map_err(|refusal| {
            match (refusal.same_as, self.seen.handed_out.take()) {
                // The own name comes second: another one came first, which is told once their order is turned.
                (Some(name), Some(path)) if refusal.at.is_none() && path.last() == Some(&name) => {
                    let is_again = self.seen.first.borrow_mut().insert(path.clone());
                    Refusal { is_again, ..Refusal::at(path) }
                }
                (Some(name), Some(alias)) if refusal.at.is_none() => {
                    self.seen.aliases.borrow_mut().insert(alias.clone(), name);
                    Refusal::at(alias)
                }
                _ => refusal,
            }
        });
        place(self.path, result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.seen.note(&self.path, Shape::Words { words, has_content: false });
        let path = self.path.clone();
        place(path, visitor.visit_enum(Word { words, probe: self }))
    }
}

struct OneItem<'s>(Option<Probe<'s>>);

impl<'de> SeqAccess<'de> for OneItem<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(mut probe) = self.0.take() else { return Ok(None) };
        probe.path.push(ITEM);
        if probe.is_left_out() {
            return Ok(None);
        }
        let path = probe.path.clone();
        place(path, seed.deserialize(probe)).map(Some)
    }
}

struct Fields<'s> {
    rest: std::vec::IntoIter<&'static str>,
    current: Option<&'static str>,
    path: Path,
    seen: &'s Seen,
}

impl<'s> Fields<'s> {
    fn probe(&self, name: &'static str) -> Probe<'s> {
        let mut path = self.path.clone();
        path.push(name);
        Probe { path, seen: self.seen }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        while let Some(field) = self.rest.next() {
            let probe = self.probe(field);
            if probe.is_left_out() {
                continue;
            }
            self.current = Some(field);
            self.seen.handed_out.replace(Some(probe.path.clone()));
            let key: StrDeserializer<'_, Refusal> = field.into_deserializer();
            return place(probe.path, seed.deserialize(key)).map(Some);
        }
        self.current = None;
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refusal> {
        let Some(field) = self.current.take() else { return Err(Refusal::custom("no key")) };
        self.seen.handed_out.take();
        let probe = self.probe(field);
        let path = probe.path.clone();
        place(path, seed.deserialize(probe))
    }
}

struct Word<'s> {
    words: &'static [&'static str],
    probe: Probe<'s>,
}

impl<'de, 's> EnumAccess<'de> for Word<'s> {
    type Error = Refusal;
    type Variant = Content<'s>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'s>), Refusal> {
        let first = self.words.first().copied().unwrap_or_default().to_owned();
        let word: StringDeserializer<Refusal> = first.into_deserializer();
        Ok((seed.deserialize(word)?, Content { words: self.words, probe: self.probe }))
    }
}

struct Content<'s> {
    words: &'static [&'static str],
    probe: Probe<'s>,
}

impl Content<'_> {
    fn refuse<T>(self) -> Result<T, Refusal> {
        let shape = Shape::Words { words: self.words, has_content: true };
        self.probe.seen.note(&self.probe.path, shape);
        Err(Refusal::at(self.probe.path))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Refusal> {
        self.refuse()
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Refusal> {
        self.refuse()
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Refusal> {
        self.refuse()
    }
}
