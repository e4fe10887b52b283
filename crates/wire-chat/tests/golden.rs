//! Every file in `tests/data`, read and compared with what `index.json` says is in it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use infer_core::{
    Codec, Completion, DecodeKind, ErrorBody, ErrorKind, EventDecoder, FinishReason, InferenceError, Origin,
    Step, ToolKind, Usage, Usd, Wire, WireFault,
};
use serde_json::Value;
use wire_chat::{ChatCodec, ChatDecoder, fault};

/// Where the index leaves a choice: the reading this crate stands by.
const JUDGED: [(&str, &str); 4] = [
    // A finish reason is never invented, and an answer without one is not known to be whole.
    ("malformed/done_no_finish.sse", "error"),
    // What a skipped event said is unknown, so the answer would have a hole nobody sees.
    ("malformed/bad_json_event.sse", "error"),
    // Text with replacement marks in it is not what the model said.
    ("malformed/invalid_utf8.sse", "error"),
    ("malformed/invalid_utf8.json", "error"),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn index() -> Vec<Value> {
    let text = std::fs::read(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&text).unwrap();
    index["files"].as_array().unwrap().clone()
}

/// What came of reading one file.
struct Outcome {
    whole: Completion,
    saw_done: bool,
    fault: Option<WireFault>,
    is_stream: bool,
}

/// One event of a stream.
struct Event {
    name: String,
    data: Vec<u8>,
}

/// Frames a body as the WHATWG rules for event streams say, slowly. The real framing is another crate's.
fn events(body: &[u8]) -> Vec<Event> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut bytes = body.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' {
                    bytes.next_if_eq(&&b'\n');
                }
                lines.push(std::mem::take(&mut line));
            }
            byte => line.push(*byte),
        }
    }
    // A line without an end, and an event without a blank line after it, do not count.
    let mut events = Vec::new();
    let mut open = Event { name: String::new(), data: Vec::new() };
    for line in lines {
        if line.is_empty() {
            let event = std::mem::replace(&mut open, Event { name: String::new(), data: Vec::new() });
            if !event.data.is_empty() {
                events.push(event);
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => {
                open.data.extend_from_slice(value);
                open.data.push(b'\n');
            }
            b"event" => open.name = String::from_utf8(value.to_vec()).unwrap(),
            _ => {}
        }
    }
    for event in &mut events {
        event.data.pop();
    }
    events
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|known| known == extension)
}

/// The body of a raw HTTP response.
fn body_of(response: &[u8]) -> Vec<u8> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
    let mut rest = &response[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

fn streamed(body: &[u8]) -> Outcome {
    let mut decoder = ChatDecoder::default();
    let mut outcome = Outcome { whole: Completion::default(), saw_done: false, fault: None, is_stream: true };
    for event in events(body) {
        let mut chunks = Vec::new();
        let step = decoder.event(&event.name, &Bytes::from(event.data), &mut chunks);
        for chunk in chunks {
            outcome.whole.push(chunk);
        }
        match step {
            Ok(Step::More) => {}
            Ok(Step::Done) => {
                outcome.saw_done = true;
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
    let (whole, fault) = match ChatCodec::default().decode_full(&Bytes::copy_from_slice(body)) {
        Ok(whole) => (whole, None),
        Err(fault) => (Completion::default(), Some(fault)),
    };
    Outcome { whole, saw_done: false, fault, is_stream: false }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn check_usage(file: &str, usage: Option<&Usage>, expect: &Value) {
    let Some(expect) = expect.as_object() else {
        assert_eq!(usage, None, "{file}");
        return;
    };
    let usage = usage.unwrap_or_else(|| panic!("{file}: no usage"));
    for (name, value) in expect {
        let count = match name.as_str() {
            "prompt_tokens" => usage.input_tokens,
            "completion_tokens" => usage.output_tokens,
            "total_tokens" => usage.total_tokens,
            "cached_tokens" => usage.cached_input_tokens,
            "cache_write_tokens" => usage.cache_write_tokens,
            "reasoning_tokens" => usage.reasoning_tokens,
            "accepted_prediction_tokens" => usage.accepted_prediction_tokens,
            "rejected_prediction_tokens" => usage.rejected_prediction_tokens,
            "billed_output_tokens" => usage.billed_output_tokens(),
            "cost_usd" => {
                let cost = Usd::from_usd(value.as_f64().unwrap());
                assert_eq!(usage.reported_cost, cost, "{file}");
                continue;
            }
            other => panic!("{file}: nobody checks usage.{other}"),
        };
        assert_eq!(Some(count), value.as_u64(), "{file}: {name}");
    }
}

fn check_choice(file: &str, whole: &Completion, place: usize, expect: &Value) {
    let choice = &whole.choices[place];
    for (name, value) in expect.as_object().unwrap() {
        let finish = choice.finish.as_ref();
        match name.as_str() {
            "index" => assert_eq!(u64::from(choice.index), value.as_u64().unwrap(), "{file}"),
            "text" => assert_eq!(choice.text, text(value).unwrap(), "{file}"),
            "text_len" => assert_eq!(choice.text.len() as u64, value.as_u64().unwrap(), "{file}"),
            "text_is_all" => assert!(choice.text.split(text(value).unwrap()).all(str::is_empty), "{file}"),
            "reasoning" => assert_eq!(choice.reasoning, text(value).unwrap(), "{file}"),
            "refusal" => assert_eq!(choice.refusal, text(value).unwrap(), "{file}"),
            "content_is_null" => assert!(choice.text.is_empty(), "{file}"),
            "finish_reason" => assert_eq!(finish.map(FinishReason::as_str), text(value), "{file}"),
            "finish_reason_normalized" => {
                assert_eq!(finish.map(|finish| finish.kind().as_str()), text(value), "{file}");
            }
            "tool_calls" => check_calls(file, &choice.tool_calls, value.as_array().unwrap()),
            "logprob_tokens" => {
                let tokens = choice.logprobs.as_ref().map_or(0, |known| known.content.len());
                assert_eq!(tokens as u64, value.as_u64().unwrap(), "{file}");
            }
            "audio_transcript" => {
                assert_eq!(Some(choice.audio.as_ref().unwrap().transcript.as_str()), text(value), "{file}");
            }
            _ => assert_eq!(place, 0, "{file}: nobody checks {name}"),
        }
    }
}

fn check_calls(file: &str, calls: &[infer_core::ToolCall], expect: &[Value]) {
    assert_eq!(calls.len(), expect.len(), "{file}");
    for (call, expect) in calls.iter().zip(expect) {
        assert_eq!(call.id.as_deref(), text(&expect["id"]), "{file}");
        assert_eq!(Some(call.name.as_str()), text(&expect["name"]), "{file}");
        let is_custom = expect["type"] == "custom";
        assert_eq!(call.kind == ToolKind::Custom, is_custom, "{file}");
        let payload = if is_custom { &expect["input"] } else { &expect["arguments"] };
        assert_eq!(Some(call.arguments.as_str()), text(payload), "{file}");
    }
}

fn check_success(file: &str, outcome: &Outcome, expect: &Value) {
    assert_eq!(outcome.fault, None, "{file}");
    let whole = &outcome.whole;
    match expect["choices"].as_array() {
        Some(choices) => {
            assert_eq!(whole.choices.len(), choices.len(), "{file}");
            choices.iter().enumerate().for_each(|(place, expect)| check_choice(file, whole, place, expect));
        }
        None => {
            assert_eq!(whole.choices.len(), 1, "{file}");
            check_choice(file, whole, 0, expect);
        }
    }
    for (name, value) in expect.as_object().unwrap() {
        match name.as_str() {
            "usage" => check_usage(file, whole.usage.as_ref(), value),
            "service_tier" => assert_eq!(whole.served.service_tier.as_deref(), text(value), "{file}"),
            "id" => assert_eq!(whole.served.id.as_deref(), text(value), "{file}"),
            "model" => assert_eq!(whole.served.model.as_deref(), text(value), "{file}"),
            "saw_done" => assert_eq!(Some(outcome.saw_done), value.as_bool(), "{file}"),
            "outcome"
            | "choices"
            | "text"
            | "text_len"
            | "text_is_all"
            | "reasoning"
            | "refusal"
            | "content_is_null"
            | "finish_reason"
            | "finish_reason_normalized"
            | "tool_calls"
            | "logprob_tokens"
            | "audio_transcript" => {}
            other => panic!("{file}: nobody checks {other}"),
        }
    }
}

/// The index's word for a kind.
fn kind_name(kind: ErrorKind, status: Option<u16>) -> &'static str {
    match (kind, status) {
        (ErrorKind::InvalidRequest, _) => "invalid_request",
        (ErrorKind::RequestTooLarge, Some(413)) => "payload_too_large",
        // The index counts a single request over the limit as a rate limit that no waiting cures.
        (ErrorKind::RequestTooLarge, _) => "rate_limited",
        (ErrorKind::ContextLengthExceeded, _) => "context_length_exceeded",
        (ErrorKind::ContentFiltered, _) => "content_filtered",
        (ErrorKind::ModelNotFound, _) => "not_found",
        (ErrorKind::Unauthenticated, _) => "authentication",
        (ErrorKind::PermissionDenied, _) => "permission_denied",
        (ErrorKind::RateLimited, _) => "rate_limited",
        (ErrorKind::QuotaExhausted, _) => "quota_exceeded",
        (ErrorKind::Overloaded, _) => "overloaded",
        (ErrorKind::Upstream, Some(408)) => "timeout",
        (ErrorKind::Upstream, Some(409)) => "conflict",
        (ErrorKind::Upstream, _) => "server_error",
        (other, _) => other.name(),
    }
}

/// The rule callers go by: the wire's reading, then a status in the body, then the response's.
fn reported(body: &ErrorBody, status: Option<u16>) -> (ErrorKind, Option<u16>) {
    let status = body.status.or(status);
    let kind = body.meaning.or(status.and_then(ErrorKind::of_status)).unwrap_or(ErrorKind::Upstream);
    (kind, status)
}

fn check_reported(file: &str, body: &ErrorBody, status: Option<u16>, expect: &Value) {
    let (kind, status) = reported(body, status);
    let error = &expect["error"];
    assert_eq!(Some(kind_name(kind, status)), text(&error["kind"]), "{file}: {body:?}");
    assert_eq!(status.map(u64::from), error["status"].as_u64(), "{file}");
    assert_eq!(body.code.as_deref(), text(&error["code"]), "{file}");
    assert_eq!(body.error_type.as_deref(), text(&error["type"]), "{file}");
    assert_eq!(body.param.as_deref(), text(&error["param"]), "{file}");
    if let Some(part) = text(&error["message_contains"]) {
        let message = body.message.as_deref().unwrap_or_default();
        assert!(message.contains(part), "{file}: {message:?}");
    }
    let wait = body.retry_after.map(|wait| wait.as_secs() * 1000);
    assert_eq!(wait, error["retry_after_ms_from_message"].as_u64(), "{file}");
    let mut at = Origin::default();
    at.status = status;
    let is_transient = InferenceError::reported(kind, Box::new(at), None).is_transient();
    assert_eq!(Some(is_transient), error["retryable"].as_bool(), "{file}");
    if let Some(categories) = expect["filtered_categories"].as_array() {
        let expect: Vec<_> = categories.iter().filter_map(text).collect();
        assert_eq!(body.filtered, expect, "{file}");
    }
}

fn check_error(file: &str, outcome: &Outcome, expect: &Value) {
    let error = &expect["error"];
    let whole = &outcome.whole;
    if let Some(delivered) = text(&expect["text"]) {
        assert_eq!(whole.text(), delivered, "{file}: text delivered before the error");
    }
    assert_eq!(Some(!whole.choices.is_empty()), error["after_output"].as_bool(), "{file}");
    let fault = outcome.fault.as_ref().unwrap_or_else(|| panic!("{file}: read without complaint"));
    let is_transient = match fault {
        WireFault::Reported(body) => {
            let status = if outcome.is_stream { None } else { Some(200) };
            return check_reported(file, body, status, expect);
        }
        WireFault::Malformed { kind, .. } => {
            assert_eq!(text(&error["kind"]), Some("malformed_response"), "{file}");
            matches!(kind, DecodeKind::Json | DecodeKind::Utf8 | DecodeKind::Empty)
        }
        WireFault::Truncated => {
            assert_eq!(text(&error["kind"]), Some("stream_interrupted"), "{file}");
            true
        }
        other => panic!("{file}: {other:?}"),
    };
    assert_eq!(Some(is_transient), error["retryable"].as_bool(), "{file}");
}

fn check_embeddings(file: &str, body: &[u8], expect: &Value) {
    let embeddings = ChatCodec::default().decode_embed(&Bytes::copy_from_slice(body)).unwrap();
    let vectors: Vec<Vec<f32>> = serde_json::from_value(expect["embeddings"].clone()).unwrap();
    assert_eq!(embeddings.vectors, vectors, "{file}");
    assert!(embeddings.model.is_some(), "{file}");
    check_usage(file, embeddings.usage.as_ref(), &expect["usage"]);
}

/// The index's word for what `fault` says came under a success.
fn kind_in_success(file: &str, fault: &WireFault) -> &'static str {
    match fault {
        WireFault::Reported(body) => {
            let (kind, status) = reported(body, None);
            kind_name(kind, status)
        }
        other => panic!("{file}: {other:?}"),
    }
}

fn check_models(file: &str, body: &[u8], expect: &Value) {
    let read = ChatCodec::default().decode_models(&Bytes::copy_from_slice(body));
    let Some(expected) = expect["models"].as_array() else {
        assert_eq!(Some(kind_in_success(file, &read.unwrap_err())), text(&expect["kind"]), "{file}");
        return;
    };
    let models = read.unwrap();
    assert_eq!(models.len(), expected.len(), "{file}");
    let whole: Value = serde_json::from_slice(body).unwrap();
    let entries = whole.get("data").unwrap_or(&whole).as_array().unwrap();
    for ((model, expect), entry) in models.iter().zip(expected).zip(entries) {
        assert_eq!(Some(model.id.as_str()), text(&expect["id"]), "{file}");
        assert_eq!(model.created, expect["created"].as_u64(), "{file}");
        assert_eq!(model.owned_by.as_deref(), text(&expect["owned_by"]), "{file}");
        assert_eq!(model.context_window, expect["context_window"].as_u64(), "{file}");
        assert_eq!(model.max_output_tokens, expect["max_output_tokens"].as_u64(), "{file}");
        assert_eq!(model.shutdown.as_deref(), text(&expect["shutdown"]), "{file}");
        let kept: Value = serde_json::from_str(model.wire.as_ref().unwrap().get()).unwrap();
        assert_eq!(&kept, entry, "{file}: the entry as received");
    }
}

fn check_health(file: &str, body: &[u8], expect: &Value) {
    let read = ChatCodec::default().decode_health(&Bytes::copy_from_slice(body));
    match text(&expect["kind"]) {
        None => assert_eq!(read, Ok(()), "{file}"),
        Some(kind) => assert_eq!(kind_in_success(file, &read.unwrap_err()), kind, "{file}"),
    }
}

/// Answers of another route of the same vendor: never an answer here, least of all an empty one.
fn check_no_answer(file: &str, body: &[u8], expect: &Value) {
    let read = if has_extension(file, "sse") { streamed(body) } else { unary(body) };
    assert!(read.whole.choices.is_empty(), "{file}: {:?}", read.whole);
    let fault = read.fault.unwrap_or_else(|| panic!("{file}: taken for an answer"));
    match text(&expect["fault"]).unwrap() {
        "empty" => assert!(
            matches!(fault, WireFault::Malformed { kind: DecodeKind::Empty, .. }),
            "{file}: {fault:?}"
        ),
        "truncated" => assert_eq!(fault, WireFault::Truncated, "{file}"),
        _ => assert_eq!(Some(kind_in_success(file, &fault)), text(&expect["kind"]), "{file}"),
    }
}

fn check(entry: &Value) {
    let file = text(&entry["file"]).unwrap();
    let raw = std::fs::read(data().join(file)).unwrap();
    assert_eq!(raw.len() as u64, entry["bytes"].as_u64().unwrap(), "{file}: line endings converted?");
    let body = if has_extension(file, "http") { body_of(&raw) } else { raw };
    let expect = match JUDGED.iter().find(|(judged, _)| *judged == file) {
        Some((_, outcome)) => {
            let readings = entry["expect_any"].as_array().unwrap();
            readings.iter().find(|reading| reading["outcome"] == *outcome).unwrap()
        }
        None => &entry["expect"],
    };
    let status = u16::try_from(entry["status"].as_u64().unwrap()).unwrap();
    match (text(&entry["kind"]).unwrap(), text(&expect["outcome"]).unwrap()) {
        ("embeddings", "success") => check_embeddings(file, &body, expect),
        ("models", "success" | "error") => check_models(file, &body, expect),
        ("health", "success" | "error") => check_health(file, &body, expect),
        ("responses", "no_answer") => check_no_answer(file, &body, expect),
        ("error", "error") if status >= 300 => {
            check_reported(file, &fault::read(&body), Some(status), expect);
        }
        (kind @ ("chat" | "stream" | "error"), outcome) => {
            // A plain answer to a request for a stream is read as what it is.
            let is_stream = kind == "stream" && !has_extension(file, "json");
            let read = if is_stream { streamed(&body) } else { unary(&body) };
            match outcome {
                "success" => check_success(file, &read, expect),
                _ => check_error(file, &read, expect),
            }
        }
        other => panic!("{file}: nobody checks {other:?}"),
    }
}

#[test]
fn every_file_reads_as_the_index_says() {
    let mut faults = Vec::new();
    for entry in index() {
        let checked = std::panic::catch_unwind(|| check(&entry));
        if checked.is_err() {
            faults.push(entry["file"].clone());
        }
    }
    assert!(faults.is_empty(), "{} files read wrong: {faults:?}", faults.len());
}

#[test]
fn no_file_is_left_out_of_the_index_and_no_choice_is_left_open() {
    let mut found = BTreeSet::new();
    let mut folders = vec![data()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(data()).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name);
            }
        }
    }
    assert!(found.remove("index.json"));
    let index = index();
    let listed: BTreeSet<_> = index.iter().map(|entry| text(&entry["file"]).unwrap().to_owned()).collect();
    assert_eq!(listed.len(), index.len(), "a file stands in the index twice");
    // What is listed is read by the test above, whose kinds have no default.
    let unread: Vec<_> = found.difference(&listed).collect();
    assert!(unread.is_empty(), "no test reads {unread:?}: list them in index.json");
    let missing: Vec<_> = listed.difference(&found).collect();
    assert!(missing.is_empty(), "index.json lists {missing:?}, which are not there");
    let open = index.iter().filter(|entry| entry.get("expect").is_none());
    let open: BTreeSet<_> = open.map(|entry| text(&entry["file"]).unwrap()).collect();
    assert_eq!(open, JUDGED.iter().map(|(file, _)| *file).collect());
}

/// Whoever passes a stream on by the `wire` of its pieces passes on every event.
#[test]
fn nothing_an_upstream_sent_is_lost_on_the_way_through() {
    for entry in index().iter().filter(|entry| entry["kind"] == "stream") {
        let file = text(&entry["file"]).unwrap();
        let raw = std::fs::read(data().join(file)).unwrap();
        let body = if has_extension(file, "http") { body_of(&raw) } else { raw };
        let mut decoder = ChatDecoder::default();
        for event in events(&body) {
            let data = Bytes::from(event.data);
            let mut chunks = Vec::new();
            let Ok(step) = decoder.event(&event.name, &data, &mut chunks) else { break };
            if step == Step::Done {
                break;
            }
            if !data.trim_ascii().is_empty() {
                assert_eq!(chunks[0].wire.as_ref().map(Wire::bytes), Some(&data), "{file}");
            }
            assert!(
                chunks
                    .iter()
                    .skip(1)
                    .all(|chunk| chunk.wire.as_ref().is_some_and(|wire| wire.bytes().is_empty())),
                "{file}"
            );
        }
    }
}
