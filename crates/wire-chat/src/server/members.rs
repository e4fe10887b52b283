//! The members of a request, one by one: typed where that loses nothing, refused where the type is wrong.
//!
//! `null` stands for an absent member. A value of the right type that does not fit ours, such as a number of tokens
//! beyond 32 bits, is [`Fit::Other`] and travels on unread: its receiver knows best.

use infer_core::InferenceError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::json::{Members, string};
use crate::request::refused;

/// The most elements of a list that is kept typed; OpenAI takes 128 tools and 4 stop texts.
const MAX_LIST: usize = 4096;

/// How a member fits its field.
pub(super) enum Fit<T> {
    Typed(T),
    /// Right in kind, but not sayable exactly in our type.
    Other,
}

pub(super) type Read<T> = Result<Option<Fit<T>>, InferenceError>;

/// The members of a body that must be an object.
pub(super) fn members(body: &[u8]) -> Result<Members<'_>, InferenceError> {
    let wrong = |why: &str| InferenceError::invalid_request(format!("the body {why}"));
    let text = std::str::from_utf8(body).map_err(|_| wrong("must be UTF-8"))?;
    if !infer_core::raw::trim(text).starts_with('{') {
        return Err(wrong("must be a JSON object"));
    }
    let members: Members<'_> = serde_json::from_str(infer_core::raw::trim(text)).map_err(|error| {
        wrong(&format!("is not valid JSON at line {} column {}", error.line(), error.column()))
    })?;
    if members.is_cut { Err(wrong("has too many members")) } else { Ok(members) }
}

pub(super) fn text(name: &str, raw: &RawValue) -> Result<Option<String>, InferenceError> {
    match (raw.get(), string(raw)) {
        ("null", _) => Ok(None),
        (_, Some(text)) => Ok(Some(text)),
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

pub(super) fn integer<T: std::str::FromStr>(name: &str, raw: &RawValue) -> Read<T> {
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

/// A list of texts, or one text.
pub(super) fn texts(name: &str, raw: &RawValue) -> Result<Option<Vec<String>>, InferenceError> {
    if raw.get() == "null" {
        return Ok(None);
    }
    if let Some(text) = string(raw) {
        return Ok(Some(vec![text]));
    }
    let wrong = || refused(name, "must be text or a list of texts");
    let texts = list(name, raw)?.into_iter().map(|raw| string(raw).ok_or_else(wrong));
    texts.collect::<Result<_, _>>().map(Some)
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

/// An object, typed where it has exactly the members `T` has.
pub(super) fn object<T: DeserializeOwned>(name: &str, raw: &RawValue) -> Read<T> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with('{') => Ok(Some(serde_json::from_str(text).map_or(Fit::Other, Fit::Typed))),
        _ => Err(refused(name, "must be an object")),
    }
}
