//! Values as bytes for a hash, so that different values are different bytes; JSON by its meaning.

use std::cell::Cell;
use std::fmt;

use blake3::{Hash, Hasher};
use infer_core::{Extra, RawJson};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Feeds values so that no two different sequences of values give the same bytes: every text and list has its length in
/// front, every choice its number.
pub(super) struct Form(Hasher);

impl Form {
    pub(super) fn keyed(secret: &[u8; 32]) -> Self {
        Self(Hasher::new_keyed(secret))
    }

    pub(super) fn finish(self) -> Hash {
        self.0.finalize()
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn tag(&mut self, tag: u8) {
        self.0.update(&[tag]);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    pub(super) fn float(&mut self, float: f64) {
        // Both zeros are one number.
        self.number((float + 0.0).to_bits());
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, feed: impl FnOnce(&mut Self, T)) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            feed(self, value);
        }
    }

    pub(super) fn string(&mut self, value: Option<&String>) {
        self.optional(value, |form, text| form.text(text));
    }

    pub(super) fn json(&mut self, json: &RawJson) {
        self.0.update(digest(json).as_bytes());
    }

    pub(super) fn extra<'a>(&mut self, extra: &'a Extra, without: &[&str]) {
        let mut members: Vec<(&'a str, &'a RawJson)> =
            extra.iter().filter(|(name, _)| !without.contains(name)).collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        self.number(members.len() as u64);
        for (name, value) in members {
            self.text(name);
            self.json(value);
        }
    }
}

/// A hash of JSON in which whitespace and the order of members do not count.
fn digest(json: &RawJson) -> Hash {
    let is_rounded = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(json.get());
    match (Digest { is_rounded: &is_rounded }).deserialize(&mut reader) {
        Ok(digest) if !is_rounded.get() => digest,
        // Nested too deep, or with numbers that would lose digits: as it is written, which only shares less.
        _ => {
            let mut form = leaf(b'w');
            form.text(json.get());
            form.0.finalize()
        }
    }
}

fn leaf(kind: u8) -> Form {
    let mut form = Form(Hasher::new());
    form.tag(kind);
    form
}

#[derive(Clone, Copy)]
struct Digest<'a> {
    is_rounded: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Digest<'_> {
    type Value = Hash;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Hash, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Digest<'_> {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Hash, E> {
        Ok(leaf(b'n').0.finalize())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Hash, E> {
        let mut form = leaf(b'b');
        form.tag(value.into());
        Ok(form.0.finalize())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Hash, E> {
        let mut form = leaf(b'u');
        form.number(value);
        Ok(form.0.finalize())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Hash, E> {
        let mut form = leaf(b'i');
        form.number(value.cast_unsigned());
        Ok(form.0.finalize())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Hash, E> {
        // Beyond 2^53 whole numbers of many digits fall together.
        if value.abs() >= 9_007_199_254_740_992.0 {
            self.is_rounded.set(true);
        }
        let mut form = leaf(b'f');
        form.float(value);
        Ok(form.0.finalize())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Hash, E> {
        let mut form = leaf(b's');
        form.text(value);
        Ok(form.0.finalize())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Hash, A::Error> {
        let mut form = leaf(b'l');
        while let Some(item) = items.next_element_seed(self)? {
            form.0.update(item.as_bytes());
        }
        Ok(form.0.finalize())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hash, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((name, map.next_value_seed(self)?));
        }
        // Stable: of a name given twice, which one counts is the upstream's matter.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut form = leaf(b'm');
        for (name, value) in members {
            form.text(&name);
            form.0.update(value.as_bytes());
        }
        Ok(form.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    #[test]
    fn json_nested_without_end_is_hashed_as_written() {
        let deep = raw(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        assert_eq!(digest(&deep), digest(&deep.clone()));
        assert_ne!(digest(&deep), digest(&raw("[]")));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1e6..1e6).prop_map(|number: f64| Value::from(number)),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c]{0,2}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Writes JSON with its members backwards and blanks between.
    fn backwards(value: &Value) -> String {
        match value {
            Value::Array(items) => {
                format!("[ {} ]", items.iter().map(backwards).collect::<Vec<_>>().join(" , "))
            }
            Value::Object(members) => {
                let parts: Vec<_> = members
                    .iter()
                    .rev()
                    .map(|(n, v)| format!("{} : {}", Value::from(n.as_str()), backwards(v)))
                    .collect();
                format!("{{ {} }}", parts.join(" , "))
            }
            leaf => leaf.to_string(),
        }
    }

    proptest! {
        /// JSON has the same hash however its members are ordered, and another one when it says something else.
        #[test]
        fn the_hash_of_json_is_that_of_its_meaning(a in json(), b in json()) {
            let a_digest = digest(&RawJson::from(a.clone()));
            prop_assert_eq!(a_digest, digest(&raw(&backwards(&a))));
            prop_assert_eq!(a_digest == digest(&RawJson::from(b.clone())), a == b);
        }
    }
}
