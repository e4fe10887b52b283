//! JSON kept as text: members this project does not own travel through it byte for byte.
//!
//! Nothing here interprets the text; it is only known to be valid JSON.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::WireFormat;

/// A JSON value as it was written, whitespace and number spelling included.
///
/// Two values are equal when their texts are: `1.0` and `1.00` differ, since an upstream may treat them differently.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Takes `text` as JSON.
    ///
    /// # Errors
    /// When `text` is not one JSON value.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.into()).map(Self)
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON, such as a map with keys that are not text.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The text as serde_json's own raw value.
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<&RawValue> for RawJson {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        // A `Value` has text keys and finite numbers, so writing it cannot fail; `null` would show if it did.
        Self(serde_json::value::to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

/// Members passed through unread, in the order they were given.
///
/// Names are unique: setting one again replaces its value in place. Members that a server received are marked with the
/// wire format whose words they are, so that nobody sends them to an upstream that speaks another. Two are equal when
/// their members are.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    members: Vec<(String, RawJson)>,
    wire: Option<WireFormat>,
}

impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl Eq for Extra {}

impl Extra {
    /// No members.
    pub const fn new() -> Self {
        Self { members: Vec::new(), wire: None }
    }

    /// No members yet; those to come are words of `wire`.
    pub const fn received(wire: WireFormat) -> Self {
        Self { members: Vec::new(), wire: Some(wire) }
    }

    /// The wire format whose words the members are; `None` where a caller wrote them for the upstream that is asked.
    pub fn wire(&self) -> Option<WireFormat> {
        self.wire
    }

    /// Whether the members are words of another wire format than `wire`.
    pub fn is_foreign_to(&self, wire: WireFormat) -> bool {
        self.wire.is_some_and(|own| own != wire)
    }

    /// Sets `name`, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: RawJson) {
        let name = name.into();
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.members.push((name, value)),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether there is nothing to pass through.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Every member in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<N: Into<String>> FromIterator<(N, RawJson)> for Extra {
    fn from_iter<I: IntoIterator<Item = (N, RawJson)>>(members: I) -> Self {
        let mut extra = Self::new();
        for (name, value) in members {
            extra.set(name, value);
        }
        extra
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Extra;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                let mut extra = Extra::new();
                while let Some((name, value)) = map.next_entry::<String, RawJson>()? {
                    extra.set(name, value);
                }
                Ok(extra)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_untouched() {
        let raw = RawJson::parse("{\"a\": 1.50e3}").unwrap();
        assert_eq!(raw.get(), "{\"a\": 1.50e3}");
        assert_eq!(serde_json::to_string(&raw).unwrap(), "{\"a\": 1.50e3}");
    }

    #[test]
    fn setting_a_name_twice_keeps_one_value_in_its_place() {
        let mut extra = Extra::new();
        extra.set("a", RawJson::from(serde_json::json!(1)));
        extra.set("b", RawJson::from(serde_json::json!(2)));
        extra.set("a", RawJson::from(serde_json::json!(3)));
        assert_eq!(serde_json::to_string(&extra).unwrap(), r#"{"a":3,"b":2}"#);
        assert_eq!(extra.get("a").unwrap().get(), "3");
    }
}
