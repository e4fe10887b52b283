//! Writing JSON objects in one pass, member by member, leaving out what is absent.

use serde::Serialize;

/// An object being written. Ends with [`Object::end`].
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Begins a member and gives the place for its value.
    pub(crate) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        value(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, name: &str, member: &T) {
        value(self.key(name), member);
    }

    pub(crate) fn some<T: Serialize>(&mut self, name: &str, member: Option<&T>) {
        if let Some(member) = member {
            self.value(name, member);
        }
    }

    pub(crate) fn raw(&mut self, name: &str, json: &[u8]) {
        self.key(name).extend_from_slice(json);
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes texts, numbers, flags, raw JSON, and lists and maps of those, none of which can fail.
pub(crate) fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Writes a list, each element by `write`.
pub(crate) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    let mut is_first = true;
    for item in items {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}
