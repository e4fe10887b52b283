//! Pieces of calls put in this format's order: one call after the other.
//!
//! Other formats number the pieces, so that those of several calls may alternate. A call is passed on as it grows; one
//! that starts before the arguments of the one before are complete has to wait. Only bytes and numbers are known here.

use std::collections::{BTreeMap, BTreeSet};

use infer_core::ToolCallDelta;

/// What to write next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start { id: Option<String>, name: String },
    Arguments(String),
    Stop,
}

/// A piece came for a call that has been written to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The call being written.
    front: Option<(u32, Progress)>,
    waiting: BTreeMap<u32, Waiting>,
    written: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct Waiting {
    id: Option<String>,
    name: String,
    arguments: String,
}

impl Calls {
    /// Whether any call has started.
    pub(super) fn is_any(&self) -> bool {
        self.front.is_some() || !self.written.is_empty()
    }

    /// Takes a piece.
    pub(super) fn add(&mut self, piece: &ToolCallDelta, steps: &mut Vec<Step>) -> Result<(), Late> {
        match &mut self.front {
            Some((index, progress)) if *index == piece.index => {
                progress.read(&piece.arguments);
                steps.extend(arguments(&piece.arguments));
            }
            _ if self.written.contains(&piece.index) => {
                return if piece.arguments.trim_ascii().is_empty() { Ok(()) } else { Err(Late) };
            }
            _ => {
                let waiting = self.waiting.entry(piece.index).or_default();
                if waiting.id.is_none() {
                    waiting.id.clone_from(&piece.id);
                }
                if let Some(name) = piece.name.as_ref().filter(|name| !name.is_empty()) {
                    waiting.name.clone_from(name);
                }
                waiting.arguments.push_str(&piece.arguments);
            }
        }
        while !self.waiting.is_empty()
            && self.front.as_ref().is_none_or(|(_, progress)| progress.is_complete())
        {
            self.advance(steps);
        }
        Ok(())
    }

    /// Nothing follows for the calls so far.
    pub(super) fn end(&mut self, steps: &mut Vec<Step>) {
        while self.front.is_some() || !self.waiting.is_empty() {
            self.advance(steps);
        }
    }

    /// Ends the call being written and starts the next.
    fn advance(&mut self, steps: &mut Vec<Step>) {
        if let Some((index, _)) = self.front.take() {
            self.written.insert(index);
            steps.push(Step::Stop);
        }
        if let Some((index, next)) = self.waiting.pop_first() {
            let mut progress = Progress::default();
            progress.read(&next.arguments);
            steps.push(Step::Start { id: next.id, name: next.name });
            steps.extend(arguments(&next.arguments));
            self.front = Some((index, progress));
        }
    }
}

fn arguments(text: &str) -> Option<Step> {
    (!text.is_empty()).then(|| Step::Arguments(text.to_owned()))
}

/// How far the JSON of one call's arguments has come. Only its brackets are counted.
#[derive(Debug, Default)]
struct Progress {
    depth: usize,
    has_begun: bool,
    is_in_string: bool,
    is_escaped: bool,
}

impl Progress {
    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ if self.is_in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.has_begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(index: u32, name: Option<&str>, arguments: &str) -> ToolCallDelta {
        let mut piece = ToolCallDelta::new(index);
        piece.name = name.map(Into::into);
        piece.id = name.map(|name| format!("id-{name}"));
        piece.arguments = arguments.into();
        piece
    }

    fn shown(steps: &[Step]) -> String {
        let show = |step: &Step| match step {
            Step::Start { name, .. } => format!("<{name}>"),
            Step::Arguments(text) => text.clone(),
            Step::Stop => "|".to_owned(),
        };
        steps.iter().map(show).collect()
    }

    #[test]
    fn a_call_waits_until_the_arguments_before_it_are_complete() {
        let mut calls = Calls::default();
        let mut steps = Vec::new();
        calls.add(&piece(0, Some("a"), "{\"x\":\"}"), &mut steps).unwrap();
        calls.add(&piece(1, Some("b"), "{"), &mut steps).unwrap();
        assert_eq!(shown(&steps), "<a>{\"x\":\"}");
        calls.add(&piece(0, None, "\"}"), &mut steps).unwrap();
        assert_eq!(shown(&steps), "<a>{\"x\":\"}\"}|<b>{");
        calls.add(&piece(1, None, "}"), &mut steps).unwrap();
        calls.add(&piece(2, Some("c"), ""), &mut steps).unwrap();
        calls.add(&piece(3, Some("d"), "{}"), &mut steps).unwrap();
        calls.end(&mut steps);
        assert_eq!(shown(&steps), "<a>{\"x\":\"}\"}|<b>{}|<c>|<d>{}|");
        assert_eq!(calls.add(&piece(0, None, "{}"), &mut steps), Err(Late));
        assert_eq!(calls.add(&piece(0, Some("a"), " "), &mut steps), Ok(()));
    }
}
