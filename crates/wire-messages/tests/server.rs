//! Laws: what one side writes, the other reads; and nothing of an answer or a request is lost between formats.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod frames;

use std::path::Path;

use bytes::Bytes;
use frames::{Event, frames};
use infer_core::{
    Choice, Codec, Completion, Content, ErrorKind, EventDecoder, ExecuteBatch, FinishKind, FinishReason,
    FunctionTool, InferenceError, JsonSchema, Message, Messages, Origin, Part, RawJson, Step, TokenChunk,
    ToolCall, ToolCallDelta, ToolChoice, ToolSpec, Usage,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use wire_messages::server::{EventWriter, read_request, write_message};
use wire_messages::{MESSAGES, MessagesCodec, MessagesDecoder};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[a-z \"\\\\\n\t]{0,12}", Just("\u{2028}😀\u{0}".to_owned())]
}

fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text })
}

fn raw(json: &str) -> RawJson {
    RawJson::parse(json).unwrap()
}

const INPUTS: [&str; 4] = [r#"{"a": 1.50}"#, r#"{"é":"\u00e9}"}"#, r#"{ "b" : [ {} ,"{"] }"#, "{}"];
const MARK: &str = r#"{"type":"ephemeral"}"#;

fn part() -> impl Strategy<Value = Part> {
    let pdf = "data:application/pdf;base64,JVBERi0x";
    prop_oneof![
        3 => filled().prop_map(Part::Text),
        1 => "[A-Za-z0-9+/]{0,8}".prop_map(|data| Part::image_base64("image/png", data)),
        1 => Just(Part::image_url("https://example.com/a.png")),
        1 => filled().prop_map(Part::file_id),
        1 => filled().prop_map(move |name| Part::file_data(name, pdf)),
        1 => Just(Part::Other(raw(r#"{"type":"search_result", "n":1.50}"#))),
    ]
}

/// As the format has it: a single text is no list.
fn content() -> impl Strategy<Value = Content> {
    let parts = vec(part(), 1..4)
        .prop_filter("a single text is no list", |parts| !matches!(parts.as_slice(), [Part::Text(_)]));
    prop_oneof![filled().prop_map(Content::Text), parts.prop_map(Content::Parts)]
}

fn call() -> impl Strategy<Value = ToolCall> {
    ("[a-z]{1,3}", filled(), select(INPUTS.to_vec()))
        .prop_map(|(id, name, arguments)| ToolCall::function(id, name, arguments))
}

fn marked(mut message: Message, is_marked: bool) -> Message {
    let is_unread =
        matches!(&message.content, Content::Parts(parts) if matches!(parts.last(), Some(Part::Other(_))));
    if is_marked && (!is_unread || !message.tool_calls.is_empty() || message.tool_call_id.is_some()) {
        message.extra.set("cache_control", raw(MARK));
    }
    message
}

fn assistant() -> impl Strategy<Value = Message> {
    let thought = r#"{"type":"thinking", "thinking":"x","signature":"s"}"#;
    (content(), vec(call(), 0..3), any::<bool>(), any::<bool>()).prop_map(
        move |(content, calls, thinks, is_marked)| {
            let mut message = Message::assistant(content).with_tool_calls(calls);
            if thinks {
                message.reasoning_blocks.push(raw(thought));
                message.reasoning = Some("x".into());
            }
            marked(message, is_marked)
        },
    )
}

/// What a user says in one turn: results, then the rest.
fn user() -> impl Strategy<Value = Vec<Message>> {
    let result_content = prop_oneof![Just(Content::Empty), content()];
    let result = ("[a-z]{1,3}", result_content, any::<bool>(), any::<bool>()).prop_map(
        |(id, content, is_error, is_marked)| {
            let mut message = Message::tool(id, content);
            if is_error {
                message.extra.set("is_error", raw("true"));
            }
            marked(message, is_marked)
        },
    );
    (vec(result, 0..3), content(), any::<bool>()).prop_map(|(mut messages, said, is_marked)| {
        messages.push(marked(Message::user(said), is_marked));
        messages
    })
}

/// Conversations in the one form the format gives back.
fn conversation() -> impl Strategy<Value = Vec<Message>> {
    let system = option::of((filled(), any::<bool>()));
    (system, user(), vec((assistant(), user()), 0..3)).prop_map(|(system, first, turns)| {
        let system = system.map(|(text, is_marked)| marked(Message::system(text), is_marked));
        let turns = turns.into_iter().flat_map(|(answer, next)| std::iter::once(answer).chain(next));
        system.into_iter().chain(first).chain(turns).collect()
    })
}

fn tool() -> impl Strategy<Value = ToolSpec> {
    let schema = select(vec![r#"{"type":"object"}"#, r#"{ "type": "object", "n": 1.0 }"#]);
    let function = (filled(), option::of(text()), schema, any::<Option<bool>>(), any::<bool>()).prop_map(
        |(name, description, schema, strict, is_marked)| {
            let mut tool = FunctionTool::new(name);
            (tool.description, tool.parameters, tool.strict) = (description, Some(raw(schema)), strict);
            if is_marked {
                tool.extra.set("cache_control", raw(MARK));
            }
            ToolSpec::Function(tool)
        },
    );
    let own = r#"{"type": "web_search_20250305","name":"web_search"}"#;
    prop_oneof![3 => function, 1 => Just(ToolSpec::Other(raw(own)))]
}

prop_compose! {
    fn batch()(
        model in select(vec!["claude-opus-5", "claude-sonnet-5", "other"]),
        messages in conversation(),
        sampling in (option::of(0.0..=1.0), option::of(0.0..=1.0), vec(text(), 0..3)),
        tools in vec(tool(), 0..3),
        choice in option::of((
            select(vec![ToolChoice::Auto, ToolChoice::Required, ToolChoice::Function("f".into())]),
            select(vec![None, Some(false)]),
        )),
        rest in (any::<u32>(), option::of(select(vec!["none", "low", "high", "xhigh"])), option::of(text())),
        (has_schema, is_streaming) in any::<(bool, bool)>(),
        tier in option::of(select(vec!["auto", "default"])),
        extras in vec(select(vec![("top_k", "4.0"), ("x_new", "[1, 2 ]"), ("container", "\"c\"")]), 0..3),
        thinks in any::<bool>(),
    ) -> ExecuteBatch {
        let mut batch = ExecuteBatch::new(model, messages);
        (batch.sampling.temperature, batch.sampling.top_p, batch.sampling.stop) = sampling;
        batch.tools = tools;
        if let Some((choice, parallel)) = choice {
            (batch.tool_choice, batch.parallel_tool_calls) = (Some(choice), parallel);
        }
        (batch.max_output_tokens, batch.user) = (Some(rest.0), rest.2);
        batch.reasoning_effort = rest.1.map(Into::into);
        batch.response_format = has_schema.then(|| JsonSchema::new("answer", raw(r#"{"a": 1.0}"#)).strict().into());
        batch.service_tier = tier.map(str::to_owned);
        batch.extra = extras.into_iter().map(|(name, json)| (name, raw(json))).collect();
        if thinks && batch.reasoning_effort.is_none() {
            batch.extra.set("thinking", raw(r#"{"type":"adaptive", "display":"summarized"}"#));
        }
        if is_streaming { batch.streaming() } else { batch }
    }
}

proptest! {
    // For every batch that this format can say: read(write(batch)) == batch, and writing that again gives the same bytes.
    #[test]
    fn a_server_reads_the_batch_the_client_wrote(batch in batch()) {
        let codec = MessagesCodec::default();
        let body = codec.encode(&batch).unwrap();
        let read = read_request(&body).unwrap().batch;
        let raw = read.messages.raw_in(MESSAGES).unwrap();
        prop_assert!(body.as_ptr_range().contains(&raw.as_ptr()), "messages are a slice of the body");
        let again: Value = serde_json::from_slice(&codec.encode(&read).unwrap()).unwrap();
        let sent: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(again, sent);
        let mut same = read;
        same.request_id = batch.request_id.clone();
        prop_assert_eq!(same, batch);
    }

    #[test]
    fn no_body_is_too_strange_to_be_read_or_refused(
        body in prop_oneof![vec(any::<u8>(), 0..64), damaged(REQUEST.as_bytes())],
    ) {
        if let Ok(request) = read_request(&Bytes::from(body)) {
            let refusals = [
                request.batch.messages.typed().err(),
                MessagesCodec::default().encode(&request.batch).err(),
            ];
            for error in refusals.into_iter().flatten() {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            }
        }
    }
}

/// A request with everything in it.
const REQUEST: &str = r#"{"model":"claude-x","max_tokens":1024,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}},{"type":"text","text":"hi"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"tool_use","id":"t","name":"f","input":{"a": 1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"sun"}],"is_error":false}]}],"tools":[{"name":"f","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":31999},"metadata":{"user_id":"u"},"stream":true,"context_management":{"edits":[]},"output_config":{"effort":"high","format":{"type":"json_schema","schema":{}},"x":1}}"#;

fn damaged(example: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let scraps = ["null", "[", "{", "}", "\"", "1e999", "-1", "\\ud800", "", "[]", "\"type\":", ","];
    vec((any::<proptest::sample::Index>(), 0..12_usize, select(scraps.to_vec())), 0..3).prop_map(
        move |damages| {
            let mut bytes = example.to_vec();
            for (place, length, scrap) in damages {
                let start = place.index(bytes.len() + 1);
                let end = (start + length).min(bytes.len());
                bytes.splice(start..end, scrap.bytes());
            }
            bytes
        },
    )
}

#[test]
fn a_request_passes_through_with_every_member_as_it_was_written() {
    let body = Bytes::from_static(REQUEST.as_bytes());
    let batch = read_request(&body).unwrap().batch;
    assert_eq!(batch.reasoning_effort.as_ref().unwrap().as_str(), "high");
    let sent = MessagesCodec::default().encode(&batch).unwrap();
    let values = [&body, &sent].map(|json| serde_json::from_slice::<Value>(json).unwrap());
    assert_eq!(values[0], values[1]);
    let text = String::from_utf8(sent.to_vec()).unwrap();
    let start = REQUEST.find(r#"[{"role""#).unwrap();
    let end = REQUEST.find(r#","tools""#).unwrap();
    assert!(text.contains(&REQUEST[start..end]), "messages byte for byte");
}

#[test]
fn a_wrong_type_is_refused_and_the_member_named() {
    let faults = [
        (r#"{"max_tokens":1,"messages":[1]}"#, "model"),
        (r#"{"model":"m","max_tokens":1}"#, "messages"),
        (r#"{"model":"m","max_tokens":1,"messages":[ ]}"#, "messages"),
        (r#"{"model":"m","max_tokens":1,"messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":[1]}"#, "max_tokens"),
    ];
    let of = |json: &str| read_request(&Bytes::copy_from_slice(json.as_bytes()));
    for (json, param) in faults {
        assert_eq!(of(json).unwrap_err().origin().unwrap().param.as_deref(), Some(param), "{json}");
    }
    let members = [
        r#""temperature":"hot""#,
        r#""stream":1"#,
        r#""stop_sequences":"x""#,
        r#""stop_sequences":[5]"#,
        r#""tools":{}"#,
        r#""tool_choice":"any""#,
        r#""system":5"#,
        r#""thinking":5"#,
        r#""output_config":[]"#,
        r#""metadata":"x""#,
        r#""service_tier":1"#,
    ];
    for member in members {
        let name = member.split('"').nth(1);
        let error = of(&format!(r#"{{"model":"m","max_tokens":1,"messages":[1],{member}}}"#)).unwrap_err();
        assert_eq!(error.origin().unwrap().param.as_deref(), name, "{member}");
    }
    for body in ["", "[]", "null", "{", "{\"a\":1}}"] {
        assert!(of(body).is_err(), "{body}");
    }
    let many: Vec<String> = (0..100_000).map(|n| format!("\"m{n}\":1")).collect();
    assert!(of(&format!("{{{}}}", many.join(","))).is_err());
}

fn finish() -> impl Strategy<Value = FinishReason> {
    let words = vec![
        (FinishKind::Stop, "end_turn"),
        (FinishKind::Stop, "stop_sequence"),
        (FinishKind::Length, "max_tokens"),
        (FinishKind::ToolCalls, "tool_use"),
        (FinishKind::ContentFilter, "refusal"),
        (FinishKind::Other, "pause_turn"),
        (FinishKind::Other, "novel"),
    ];
    select(words).prop_map(|(kind, word)| FinishReason::new(kind, word))
}

fn thought_json(text: &str, signature: &str) -> RawJson {
    let (text, signature) = (json!(text), json!(signature));
    raw(&format!(r#"{{"type":"thinking","thinking":{text},"signature":{signature}}}"#))
}

prop_compose! {
    fn completion()(
        thoughts in vec((text(), "[A-Za-z0-9+/]{0,8}"), 0..3),
        is_redacted in any::<bool>(),
        said in text(),
        calls in vec(call(), 0..4),
        (finish, refusal) in (finish(), filled()),
        counts in (0..1_000_u64, 0..1_000_u64, 0..9_u64, 0..9_u64, 0..9_u64),
        tier in option::of(select(vec!["standard", "priority"])),
    ) -> Completion {
        let mut choice = Choice::new(0);
        for (text, signature) in &thoughts {
            choice.reasoning.push_str(text);
            choice.reasoning_blocks.push(thought_json(text, signature));
        }
        if is_redacted {
            choice.reasoning_blocks.push(raw(r#"{"type":"redacted_thinking","data": "zz"}"#));
        }
        choice.text = said;
        choice.tool_calls = calls;
        if finish == FinishKind::ContentFilter {
            choice.refusal = refusal;
        }
        choice.finish = Some(finish);
        let mut usage = Usage::new(counts.0 + counts.2 + counts.3, counts.1);
        (usage.cached_input_tokens, usage.cache_write_tokens) = (counts.2, counts.3);
        usage.long_cache_write_tokens = counts.4.min(counts.3);
        usage.reasoning_tokens = counts.4;
        let mut whole = Completion::default();
        whole.choices = vec![choice];
        whole.usage = Some(usage);
        (whole.served.id, whole.served.model) = (Some("msg_1".into()), Some("m-1".into()));
        whole.served.service_tier = tier.map(str::to_owned);
        whole
    }
}

fn split(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// The pieces an answer streams in, `size` characters each; with `in_turns`, those of its calls alternate.
fn pieces(whole: &Completion, size: usize, in_turns: bool) -> Vec<TokenChunk> {
    let choice = &whole.choices[0];
    let mut pieces = Vec::new();
    let mut push = |set: &dyn Fn(&mut TokenChunk)| {
        let mut chunk = TokenChunk::default();
        set(&mut chunk);
        pieces.push(chunk);
    };
    push(&|chunk| chunk.served = Some(Box::new(whole.served.clone())));
    for block in &choice.reasoning_blocks {
        let value: Value = serde_json::from_str(block.get()).unwrap();
        for more in split(value["thinking"].as_str().unwrap_or_default(), size) {
            push(&|chunk| chunk.reasoning.clone_from(&more));
        }
        push(&|chunk| chunk.reasoning_blocks = vec![block.clone()]);
    }
    for more in split(&choice.text, size) {
        push(&|chunk| chunk.text.clone_from(&more));
    }
    let mut calls: Vec<Vec<ToolCallDelta>> = Vec::new();
    for (index, call) in (0..).zip(&choice.tool_calls) {
        let mut first = ToolCallDelta::new(index);
        (first.id, first.name) = (call.id.clone(), Some(call.name.clone()));
        let mut deltas = vec![first];
        for more in split(&call.arguments, size) {
            let mut delta = ToolCallDelta::new(index);
            delta.arguments = more;
            deltas.push(delta);
        }
        calls.push(deltas);
    }
    while let Some(place) = calls.iter().position(|deltas| !deltas.is_empty()) {
        let taken: Vec<_> = if in_turns {
            calls.iter_mut().filter(|deltas| !deltas.is_empty()).map(|deltas| deltas.remove(0)).collect()
        } else {
            vec![calls[place].remove(0)]
        };
        for delta in taken {
            push(&|chunk| chunk.tool_calls = vec![delta.clone()]);
        }
    }
    for more in split(&choice.refusal, size) {
        push(&|chunk| chunk.refusal.clone_from(&more));
    }
    push(&|chunk| chunk.finish.clone_from(&choice.finish));
    push(&|chunk| chunk.usage = whole.usage);
    pieces
}

/// The stream a server writes for these pieces.
fn stream(chunks: &[TokenChunk]) -> Vec<u8> {
    let mut writer = EventWriter::new("asked");
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(writer.write(chunk).unwrap_or_default());
        body.extend(EventWriter::ping());
    }
    assert!(writer.is_finished());
    body.extend(writer.end().unwrap());
    assert_eq!(writer.end(), None, "the end is written once");
    body
}

fn folded(events: &[Event]) -> Completion {
    let mut decoder = MessagesDecoder::default();
    let mut whole = Completion::default();
    let mut is_done = false;
    for event in events {
        assert!(!is_done, "something after the end");
        let mut out = Vec::new();
        is_done = decoder.event(&event.name, &event.data, &mut out).unwrap() == Step::Done;
        for chunk in out {
            whole.push(chunk);
        }
    }
    assert!(is_done);
    decoder.finish().unwrap();
    whole
}

/// The format's own order: a block starts, goes on and stops before the next starts, and they are counted from 0.
fn check_order(events: &[Event]) {
    let mut open: Option<u64> = None;
    let mut next = 0;
    for event in events.iter().filter(|event| event.name != "ping") {
        let value: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(value["type"], event.name.as_str());
        let index = value["index"].as_u64();
        match event.name.as_str() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                open = index;
                next += 1;
            }
            "content_block_delta" => assert_eq!(open, index),
            "content_block_stop" => {
                assert_eq!(open, index);
                open = None;
            }
            _ => assert_eq!((open, index), (None, None), "{}", event.name),
        }
    }
    assert_eq!(events.iter().find(|event| event.name != "ping").unwrap().name, "message_start");
    assert_eq!(events.last().unwrap().name, "message_stop");
}

proptest! {
    #[test]
    fn a_client_reads_the_answer_the_server_wrote(whole in completion()) {
        let body = write_message(&whole, "asked");
        let mut read = MessagesCodec::default().decode_full(&body).unwrap();
        prop_assert_eq!(read.wire.take(), Some(infer_core::Wire::new(MESSAGES, body)));
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn a_streamed_answer_adds_up_to_the_whole_one(
        whole in completion(), size in 1..6_usize, in_turns in any::<bool>(),
    ) {
        let events = frames(&stream(&pieces(&whole, size, in_turns)));
        check_order(&events);
        prop_assert_eq!(folded(&events), whole);
    }

    // Such as an answer that a cache kept.
    #[test]
    fn an_answer_in_one_piece_streams_like_any_other(whole in completion()) {
        let events = frames(&stream(&whole.clone().into_chunks()));
        check_order(&events);
        prop_assert_eq!(folded(&events), whole);
    }

    #[test]
    fn a_stream_without_a_finish_is_never_ended(whole in completion(), size in 1..6_usize) {
        let mut writer = EventWriter::new("asked");
        for chunk in pieces(&whole, size, false).iter().filter(|chunk| chunk.finish.is_none()) {
            if let Some(events) = writer.write(chunk) {
                let text = String::from_utf8(events.to_vec()).unwrap();
                prop_assert!(!text.contains("event: message_delta") && !text.contains("event: message_stop"));
            }
            prop_assert!(!writer.is_finished());
        }
        prop_assert_eq!(writer.end(), None);
    }
}

/// A gateway that passes a stream on sends what it received, each event under the name its data has.
#[test]
fn every_stream_of_the_fixtures_passes_through_byte_for_byte() {
    let mut passed = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stream")).unwrap() {
        let path = file.unwrap().path();
        // Nothing in it has a type.
        if path.ends_with("no_types.sse") {
            continue;
        }
        let mut decoder = MessagesDecoder::default();
        let mut writer = EventWriter::new("m");
        let mut is_whole = false;
        for event in frames(&std::fs::read(&path).unwrap()) {
            let mut chunks = Vec::new();
            let Ok(step) = decoder.event(&event.name, &event.data, &mut chunks) else { break };
            let value: Value = serde_json::from_slice(&event.data).unwrap_or_default();
            let Some(name) = value["type"].as_str() else { continue };
            let data = std::str::from_utf8(&event.data).unwrap();
            let sent: Vec<u8> = chunks.iter().filter_map(|chunk| writer.write(chunk)).flatten().collect();
            assert_eq!(sent, format!("event: {name}\ndata: {data}\n\n").into_bytes(), "{path:?}");
            passed += 1;
            if step == Step::Done {
                is_whole = true;
                break;
            }
        }
        let is_complete = decoder.finish().is_ok();
        assert!(!is_complete || writer.is_finished(), "{path:?}");
        if is_whole {
            assert_eq!(writer.end(), None, "{path:?}");
        }
    }
    assert!(passed > 150, "{passed}");
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/answer")).unwrap() {
        let body = Bytes::from(std::fs::read(file.unwrap().path()).unwrap());
        if let Ok(whole) = MessagesCodec::default().decode_full(&body) {
            assert_eq!(write_message(&whole, "m"), body);
        }
    }
}

/// Its data has no types, and the pieces do not keep names.
#[test]
fn events_whose_data_does_not_say_what_they_are_are_written_anew() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stream/no_types.sse");
    let received = frames(&std::fs::read(file).unwrap());
    let mut decoder = MessagesDecoder::default();
    let mut chunks = Vec::new();
    for event in &received {
        decoder.event(&event.name, &event.data, &mut chunks).unwrap();
    }
    let events = frames(&stream(&chunks));
    check_order(&events);
    assert_eq!(folded(&events), folded(&received));
}

#[test]
fn a_stream_that_ended_without_its_last_event_is_given_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stream/no_message_stop.sse");
    let (mut decoder, mut writer) = (MessagesDecoder::default(), EventWriter::new("m"));
    for event in frames(&std::fs::read(file).unwrap()) {
        let mut chunks = Vec::new();
        decoder.event(&event.name, &event.data, &mut chunks).unwrap();
        assert!(chunks.iter().all(|chunk| writer.write(chunk).is_some()));
    }
    assert_eq!(writer.end().unwrap(), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

#[test]
fn only_the_first_of_several_answers_is_written() {
    let mut writer = EventWriter::new("m");
    assert_eq!(writer.write(&TokenChunk::text(1, "b")), None);
    writer.write(&TokenChunk::text(0, "a")).unwrap();
    writer.write(&TokenChunk::finish(1, FinishKind::Stop));
    assert!(!writer.is_finished());
}

#[test]
fn arguments_that_come_too_late_break_the_answer_instead_of_changing_it() {
    let mut writer = EventWriter::new("m");
    let piece = |arguments: &str| {
        let mut delta = ToolCallDelta::new(0);
        (delta.name, delta.arguments) = (Some("f".into()), arguments.into());
        let mut chunk = TokenChunk::default();
        chunk.tool_calls = vec![delta];
        chunk
    };
    for chunk in [piece("{"), TokenChunk::text(0, "so"), piece("}"), TokenChunk::finish(0, FinishKind::Stop)]
    {
        writer.write(&chunk);
    }
    assert!(!writer.is_finished());
    assert_eq!(writer.end(), None);
}

#[test]
fn an_error_event_reads_back_as_the_same_error() {
    let mut at = Origin::default();
    at.status = Some(503);
    let error = InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None);
    let events = frames(&EventWriter::error(&error));
    assert_eq!((events.len(), events[0].name.as_str()), (1, "error"));
    let fault = MessagesDecoder::default().event("error", &events[0].data, &mut Vec::new()).unwrap_err();
    let infer_core::WireFault::Reported(body) = fault else { panic!("{fault:?}") };
    assert_eq!(body.meaning, Some(ErrorKind::Overloaded));
}

#[test]
fn messages_of_another_format_are_read_and_written_in_this_one() {
    let mut batch = ExecuteBatch::new("m", "x");
    batch.messages = Messages::raw(infer_core::WireFormat::CHAT_COMPLETIONS, Bytes::new(), |_| {
        Ok(vec![Message::system("rules"), Message::user("hi")])
    });
    let body: Value = serde_json::from_slice(&MessagesCodec::default().encode(&batch).unwrap()).unwrap();
    assert_eq!(body["system"][0]["text"], "rules");
    assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
}
