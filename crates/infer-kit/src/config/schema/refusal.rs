//! What a type answers to a made-up value that it does not take.

use std::fmt;

/// The members that lead to a value.
pub(super) type Path = Vec<&'static str>;

/// A type did not like what it was given.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub(super) at: Option<Path>,
    /// The field that had been given already, by another of its names.
    pub(super) same_as: Option<&'static str>,
    /// Nothing is to be left out: the next pass asks otherwise.
    pub(super) is_again: bool,
}

impl Refusal {
    pub(super) fn at(path: Path) -> Self {
        Self { at: Some(path), ..Self::default() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::default()
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { same_as: Some(field), ..Self::default() }
    }
}
