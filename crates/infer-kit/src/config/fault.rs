//! What is wrong with a configuration, where, and how it is printed.

use std::fmt;

use serde::Serialize;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the file.
    File {
        /// From 1.
        line: u64,
        /// In characters, from 1.
        column: u64,
    },
    /// In an environment variable of this name.
    Variable(String),
}

impl Place {
    /// Where a file begins.
    pub(crate) const START: Self = Self::File { line: 1, column: 1 };
}

/// One thing that is wrong with a configuration.
///
/// Prints as `llm.yaml:7:5: providers.openai.rate_limit.requests_per_second: must be above 0, got -2`. A value that came
/// from the environment or from another file, or that is a secret, is never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file as it was named; none for text without a name.
    pub file: Option<String>,
    /// Where in it.
    pub place: Place,
    /// Which setting, as it was written: `providers.openai.timeout`. Empty for the whole.
    pub path: String,
    /// What is wrong with it and what would fit.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(place: &Place, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: None, place: place.clone(), path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.file) {
            (Place::File { line, column }, Some(file)) => write!(f, "{file}:{line}:{column}: ")?,
            (Place::File { line, column }, None) => write!(f, "{line}:{column}: ")?,
            (Place::Variable(name), _) => write!(f, "environment variable {name}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", OneLine(&self.path))?;
        }
        OneLine(&self.message).fmt(f)
    }
}

/// Text with its control characters as escapes: names may hold line breaks, and whoever reads a log trusts its lines.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.split_inclusive(char::is_control);
        parts.try_for_each(|part| match part.chars().next_back().filter(|last| last.is_control()) {
            Some(last) => {
                f.write_str(part.strip_suffix(last).unwrap_or_default())?;
                last.escape_default().fmt(f)
            }
            None => f.write_str(part),
        })
    }
}

/// For programs: `{"file", "line", "column", "variable", "path", "message"}`, without those that have no value.
impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            line: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            column: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            variable: Option<&'a str>,
            path: &'a str,
            message: &'a str,
        }
        let (line, column, variable) = match &self.place {
            Place::File { line, column } => (Some(*line), Some(*column), None),
            Place::Variable(name) => (None, None, Some(name.as_str())),
        };
        let file = self.file.as_deref().filter(|_| line.is_some());
        Row { file, line, column, variable, path: &self.path, message: &self.message }.serialize(serializer)
    }
}

/// Everything that is wrong with a configuration: at least one fault, in the order of the file, one a line when printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `None` when there are none. What is said twice is kept once.
    pub(crate) fn of(mut faults: Vec<Fault>, file: Option<&str>) -> Option<Self> {
        faults.sort_by(|one, other| one.place.cmp(&other.place));
        faults.dedup();
        for fault in &mut faults {
            fault.file = file.map(str::to_owned);
        }
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// A single one.
    pub(crate) fn one(mut fault: Fault, file: Option<&str>) -> Self {
        fault.file = file.map(str::to_owned);
        Self(vec![fault])
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for infer_core::InferenceError {
    /// One configuration error, in one line.
    fn from(faults: Faults) -> Self {
        let lines: Vec<_> = faults.0.iter().map(ToString::to_string).collect();
        Self::config(lines.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_print_in_the_order_of_the_file_and_serialise_for_programs() {
        let at = |line, column| Place::File { line, column };
        let faults = Faults::of(
            vec![
                Fault::new(&Place::Variable("INFER__X".into()), "x", "unknown key"),
                Fault::new(&at(9, 2), "b", "must be text"),
                Fault::new(&at(7, 5), "a.b", "must be above 0, got -2"),
                Fault::new(&at(7, 5), "a.b", "must be above 0, got -2"),
            ],
            Some("llm.yaml"),
        )
        .unwrap();
        assert_eq!(
            faults.to_string(),
            "llm.yaml:7:5: a.b: must be above 0, got -2\nllm.yaml:9:2: b: must be text\n\
             environment variable INFER__X: x: unknown key"
        );
        let json = serde_json::to_value(&faults).unwrap();
        let first = serde_json::json!({"file": "llm.yaml", "line": 7, "column": 5, "path": "a.b", "message": "must be above 0, got -2"});
        assert_eq!(json[0], first);
        assert_eq!(
            json[2],
            serde_json::json!({"variable": "INFER__X", "path": "x", "message": "unknown key"})
        );
        assert_eq!(Faults::of(Vec::new(), None), None);
    }
}
