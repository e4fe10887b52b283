//! Laws: what holds for every answer, however it comes, and for every request.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod frames;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use frames::frames;
use infer_core::{
    Codec, Completion, Content, EventDecoder, ExecuteBatch, FunctionTool, JsonSchema, Message, Messages,
    Part, RawJson, Step, TokenChunk, ToolCall, ToolChoice, ToolSpec, WireFault,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use wire_messages::{LateSystem, MESSAGES, MessagesCodec, MessagesDecoder, MessagesDialect, ThinkingStyle};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[a-z \"\\\\\n\t]{0,12}", Just("\u{2028}😀\u{0}".to_owned())]
}

fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text })
}

fn raw(json: &str) -> RawJson {
    RawJson::parse(json).unwrap()
}

/// One block, written both ways from one source.
#[derive(Clone, Debug)]
enum Block {
    Text(String),
    Thinking(String, String),
    Redacted(String),
    Call { id: String, name: String, input: Option<&'static str> },
    Upstreams(&'static str),
}

/// A whole answer.
#[derive(Clone, Debug)]
struct Answer {
    blocks: Vec<Block>,
    /// Where pieces of blocks end.
    splits: Vec<Index>,
    stop: &'static str,
    input: (u32, Option<u32>, Option<u32>),
    output: (u32, Option<u32>),
    tier: Option<&'static str>,
    has_noise: bool,
}

const INPUTS: [&str; 4] =
    [r#"{"a": 1.50}"#, r#"{"é":"\u00e9\ud83d\ude00"}"#, r#"{ "b" : [ {} ,"}"] }"#, r#"{"":null}"#];

fn block() -> impl Strategy<Value = Block> {
    let id = "toolu_[a-z]{1,3}";
    let upstreams = [
        r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}"#,
        r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[]}"#,
        r#"{"type":"novel","text":"hidden"}"#,
    ];
    prop_oneof![
        3 => text().prop_map(Block::Text),
        2 => (text(), "[A-Za-z0-9+/]{0,8}").prop_map(|(text, signature)| Block::Thinking(text, signature)),
        1 => "[A-Za-z0-9+/]{0,8}".prop_map(Block::Redacted),
        3 => (id, "[a-z_]{1,6}", option::of(select(INPUTS.to_vec())))
            .prop_map(|(id, name, input)| Block::Call { id, name, input }),
        1 => select(upstreams.to_vec()).prop_map(Block::Upstreams),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let stops = vec!["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "novel"];
    let count = || 0..100_000_u32;
    let input = (count(), option::of(count()), option::of(count()));
    let output = (count(), option::of(count()));
    let tier = option::of(select(vec!["standard", "priority"]));
    (vec(block(), 0..5), vec(any::<Index>(), 1..4), select(stops), input, output, tier, any::<bool>())
        .prop_map(|(blocks, splits, stop, input, output, tier, has_noise)| Answer {
            blocks,
            splits,
            stop,
            input,
            output,
            tier,
            has_noise,
        })
}

impl Block {
    fn whole(&self) -> String {
        match self {
            Self::Text(text) => json!({ "type": "text", "text": text }).to_string(),
            Self::Thinking(text, signature) => {
                let (text, signature) = (json!(text), json!(signature));
                format!(r#"{{"type":"thinking","thinking":{text},"signature":{signature}}}"#)
            }
            Self::Redacted(data) => format!(r#"{{"type":"redacted_thinking","data":"{data}"}}"#),
            Self::Call { id, name, input } => {
                let input = input.unwrap_or("{}");
                format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{input}}}"#)
            }
            Self::Upstreams(raw) => (*raw).to_owned(),
        }
    }

    /// As it starts, and what is added to it.
    fn streamed(&self, splits: &[Index]) -> (String, Vec<Value>) {
        let deltas = |kind: &str, member: &str, text: &str| {
            pieces(text, splits).into_iter().map(|piece| json!({ "type": kind, member: piece })).collect()
        };
        match self {
            Self::Text(text) => (r#"{"type":"text","text":""}"#.into(), deltas("text_delta", "text", text)),
            Self::Thinking(text, signature) => {
                let mut deltas: Vec<_> = deltas("thinking_delta", "thinking", text);
                deltas.push(json!({ "type": "signature_delta", "signature": signature }));
                (r#"{"type":"thinking","thinking":"","signature":""}"#.into(), deltas)
            }
            Self::Call { id, name, input } => {
                let start = format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{{}}}}"#);
                (start, deltas("input_json_delta", "partial_json", input.unwrap_or_default()))
            }
            Self::Upstreams(raw) => ((*raw).to_owned(), deltas("input_json_delta", "partial_json", "{}")),
            Self::Redacted(_) => (self.whole(), Vec::new()),
        }
    }
}

/// `text` in pieces that end at characters.
fn pieces<'a>(text: &'a str, splits: &[Index]) -> Vec<&'a str> {
    let ends: BTreeSet<_> =
        splits.iter().map(|end| text.floor_char_boundary(end.index(text.len() + 1))).collect();
    let mut pieces = Vec::new();
    let mut from = 0;
    for end in ends.into_iter().chain([text.len()]) {
        pieces.push(&text[from..end]);
        from = end;
    }
    pieces
}

fn details() -> Value {
    json!({ "type": "refusal", "explanation": "why" })
}

impl Answer {
    fn inputs(&self) -> Value {
        let (fresh, read, written) = self.input;
        json!({
            "input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
            "service_tier": self.tier,
        })
    }

    fn outputs(&self) -> Value {
        let details = self.output.1.map(|thinking| json!({ "thinking_tokens": thinking }));
        json!({ "output_tokens": self.output.0, "output_tokens_details": details })
    }

    fn whole(&self) -> Bytes {
        let blocks: Vec<_> = self.blocks.iter().map(Block::whole).collect();
        let mut usage = self.inputs();
        usage.as_object_mut().unwrap().extend(self.outputs().as_object().unwrap().clone());
        let body = format!(
            r#"{{"type":"message","id":"msg_1","model":"m","content":[{}],"stop_reason":"{}","stop_details":{},"usage":{usage}}}"#,
            blocks.join(","),
            self.stop,
            details(),
        );
        body.into()
    }

    /// The events, and the place of the one with the reason.
    fn events(&self) -> (Vec<Bytes>, usize) {
        let message = json!({ "id": "msg_1", "model": "m", "content": [], "usage": self.inputs() });
        let mut events = vec![json!({ "type": "message_start", "message": message }).to_string()];
        for (index, block) in self.blocks.iter().enumerate() {
            let (start, deltas) = block.streamed(&self.splits);
            events
                .push(format!(r#"{{"type":"content_block_start","index":{index},"content_block":{start}}}"#));
            for delta in deltas {
                events.push(
                    json!({ "type": "content_block_delta", "index": index, "delta": delta }).to_string(),
                );
                if self.has_noise {
                    events.push(r#"{"type":"ping"}"#.into());
                    events.push(format!(r#"{{"type":"novel_event","index":{index}}}"#));
                }
            }
            events.push(json!({ "type": "content_block_stop", "index": index }).to_string());
        }
        let delta = json!({ "stop_reason": self.stop, "stop_details": details() });
        events.push(json!({ "type": "message_delta", "delta": delta, "usage": self.outputs() }).to_string());
        events.push(r#"{"type":"message_stop"}"#.into());
        let reason = events.len() - 2;
        (events.into_iter().map(Bytes::from).collect(), reason)
    }
}

/// The pieces of a stream, and how it ended.
fn read(events: &[Bytes]) -> (Vec<TokenChunk>, Result<(), WireFault>) {
    let mut decoder = MessagesDecoder::default();
    let mut chunks = Vec::new();
    for event in events {
        match decoder.event("", event, &mut chunks) {
            Ok(Step::More) => {}
            Ok(Step::Done) => break,
            Err(fault) => return (chunks, Err(fault)),
        }
    }
    let end = decoder.finish();
    (chunks, end)
}

fn fold(chunks: Vec<TokenChunk>) -> Completion {
    let mut whole = Completion::default();
    for chunk in chunks {
        whole.push(chunk);
    }
    whole
}

proptest! {
    #[test]
    fn the_pieces_of_a_stream_add_up_to_the_answer_in_one_piece(answer in answer()) {
        let mut whole = MessagesCodec::default().decode_full(&answer.whole()).unwrap();
        (whole.wire, whole.wire_format) = (None, None);
        let (chunks, end) = read(&answer.events().0);
        prop_assert_eq!(end, Ok(()));
        let folded = fold(chunks);
        prop_assert_eq!(folded, whole);
    }

    #[test]
    fn a_stream_cut_before_its_reason_never_looks_complete(answer in answer(), cut in any::<Index>()) {
        let (events, reason) = answer.events();
        let (chunks, end) = read(&events[..cut.index(reason + 1)]);
        prop_assert_eq!(end, Err(WireFault::Truncated));
        prop_assert!(chunks.iter().all(|chunk| chunk.finish.is_none()));
        let (_, end) = read(&events[..=reason]);
        prop_assert_eq!(end, Ok(()), "the reason alone completes it");
    }

    #[test]
    fn calls_are_numbered_from_nothing_without_gaps_and_their_arguments_are_json(answer in answer()) {
        let (chunks, _) = read(&answer.events().0);
        let mut next = 0;
        for delta in chunks.iter().flat_map(|chunk| &chunk.tool_calls) {
            prop_assert!(delta.index == next || delta.index + 1 == next, "{} after {next}", delta.index);
            prop_assert_eq!(delta.name.is_some(), delta.index == next, "a call is named once, when it starts");
            next = next.max(delta.index + 1);
        }
        let folded = fold(chunks);
        for call in folded.choices.iter().flat_map(|choice| &choice.tool_calls) {
            prop_assert!(serde_json::from_str::<Value>(&call.arguments).unwrap().is_object());
        }
    }

    #[test]
    fn an_answer_goes_back_with_its_reasoning_first_and_byte_for_byte(answer in answer()) {
        let whole = MessagesCodec::default().decode_full(&answer.whole()).unwrap();
        let message = whole.choices[0].to_message();
        let reasoning: Vec<_> = message.reasoning_blocks.iter().map(RawJson::get).collect();
        let batch = ExecuteBatch::new("m", [Message::user("q"), message.clone(), Message::user("more")]);
        let body = MessagesCodec::default().encode(&batch).unwrap();
        if !reasoning.is_empty() {
            let expect = format!(r#""role":"assistant","content":[{}"#, reasoning.join(","));
            prop_assert!(String::from_utf8(body.to_vec()).unwrap().contains(&expect));
        }
    }
}

/// Every body and every event of the fixtures, to be damaged.
fn examples() -> &'static [Vec<u8>] {
    static EXAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let mut examples = Vec::new();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        for folder in ["answer", "stream", "error"] {
            for file in std::fs::read_dir(data.join(folder)).unwrap() {
                let file = std::fs::read(file.unwrap().path()).unwrap();
                examples.extend(frames(&file).into_iter().map(|event| event.data.to_vec()));
                examples.push(file);
            }
        }
        examples
    })
}

/// An example with some of it cut out, doubled or overwritten.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let scraps = ["null", "[", "{", "}", "\"", "1e999", "-1", "\\ud800", "\u{feff}", "", "[]", "\"type\":"];
    let damage = (any::<Index>(), 0..12_usize, select(scraps.to_vec()));
    (any::<Index>(), vec(damage, 0..3)).prop_map(|(which, damages)| {
        let examples = examples();
        let mut bytes = examples[which.index(examples.len())].clone();
        for (place, length, scrap) in damages {
            let start = place.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, scrap.bytes());
        }
        bytes
    })
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => vec(any::<u8>(), 0..64), 4 => damaged()]
}

proptest! {
    #[test]
    fn no_stream_is_complete_without_a_reason_and_none_goes_on_after_its_end(
        events in vec((select(vec!["", "", "", "error", "ping", "content_block_delta"]), anything()), 0..16),
    ) {
        let mut decoder = MessagesDecoder::default();
        let (mut is_finished, mut is_over, mut has_failed) = (false, false, false);
        for (name, data) in events {
            let data = Bytes::from(data);
            let mut out = Vec::new();
            let step = decoder.event(name, &data, &mut out);
            prop_assert!(!is_over || out.is_empty(), "something came after the end");
            prop_assert!(!has_failed || step.is_err(), "an error was forgotten");
            has_failed |= step.is_err();
            is_over |= has_failed || step == Ok(Step::Done);
            for chunk in &out {
                prop_assert!(!(is_finished && chunk.is_content()), "content after the finish");
                prop_assert_eq!(chunk.wire.as_ref(), Some(&data), "a piece without its event");
                is_finished |= chunk.finish.is_some();
            }
            prop_assert!(step != Ok(Step::Done) || is_finished, "done without a reason");
        }
        let is_complete = decoder.finish().is_ok();
        prop_assert!(!(is_complete && has_failed), "an error became a success");
        prop_assert!(!is_complete || is_finished);
    }

    #[test]
    fn random_bytes_are_never_an_answer(body in vec(any::<u8>(), 0..64)) {
        let body = Bytes::from(body);
        prop_assert!(MessagesCodec::default().decode_full(&body).is_err());
        prop_assert!(read(&[body]).1.is_err());
    }

    #[test]
    fn no_body_is_too_strange_to_be_read_or_refused(body in anything()) {
        let body = Bytes::from(body);
        if let Ok(whole) = MessagesCodec::default().decode_full(&body) {
            prop_assert_eq!(whole.choices.len(), 1);
            prop_assert_eq!(whole.wire, Some(body.clone()));
        }
        let error = MessagesCodec::default().error_body(&body);
        prop_assert!(error.message.is_none_or(|message| message.len() <= 512));
    }
}

#[test]
fn a_fixture_cut_at_any_event_is_complete_only_with_its_reason() {
    let mut cuts = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stream")).unwrap() {
        let events = frames(&std::fs::read(file.unwrap().path()).unwrap());
        for cut in 0..=events.len() {
            let mut decoder = MessagesDecoder::default();
            let mut chunks = Vec::new();
            let mut read = |event: &frames::Event| decoder.event(&event.name, &event.data, &mut chunks);
            let has_failed = events[..cut].iter().any(|event| read(event).is_err());
            let has_reason = chunks.iter().any(|chunk| chunk.finish.is_some());
            assert_eq!(decoder.finish().is_ok(), has_reason && !has_failed);
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts}");
}

/// A part that the format has a block for.
fn part() -> impl Strategy<Value = Part> {
    let others =
        [r#"{"type":"search_result", "n":1.50}"#, r#"{"type":"text","text":"x","cache_control":null}"#];
    prop_oneof![
        4 => text().prop_map(Part::Text),
        1 => filled().prop_map(Part::Refusal),
        1 => "[A-Za-z0-9+/]{0,8}".prop_map(|data| Part::image_base64("image/png", data)),
        1 => Just(Part::image_url("data:image/gif;base64,R0lG")),
        1 => text().prop_map(Part::image_url).prop_filter("no data URL", |part| {
            !matches!(part, Part::Image { source: infer_core::MediaSource::Url(url), .. } if url.starts_with("data:"))
        }),
        1 => text().prop_map(Part::file_id),
        1 => Just(Part::file_data("a.pdf", "JVBERi0x")),
        1 => select(others.to_vec()).prop_map(|other| Part::Other(raw(other))),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Empty),
        text().prop_map(Content::Text),
        vec(part(), 0..3).prop_map(Content::Parts),
    ]
}

fn call() -> impl Strategy<Value = ToolCall> {
    let arguments = select([INPUTS.as_slice(), &["", " {} "]].concat());
    ("[a-z]{1,3}", text(), arguments)
        .prop_map(|(id, name, arguments)| ToolCall::function(id, name, arguments))
}

/// A message that the format can say.
fn message() -> impl Strategy<Value = Message> {
    let reasoning = select(vec![None, Some(r#"{"type":"thinking", "thinking":"x","signature":"s"}"#)]);
    let message = prop_oneof![
        1 => text().prop_map(Message::system),
        1 => vec(text().prop_map(Part::Text), 0..3).prop_map(Message::developer),
        3 => content().prop_map(Message::user),
        2 => ("[a-z]{1,3}", content()).prop_map(|(id, content)| Message::tool(id, content)),
        3 => (content(), vec(call(), 0..3), reasoning).prop_map(|(content, calls, reasoning)| {
            let mut message = Message::assistant(content).with_tool_calls(calls);
            message.reasoning_blocks.extend(reasoning.map(raw));
            message
        }),
    ];
    (message, any::<bool>()).prop_map(|(mut message, is_marked)| {
        if is_marked {
            message.extra.set("cache_control", raw(r#"{"type":"ephemeral"}"#));
        }
        message
    })
}

fn dialect() -> impl Strategy<Value = MessagesDialect> {
    let late = select(vec![LateSystem::Hoist, LateSystem::InPlace, LateSystem::AsUser]);
    let thinking = select(vec![ThinkingStyle::Auto, ThinkingStyle::Adaptive, ThinkingStyle::Budget]);
    (late, thinking).prop_map(|(late, thinking)| {
        MessagesDialect::default().with_late_system(late).with_thinking(thinking)
    })
}

/// Something every request can have said beside its messages.
fn options(batch: ExecuteBatch) -> impl Strategy<Value = ExecuteBatch> {
    let tools = vec![
        ToolSpec::function("f", "what", raw(r#"{"type": "object"}"#)),
        ToolSpec::Function(FunctionTool::new("g")),
        ToolSpec::Other(raw(r#"{"type":"web_search_20250305","name":"web_search"}"#)),
    ];
    let choices =
        vec![ToolChoice::Auto, ToolChoice::None, ToolChoice::Required, ToolChoice::Function("f".into())];
    let efforts = vec!["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let extras = [
        ("top_k", "4.0"),
        ("output_config", r#"{"effort":"low","x":1}"#),
        ("system", "\"late\""),
        ("metadata", "{}"),
        ("tools", "[]"),
        ("tool_choice", "null"),
        ("stop_sequences", "[]"),
        ("max_tokens", "9000"),
        ("cache_control", "null"),
    ];
    let sampling = (option::of(0.0..=1.0), option::of(0.0..=1.0), vec(text(), 0..2));
    let tools = (vec(select(tools), 0..3), option::of(select(choices)), any::<Option<bool>>());
    let rest = (option::of(2000..9000_u32), option::of(select(efforts)), option::of(text()), any::<bool>());
    (sampling, tools, rest, vec(select(extras.to_vec()), 0..4), any::<bool>()).prop_map(
        move |(sampling, tools, rest, extras, has_schema)| {
            let mut batch = batch.clone();
            (batch.sampling.temperature, batch.sampling.top_p, batch.sampling.stop) = sampling;
            (batch.tools, batch.tool_choice, batch.parallel_tool_calls) = tools;
            let (limit, effort, user, is_streaming) = rest;
            (batch.max_output_tokens, batch.user) = (limit, user);
            batch.reasoning_effort = effort.map(Into::into);
            batch.response_format = has_schema.then(|| JsonSchema::new("s", raw(r#"{"a": 1.0}"#)).into());
            for (name, value) in extras {
                batch.extra.set(name, raw(value));
            }
            if is_streaming { batch.streaming() } else { batch }
        },
    )
}

fn representable() -> impl Strategy<Value = ExecuteBatch> {
    let models = vec!["claude-opus-5", "claude-sonnet-4-5", "other"];
    // Whatever else is said, there is something to answer.
    let messages = (vec(message(), 0..7), filled()).prop_map(|(mut messages, last)| {
        messages.push(Message::user(last));
        messages
    });
    (select(models), messages)
        .prop_flat_map(|(model, messages)| options(ExecuteBatch::new(model, Messages::from(messages))))
}

/// The names of an object's members, as often as they are written.
struct Names(Vec<String>);

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The blocks of a message, a string counting as one.
fn blocks(message: &Value) -> Vec<Value> {
    match &message["content"] {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        content => content.as_array().unwrap().clone(),
    }
}

proptest! {
    #[test]
    fn what_the_format_can_say_is_valid_json_in_alternating_turns(
        batch in representable(), dialect in dialect(),
    ) {
        let body = MessagesCodec::new(dialect.clone()).encode(&batch).unwrap();
        let names: Names = serde_json::from_slice(&body).unwrap();
        let unique: BTreeSet<_> = names.0.iter().collect();
        prop_assert_eq!(unique.len(), names.0.len(), "said twice: {:?}", names.0);
        let request: Value = serde_json::from_slice(&body).unwrap();
        prop_assert!(request["max_tokens"].as_u64().unwrap() > 0);
        prop_assert!(request["thinking"]["budget_tokens"].as_u64().unwrap_or(1024) >= 1024);
        prop_assert!(request["thinking"]["budget_tokens"].as_u64() < request["max_tokens"].as_u64());
        let turns = request["messages"].as_array().unwrap();
        prop_assert!(!turns.is_empty());
        for pair in turns.windows(2) {
            prop_assert_ne!(&pair[0]["role"], &pair[1]["role"]);
        }
        for turn in turns {
            let is_known = turn["role"] == "user" || turn["role"] == "assistant";
            prop_assert!(is_known || dialect.late_system == LateSystem::InPlace);
            let blocks = blocks(turn);
            prop_assert!(!blocks.is_empty());
            prop_assert!(blocks.iter().all(|block| block["text"] != ""), "an empty text: {}", turn);
            let is_result = |block: &&Value| block["type"] == "tool_result";
            let results = blocks.iter().filter(is_result).count();
            prop_assert_eq!(blocks.iter().take_while(is_result).count(), results, "results first: {}", turn);
        }
    }

    #[test]
    fn every_text_and_every_result_arrives_once(messages in vec(message(), 0..7)) {
        let batch = ExecuteBatch::new("m", Messages::from(messages.clone()));
        let Ok(body) = MessagesCodec::default().encode(&batch) else { return Ok(()) };
        let request: Value = serde_json::from_slice(&body).unwrap();
        let system = request["system"].as_array().cloned().unwrap_or_default();
        let turns = request["messages"].as_array().unwrap().iter().flat_map(blocks);
        let arrived: Vec<_> = system.into_iter().chain(turns).collect();
        let of = |kind: &str| arrived.iter().filter(|block| block["type"] == kind).count();
        prop_assert_eq!(of("tool_result"), messages.iter().filter(|message| message.tool_call_id.is_some()).count());
        prop_assert_eq!(of("tool_use"), messages.iter().map(|message| message.tool_calls.len()).sum::<usize>());
        let said = |part: &Part| match part {
            Part::Text(text) | Part::Refusal(text) => usize::from(!text.is_empty()),
            Part::Other(raw) => usize::from(raw.get().contains("\"text\"")),
            _ => 0,
        };
        let texts = messages.iter().filter(|message| message.tool_call_id.is_none()).map(|message| {
            match &message.content {
                Content::Text(text) => usize::from(!text.is_empty()),
                Content::Parts(parts) => parts.iter().map(said).sum(),
                _ => 0,
            }
        });
        prop_assert_eq!(of("text"), texts.sum::<usize>());
    }

    #[test]
    fn received_messages_are_copied_or_refused(bytes in anything()) {
        let mut batch = ExecuteBatch::new("m", "");
        let json = Bytes::from(bytes);
        batch.messages = Messages::raw(MESSAGES, json.clone(), |_| Ok(Vec::new()));
        match MessagesCodec::default().encode(&batch) {
            Ok(body) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&body).unwrap();
                let copied = json.trim_ascii();
                prop_assert!(body.windows(copied.len()).any(|part| part == copied));
            }
            Err(error) => prop_assert_eq!(error.origin().unwrap().param.as_deref(), Some("messages")),
        }
    }
}
