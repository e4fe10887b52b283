//! The text of a configuration, and where it came from.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::MAX_BYTES;
use super::fault::{Fault, Faults, Place};
use super::interpolate;
use super::parse::{Format, parse};
use super::surroundings::{Surroundings, bounded};
use super::tree::Node;

/// The text of a configuration.
#[derive(Clone)]
pub struct Source {
    text: String,
    format: Format,
    name: Option<String>,
}

impl Source {
    /// Text without a file.
    pub fn text(text: impl Into<String>, format: Format) -> Self {
        Self { text: text.into(), format, name: None }
    }

    /// The text of a file, in the format that its name ends in: `.json`, `.toml`, and YAML otherwise.
    ///
    /// # Errors
    /// One fault when it cannot be read or is larger than [`MAX_BYTES`]; it is not read whole then.
    pub fn file(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let text = bounded(path, MAX_BYTES).map_err(|error| {
            let message = match error.kind() {
                ErrorKind::NotFound => "there is no such file: check the path".to_owned(),
                ErrorKind::FileTooLarge => format!("{error}: a configuration is smaller, check the path"),
                ErrorKind::InvalidData => "is not UTF-8 text: save it as UTF-8".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            Faults::one(Fault::new(&Place::START, "", message), Some(&name))
        })?;
        Ok(Self { text, format: Format::of(path), name: Some(name) })
    }

    /// Gives it a name for messages.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Changes with the text.
    pub(crate) fn digest(&self) -> blake3::Hash {
        blake3::hash(self.text.as_bytes())
    }

    /// The files that it takes in with `${file:…}`, each with a digest of its text; none for one that cannot be read.
    pub(crate) fn files(&self, around: &dyn Surroundings) -> BTreeMap<PathBuf, Option<blake3::Hash>> {
        let noted = Noted { around, files: Mutex::default() };
        if let Ok(mut tree) = self.tree() {
            interpolate::fill(&mut tree, "", &noted, &mut Vec::new());
        }
        noted.files.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn tree(&self) -> Result<Node, Vec<Fault>> {
        if self.text.len() as u64 > MAX_BYTES {
            let message = format!("is longer than {} MiB: a configuration is smaller", MAX_BYTES >> 20);
            return Err(vec![Fault::new(&Place::START, "", message)]);
        }
        parse(&self.text, self.format)
    }
}

/// Without the text, which may hold keys.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Notes which files are read.
#[derive(Debug)]
struct Noted<'a> {
    around: &'a dyn Surroundings,
    files: Mutex<BTreeMap<PathBuf, Option<blake3::Hash>>>,
}

impl Surroundings for Noted<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.around.variable(name)
    }

    fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        self.around.variables(prefix)
    }

    fn file(&self, path: &Path, limit: u64) -> io::Result<String> {
        let read = self.around.file(path, limit);
        let digest = read.as_ref().ok().map(|text| blake3::hash(text.as_bytes()));
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), digest);
        read
    }
}
