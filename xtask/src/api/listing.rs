//! From rustdoc's JSON to one line an item.
//!
//! `public-api` finds the items and prints them; here they are made short enough to be read in a review. What traits of the
//! standard library and serde a type has is one line, methods of traits are left to the trait, and types stand under the
//! names they are imported by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The version of the JSON that `public-api` reads, which is the one that Rust 1.95 writes.
const FORMAT: u32 = 57;
/// Traits of these crates are named without their path, all those of a type in one line.
const WELL_KNOWN: &[&str] = &["core", "alloc", "std", "serde_core", "serde"];
/// What every module has in scope, named as it is there.
const PRELUDE: &[&str] = &[
    "alloc::borrow::ToOwned",
    "alloc::boxed::Box",
    "alloc::string::String",
    "alloc::string::ToString",
    "alloc::vec::Vec",
    "core::clone::Clone",
    "core::convert::AsMut",
    "core::convert::AsRef",
    "core::convert::From",
    "core::convert::Into",
    "core::convert::TryFrom",
    "core::convert::TryInto",
    "core::default::Default",
    "core::future::future::Future",
    "core::iter::traits::collect::IntoIterator",
    "core::iter::traits::iterator::Iterator",
    "core::marker::Copy",
    "core::marker::Send",
    "core::marker::Sized",
    "core::marker::Sync",
    "core::marker::Unpin",
    "core::ops::function::Fn",
    "core::ops::function::FnMut",
    "core::ops::function::FnOnce",
    "core::option::Option",
    "core::result::Result",
];

/// What rustdoc says of one library.
#[derive(Debug)]
pub(super) struct Library {
    name: String,
    items: Vec<Found>,
    /// Where each of its items is written, which is not always where it is imported from.
    written: HashMap<u32, String>,
}

#[derive(Debug)]
struct Found {
    id: u32,
    kind: Kind,
    /// Of an item inside an `impl Trait for Type`.
    is_of_trait: bool,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    ImplOfTrait,
    Impl,
    /// From where something is re-exported.
    Use(String),
    Other,
}

#[derive(Deserialize)]
struct Document {
    format_version: u32,
    index: HashMap<u32, Entry>,
    paths: HashMap<u32, Place>,
}

#[derive(Deserialize)]
struct Entry {
    inner: Inner,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "use")]
    import: Option<Import>,
    #[serde(rename = "impl")]
    block: Option<Block>,
}

#[derive(Deserialize)]
struct Import {
    source: String,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "trait")]
    of: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Place {
    crate_id: u32,
    path: Vec<String>,
}

impl Library {
    /// Reads the JSON of the library `name`.
    pub(super) fn read(name: &str, json: &Path) -> Result<Self> {
        let shown = json.display();
        let text = fs::read_to_string(json).with_context(|| format!("cannot read {shown}"))?;
        let document: Document =
            serde_json::from_str(&text).with_context(|| format!("{shown} is not rustdoc's"))?;
        let found = document.format_version;
        ensure!(found == FORMAT, "{shown} has format {found}, and public-api reads {FORMAT}: raise both");
        let api = public_api::Builder::from_rustdoc_json(json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .include_function_parameter_names(true)
            .build()
            .with_context(|| format!("{shown} cannot be listed"))?;
        let kind_of = |id| document.index.get(&id).map_or(Kind::Other, kind_of);
        let items = api.items().map(|item| Found {
            id: item.id().0,
            kind: kind_of(item.id().0),
            is_of_trait: item.parent_id().is_some_and(|id| kind_of(id.0) == Kind::ImplOfTrait),
            text: item.to_string(),
        });
        let own = document.paths.into_iter().filter(|(_, place)| place.crate_id == 0);
        let written = own.map(|(id, place)| (id, place.path.join("::"))).collect();
        Ok(Self { name: name.to_owned(), items: items.collect(), written })
    }

    /// One line an item, in an order that keeps what belongs together.
    pub(super) fn lines(&self, paths: &Paths) -> Vec<String> {
        let mut lines: Vec<Line> = Vec::new();
        let mut folded: HashMap<(String, String), usize> = HashMap::new();
        for item in &self.items {
            let text = paths.shorten(&item.text);
            if item.is_of_trait && !text.starts_with("pub type ") && !text.starts_with("pub const ") {
                continue;
            }
            match &item.kind {
                Kind::Impl if !text.contains(": ") => {} // without a bound it says nothing
                Kind::Use(source) => lines.push(Line::Text(format!("{text} = {source}"))),
                Kind::ImplOfTrait => match foldable(&text) {
                    Some(known) => {
                        let key = (known.generics.to_owned(), known.of.to_owned());
                        let at = folded.get(&key).and_then(|at| lines.get_mut(*at));
                        if !at.is_some_and(|line| line.add(known.name)) {
                            let traits = BTreeSet::from([known.name.to_owned()]);
                            lines.push(Line::Traits { generics: key.0.clone(), traits, of: key.1.clone() });
                            folded.insert(key, lines.len() - 1);
                        }
                    }
                    None => lines.push(Line::Text(text)),
                },
                Kind::Impl | Kind::Other => match self.alias(item, paths) {
                    Some(alias) => lines.push(Line::Text(alias)),
                    None => lines.push(Line::Text(text)),
                },
            }
        }
        // Of an item with several names everything is there as often. The last time is most often at the short name.
        let mut seen = HashSet::new();
        let lines = lines.into_iter().rev().filter_map(Line::print);
        let mut lines: Vec<String> = lines.filter(|line| seen.insert(line.clone())).collect();
        lines.reverse();
        lines
    }

    /// `pub use a::types::B = a::B`, of an item that is listed under its other name.
    fn alias(&self, item: &Found, paths: &Paths) -> Option<String> {
        let own = path_in(&item.text, &self.name).filter(|_| self.written.contains_key(&item.id))?;
        let (parent, name) = own.rsplit_once("::")?;
        let listed = paths.short(own);
        let is_other = listed != own && listed != format!("{}::{name}", paths.short(parent));
        is_other.then(|| format!("pub use {own} = {listed}"))
    }
}

fn kind_of(entry: &Entry) -> Kind {
    match &entry.inner {
        Inner { import: Some(import), .. } => Kind::Use(import.source.clone()),
        Inner { block: Some(block), .. } if block.of.is_some() => Kind::ImplOfTrait,
        Inner { block: Some(_), .. } => Kind::Impl,
        Inner { .. } => Kind::Other,
    }
}

enum Line {
    Text(String),
    Traits { generics: String, traits: BTreeSet<String>, of: String },
}

impl Line {
    /// Adds a trait, unless it is there already: then the type is listed once more.
    fn add(&mut self, name: &str) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Traits { traits, .. } => traits.insert(name.to_owned()),
        }
    }

    fn print(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Traits { generics, mut traits, of } => {
                traits.remove("StructuralPartialEq"); // the compiler's own
                let listed: Vec<String> = traits.into_iter().collect();
                (!listed.is_empty()).then(|| format!("impl{generics} {} for {of}", listed.join(" + ")))
            }
        }
    }
}

/// `impl core::fmt::Debug for a::B`, taken apart.
struct Known<'a> {
    generics: &'a str,
    name: &'a str,
    of: &'a str,
}

/// A well-known trait without arguments; serde's lifetime is none.
fn foldable(text: &str) -> Option<Known<'_>> {
    let rest = text.strip_prefix("impl")?;
    let (generics, rest) = rest.split_at(generics_end(rest));
    let (path, of) = rest.trim_start().split_once(" for ")?;
    let (generics, path) = match path.strip_suffix("<'de>") {
        Some(path) if generics == "<'de>" => ("", path),
        _ => (generics, path),
    };
    let (first, name) = (path.split("::").next()?, path.rsplit("::").next()?);
    let is_known =
        WELL_KNOWN.contains(&first) || PRELUDE.iter().any(|known| known.ends_with(&format!("::{first}")));
    let is_plain = !path.contains(['<', '!', '(']) && is_known;
    // Of a type that fills in what is missing, serde asks what it has.
    let of = of
        .split_once(" where ")
        .filter(|(of, bound)| *bound == format!("{of}: Default"))
        .map_or(of, |(of, _)| of);
    is_plain.then_some(Known { generics, name, of })
}

/// Where the `<…>` that `text` begins with ends; 0 when it begins with none.
fn generics_end(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut before = ' ';
    for (at, next) in text.char_indices() {
        match next {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { 0 } else { at + next.len_utf8() };
        }
        before = next;
    }
    0
}

/// By which name each item is imported, under every other name it has.
#[derive(Debug)]
pub(super) struct Paths {
    imported: HashMap<String, String>,
}

impl Default for Paths {
    /// Knows what needs no import.
    fn default() -> Self {
        let last = |path: &&str| path.rsplit("::").next().unwrap_or(path).to_owned();
        Self { imported: PRELUDE.iter().map(|path| ((*path).to_owned(), last(path))).collect() }
    }
}

impl Paths {
    /// Takes the names of the items of `library`: the shortest, where there are several.
    pub(super) fn learn(&mut self, library: &Library) {
        let mut names: BTreeMap<u32, BTreeSet<(usize, &str)>> = BTreeMap::new();
        for item in library.items.iter().filter(|item| library.written.contains_key(&item.id)) {
            if let Some(name) = path_in(&item.text, &library.name) {
                names.entry(item.id).or_default().insert((name.len(), name));
            }
        }
        for (id, names) in names {
            let Some((_, shortest)) = names.first() else { continue };
            let others = names.iter().map(|(_, name)| (*name).to_owned());
            for other in others.chain(library.written.get(&id).cloned()) {
                self.imported.insert(other, (*shortest).to_owned());
            }
        }
    }

    /// `path` by its shortest name, or below the shortest name of what it is in.
    fn short(&self, path: &str) -> String {
        let mut known = path;
        loop {
            if let Some(short) = self.imported.get(known) {
                return format!("{short}{}", path.get(known.len()..).unwrap_or_default());
            }
            match known.rsplit_once("::") {
                Some((parent, _)) => known = parent,
                None => return path.to_owned(),
            }
        }
    }

    /// `text` with the short name of each path in it.
    fn shorten(&self, text: &str) -> String {
        let mut short = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (word, after) = rest.split_at(rest.find(|c| !is_of_path(c)).unwrap_or(rest.len()));
            let path = word.trim_end_matches(':');
            short.push_str(&self.short(path));
            short.push_str(word.get(path.len()..).unwrap_or_default());
            let mut others = after.chars();
            short.extend(others.next());
            rest = others.as_str();
        }
        short
    }
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// The first path in `text` that begins with `library`.
fn path_in<'a>(text: &'a str, library: &str) -> Option<&'a str> {
    let words = text.split(|c| !is_of_path(c));
    let mut paths = words.map(|word| word.trim_end_matches(':'));
    paths.find(|path| path.strip_prefix(library).is_some_and(|rest| rest.starts_with("::")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> Option<(String, String, String)> {
        foldable(text).map(|k| (k.generics.to_owned(), k.name.to_owned(), k.of.to_owned()))
    }

    fn found(id: u32, kind: Kind, is_of_trait: bool, text: &str) -> Found {
        Found { id, kind, is_of_trait, text: text.to_owned() }
    }

    #[test]
    fn only_traits_everybody_knows_and_without_arguments_are_folded() {
        let owned = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(fold("impl core::fmt::Debug for a::B"), owned("", "Debug", "a::B"));
        let deserialize = "impl<'de> serde_core::de::Deserialize<'de> for a::B";
        assert_eq!(fold(deserialize), owned("", "Deserialize", "a::B"));
        assert_eq!(fold(&format!("{deserialize} where a::B: Default")), owned("", "Deserialize", "a::B"));
        assert_eq!(fold("impl Clone for a::B"), owned("", "Clone", "a::B"));
        let generic = "impl<F: Fn() -> u8> core::clone::Clone for a::B<F>";
        assert_eq!(fold(generic), owned("<F: Fn() -> u8>", "Clone", "a::B<F>"));
        for kept in ["impl core::convert::From<u8> for a::B", "impl other::Trait for a::B", "impl a::B"] {
            assert_eq!(fold(kept), None, "{kept}");
        }
    }

    #[test]
    fn an_item_stands_once_under_its_shortest_name_and_its_other_names_are_listed() {
        let written = HashMap::from([(1, "a::inner::B".to_owned()), (2, "a::inner::B::C".to_owned())]);
        let items = vec![
            found(1, Kind::Other, false, "pub enum a::types::B"),
            found(2, Kind::Other, false, "pub a::types::B::C"),
            found(3, Kind::Other, false, "pub fn a::inner::B::new(from: core::option::Option<a::inner::B>)"),
            found(4, Kind::ImplOfTrait, false, "impl core::clone::Clone for a::inner::B"),
            found(1, Kind::Other, false, "pub enum a::B"),
            found(2, Kind::Other, false, "pub a::B::C"),
            found(3, Kind::Other, false, "pub fn a::inner::B::new(from: core::option::Option<a::inner::B>)"),
            found(4, Kind::ImplOfTrait, false, "impl core::clone::Clone for a::inner::B"),
        ];
        let library = Library { name: "a".to_owned(), items, written };
        let mut paths = Paths::default();
        paths.learn(&library);
        let expected = [
            "pub use a::types::B = a::B",
            "pub enum a::B",
            "pub a::B::C",
            "pub fn a::B::new(from: Option<a::B>)",
            "impl Clone for a::B",
        ];
        assert_eq!(library.lines(&paths), expected);
        assert_eq!(paths.shorten("pub c::D::x: &a::inner::B"), "pub c::D::x: &a::B");
        assert_eq!(paths.shorten("pub c::D::x: a::inner::Bold"), "pub c::D::x: a::inner::Bold");
    }

    #[test]
    fn methods_of_traits_are_left_to_the_trait_and_types_they_choose_are_kept() {
        let items = vec![
            found(1, Kind::Other, false, "pub struct a::B"),
            found(2, Kind::Impl, false, "impl a::B"),
            found(3, Kind::ImplOfTrait, false, "impl core::marker::StructuralPartialEq for a::B"),
            found(4, Kind::ImplOfTrait, false, "impl core::str::traits::FromStr for a::B"),
            found(5, Kind::Other, true, "pub type a::B::Err = u8"),
            found(6, Kind::Other, true, "pub fn a::B::from_str(text: &str) -> Self"),
            found(7, Kind::ImplOfTrait, false, "impl core::clone::Clone for a::B"),
            found(9, Kind::Impl, false, "impl<T: Copy> a::D<T>"),
            found(8, Kind::Use("c::D".to_owned()), false, "pub use a::D"),
        ];
        let library = Library { name: "a".to_owned(), items, written: HashMap::new() };
        let expected = [
            "pub struct a::B",
            "impl Clone + FromStr for a::B",
            "pub type a::B::Err = u8",
            "impl<T: Copy> a::D<T>",
            "pub use a::D = c::D",
        ];
        assert_eq!(library.lines(&Paths::default()), expected);
    }
}
