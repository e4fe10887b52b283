//! What the source says above the members of settings.
//!
//! A schema knows the shape of every table and not what its keys are for. The types that are read have exactly those keys, so
//! a table is matched with the type of the same ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::{Attribute, Expr, Fields, Item, Lit, Meta};

/// A setting as its type declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) docs: String,
    /// Whether it is a time written as text.
    pub(crate) is_duration: bool,
}

/// A type whose members are settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) docs: String,
    /// By every name that is read, other spellings too.
    pub(crate) members: BTreeMap<String, Member>,
}

/// What all crates declare.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    tables: Vec<Table>,
    /// The words of each choice, with what they mean.
    choices: Vec<BTreeMap<String, String>>,
}

impl Sources {
    /// Reads every source file below `crates`.
    pub(crate) fn of(crates: &Path) -> Self {
        let mut sources = Self::default();
        for entry in std::fs::read_dir(crates).unwrap() {
            sources.folder(&entry.unwrap().path().join("src"));
        }
        assert!(sources.tables.len() > 50, "{} types below {}", sources.tables.len(), crates.display());
        sources
    }

    fn folder(&mut self, folder: &Path) {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.folder(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.items(syn::parse_file(&crate::read(&path)).unwrap().items);
            }
        }
    }

    fn items(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Struct(item) if derives_deserialize(&item.attrs) => {
                    let Fields::Named(fields) = &item.fields else { continue };
                    let mut members = BTreeMap::new();
                    for field in &fields.named {
                        let serde = serde_of(&field.attrs);
                        let with = serde.iter().find_map(|words| words.strip_prefix("with = "));
                        let is_duration = with
                            .is_some_and(|path| path.contains("duration") || path.contains("clock::text"));
                        let member = Member { docs: docs_of(&field.attrs), is_duration };
                        let own = field.ident.as_ref().unwrap().to_string();
                        for name in names(&own, &serde) {
                            members.insert(name, member.clone());
                        }
                    }
                    let table = Table { name: item.ident.to_string(), docs: docs_of(&item.attrs), members };
                    self.tables.push(table);
                }
                Item::Enum(item) if derives_deserialize(&item.attrs) => {
                    let mut words = BTreeMap::new();
                    for variant in &item.variants {
                        let own = snake(&variant.ident.to_string());
                        for word in names(&own, &serde_of(&variant.attrs)) {
                            words.insert(word, docs_of(&variant.attrs));
                        }
                    }
                    self.choices.push(words);
                }
                _ => {}
            }
        }
    }

    /// The type that reads a table with these keys.
    pub(crate) fn table(&self, keys: &BTreeSet<&str>) -> Option<&Table> {
        let mut found = self.tables.iter().filter(|table| {
            table.members.len() == keys.len() && keys.iter().all(|key| table.members.contains_key(*key))
        });
        let first = found.next()?;
        let other = found.find(|other| other.members != first.members);
        assert!(other.is_none(), "{} and {} have the same keys: {keys:?}", first.name, other.unwrap().name);
        Some(first)
    }

    /// The type called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// What each of these words means, in their order.
    pub(crate) fn choice(&self, words: &[&str]) -> Option<Vec<&str>> {
        let fits = |choice: &&BTreeMap<String, String>| {
            choice.len() == words.len() && words.iter().all(|word| choice.contains_key(*word))
        };
        let choice = self.choices.iter().find(fits)?;
        Some(words.iter().map(|word| choice[*word].as_str()).collect())
    }
}

fn derives_deserialize(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("derive") && tokens(attribute).contains("Deserialize"))
}

fn tokens(attribute: &Attribute) -> String {
    match &attribute.meta {
        Meta::List(list) => list.tokens.to_string(),
        _ => String::new(),
    }
}

/// What `#[serde(…)]` says, part by part, without quotation marks.
fn serde_of(attributes: &[Attribute]) -> Vec<String> {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    serde
        .flat_map(|attribute| {
            tokens(attribute).replace('"', "").split(" , ").map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The names by which a member called `own` is read.
fn names(own: &str, serde: &[String]) -> Vec<String> {
    let said = |key: &str| {
        let found = serde.iter().filter_map(|words| words.strip_prefix(key));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut names = said("rename = ");
    if names.is_empty() {
        names.push(own.trim_start_matches("r#").to_owned());
    }
    names.extend(said("alias = "));
    names
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// The first paragraph of a doc comment, links as what they are called.
fn docs_of(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
            let Meta::NameValue(pair) = &attribute.meta else { return None };
            let Expr::Lit(value) = &pair.value else { return None };
            let Lit::Str(text) = &value.lit else { return None };
            Some(text.value().trim().to_owned())
        });
    let first: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    unlinked(&first.join(" "))
}

/// `[text](target)` and ``[`text`]`` as `text`.
fn unlinked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('[') {
        let (name, after) = from.split_once(']').unwrap();
        out.push_str(before);
        out.push_str(name);
        rest = after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
            .map_or(after, |(_, after)| after);
    }
    out + rest
}
