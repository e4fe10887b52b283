//! Legacy completions, as a server takes and answers them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bytes::Bytes;
use infer_core::{
    Choice, Codec, Completion, ErrorKind, ExecuteBatch, FinishKind, FinishReason, InferenceError, Message,
    Origin, Served, TokenChunk, Usage, WireFormat,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use wire_chat::ChatCodec;
use wire_chat::server::{CompletionRequest, TextChunkWriter, read_completion_request, write_text_completion};

fn read(json: &str) -> Result<CompletionRequest, InferenceError> {
    read_completion_request(&Bytes::copy_from_slice(json.as_bytes()))
}

fn with(members: &str) -> Result<CompletionRequest, InferenceError> {
    read(&format!(r#"{{"model":"m","prompt":"once",{members}}}"#))
}

#[test]
fn a_prompt_is_what_the_user_says_and_goes_to_a_chat_upstream() {
    let request = read(r#"{"model":"m","prompt":["once"],"max_tokens":7,"temperature":0.5,"stop":"\n","user":"u","top_k":3,"suffix":null,"logprobs":null,"best_of":1}"#).unwrap();
    assert_eq!(request.batch.messages.typed().unwrap(), [Message::user("once")]);
    let body = ChatCodec::default().encode(&request.batch).unwrap();
    let expect = json!({
        "model": "m", "messages": [{"role": "user", "content": "once"}], "max_tokens": 7,
        "temperature": 0.5, "stop": ["\n"], "user": "u", "top_k": 3,
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expect);
    assert_eq!((request.echo, request.include_usage), (None, false));
}

#[test]
fn counts_and_an_echo_come_to_those_who_ask() {
    let request = with(r#""stream":true,"echo":true,"stream_options":{"include_usage":true,"x":1}"#).unwrap();
    assert!(request.include_usage && request.batch.is_streaming());
    assert_eq!(request.echo.as_deref(), Some("once"));
    assert_eq!(request.batch.extra.get("stream_options").unwrap().get(), r#"{"x":1}"#);
    assert!(!with(r#""stream_options":{"include_usage":true}"#).unwrap().include_usage);
}

#[test]
fn what_no_chat_can_do_is_refused_by_name() {
    let prompts = [
        r#""prompt":["a","b"]"#,
        r#""prompt":[1,2]"#,
        r#""prompt":[[1,2]]"#,
        r#""prompt":[5]"#,
        r#""prompt":[]"#,
        r#""prompt":"""#,
        r#""prompt":5"#,
        r#""prompt":null"#,
        r#""x":1"#,
    ];
    let param = |error: InferenceError| error.origin().unwrap().param.clone().unwrap();
    for prompt in prompts {
        assert_eq!(param(read(&format!(r#"{{"model":"m",{prompt}}}"#)).unwrap_err()), "prompt", "{prompt}");
    }
    assert_eq!(param(read(r#"{"prompt":"a"}"#).unwrap_err()), "model");
    let members = [
        r#""suffix":"end""#,
        r#""logprobs":3"#,
        r#""best_of":3"#,
        r#""n":-1"#,
        r#""max_tokens":5000000000"#,
        r#""temperature":"hot""#,
        r#""stop":5"#,
        r#""echo":"yes""#,
        r#""stream_options":[]"#,
        r#""logit_bias":[]"#,
    ];
    for member in members {
        let name = member.split('"').nth(1).unwrap();
        assert_eq!(param(with(member).unwrap_err()), name, "{member}");
    }
    assert!(with(r#""best_of":2,"n":2"#).is_ok());
    for body in ["", "[]", "null", "{"] {
        assert!(read(body).is_err(), "{body}");
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[a-z \"\\\\\n\t]{0,12}", Just("\u{2028}😀\u{0}".to_owned())]
}

prop_compose! {
    fn completion()(texts in vec(text(), 1..4), counts in option::of((0..99_u64, 0..99_u64))) -> Completion {
        let mut whole = Completion::default();
        for (index, text) in (0..).zip(texts) {
            let mut choice = Choice::new(index);
            choice.text = text;
            // In the words of an upstream of another format.
            choice.finish = Some(FinishReason::new(FinishKind::Length, "max_tokens"));
            whole.choices.push(choice);
        }
        whole.usage = counts.map(|(input, output)| Usage::new(input, output));
        let mut served = Served::default();
        (served.id, served.model) = (Some("cmpl-1".into()), Some("m-1".into()));
        whole.served = served;
        whole
    }
}

/// The texts, ends and counts of a stream, read as a client of this route reads it.
fn collected(events: &[Bytes]) -> (BTreeMap<u64, (String, Value)>, Value) {
    let mut answers: BTreeMap<u64, (String, Value)> = BTreeMap::new();
    let mut counts = Value::Null;
    for event in events {
        let data = event.strip_prefix(b"data: ").and_then(|data| data.strip_suffix(b"\n\n")).unwrap();
        let event: Value = serde_json::from_slice(data).unwrap();
        assert_eq!((&event["object"], &event["id"]), (&json!("text_completion"), &json!("cmpl-1")));
        for choice in event["choices"].as_array().unwrap() {
            let answer = answers.entry(choice["index"].as_u64().unwrap()).or_default();
            answer.0.push_str(choice["text"].as_str().unwrap());
            assert!(answer.1.is_null(), "something came after the end");
            answer.1 = choice["finish_reason"].clone();
        }
        if !event["usage"].is_null() {
            counts = event["usage"].clone();
        }
    }
    (answers, counts)
}

proptest! {
    // The pieces of a stream add up to the answer in one piece, however they are cut.
    #[test]
    fn a_streamed_text_adds_up_to_the_whole_one(
        whole in completion(), size in 1..6_usize, echo in option::of("[a-z]{1,5}"), asks in any::<bool>(),
    ) {
        let mut writer = TextChunkWriter::new("asked", asks, echo.clone());
        let mut start = TokenChunk::default();
        start.served = Some(Box::new(whole.served.clone()));
        // As from another format, whose first event has counts.
        start.wire = Some(infer_core::Wire::new(WireFormat::MESSAGES, "{}"));
        start.usage = Some(Usage::new(1, 0));
        prop_assert_eq!(writer.write(&start), None);
        let mut events = Vec::new();
        for choice in &whole.choices {
            let chars: Vec<char> = choice.text.chars().collect();
            let texts = chars.chunks(size).map(|piece| piece.iter().collect::<String>());
            events.extend(texts.filter_map(|text| writer.write(&TokenChunk::text(choice.index, text))));
            events.extend(writer.write(&TokenChunk::finish(choice.index, choice.finish.clone().unwrap())));
        }
        let mut last = TokenChunk::default();
        last.usage = whole.usage;
        let counts = writer.write(&last);
        prop_assert_eq!(counts.is_some(), asks && whole.usage.is_some());
        events.extend(counts);
        let (answers, counts) = collected(&events);

        let body = write_text_completion(&whole, "asked", echo.as_deref());
        let json: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&json["model"], "m-1");
        let choices = json["choices"].as_array().unwrap();
        prop_assert_eq!(choices.len(), answers.len());
        for choice in choices {
            let (text, finish) = &answers[&choice["index"].as_u64().unwrap()];
            prop_assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(text), finish));
            prop_assert_eq!(finish, "length");
            prop_assert!(text.starts_with(echo.as_deref().unwrap_or_default()));
        }
        if asks {
            prop_assert_eq!(&counts, &json["usage"]);
        } else {
            prop_assert!(counts.is_null());
        }
    }

    // What a client of this route writes is asked of a chat as it was meant.
    #[test]
    fn every_member_reaches_the_batch(
        prompt in "[a-z\"\\\\]{1,9}", n in option::of(1..9_u32), most in any::<Option<u32>>(), seed in any::<Option<i64>>(),
        stop in vec(text(), 0..3), bias in btree_map("[0-9]{1,4}", -100..100_i32, 0..3), user in option::of(text()),
    ) {
        let body = json!({
            "model": "m", "prompt": prompt, "n": n, "max_tokens": most, "seed": seed, "stop": stop,
            "logit_bias": bias, "user": user,
        });
        let read = read(&body.to_string()).unwrap().batch;
        let mut expect = ExecuteBatch::new("m", [Message::user(prompt)]).with_stop(stop);
        expect.request_id = read.request_id.clone();
        (expect.sampling.n, expect.sampling.seed, expect.sampling.logit_bias) = (n, seed, bias);
        (expect.max_output_tokens, expect.user) = (most, user);
        prop_assert_eq!(read, expect);
    }

    #[test]
    fn no_body_is_too_strange_to_be_read_or_refused(body in vec(any::<u8>(), 0..64), tail in "[\\[\\]{}\",:0-9a-z]{0,20}") {
        let _ = read_completion_request(&Bytes::from(body));
        let _ = read(&format!(r#"{{"model":"m","prompt":{tail}"#));
        let _ = with(&tail);
    }
}

#[test]
fn an_answer_without_text_is_its_refusal() {
    let mut choice = Choice::new(0);
    choice.refusal = "no".into();
    let mut whole = Completion::default();
    whole.choices = vec![choice];
    let json: Value = serde_json::from_slice(&write_text_completion(&whole, "m", None)).unwrap();
    assert!(json["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(json["choices"], json!([{"text": "no", "index": 0, "logprobs": null, "finish_reason": null}]));
}

#[test]
fn an_error_event_has_openais_envelope() {
    let mut at = Origin::default();
    at.message = Some("busy".into());
    let error = InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None);
    let event = TextChunkWriter::error(&error);
    let data = event.strip_prefix(b"data: ").and_then(|data| data.strip_suffix(b"\n\n")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(data).unwrap()["error"]["message"], "busy");
}
