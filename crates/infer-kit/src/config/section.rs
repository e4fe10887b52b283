//! Sections that crates above add to the file: read, checked and reloaded like the rest of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use infer_core::InferenceError;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::fault::Fault;
use super::known::unknown;
use super::tree::Node;
use super::{schema, sections};

/// A top-level section of the file whose type another crate brings.
///
/// It is read like every other section: all its faults at once with their places, variables and overrides filled in
/// (`INFER__GATEWAY__LISTEN=…`), part of the schema and of what is shown. Members called `api_key`, `secret`, `password`,
/// `token` and so on are hidden there.
///
/// ```
/// # #[cfg(feature = "openai")] {
/// use std::collections::BTreeMap;
///
/// use inference::config::{Format, Reader, Section, Source};
/// use inference::core::InferenceError;
///
/// #[derive(Default, PartialEq, serde::Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Door {
///     port: u16,
/// }
///
/// let check = |door: &Door| match door.port {
///     1..1024 => Err(InferenceError::config(format!("door.port: must be above 1023, got {}", door.port))),
///     _ => Ok(()),
/// };
/// let reader = Reader::default().with_section(Section::of("door", check));
/// let source = |port| Source::text(format!("providers: {{openai: {{}}}}\ndoor: {{port: {port}}}"), Format::Yaml);
/// let config = reader.read(&source(8080), &BTreeMap::new())?;
/// assert_eq!(config.section::<Door>().map(|door| door.port), Some(8080));
/// let faults = reader.read(&source(80), &BTreeMap::new()).unwrap_err();
/// assert_eq!(faults.to_string(), "2:14: door.port: must be above 1023, got 80");
/// # }
/// # Ok::<_, inference::Faults>(())
/// ```
#[derive(Clone)]
pub struct Section {
    name: Arc<str>,
    description: Option<Arc<str>>,
    shape: Arc<dyn Shape>,
}

impl Section {
    /// The section called `name`. A file without it gets the default of `T`; an `Option` tells the two apart.
    ///
    /// `validate` sees what was written, not the default. It says everything that is wrong at once as
    /// [`InferenceError::Config`]: faults parted by `; `, each of them a path that begins with the section, a colon and a
    /// message, such as `gateway.listen: must be an address`.
    pub fn of<T: DeserializeOwned + Default + PartialEq + Send + Sync + 'static>(
        name: impl Into<Arc<str>>,
        validate: impl Fn(&T) -> Result<(), InferenceError> + Send + Sync + 'static,
    ) -> Self {
        let shape = Typed { validate, default: || T::default() };
        Self { name: name.into(), description: None, shape: Arc::new(shape) }
    }

    /// Says what it is for, to whoever edits the file with its schema.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Self {
        self.description = Some(description.into());
        self
    }

    fn schema(&self) -> Json {
        let mut schema = self.shape.schema();
        if let (Some(text), Some(schema)) = (&self.description, schema.as_object_mut()) {
            schema.insert("description".to_owned(), Json::from(&**text));
        }
        schema
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a section is read.
trait Shape: Send + Sync {
    fn read(&self, tree: &mut Node, name: &str, faults: &mut Vec<Fault>) -> Arc<dyn Held>;

    fn schema(&self) -> Json;
}

struct Typed<T, V> {
    validate: V,
    default: fn() -> T,
}

impl<T, V> Shape for Typed<T, V>
where
    T: DeserializeOwned + Default + PartialEq + Send + Sync + 'static,
    V: Fn(&T) -> Result<(), InferenceError> + Send + Sync,
{
    fn read(&self, tree: &mut Node, name: &str, faults: &mut Vec<Fault>) -> Arc<dyn Held> {
        let found = sections::section(tree, name, faults, &self.validate);
        Arc::new(Value(Arc::new(found.unwrap_or_else(self.default))))
    }

    fn schema(&self) -> Json {
        schema::of::<T>()
    }
}

/// A section that was read.
trait Held: Send + Sync {
    fn value(&self) -> Arc<dyn Any + Send + Sync>;

    fn is_same(&self, other: &dyn Held) -> bool;
}

struct Value<T>(Arc<T>);

impl<T: PartialEq + Send + Sync + 'static> Held for Value<T> {
    fn value(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.0) as Arc<dyn Any + Send + Sync>
    }

    fn is_same(&self, other: &dyn Held) -> bool {
        other.value().downcast::<T>().is_ok_and(|other| *other == *self.0)
    }
}

/// The sections that are added to the built-in ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Added(Vec<Section>);

impl Added {
    /// Adds a section, in place of one of the same name.
    pub(crate) fn add(&mut self, section: Section) {
        match self.0.iter_mut().find(|other| other.name == section.name) {
            Some(other) => *other = section,
            None => self.0.push(section),
        }
    }

    /// Reports keys at the top of `tree` that are no section.
    pub(crate) fn check_names(&self, tree: &Node, faults: &mut Vec<Fault>) {
        let known = || {
            let own = sections::NAMES.iter().chain(&sections::ELSEWHERE).copied();
            own.chain(self.0.iter().map(|section| &*section.name))
        };
        for (key, _) in tree.entries() {
            if !known().any(|name| name == key.name) {
                let message = unknown("key", &key.name, known());
                faults.push(Fault::new(&key.place, key.name.as_str(), message));
            }
        }
        for section in self.0.iter().filter(|section| sections::NAMES.contains(&&*section.name)) {
            let place = tree.entry(&section.name).map_or(&tree.place, |(key, _)| &key.place);
            let message = "is built in: the program that adds a section of this name must call it otherwise";
            faults.push(Fault::new(place, &*section.name, message));
        }
    }

    pub(crate) fn read(&self, tree: &mut Node, faults: &mut Vec<Fault>) -> AddedValues {
        let own = self.0.iter().filter(|section| !sections::NAMES.contains(&&*section.name));
        let read =
            |section: &Section| (Arc::clone(&section.name), section.shape.read(tree, &section.name, faults));
        AddedValues(own.map(read).collect())
    }

    /// By name, for the schema.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = (String, Json)> {
        self.0.iter().map(|section| (section.name.to_string(), section.schema()))
    }
}

/// What the added sections of one file say.
#[derive(Clone, Default)]
pub(crate) struct AddedValues(Arc<[NamedValue]>);

type NamedValue = (Arc<str>, Arc<dyn Held>);

impl AddedValues {
    pub(crate) fn of<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.iter().find_map(|(_, held)| held.value().downcast().ok())
    }

    /// The names of those that say something else than `before`.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<String> {
        let was = |name: &str| before.0.iter().find(|(other, _)| **other == *name).map(|(_, held)| held);
        let changed = self.0.iter().filter(|(name, held)| !was(name).is_some_and(|was| held.is_same(&**was)));
        changed.map(|(name, _)| name.to_string()).collect()
    }
}
