//! Every file in `tests/data`, read and compared with what `index.json` says is in it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod frames;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use frames::{Event, frames};
use infer_core::{
    Codec, Completion, DecodeKind, ErrorBody, ErrorKind, EventDecoder, FinishReason, Step, Wire, WireFault,
};
use serde_json::Value;
use wire_messages::{MessagesCodec, MessagesDecoder};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn index() -> Vec<Value> {
    let text = std::fs::read(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&text).unwrap();
    index["files"].as_array().unwrap().clone()
}

fn file(entry: &Value) -> (&str, Vec<u8>) {
    let name = entry["file"].as_str().unwrap();
    (name, std::fs::read(data().join(name)).unwrap())
}

/// What came of reading one file.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    whole: Completion,
    saw_stop: bool,
    fault: Option<WireFault>,
}

fn streamed(events: &[Event]) -> Outcome {
    let mut decoder = MessagesDecoder::default();
    let mut outcome = Outcome::default();
    for event in events {
        let mut chunks = Vec::new();
        let step = decoder.event(&event.name, &event.data, &mut chunks);
        for chunk in chunks {
            outcome.whole.push(chunk);
        }
        match step {
            Ok(Step::More) => {}
            Ok(Step::Done) => {
                outcome.saw_stop = true;
                break;
            }
            Err(fault) => {
                outcome.fault = Some(fault);
                return outcome;
            }
        }
    }
    outcome.fault = decoder.finish().err();
    outcome
}

fn unary(body: &[u8]) -> Outcome {
    match MessagesCodec::default().decode_full(&Bytes::copy_from_slice(body)) {
        Ok(whole) => Outcome { whole, ..Outcome::default() },
        Err(fault) => Outcome { fault: Some(fault), ..Outcome::default() },
    }
}

fn check_usage(file: &str, whole: &Completion, expect: &Value) {
    let usage = whole.usage.unwrap_or_else(|| panic!("{file}: no usage"));
    let mut rest = expect.as_object().unwrap().clone();
    let counts = [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cached", usage.cached_input_tokens),
        ("written", usage.cache_write_tokens),
        ("written_for_an_hour", usage.long_cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    ];
    for (name, count) in counts {
        let expect = rest.remove(name).map_or(0, |count| count.as_u64().unwrap());
        assert_eq!(count, expect, "{file}: {name}");
    }
    assert!(rest.is_empty(), "{file}: nobody checks {rest:?}");
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens, "{file}");
}

fn check_answer(file: &str, outcome: &Outcome, expect: &Value) {
    assert_eq!(outcome.fault, None, "{file}");
    let whole = &outcome.whole;
    assert_eq!(whole.choices.len(), 1, "{file}");
    let choice = &whole.choices[0];
    let finish = choice.finish.as_ref();
    for (name, value) in expect.as_object().unwrap() {
        let text = value.as_str();
        match name.as_str() {
            "text" => assert_eq!(Some(choice.text.as_str()), text, "{file}"),
            "reasoning" => assert_eq!(Some(choice.reasoning.as_str()), text, "{file}"),
            "refusal" => assert_eq!(Some(choice.refusal.as_str()), text, "{file}"),
            "finish" => assert_eq!(finish.map(FinishReason::as_str), text, "{file}"),
            "finish_kind" => assert_eq!(finish.map(|finish| finish.kind().as_str()), text, "{file}"),
            "id" => assert_eq!(whole.served.id.as_deref(), text, "{file}"),
            "model" => assert_eq!(whole.served.model.as_deref(), text, "{file}"),
            "service_tier" => assert_eq!(whole.served.service_tier.as_deref(), text, "{file}"),
            "saw_stop" => assert_eq!(Some(outcome.saw_stop), value.as_bool(), "{file}"),
            "usage" => check_usage(file, whole, value),
            "reasoning_blocks" => {
                let blocks: Vec<_> = choice.reasoning_blocks.iter().map(infer_core::RawJson::get).collect();
                let expect: Vec<_> = value.as_array().unwrap().iter().filter_map(Value::as_str).collect();
                assert_eq!(blocks, expect, "{file}");
            }
            "tool_calls" => {
                let calls = choice.tool_calls.iter().map(|call| {
                    serde_json::json!({ "id": call.id, "name": call.name, "arguments": call.arguments })
                });
                assert_eq!(Value::Array(calls.collect()), *value, "{file}");
            }
            other => panic!("{file}: nobody checks {other}"),
        }
    }
    for (name, is_empty) in [
        ("tool_calls", choice.tool_calls.is_empty()),
        ("reasoning_blocks", choice.reasoning_blocks.is_empty()),
        ("refusal", choice.refusal.is_empty()),
    ] {
        assert!(is_empty || expect.get(name).is_some(), "{file}: {name} nobody expects");
    }
}

/// The rule callers go by: the wire's reading, then the response's status.
fn check_error(file: &str, body: &ErrorBody, status: u16, expect: &Value) {
    let kind = body.meaning.or(ErrorKind::of_status(status)).unwrap_or(ErrorKind::Upstream);
    assert_eq!(Some(kind.name()), expect["kind"].as_str(), "{file}: {body:?}");
    assert_eq!(body.error_type.as_deref(), expect["type"].as_str(), "{file}");
    match expect["message_contains"].as_str() {
        Some(part) => assert!(body.message.as_deref().unwrap().contains(part), "{file}: {body:?}"),
        None => assert_eq!(body.message, None, "{file}"),
    }
}

fn check_fault(file: &str, outcome: &Outcome, expect: &Value) {
    let delivered = outcome.whole.choices.first().map(|choice| choice.text.as_str());
    assert_eq!(delivered, expect["text"].as_str(), "{file}: text delivered before the fault");
    match (expect["fault"].as_str().unwrap(), outcome.fault.as_ref()) {
        ("reported", Some(WireFault::Reported(body))) => check_error(file, body, 200, &expect["error"]),
        ("truncated", Some(WireFault::Truncated)) => {}
        ("malformed", Some(WireFault::Malformed { kind, .. })) => {
            let kind = match kind {
                DecodeKind::Json => "json",
                DecodeKind::Utf8 => "utf8",
                DecodeKind::ContentType => "content_type",
                DecodeKind::Empty => "empty",
                DecodeKind::Excess => "excess",
                other => panic!("{file}: {other:?}"),
            };
            assert_eq!(Some(kind), expect["decode"].as_str(), "{file}");
        }
        (_, fault) => panic!("{file}: {fault:?}"),
    }
}

fn check(entry: &Value) {
    let (file, body) = file(entry);
    assert_eq!(body.len() as u64, entry["bytes"].as_u64().unwrap(), "{file}: line endings converted?");
    let expect = &entry["expect"];
    let outcome = match entry["kind"].as_str().unwrap() {
        "answer" => unary(&body),
        "stream" => streamed(&frames(&body)),
        "error" => {
            let status = u16::try_from(entry["status"].as_u64().unwrap()).unwrap();
            let read = MessagesCodec::default().error_body(&body);
            return check_error(file, &read, status, &expect["error"]);
        }
        other => panic!("{file}: nobody checks {other}"),
    };
    if expect.get("fault").is_some() {
        check_fault(file, &outcome, expect);
    } else {
        check_answer(file, &outcome, expect);
    }
}

#[test]
fn every_file_reads_as_the_index_says() {
    let wrong = |entry: &Value| std::panic::catch_unwind(|| check(entry)).is_err();
    let wrong: Vec<_> = index().iter().filter(|entry| wrong(entry)).map(|e| e["file"].clone()).collect();
    assert!(wrong.is_empty(), "{} files read wrong: {wrong:?}", wrong.len());
}

#[test]
fn no_file_is_left_out_of_the_index() {
    let mut found = BTreeSet::new();
    let mut folders = vec![data()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(data()).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    assert!(found.remove("index.json") && found.remove("README.md"));
    let listed = index().iter().map(|entry| entry["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, listed);
}

/// The name of an event says nothing that its data does not say.
#[test]
fn a_stream_without_the_names_of_its_events_reads_the_same() {
    let mut streams = 0;
    for entry in index().iter().filter(|entry| entry["kind"] == "stream") {
        let (file, body) = file(entry);
        let named = frames(&body);
        let has_type = |event: &Event| event.data.windows(7).any(|seven| seven == b"\"type\":");
        if !named.iter().all(|event| has_type(event) || event.data.starts_with(b"[DONE]")) {
            continue;
        }
        let bare: Vec<_> =
            named.iter().map(|event| Event { name: String::new(), data: event.data.clone() }).collect();
        assert_eq!(streamed(&bare), streamed(&named), "{file}");
        streams += 1;
    }
    assert!(streams > 20, "{streams}");
}

/// Whoever passes a stream on by the `wire` of its pieces passes on every event.
#[test]
fn nothing_an_upstream_sent_is_lost_on_the_way_through() {
    for entry in index().iter().filter(|entry| entry["kind"] == "stream") {
        let (file, body) = file(entry);
        let mut decoder = MessagesDecoder::default();
        for event in frames(&body).iter().filter(|event| !event.data.starts_with(b"[DONE]")) {
            let mut chunks = Vec::new();
            let Ok(step) = decoder.event(&event.name, &event.data, &mut chunks) else { break };
            assert_eq!(chunks.len(), 1, "{file}");
            assert_eq!(chunks[0].wire.as_ref().map(Wire::bytes), Some(&event.data), "{file}");
            if step == Step::Done {
                break;
            }
        }
    }
}
