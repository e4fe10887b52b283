//! Messages gathered into the turns of this format: instructions on top, then user and assistant in alternation.
//!
//! The format joins neighbours of one role itself (Anthropic's API reference, read 2026-11-21); they are joined here
//! already, since compatible servers are stricter and the results of parallel calls have to be in one message.

use infer_core::{Content, InferenceError, Message, Part, RawJson, Role};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::LateSystem;
use crate::block::{Block, Blocks, Kind, blocks, tool_use};
use crate::refusal::refused;

/// A conversation as this format has it.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) system: Vec<Block<'a>>,
    pub(crate) turns: Vec<Turn<'a>>,
    /// Instructions waiting for their place, for [`LateSystem::InPlace`].
    late: Vec<Block<'a>>,
}

#[derive(Debug)]
pub(crate) struct Turn<'a> {
    speaker: Speaker,
    blocks: Vec<Block<'a>>,
    /// How many of the blocks, at the front, are results of calls: the format wants them before anything else.
    results: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    User,
    Assistant,
    System,
}

impl Serialize for Turn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Turn", 2)?;
        let role = match self.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::System => "system",
        };
        object.serialize_field("role", role)?;
        object.serialize_field("content", &Blocks(&self.blocks))?;
        object.end()
    }
}

impl<'a> Conversation<'a> {
    /// Gathers `messages`.
    ///
    /// An assistant's unsigned reasoning stays behind: the format takes back only whole blocks of it.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] that names the message and what it says that the format cannot.
    pub(crate) fn gather(messages: &'a [Message], late: LateSystem) -> Result<Self, InferenceError> {
        let mut conversation = Self::default();
        for (place, message) in messages.iter().enumerate() {
            conversation.add(message, &format!("messages[{place}]"), late)?;
        }
        conversation.place_late();
        Ok(conversation)
    }

    /// About how long it is, in bytes.
    pub(crate) fn size(&self) -> usize {
        let turns = self.turns.iter().flat_map(|turn| &turn.blocks);
        self.system.iter().chain(turns).map(Block::size).sum()
    }

    fn add(&mut self, message: &'a Message, at: &str, late: LateSystem) -> Result<(), InferenceError> {
        let marks = Marks::of(message, at)?;
        let is_early = self.turns.is_empty();
        match message.role {
            Role::System | Role::Developer => {
                let said = marks.put(instructions(message, at)?);
                match late {
                    LateSystem::InPlace if !is_early => self.late.extend(said),
                    LateSystem::AsUser if !is_early => self.say(Speaker::User, said),
                    _ => self.system.extend(said),
                }
            }
            Role::Assistant => {
                let said = marks.put(assistant(message, at)?);
                if !said.is_empty() {
                    self.place_late();
                }
                self.say(Speaker::Assistant, said);
            }
            Role::Tool => {
                let id = message.tool_call_id.as_deref().filter(|id| !id.is_empty());
                let Some(id) = id else {
                    return Err(refused(&format!("{at}.tool_call_id"), "must name the call it answers"));
                };
                let content = blocks(&message.content, at)?;
                let result = Kind::ToolResult { id, content, is_error: marks.is_error };
                self.answer(Block { kind: result, cache_control: marks.cache_control });
            }
            _ => self.say(Speaker::User, marks.put(blocks(&message.content, at)?)),
        }
        Ok(())
    }

    fn turn(&mut self, speaker: Speaker) -> Option<&mut Turn<'a>> {
        if self.turns.last().is_none_or(|turn| turn.speaker != speaker) {
            self.turns.push(Turn { speaker, blocks: Vec::new(), results: 0 });
        }
        self.turns.last_mut()
    }

    fn say(&mut self, speaker: Speaker, said: Vec<Block<'a>>) {
        if !said.is_empty()
            && let Some(turn) = self.turn(speaker)
        {
            turn.blocks.extend(said);
        }
    }

    fn answer(&mut self, result: Block<'a>) {
        if let Some(turn) = self.turn(Speaker::User) {
            turn.blocks.insert(turn.results, result);
            turn.results += 1;
        }
    }

    fn place_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        self.say(Speaker::System, late);
    }
}

fn instructions<'a>(message: &'a Message, at: &str) -> Result<Vec<Block<'a>>, InferenceError> {
    if let Content::Parts(parts) = &message.content
        && let Some(place) = parts.iter().position(|part| !matches!(part, Part::Text(_) | Part::Other(_)))
    {
        return Err(refused(
            &format!("{at}.content[{place}]"),
            "instructions are text only at this upstream",
        ));
    }
    blocks(&message.content, at)
}

/// Reasoning first, as it came, then what was said, then the calls.
fn assistant<'a>(message: &'a Message, at: &str) -> Result<Vec<Block<'a>>, InferenceError> {
    let mut said: Vec<_> = message.reasoning_blocks.iter().map(|raw| Block::from(Kind::Raw(raw))).collect();
    said.extend(blocks(&message.content, at)?);
    let refusal = message.refusal.as_deref().filter(|refusal| !refusal.is_empty());
    said.extend(refusal.map(|refusal| Block::from(Kind::Text(refusal))));
    for (place, call) in message.tool_calls.iter().enumerate() {
        said.push(tool_use(call, &format!("{at}.tool_calls[{place}]"))?);
    }
    Ok(said)
}

/// The members of a message that have a place on one of its blocks.
#[derive(Default)]
struct Marks<'a> {
    cache_control: Option<&'a RawJson>,
    is_error: Option<&'a RawJson>,
}

impl<'a> Marks<'a> {
    fn of(message: &'a Message, at: &str) -> Result<Self, InferenceError> {
        let is_tool = message.role == Role::Tool;
        // A result says by its id whose it is.
        if message.name.is_some() && !is_tool {
            let why = "this upstream knows no names of speakers; write the name into the text";
            return Err(refused(&format!("{at}.name"), why));
        }
        let mut marks = Self::default();
        for (name, value) in message.extra.iter().filter(|(_, value)| says_something(value)) {
            match name {
                "cache_control" => marks.cache_control = Some(value),
                "is_error" if is_tool => marks.is_error = Some(value),
                // What an earlier answer quoted: for people, not for the model.
                "annotations" => {}
                _ => {
                    let why = "a message has no such member at this upstream; remove it";
                    return Err(refused(&format!("{at}.{name}"), why));
                }
            }
        }
        Ok(marks)
    }

    /// Puts the cache mark on the last block.
    fn put(&self, mut blocks: Vec<Block<'a>>) -> Vec<Block<'a>> {
        if let (Some(last), Some(mark)) = (blocks.last_mut(), self.cache_control) {
            last.cache_control = Some(mark);
        }
        blocks
    }
}

/// Answers of other upstreams come back with members that are there and empty.
fn says_something(value: &RawJson) -> bool {
    !matches!(value.get(), "null" | "false" | "[]" | "{}" | "\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::ToolCall;

    fn json(messages: &[Message], late: LateSystem) -> (String, String) {
        let gathered = Conversation::gather(messages, late).unwrap();
        let json = |value: &dyn erased::Json| value.json();
        (json(&gathered.system), json(&gathered.turns))
    }

    mod erased {
        pub(super) trait Json {
            fn json(&self) -> String;
        }
        impl<T: serde::Serialize> Json for T {
            fn json(&self) -> String {
                serde_json::to_string(self).unwrap()
            }
        }
    }

    fn raw(json: &str) -> RawJson {
        RawJson::parse(json).unwrap()
    }

    #[test]
    fn the_results_of_parallel_calls_are_one_message_and_come_first_in_it() {
        let calls = [ToolCall::function("a", "f", "{}"), ToolCall::function("b", "g", "{}")];
        let mut failed = Message::tool("b", "no such city");
        failed.extra.set("is_error", raw("true"));
        let messages = [
            Message::user("weather?"),
            Message::assistant("").with_tool_calls(calls),
            Message::tool("a", "sun"),
            Message::user("quick"),
            failed,
            Message::tool("c", ""),
        ];
        let expect = concat!(
            r#"[{"role":"user","content":"weather?"},{"role":"assistant","content":["#,
            r#"{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"g","input":{}}]},"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"sun"},"#,
            r#"{"type":"tool_result","tool_use_id":"b","content":"no such city","is_error":true},"#,
            r#"{"type":"tool_result","tool_use_id":"c"},{"type":"text","text":"quick"}]}]"#,
        );
        assert_eq!(json(&messages, LateSystem::Hoist).1, expect);
    }

    #[test]
    fn late_instructions_go_where_the_dialect_says() {
        let messages = [
            Message::system("a"),
            Message::developer("b"),
            Message::user("1"),
            Message::assistant("2"),
            Message::system("c"),
            Message::user("3"),
            Message::system("d"),
            Message::assistant("4"),
            Message::user("5"),
        ];
        let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let turn = |role: &str, content: &str| format!(r#"{{"role":"{role}","content":{content}}}"#);
        let (system, turns) = json(&messages, LateSystem::Hoist);
        assert_eq!(system, format!("[{},{},{},{}]", text("a"), text("b"), text("c"), text("d")));
        let alternating = ["user", "assistant", "user", "assistant", "user"];
        let plain: Vec<_> =
            alternating.iter().zip(1..).map(|(role, n)| turn(role, &format!("\"{n}\""))).collect();
        assert_eq!(turns, format!("[{}]", plain.join(",")));

        let (system, turns) = json(&messages, LateSystem::InPlace);
        assert_eq!(system, format!("[{},{}]", text("a"), text("b")));
        let late = turn("system", &format!("[{},{}]", text("c"), text("d")));
        assert_eq!(
            turns,
            format!("[{},{},{},{late},{},{}]", plain[0], plain[1], plain[2], plain[3], plain[4])
        );

        let (_, turns) = json(&messages, LateSystem::AsUser);
        let joined = turn("user", &format!("[{},{},{}]", text("c"), text("3"), text("d")));
        assert_eq!(turns, format!("[{},{},{joined},{},{}]", plain[0], plain[1], plain[3], plain[4]));
    }

    #[test]
    fn reasoning_goes_back_first_and_as_it_came() {
        let mut answer = Message::assistant("text").with_tool_calls([ToolCall::function("a", "f", "{}")]);
        let thinking = r#"{ "type":"thinking","thinking":"\u00e9","signature":"s" }"#;
        answer.reasoning_blocks = vec![raw(thinking)];
        answer.reasoning = Some("é".into());
        let (_, turns) = json(&[Message::user("q"), answer], LateSystem::Hoist);
        let text = r#"{"type":"text","text":"text"}"#;
        let call = r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#;
        assert!(turns.ends_with(&format!(r#""content":[{thinking},{text},{call}]}}]"#)), "{turns}");
    }

    #[test]
    fn a_cache_mark_on_a_message_is_put_on_its_last_block() {
        let mark = raw(r#"{"type":"ephemeral","ttl":"1h"}"#);
        let mut system = Message::system("rules");
        let mut user = Message::user([Part::text("a"), Part::text("b")]);
        let mut tool = Message::tool("t", "x");
        for message in [&mut system, &mut user, &mut tool] {
            message.extra.set("cache_control", mark.clone());
        }
        let (system, turns) = json(&[system, user, tool], LateSystem::Hoist);
        let marked = r#""cache_control":{"type":"ephemeral","ttl":"1h"}}"#;
        assert_eq!(system, format!(r#"[{{"type":"text","text":"rules",{marked}]"#));
        let result = format!(r#"{{"type":"tool_result","tool_use_id":"t","content":"x",{marked}"#);
        let texts = format!(r#"{{"type":"text","text":"a"}},{{"type":"text","text":"b",{marked}"#);
        assert_eq!(turns, format!(r#"[{{"role":"user","content":[{result},{texts}]}}]"#));
    }

    #[test]
    fn what_a_message_cannot_say_here_is_refused_with_its_place() {
        let mut odd = Message::user("a");
        odd.extra.set("weight", raw("1"));
        let named = Message::user("a").with_name("Ann");
        let picture = Message::system([Part::image_url("https://x")]);
        let nameless = Message::tool("", "x");
        let cases = [
            (odd, "messages[1].weight"),
            (named, "messages[1].name"),
            (picture, "messages[1].content[0]"),
            (nameless, "messages[1].tool_call_id"),
        ];
        for (message, param) in cases {
            let error = Conversation::gather(&[Message::user("q"), message], LateSystem::Hoist).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn members_that_say_nothing_do_not_keep_an_answer_of_another_upstream_out() {
        let mut answer = Message::assistant("hi");
        for (name, value) in [("audio", "null"), ("function_call", "null"), ("annotations", "[{\"a\":1}]")] {
            answer.extra.set(name, raw(value));
        }
        let mut result = Message::tool("a", "x").with_name("f");
        result.extra.set("is_error", raw("false"));
        assert!(Conversation::gather(&[Message::user("q"), answer, result], LateSystem::Hoist).is_ok());
    }
}
