//! Names as small numbers, so that a row does not repeat them.
//!
//! A number, once given, is never given again. Each dimension holds a bounded count of names; what comes after the
//! bound is written out in the row and counted as [`OTHER`] in sums.

use std::collections::HashMap;
use std::sync::Arc;

/// What rows can be summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dimension {
    /// The name that was routed.
    Route,
    /// The provider.
    Provider,
    /// The model asked of the provider.
    Model,
    /// Whose key asked.
    Key,
    /// The end user.
    User,
    /// A label.
    Tag,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 6] = [Self::Route, Self::Provider, Self::Model, Self::Key, Self::User, Self::Tag];

    /// Its name: `model`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Key => "key",
            Self::User => "user",
            Self::Tag => "tag",
        }
    }
}

/// The drawers of names: the dimensions, and what only rows say.
pub(super) const SERVED: usize = 6;
pub(super) const WORD: usize = 7;
pub(super) const DRAWERS: usize = 8;

/// The number for "nothing was said".
pub(super) const NONE: u32 = 0;
/// The number for all names that have none of their own.
pub(super) const OTHER: u32 = 1;
/// The name under which names are shown that have no account or number of their own.
pub const OTHER_NAME: &str = "(other)";

const FIRST: u32 = 2;

/// The longest name kept, in bytes; longer ones are cut.
pub(super) const MAX_NAME: usize = 256;

/// All names by number and all numbers by name.
#[derive(Debug)]
pub(super) struct Names {
    drawers: [Drawer; DRAWERS],
    max: usize,
    /// Given numbers that no commit has written yet.
    unwritten: Vec<(usize, u32)>,
}

#[derive(Debug, Default)]
struct Drawer {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    pub(super) fn new(max: usize) -> Self {
        Self { drawers: Default::default(), max, unwritten: Vec::new() }
    }

    /// Takes over a name as it was stored; they come in order.
    pub(super) fn restore(&mut self, drawer: usize, number: u32, name: &str) -> bool {
        let Some(drawer) = self.drawers.get_mut(drawer) else { return false };
        if number as usize != drawer.names.len() + FIRST as usize {
            return false;
        }
        drawer.add(name);
        true
    }

    /// The number of `name`, given now if need be; `None` when there is no room for another.
    pub(super) fn number(&mut self, drawer: usize, name: &str) -> Option<u32> {
        let slot = self.drawers.get_mut(drawer)?;
        if let Some(number) = slot.numbers.get(name) {
            return Some(*number);
        }
        if slot.names.len() >= self.max {
            return None;
        }
        let number = slot.add(name);
        self.unwritten.push((drawer, number));
        Some(number)
    }

    /// The number of `name` where it has one.
    pub(super) fn numbered(&self, drawer: usize, name: &str) -> Option<u32> {
        self.drawers.get(drawer)?.numbers.get(name).copied()
    }

    /// The number of a name that is known already; that of all names without one is known too.
    pub(super) fn known(&self, dimension: Dimension, name: &str) -> Option<u32> {
        if name == OTHER_NAME {
            return Some(OTHER);
        }
        self.numbered(dimension as usize, name)
    }

    /// The name with `number`.
    pub(super) fn name(&self, drawer: usize, number: u32) -> Option<Arc<str>> {
        match number {
            NONE => None,
            OTHER => Some(OTHER_NAME.into()),
            _ => self.drawers.get(drawer)?.names.get((number - FIRST) as usize).cloned(),
        }
    }

    pub(super) fn unwritten(&self) -> impl Iterator<Item = (u64, Arc<str>)> {
        self.unwritten.iter().filter_map(|(drawer, number)| {
            Some((((*drawer as u64) << 32) | u64::from(*number), self.name(*drawer, *number)?))
        })
    }

    /// The first `count` of the names that were not stored are now.
    pub(super) fn written(&mut self, count: usize) {
        self.unwritten.drain(..count.min(self.unwritten.len()));
    }
}

impl Drawer {
    #[expect(clippy::cast_possible_truncation, reason = "the count is bounded by the configuration")]
    fn add(&mut self, name: &str) -> u32 {
        let name: Arc<str> = name.into();
        let number = self.names.len() as u32 + FIRST;
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }
}

/// `name` as it is kept: at most [`MAX_NAME`] bytes, cut at a character's end.
pub(super) fn kept(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_full_drawer_gives_no_more() {
        let mut names = Names::new(2);
        let a = names.number(0, "a").unwrap();
        assert_eq!(names.number(0, "a"), Some(a));
        assert!(names.number(0, "b").is_some());
        assert_eq!(names.number(0, "c"), None);
        assert!(names.number(1, "c").is_some(), "each dimension has room of its own");
        assert_eq!(names.name(0, a).as_deref(), Some("a"));
        assert_eq!(names.unwritten().count(), 3);
    }
}
