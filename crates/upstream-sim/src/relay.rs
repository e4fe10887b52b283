//! Routes that clients pass on unread: responses, in one piece or as named events, moderations and speech.
//!
//! Shapes as in OpenAI's API description 2.3.0, read 2026-11-21.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::StatusCode;
use http::request::Parts;
use infer_core::{Completion, ExecuteBatch};
use serde_json::{Value, json};

use crate::Behaviour;
use crate::answer::{compose, hash, pieces};
use crate::chat::{EVENT_STREAM, EVENTS_BEFORE_A_FAULT, huge};
use crate::fault::{Fault, server_error};
use crate::reply::{Reply, Step};
use crate::routes::{self, CREATED};
use crate::sim::State;

/// A second of sound, about.
const SPEECH_BYTES: usize = 16 << 10;

/// What was asked, and what the model named there does.
struct Asked {
    body: Value,
    model: String,
    behaviour: Behaviour,
}

impl Asked {
    fn read(state: &State, head: &Parts, body: &Bytes, usual: Option<&str>) -> Result<Self, Reply> {
        let invalid = |what: &str| Fault::invalid(what, None).reply(StatusCode::BAD_REQUEST);
        let body: Value = serde_json::from_slice(body)
            .map_err(|_| invalid("We could not parse the JSON body of your request."))?;
        let model = body.get("model").and_then(Value::as_str).or(usual);
        let model = model.ok_or_else(|| invalid("Missing required parameter: 'model'."))?.to_owned();
        let behaviour = state.behaviour(&model).ok_or_else(|| Reply::no_model(&model))?;
        match routes::fault(state, head, &behaviour) {
            Some(fault) => Err(fault),
            None => Ok(Self { body, model, behaviour }),
        }
    }

    /// The last text of `input`, whichever way it is given.
    fn prompt(&self) -> String {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => {
                parts.iter().rev().find_map(|part| Some(part.get("text")?.as_str()?.to_owned()))
            }
            _ => None,
        };
        match self.body.get("input") {
            Some(Value::Array(items)) => {
                items.iter().rev().find_map(|item| text(item.get("content").unwrap_or(item)))
            }
            Some(input) => text(input),
            None => None,
        }
        .unwrap_or_default()
    }
}

/// `POST /v1/responses`.
pub(crate) fn responses(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let asked = match Asked::read(state, head, body, None) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let mut batch = ExecuteBatch::new(&asked.model, asked.prompt().as_str());
    let most = asked.body.get("max_output_tokens").and_then(Value::as_u64);
    batch.max_output_tokens = most.and_then(|most| u32::try_from(most).ok());
    let completion = match compose(state.script.seed, &batch, &asked.behaviour) {
        Ok(completion) => completion,
        Err(error) => return routes::refused(&error),
    };
    let (first, each) = match asked.behaviour {
        Behaviour::Slow { first, each } => (first, each),
        _ => (Duration::ZERO, state.script.chunk_delay),
    };
    let reply = if asked.body.get("stream") == Some(&Value::Bool(true)) {
        streamed(&asked, &completion, each)
    } else {
        whole(&asked, &completion)
    };
    reply.after(first)
}

/// `POST /v1/moderations`.
pub(crate) fn moderations(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let asked = match Asked::read(state, head, body, Some("omni-moderation-latest")) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let inputs = asked.body.get("input").and_then(Value::as_array).map_or(1, Vec::len);
    let result = json!({
        "flagged": false,
        "categories": { "hate": false, "violence": false },
        "category_scores": { "hate": 0.0, "violence": 0.0 },
    });
    let body = json!({ "id": "modr-sim", "model": asked.model, "results": vec![result; inputs] });
    Reply::json(StatusCode::OK, body.to_string())
}

/// `POST /v1/audio/speech`: bytes that are no text, the same for the same text.
pub(crate) fn speech(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let asked = match Asked::read(state, head, body, None) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let mut rng = Rng::with_seed(hash(state.script.seed, asked.prompt().as_bytes()));
    let sound: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(SPEECH_BYTES).collect();
    match broken(&asked.behaviour) {
        Some(end) => {
            let half = Bytes::from(sound).split_to(SPEECH_BYTES / 2);
            Reply::steps("audio/mpeg", [Step::Send(half), Step::Flush, end])
        }
        None => Reply::whole(StatusCode::OK, "audio/mpeg", sound),
    }
}

/// How a body that cannot report an error breaks off.
fn broken(behaviour: &Behaviour) -> Option<Step> {
    match behaviour {
        Behaviour::Cut => Some(Step::Cut),
        Behaviour::Stall => Some(Step::Stall),
        _ => None,
    }
}

/// The response as it stands: without output and usage until it is over.
fn response(asked: &Asked, completion: &Completion, status: &str) -> Value {
    let is_over = status != "in_progress";
    let text = completion.text();
    let item = json!({
        "id": "msg_sim",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }],
    });
    let usage = completion.usage.filter(|_| is_over).map(|usage| {
        json!({
            "input_tokens": usage.input_tokens,
            "input_tokens_details": { "cached_tokens": usage.cached_input_tokens },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
            "total_tokens": usage.total_tokens,
        })
    });
    let is_cut = status == "incomplete";
    json!({
        "id": "resp_sim",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": null,
        "incomplete_details": is_cut.then(|| json!({ "reason": "max_output_tokens" })),
        "model": asked.model,
        "output": if is_over { vec![item] } else { Vec::new() },
        "usage": usage,
    })
}

fn status(completion: &Completion) -> &'static str {
    let is_cut = completion.finish().is_some_and(|finish| *finish == infer_core::FinishKind::Length);
    if is_cut { "incomplete" } else { "completed" }
}

fn whole(asked: &Asked, completion: &Completion) -> Reply {
    let body = Bytes::from(response(asked, completion, status(completion)).to_string());
    let half = body.slice(..body.len() / 2);
    match &asked.behaviour {
        Behaviour::ErrorMidway | Behaviour::ErrorFirst => {
            server_error().reply(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Behaviour::Utf8 => Reply::json(StatusCode::OK, [&half[..], b"\xff\xfe", &half[..]].concat()),
        Behaviour::Huge(bytes) => {
            let open = r#"{"object":"response","status":"completed","error":null,"output":[{"type":"message","text":""#;
            Reply::steps("application/json", huge(open, *bytes, r#""}]}"#))
        }
        behaviour => match broken(behaviour) {
            Some(end) => Reply::steps("application/json", [Step::Send(half), Step::Flush, end]),
            None => Reply::json(StatusCode::OK, body),
        },
    }
}

/// Numbers events and writes them.
#[derive(Default)]
struct Writer(u64);

impl Writer {
    fn event(&mut self, kind: &str, mut members: Value) -> Bytes {
        if let Some(members) = members.as_object_mut() {
            members.insert("type".to_owned(), kind.into());
            members.insert("sequence_number".to_owned(), self.0.into());
        }
        self.0 += 1;
        Bytes::from(format!("event: {kind}\ndata: {members}\n\n"))
    }
}

fn streamed(asked: &Asked, completion: &Completion, each: Duration) -> Reply {
    let mut writer = Writer::default();
    let begun = json!({ "response": response(asked, completion, "in_progress") });
    let mut events = vec![writer.event("response.created", begun.clone())];
    events.push(writer.event("response.in_progress", begun));
    let place = json!({ "item_id": "msg_sim", "output_index": 0, "content_index": 0 });
    let at = |name: &str, value: Value| {
        let mut members = place.clone();
        if let Some(members) = members.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
        members
    };
    let text = completion.text();
    let item = |status: &str, content: Value| {
        let item = json!({ "id": "msg_sim", "type": "message", "status": status, "role": "assistant", "content": content });
        json!({ "output_index": 0, "item": item })
    };
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
    events.push(writer.event("response.output_item.added", item("in_progress", json!([]))));
    events.push(writer.event("response.content_part.added", at("part", part(""))));
    for piece in pieces(text) {
        events.push(writer.event("response.output_text.delta", at("delta", piece.into())));
    }
    events.push(writer.event("response.output_text.done", at("text", text.into())));
    events.push(writer.event("response.content_part.done", at("part", part(text))));
    let word = status(completion);
    events.push(writer.event("response.output_item.done", item(word, json!([part(text)]))));
    let last = json!({ "response": response(asked, completion, word) });
    let last = writer.event(&format!("response.{word}"), last);

    let send = |text: &'static [u8]| Step::Send(Bytes::from_static(text));
    let error = json!({ "code": "server_error", "message": "The server had an error.", "param": null });
    let error = Step::Send(Writer(0).event("error", error));
    let some = |events: Vec<Bytes>| timed(events.into_iter().take(EVENTS_BEFORE_A_FAULT), each);
    match &asked.behaviour {
        Behaviour::Cut => {
            let half = send(b"event: response.output_text.delta\ndata: {\"type\":\"respo");
            Reply::steps(EVENT_STREAM, some(events).chain([half, Step::Flush, Step::Cut]))
        }
        Behaviour::Stall => Reply::steps(EVENT_STREAM, some(events).chain([Step::Flush, Step::Stall])),
        Behaviour::Utf8 => {
            let bad = send(b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"\xff\xfe\"}\n\n");
            Reply::steps(EVENT_STREAM, some(events).chain([Step::Flush, bad]))
        }
        Behaviour::ErrorMidway => Reply::steps(EVENT_STREAM, some(events).chain([Step::Flush, error])),
        Behaviour::ErrorFirst => Reply::steps(EVENT_STREAM, [error]),
        Behaviour::Huge(bytes) => {
            let open = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"";
            Reply::steps(EVENT_STREAM, huge(open, *bytes, "\"}\n\n"))
        }
        Behaviour::NoDone => Reply::steps(EVENT_STREAM, timed(events.into_iter(), each)),
        _ => Reply::steps(EVENT_STREAM, timed(events.into_iter().chain([last]), each)),
    }
}

/// Waits before every event but the first.
fn timed(
    events: impl Iterator<Item = Bytes> + Send + 'static,
    each: Duration,
) -> impl Iterator<Item = Step> + Send + 'static {
    events.enumerate().flat_map(move |(nth, event)| {
        let wait = if nth == 0 { Duration::ZERO } else { each };
        [Step::Wait(wait), Step::Send(event)]
    })
}
