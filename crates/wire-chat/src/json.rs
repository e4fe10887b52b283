//! Reading JSON that servers write in more than one way, without building a tree.
//!
//! Text is borrowed from the event where it stands. What can be large is taken as [`RawValue`] and unescaped once.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A short text; a number counts as its digits, anything else as absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, absent or empty being the same.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }

    pub(crate) fn into_string(self) -> Option<String> {
        self.0.map(Cow::into_owned)
    }
}

/// A count; fractions are cut off, anything else is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Text(None))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count(Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(number).ok()))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked; the cast saturates"
    )]
    fn visit_f64<E>(self, number: f64) -> Result<Count, E> {
        Ok(Count((number >= 0.0).then_some(number as u64)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Count, E> {
        Ok(Count(text.parse().ok()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Count(None))
    }
}

/// A list that nearly always has one element, so that reading it allocates nothing. `null` is the empty list.
#[derive(Debug, Default)]
pub(crate) enum Few<T, const MAX: usize> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
    /// More than `MAX`; nothing of it is kept.
    Excess,
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for FewVisitor<T, MAX> {
    type Value = Few<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Few::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some(first) = seq.next_element()? else { return Ok(Few::None) };
        let Some(second) = seq.next_element()? else { return Ok(Few::One(first)) };
        let mut many = vec![first, second];
        while many.len() < MAX {
            let Some(next) = seq.next_element()? else { return Ok(Few::Many(many)) };
            many.push(next);
        }
        let is_more = seq.next_element::<IgnoredAny>()?.is_some();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(if is_more { Few::Excess } else { Few::Many(many) })
    }
}

/// The most members of an object that are kept in a list; no request has a tenth of it, and a list is searched.
pub(crate) const MAX_MEMBERS: usize = 512;

/// The members of an object in order, one level deep; of two with one name the later value counts.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    pub(crate) list: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// There were more than [`MAX_MEMBERS`], and the rest is missing.
    pub(crate) is_cut: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, raw)| *raw)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            let name = name.0.unwrap_or_default();
            if let Some((_, known)) = members.list.iter_mut().find(|(known, _)| *known == name) {
                *known = value;
            } else if members.list.len() < MAX_MEMBERS {
                members.list.push((name, value));
            } else {
                members.is_cut = true;
            }
        }
        Ok(members)
    }
}

/// Whether a server means something by this value: not `null`, `false`, `0`, nor empty.
pub(crate) fn is_truthy(raw: &RawValue) -> bool {
    match raw.get() {
        "null" | "false" | "0" | "\"\"" => false,
        text => match text.as_bytes().first() {
            Some(b'{' | b'[') => !matches!(minify(text.get(..64).unwrap_or(text)).as_str(), "{}" | "[]"),
            _ => true,
        },
    }
}

/// The text of a JSON string; `None` for any other value.
pub(crate) fn string(raw: &RawValue) -> Option<String> {
    infer_core::raw::string(raw).map(Cow::into_owned)
}

/// A string's text; any other value as compact JSON, with numbers spelled as they came. `null` is empty.
pub(crate) fn string_or_json(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        text => string(raw).unwrap_or_else(|| minify(text)),
    }
}

/// JSON without the blank space between its parts; strings and numbers stay as they are spelled.
pub(crate) fn minify(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        if in_string {
            in_string = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            true
        } else {
            in_string = *c == '"';
            !matches!(c, ' ' | '\t' | '\n' | '\r')
        }
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn compact_json_keeps_strings_and_the_spelling_of_numbers() {
        assert_eq!(minify("{ \"a b\" : [ 1.50e3 ,\n\"\\\" x\\\\\" ] }"), r#"{"a b":[1.50e3,"\" x\\"]}"#);
        assert_eq!(string_or_json(raw("{ }")), "{}");
        assert_eq!(string_or_json(raw("null")), "");
    }

    #[test]
    fn only_an_error_that_says_something_is_one() {
        for no in ["null", "false", "0", r#""""#, "{}", "[]", "{ }"] {
            assert!(!is_truthy(raw(no)), "{no}");
        }
        for yes in ["true", r#""x""#, r#"{"a":1}"#, "[1]", "1"] {
            assert!(is_truthy(raw(yes)), "{yes}");
        }
    }

    #[test]
    fn wrong_types_are_absent_rather_than_fatal() {
        for odd in ["[1,[2]]", r#"{"a":{}}"#, "true", "null"] {
            assert!(serde_json::from_str::<Text<'_>>(odd).unwrap().0.is_none(), "{odd}");
            assert!(serde_json::from_str::<Count>(odd).unwrap().0.is_none(), "{odd}");
        }
        assert_eq!(serde_json::from_str::<Text<'_>>("502").unwrap().filled(), Some("502"));
        assert_eq!(serde_json::from_str::<Count>("7.9").unwrap().0, Some(7));
        assert_eq!(serde_json::from_str::<Count>("-1").unwrap().0, None);
    }

    #[test]
    fn a_list_over_the_limit_is_told_apart() {
        let read = serde_json::from_str::<Few<u8, 2>>;
        assert!(matches!(read("null").unwrap(), Few::None));
        assert!(matches!(read("[1]").unwrap(), Few::One(1)));
        assert!(matches!(read("[1,2]").unwrap(), Few::Many(_)));
        assert!(matches!(read("[1,2,3,4]").unwrap(), Few::Excess));
    }
}
