//! The members of a request, one by one: typed where that loses nothing, refused where the type is wrong.
//!
//! `null` stands for an absent member. A value of the right type that does not fit ours, such as a number of tokens
//! beyond 32 bits, is [`Fit::Other`] and travels on unread: its receiver knows best.

use infer_core::InferenceError;
use serde_json::value::RawValue;

use crate::json::{Members, string, trim};
use crate::refusal::refused;

/// The most members of an object: what is kept unread is searched by name.
const MAX_MEMBERS: usize = 512;
/// The most elements of a list that is kept typed.
const MAX_LIST: usize = 4096;

/// How a member fits its field.
pub(super) enum Fit<T> {
    Typed(T),
    /// Right in kind, but not sayable exactly in our type.
    Other,
}

pub(super) type Read<T> = Result<Option<Fit<T>>, InferenceError>;

/// The members of a body that must be an object.
pub(super) fn body_members(body: &[u8]) -> Result<Members<'_>, InferenceError> {
    let wrong = |why: &str| InferenceError::invalid_request(format!("the body {why}"));
    let text = std::str::from_utf8(body).map(trim).map_err(|_| wrong("must be UTF-8"))?;
    if !text.starts_with('{') {
        return Err(wrong("must be a JSON object"));
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
        wrong(&format!("is not valid JSON at line {} column {}", error.line(), error.column()))
    })?;
    if members.0.len() > MAX_MEMBERS { Err(wrong("has too many members")) } else { Ok(members) }
}

/// The members of a value that must be an object.
pub(super) fn members<'a>(param: &str, raw: &'a RawValue) -> Result<Members<'a>, InferenceError> {
    let members: Members<'a> =
        serde_json::from_str(raw.get()).map_err(|_| refused(param, "must be an object"))?;
    if members.0.len() > MAX_MEMBERS { Err(refused(param, "has too many members")) } else { Ok(members) }
}

/// A member by name, `null` being absent. Of several of one name the last counts.
pub(super) fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    let (_, raw) = members.0.iter().rev().find(|(known, _)| known == name)?;
    Some(*raw).filter(|raw| raw.get() != "null")
}

pub(super) fn text(name: &str, raw: &RawValue) -> Result<Option<String>, InferenceError> {
    match (raw.get(), string(raw)) {
        ("null", _) => Ok(None),
        (_, Some(text)) => Ok(Some(text.into_owned())),
        _ => Err(refused(name, "must be text")),
    }
}

pub(super) fn flag(name: &str, raw: &RawValue) -> Result<Option<bool>, InferenceError> {
    match raw.get() {
        "null" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(refused(name, "must be true or false")),
    }
}

/// A decimal number, read exactly: serde_json's own reading may be off in the last digit.
pub(super) fn decimal(name: &str, raw: &RawValue) -> Read<f64> {
    let fits = |number: f64| number.is_finite().then_some(number);
    number(name, raw, |text| text.parse().ok().and_then(fits), "must be a number")
}

pub(super) fn integer(name: &str, raw: &RawValue) -> Read<u32> {
    number(name, raw, |text| text.parse().ok(), "must be an integer")
}

fn number<T>(name: &str, raw: &RawValue, parse: impl FnOnce(&str) -> Option<T>, why: &str) -> Read<T> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(Some(parse(text).map_or(Fit::Other, Fit::Typed)))
        }
        _ => Err(refused(name, why)),
    }
}

pub(super) fn texts(name: &str, raw: &RawValue) -> Result<Vec<String>, InferenceError> {
    if raw.get() == "null" {
        return Ok(Vec::new());
    }
    let wrong = || refused(name, "must be a list of texts");
    let texts = list(name, raw)?.into_iter().map(|raw| string(raw).ok_or_else(wrong));
    texts.map(|text| text.map(Into::into)).collect()
}

/// A list of any values.
pub(super) fn list<'a>(name: &str, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, InferenceError> {
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| refused(name, "must be a list"))?;
    if list.len() > MAX_LIST {
        return Err(refused(name, &format!("must have at most {MAX_LIST} elements")));
    }
    Ok(list)
}
