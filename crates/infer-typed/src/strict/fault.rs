//! What is wrong with a schema, and where.

use std::fmt;

/// The place of a schema inside a document, as a JSON pointer in a fragment: `#/properties/name`.
#[derive(Clone, Debug)]
pub(super) struct Pointer(String);

impl Pointer {
    /// The document itself.
    pub(super) fn root() -> Self {
        Self("#".to_owned())
    }

    /// The place at the end of `path`, which is a JSON pointer.
    pub(super) fn parse(path: &str) -> Self {
        Self(format!("#{path}"))
    }

    /// The member `key` below this place.
    pub(super) fn to(&self, key: &str) -> Self {
        Self(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }
}

/// One thing that strict mode cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaFault {
    /// Where it stands in the schema as the type gives it: `#/properties/headers`.
    pub pointer: String,
    /// What it is, and the way out.
    pub what: String,
}

impl SchemaFault {
    pub(super) fn new(at: &Pointer, what: impl Into<String>) -> Self {
        Self { pointer: at.0.clone(), what: what.into() }
    }
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}", self.pointer, self.what);
        // Names in it come from attributes, which may hold anything.
        f.write_str(&line.replace(char::is_control, " "))
    }
}

/// Everything about a schema that strict mode cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", line(faults))]
pub struct SchemaError {
    faults: Vec<SchemaFault>,
}

impl SchemaError {
    pub(super) fn new(faults: Vec<SchemaFault>) -> Self {
        Self { faults }
    }

    /// The faults, at least one, in the order of the schema.
    pub fn faults(&self) -> &[SchemaFault] {
        &self.faults
    }
}

/// How many faults the text names; [`SchemaError::faults`] has them all.
const SHOWN: usize = 20;

fn line(faults: &[SchemaFault]) -> String {
    let shown: Vec<String> = faults.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match faults.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("schema cannot be strict: {}{more}", shown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_pointers_give_a_meaning_to() {
        let at = Pointer::root().to("properties").to("a/b~c");
        assert_eq!(at.0, "#/properties/a~1b~0c");
    }

    #[test]
    fn an_error_is_one_line_however_many_faults_there_are() {
        let fault = SchemaFault::new(&Pointer::root().to("a\nb"), "wrong");
        let error = SchemaError::new(vec![fault; SHOWN + 3]);
        assert!(!error.to_string().contains('\n'));
        assert!(error.to_string().ends_with("; and 3 more"), "{error}");
        assert_eq!(error.faults().len(), SHOWN + 3);
    }
}
