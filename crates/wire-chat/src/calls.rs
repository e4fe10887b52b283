//! Puts the pieces of tool calls together.
//!
//! OpenAI numbers the calls of a choice and says id and name once. Others leave the number out, give every call the
//! number 0, repeat the name, send it empty, or change the id with every piece; so which call a piece belongs to is
//! decided from all it says. Calls are numbered here, without gaps, in the order they first appear.

use infer_core::{DecodeKind, ToolCallDelta, ToolKind, WireFault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Count, Few, Text, string_or_json};

/// The most calls of one choice.
pub(crate) const MAX_CALLS: usize = 1024;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece<'a> {
    index: Count,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    function: Option<Called<'a>>,
    #[serde(borrow)]
    custom: Option<Called<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Called<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    /// Of a function: JSON in a text, or an object at Mistral (its API description, read 2026-11-21).
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    /// Of a custom tool: any text.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// The calls of one choice so far.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    known: Vec<Known>,
    events: u64,
}

#[derive(Debug)]
struct Known {
    /// The number the upstream gave it.
    index: Option<u64>,
    id: Option<Box<str>>,
    is_named: bool,
    is_legacy: bool,
    kind: ToolKind,
    /// The event that last added to it.
    touched: u64,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Reads a `tool_calls` member.
    pub(crate) fn read(&mut self, raw: &RawValue) -> Result<Vec<ToolCallDelta>, WireFault> {
        let pieces: Few<Piece<'_>, MAX_CALLS> =
            serde_json::from_str(raw.get()).map_err(|error| WireFault::unreadable("tool_calls", &error))?;
        self.events += 1;
        let mut deltas = Vec::new();
        match pieces {
            Few::None => {}
            Few::One(piece) => {
                if let Some(delta) = self.add(&piece, false)? {
                    deltas.reserve_exact(1);
                    deltas.push(delta);
                }
            }
            Few::Many(pieces) => {
                deltas.reserve_exact(pieces.len());
                for piece in &pieces {
                    deltas.extend(self.add(piece, false)?);
                }
            }
            Few::Excess => return Err(too_many()),
        }
        Ok(deltas)
    }

    /// Reads the older `function_call` member, of which a choice has at most one.
    pub(crate) fn read_legacy(&mut self, raw: &RawValue) -> Result<Option<ToolCallDelta>, WireFault> {
        let called: Called<'_> = serde_json::from_str(raw.get())
            .map_err(|error| WireFault::unreadable("function_call", &error))?;
        self.events += 1;
        self.add(&Piece { function: Some(called), ..Piece::default() }, true)
    }

    fn add(&mut self, piece: &Piece<'_>, is_legacy: bool) -> Result<Option<ToolCallDelta>, WireFault> {
        let called = piece.custom.as_ref().or(piece.function.as_ref());
        // Mistral's default for a missing id is the text "null".
        let id = piece.id.filled().filter(|id| *id != "null");
        let name = called.and_then(|called| called.name.filled());
        let payload = called.and_then(|called| called.input.or(called.arguments));
        let arguments = payload.map(string_or_json).unwrap_or_default();

        let place = match self.find(piece.index.0, id, name, is_legacy) {
            Some(place) => place,
            None if id.is_none() && name.is_none() && arguments.is_empty() => return Ok(None),
            None => self.open(piece, is_legacy)?,
        };
        let Some(call) = self.known.get_mut(place) else { return Ok(None) };
        call.touched = self.events;
        let mut delta = ToolCallDelta::new(u32::try_from(place).unwrap_or(u32::MAX));
        delta.kind = call.kind;
        delta.arguments = arguments;
        if let (None, Some(id)) = (&call.id, id) {
            call.id = Some(id.into());
            delta.id = Some(id.to_owned());
        }
        if let (false, Some(name)) = (call.is_named, name) {
            call.is_named = true;
            delta.name = Some(name.to_owned());
        }
        let says_something = delta.id.is_some() || delta.name.is_some() || !delta.arguments.is_empty();
        Ok(says_something.then_some(delta))
    }

    /// The call a piece adds to; `None` when it opens one.
    fn find(
        &self,
        index: Option<u64>,
        id: Option<&str>,
        name: Option<&str>,
        is_legacy: bool,
    ) -> Option<usize> {
        let last = |is: &dyn Fn(&Known) -> bool| self.known.iter().rposition(is);
        if is_legacy {
            return last(&|call| call.is_legacy);
        }
        let by_id = || id.and_then(|id| last(&|call| call.id.as_deref() == Some(id)));
        let found = match index {
            Some(index) => last(&|call| call.index == Some(index)).or_else(by_id),
            None if id.is_some() => by_id(),
            None => self.known.len().checked_sub(1),
        };
        let call = self.known.get(found?)?;
        if name.is_none() || !call.is_named {
            return found; // only a name can open another call beside a named one
        }
        let is_other = match (id, call.id.as_deref()) {
            // Nobody cuts a call in two within one event.
            _ if call.touched == self.events => true,
            (Some(id), Some(known)) => id != known || (index.is_some() && call.index != index),
            // Nor names it again without giving it a number.
            _ => index.is_none(),
        };
        if is_other { None } else { found }
    }

    fn open(&mut self, piece: &Piece<'_>, is_legacy: bool) -> Result<usize, WireFault> {
        if self.known.len() >= MAX_CALLS {
            return Err(too_many());
        }
        let is_custom = piece.custom.is_some() || piece.r#type.filled() == Some("custom");
        self.known.push(Known {
            index: piece.index.0,
            id: None,
            is_named: false,
            is_legacy,
            kind: if is_custom { ToolKind::Custom } else { ToolKind::Function },
            touched: self.events,
        });
        Ok(self.known.len() - 1)
    }
}

fn too_many() -> WireFault {
    WireFault::malformed(DecodeKind::Excess, format!("more than {MAX_CALLS} tool calls"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls that a sequence of `tool_calls` members adds up to: id, name, arguments.
    fn joined(events: &[&str]) -> Vec<(String, String, String)> {
        let mut calls = Calls::default();
        let mut whole: Vec<(String, String, String)> = Vec::new();
        for event in events {
            for delta in calls.read(serde_json::from_str(event).unwrap()).unwrap() {
                let place = delta.index as usize;
                assert!(place <= whole.len(), "a gap in the numbers");
                if place == whole.len() {
                    whole.push(Default::default());
                }
                whole[place].0.push_str(delta.id.as_deref().unwrap_or_default());
                whole[place].1.push_str(delta.name.as_deref().unwrap_or_default());
                whole[place].2.push_str(&delta.arguments);
            }
        }
        whole
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn fragments_are_joined_by_number_and_interleave() {
        let events = [
            r#"[{"index":3,"id":"a","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":7,"id":"b","function":{"name":"g","arguments":"{"}}]"#,
            r#"[{"index":3,"function":{"arguments":"{}"}}]"#,
            r#"[{"index":7,"id":"","function":{"name":"","arguments":"}"}}]"#,
        ];
        assert_eq!(joined(&events), [call("a", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn whole_calls_that_all_say_number_0_stay_apart() {
        let one = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
        let two = r#"[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]"#;
        assert_eq!(joined(&[one, two]), [call("a", "f", "{}"), call("b", "f", "{}")]);
        let nameless = r#"[{"index":0,"function":{"name":"f","arguments":"1"}},{"index":0,"function":{"name":"f","arguments":"2"}}]"#;
        assert_eq!(joined(&[nameless]), [call("", "f", "1"), call("", "f", "2")]);
    }

    #[test]
    fn calls_without_numbers_are_told_apart_by_id_or_name() {
        let events = [
            r#"[{"id":"a","function":{"name":"f"}},{"id":"b","function":{"name":"g"}}]"#,
            r#"[{"id":"a","function":{"arguments":"1"}}]"#,
            r#"[{"function":{"arguments":"2"}}]"#,
            r#"[{"function":{"name":"h","arguments":"3"}}]"#,
        ];
        let expect = [call("a", "f", "1"), call("b", "g", "2"), call("", "h", "3")];
        assert_eq!(joined(&events), expect);
    }

    #[test]
    fn an_id_or_a_name_that_is_said_again_changes_nothing() {
        let events = [
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]"#,
            r#"[{"index":0,"id":"other","function":{"arguments":"3"}}]"#,
        ];
        assert_eq!(joined(&events), [call("a", "f", "123")]);
        let unnamed = [
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"2"}}]"#,
        ];
        assert_eq!(joined(&unnamed), [call("", "f", "12")]);
    }

    #[test]
    fn arguments_given_as_an_object_become_compact_text() {
        let event = r#"[{"id":"null","function":{"name":"f","arguments":{"a": 1.50e3, "b": "x y"}}}]"#;
        assert_eq!(joined(&[event]), [call("", "f", r#"{"a":1.50e3,"b":"x y"}"#)]);
    }

    #[test]
    fn a_custom_tool_is_fed_by_its_input() {
        let mut calls = Calls::default();
        let raw = r#"[{"index":0,"id":"c","type":"custom","custom":{"name":"sql","input":"SELECT"}}]"#;
        let first = calls.read(serde_json::from_str(raw).unwrap()).unwrap().remove(0);
        let raw = r#"[{"index":0,"custom":{"input":" 1"}}]"#;
        let second = calls.read(serde_json::from_str(raw).unwrap()).unwrap().remove(0);
        assert_eq!((first.kind, first.arguments.as_str()), (ToolKind::Custom, "SELECT"));
        assert_eq!((second.kind, second.arguments.as_str()), (ToolKind::Custom, " 1"));
    }

    #[test]
    fn the_older_member_is_one_call() {
        let mut calls = Calls::default();
        let mut read = |raw: &str| calls.read_legacy(serde_json::from_str(raw).unwrap()).unwrap().unwrap();
        let first = read(r#"{"name":"f","arguments":"{"}"#);
        let second = read(r#"{"arguments":"}"}"#);
        assert_eq!((first.index, first.name.as_deref()), (0, Some("f")));
        assert_eq!((second.index, second.name), (0, None));
    }

    #[test]
    fn too_many_calls_are_refused_at_once_and_one_by_one() {
        let event = |n: usize| format!("[{}]", vec![r#"{"function":{"name":"f"}}"#; n].join(","));
        let mut calls = Calls::default();
        let too_many = event(MAX_CALLS + 1);
        assert!(calls.read(serde_json::from_str(&too_many).unwrap()).is_err());
        for n in 0..MAX_CALLS {
            let one = event(1);
            assert!(calls.read(serde_json::from_str(&one).unwrap()).is_ok(), "{n}");
        }
        let one = event(1);
        assert!(calls.read(serde_json::from_str(&one).unwrap()).is_err());
    }
}
