//! What serde complains about, in words for whoever has the file open.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::known::unknown;
use super::tree::{Node, Value};

/// A complaint, and where it arose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    message: String,
    /// What was there instead; left out where it must not be shown.
    got: Option<String>,
    /// Whether something is missing rather than wrong.
    pub(super) is_missing: bool,
    pub(super) steps: Option<Vec<usize>>,
    pub(super) path: String,
}

impl Trouble {
    /// The message about `node`. With `hides` it shows nothing of what stands there.
    pub(super) fn text(&self, node: &Node, hides: bool) -> String {
        let mut message = self.message.clone();
        match (&self.got, hides) {
            (Some(got), false) => {
                message.push_str(", got ");
                message.push_str(got);
            }
            (_, true) => scrub(&mut message, node),
            (None, false) => {}
        }
        one_line(&message)
    }
}

/// Takes what stands in `node` out of `message`.
pub(crate) fn scrub(message: &mut String, node: &Node) {
    match &node.value {
        Value::Text(text) if !text.is_empty() => {
            let escaped = format!("{text:?}");
            let escaped = escaped.trim_matches('"');
            *message = message.replace(escaped, "***").replace(text.as_str(), "***");
        }
        Value::Integer(number) => *message = message.replace(&number.to_string(), "***"),
        Value::List(items) => items.iter().for_each(|item| scrub(message, item)),
        Value::Table(entries) => entries.iter().for_each(|(_, item)| scrub(message, item)),
        _ => {}
    }
}

/// Takes whatever below `node` came from outside out of `message`.
pub(crate) fn scrub_filled(message: &mut String, node: &Node) {
    match &node.value {
        // Shorter ones are words like any other, and no secrets.
        Value::Text(text) if node.is_filled && text.len() >= 4 => scrub(message, node),
        Value::List(items) => items.iter().for_each(|item| scrub_filled(message, item)),
        Value::Table(entries) => entries.iter().for_each(|(_, item)| scrub_filled(message, item)),
        _ => {}
    }
}

/// Messages are one line, whatever a value held.
pub(crate) fn one_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Error for Trouble {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), ..Self::default() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match unexpected {
            Unexpected::Bool(is) => is.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Str(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            other => other.to_string(),
        };
        let expected = expected.to_string();
        let is_number =
            matches!(unexpected, Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_));
        let hint = if is_number && expected == "a string" {
            ": write a time like 30s, and a number that is meant as text in quotes"
        } else {
            ""
        };
        Self { message: format!("must be {}{hint}", wanted(&expected)), got: Some(got), ..Self::default() }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self { message: format!("must be {expected}, got {length} of them"), ..Self::default() }
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        let known_words = known.join(", ");
        let near = super::known::nearest(given, known.iter().copied());
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let got = Some(format!("{:?}{near}", given.chars().take(40).collect::<String>()));
        Self { message: format!("must be one of {known_words}"), got, ..Self::default() }
    }

    fn unknown_field(given: &str, known: &'static [&'static str]) -> Self {
        let given: String = given.chars().take(40).collect();
        Self::custom(format!("{given}: {}", unknown("key", &given, known.iter().copied())))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { message: format!("needs {field}"), is_missing: true, ..Self::default() }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format!("says {field} twice, by two of its names: keep one"))
    }
}

/// Serde's words for a type in those of a reader.
fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table of settings",
        other if other.starts_with("enum ") => "one of its words",
        other => other,
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}
