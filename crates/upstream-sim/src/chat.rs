//! Chat completions: in one piece or as an event stream, whole or broken as scripted.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use infer_core::{Choice, Completion, FinishKind, Logprobs, TokenChunk, ToolCall, ToolCallDelta};
use wire_chat::server::{self, ChatRequest, ChunkWriter};

use crate::Behaviour;
use crate::answer::{compose, pieces};
use crate::fault::server_error;
use crate::reply::{Reply, Step};
use crate::routes;
use crate::sim::State;

/// What goes out before a scripted fault, the role included.
pub(crate) const EVENTS_BEFORE_A_FAULT: usize = 6;
const HUGE_PIECE: &[u8] = &[b'x'; 64 << 10];
pub(crate) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

pub(crate) fn reply(state: &State, head: &Parts, body: &Bytes) -> Reply {
    let request = match server::read_request(body) {
        Ok(request) => request,
        Err(error) => return routes::refused(&error),
    };
    let model = &request.batch.model;
    let Some(behaviour) = state.behaviour(model) else { return Reply::no_model(model) };
    if let Some(fault) = routes::fault(state, head, &behaviour) {
        return fault;
    }
    let completion = match compose(state.script.seed, &request.batch, &behaviour) {
        Ok(completion) => completion,
        Err(error) => return routes::refused(&error),
    };
    let (first, each) = match behaviour {
        Behaviour::Slow { first, each } => (first, each),
        _ => (Duration::ZERO, state.script.chunk_delay),
    };
    let is_whole = !matches!(
        behaviour,
        Behaviour::Cut
            | Behaviour::Stall
            | Behaviour::Utf8
            | Behaviour::ErrorMidway
            | Behaviour::ErrorFirst
            | Behaviour::Huge(_)
    );
    let usage = completion.usage.filter(|_| is_whole);
    let reply = if request.batch.is_streaming() {
        streamed(completion, &request, &behaviour, each)
    } else {
        whole(&completion, model, &behaviour)
    };
    reply.using(usage).after(first)
}

fn whole(completion: &Completion, model: &str, behaviour: &Behaviour) -> Reply {
    let body = server::write_completion(completion, model);
    let half = body.slice(..body.len() / 2);
    let broken = |end: Step| Reply::steps("application/json", [Step::Send(half.clone()), Step::Flush, end]);
    match behaviour {
        Behaviour::ErrorMidway | Behaviour::ErrorFirst => {
            server_error().reply(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Behaviour::Cut => broken(Step::Cut),
        Behaviour::Stall => broken(Step::Stall),
        Behaviour::Utf8 => Reply::json(StatusCode::OK, [&half[..], b"\xff\xfe", &half[..]].concat()),
        Behaviour::Huge(bytes) => {
            let open = r#"{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":""#;
            Reply::steps("application/json", huge(open, *bytes, r#""}}]}"#))
        }
        _ => Reply::json(StatusCode::OK, body),
    }
}

fn streamed(completion: Completion, request: &ChatRequest, behaviour: &Behaviour, each: Duration) -> Reply {
    let mut writer = ChunkWriter::new(&request.batch.model, request.include_usage);
    let mut chunks = chunks(completion);
    let events = std::iter::from_fn(move || {
        loop {
            if let Some(event) = writer.write(&chunks.pop_front()?) {
                return Some(event);
            }
        }
    });
    let mut is_first = true;
    let events = events.flat_map(move |event| {
        let wait = if std::mem::take(&mut is_first) { Duration::ZERO } else { each };
        [Step::Wait(wait), Step::Send(event)]
    });
    let send = |text: &'static [u8]| Step::Send(Bytes::from_static(text));
    let error = || {
        let data = [b"data: ", &server_error().body()[..], b"\n\n"].concat();
        [Step::Flush, Step::Send(Bytes::from(data))]
    };
    // Every event is two steps: a wait and the event.
    let some = 2 * EVENTS_BEFORE_A_FAULT;
    match behaviour {
        Behaviour::Cut => {
            let half =
                send(br#"data: {"id":"chatcmpl-sim","object":"chat.completion.chunk","choices":[{"ind"#);
            Reply::steps(EVENT_STREAM, events.take(some).chain([half, Step::Flush, Step::Cut]))
        }
        Behaviour::Stall => Reply::steps(EVENT_STREAM, events.take(some).chain([Step::Flush, Step::Stall])),
        Behaviour::Utf8 => {
            let bad = send(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n");
            Reply::steps(EVENT_STREAM, events.take(some).chain([Step::Flush, bad]))
        }
        Behaviour::ErrorMidway => Reply::steps(EVENT_STREAM, events.take(some).chain(error())),
        Behaviour::ErrorFirst => {
            let role = send(
                b"data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            );
            Reply::steps(EVENT_STREAM, std::iter::once(role).chain(error()))
        }
        Behaviour::Huge(bytes) => {
            let open = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
            let close = "\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
            Reply::steps(EVENT_STREAM, huge(open, *bytes, close))
        }
        Behaviour::NoDone => Reply::steps(EVENT_STREAM, events),
        _ => Reply::steps(EVENT_STREAM, events.chain([Step::Send(Bytes::from(ChunkWriter::DONE))])),
    }
}

/// A text of `bytes` bytes between two others, made as it is sent.
pub(crate) fn huge(
    open: &'static str,
    bytes: u64,
    close: &'static str,
) -> impl Iterator<Item = Step> + Send + 'static {
    let mut left = bytes;
    let pieces = std::iter::from_fn(move || {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(HUGE_PIECE.len());
        left -= length as u64;
        HUGE_PIECE.get(..length).filter(|piece| !piece.is_empty())
    });
    std::iter::once(open.as_bytes())
        .chain(pieces)
        .chain([close.as_bytes()])
        .map(|piece| Step::Send(Bytes::from_static(piece)))
}

/// The pieces a completion streams in: choices take turns, the usage comes last.
fn chunks(completion: Completion) -> VecDeque<TokenChunk> {
    let mut choices: Vec<_> =
        completion.choices.into_iter().map(|choice| pieces_of(choice).into_iter()).collect();
    let mut chunks = VecDeque::new();
    while !choices.is_empty() {
        choices.retain_mut(|pieces| match pieces.next() {
            Some(chunk) => {
                chunks.push_back(chunk);
                true
            }
            None => false,
        });
    }
    if let Some(first) = chunks.front_mut() {
        first.served = Some(Box::new(completion.served));
    }
    let mut last = TokenChunk::default();
    last.usage = completion.usage;
    chunks.push_back(last);
    chunks
}

fn pieces_of(choice: Choice) -> Vec<TokenChunk> {
    let index = choice.index;
    let mut chunks = Vec::new();
    for piece in pieces(&choice.reasoning) {
        let mut chunk = TokenChunk::text(index, "");
        piece.clone_into(&mut chunk.reasoning);
        chunks.push(chunk);
    }
    let mut logprobs = choice.logprobs.unwrap_or_default();
    let mut content = logprobs.content.drain(..);
    for piece in pieces(&choice.text) {
        let mut chunk = TokenChunk::text(index, piece);
        chunk.logprobs = content.next().map(|token| {
            let mut logprobs = Logprobs::default();
            logprobs.content.push(token);
            Box::new(logprobs)
        });
        chunks.push(chunk);
    }
    for piece in pieces(&choice.refusal) {
        let mut chunk = TokenChunk::text(index, "");
        piece.clone_into(&mut chunk.refusal);
        chunks.push(chunk);
    }
    for (place, call) in (0..).zip(choice.tool_calls) {
        chunks.extend(pieces_of_call(index, place, call));
    }
    chunks.push(TokenChunk::finish(index, choice.finish.unwrap_or(FinishKind::Stop.into())));
    chunks
}

/// The name first, then the arguments in fragments.
fn pieces_of_call(index: u32, place: u32, call: ToolCall) -> impl Iterator<Item = TokenChunk> {
    let mut head = ToolCallDelta::new(place);
    head.id = call.id;
    head.name = Some(call.name);
    head.kind = call.kind;
    let mut deltas = vec![head];
    for fragment in pieces(&call.arguments) {
        let mut delta = ToolCallDelta::new(place);
        fragment.clone_into(&mut delta.arguments);
        delta.kind = call.kind;
        deltas.push(delta);
    }
    deltas.into_iter().map(move |delta| {
        let mut chunk = TokenChunk::text(index, "");
        chunk.tool_calls.push(delta);
        chunk
    })
}
