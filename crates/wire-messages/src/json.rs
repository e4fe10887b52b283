//! Reading JSON without building a tree: members stay as they were written until somebody wants them.

use std::borrow::Cow;
use std::fmt;

pub(crate) use infer_core::raw::{string, trim};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of an object in order, one level deep.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text that says something; absent, empty and any other type being the same.
pub(crate) fn filled(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    raw.and_then(string).filter(|text| !text.is_empty())
}

/// A count; fractions are cut off, anything that is no number is absent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked; the cast saturates")]
pub(crate) fn count(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    text.parse().ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0 && number.is_finite())?;
        Some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_whatever_number_they_are() {
        let cases = [("7", Some(7)), ("7.9", Some(7)), ("1e3", Some(1000)), ("-1", None), ("\"7\"", None)];
        for (json, expect) in cases.into_iter().chain([("null", None), ("1e400", None)]) {
            assert_eq!(count(serde_json::from_str(json).ok()), expect, "{json}");
        }
    }

    #[test]
    fn members_keep_their_order_and_their_spelling() {
        let members: Members<'_> = serde_json::from_str(r#"{"b": 1.50, "\u0061":{ } }"#).unwrap();
        let read: Vec<_> = members.0.iter().map(|(name, value)| (&**name, value.get())).collect();
        assert_eq!(read, [("b", "1.50"), ("a", "{ }")]);
        assert!(serde_json::from_str::<Members<'_>>("[]").is_err());
    }
}
