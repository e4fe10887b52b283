//! What decoding costs, beside what serde costs when people write the types by hand.
//!
//! The floor is fully owned structs for exactly the members used here, one `from_slice` an event, without any of the
//! tolerance and checks of the decoder.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench, not a library"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use infer_core::{Codec, EventDecoder, ExecuteBatch, TokenChunk};
use serde::Deserialize;
use wire_chat::{ChatCodec, ChatDecoder, server};

/// A stream of `n` pieces in OpenAI's own shape, the choices taking turns.
fn openai(n: usize, choices: usize) -> Vec<Bytes> {
    let event = |index: usize, delta: &str, finish: &str| {
        Bytes::from(format!(
            r#"{{"id":"chatcmpl-CfakeFAKEfakeFAKE0123456789","object":"chat.completion.chunk","created":1795219200,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null,"obfuscation":"aB3dE6gH9"}}"#
        ))
    };
    let mut events = vec![event(0, r#"{"role":"assistant","content":"","refusal":null}"#, "null")];
    events.extend((0..n).map(|n| event(n % choices, &format!(r#"{{"content":" word{}"}}"#, n % 10), "null")));
    events.extend((0..choices).map(|index| event(index, "{}", "\"stop\"")));
    events
}

/// One event with `length` bytes of text, every 16th an escape if `escaped`.
fn large(length: usize, escaped: bool) -> Bytes {
    let piece = if escaped { "fifteen bytes..\\n" } else { "sixteen bytes..." };
    let text = piece.repeat(length / 16);
    Bytes::from(format!(
        r#"{{"id":"x","model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
    ))
}

fn decode(events: &[Bytes], out: &mut Vec<TokenChunk>) {
    let mut decoder = ChatDecoder::default();
    for event in events {
        out.clear();
        decoder.event("", event, out).unwrap();
        black_box(&out);
    }
}

#[derive(Deserialize)]
struct Chunk {
    id: String,
    object: String,
    created: u64,
    model: String,
    service_tier: Option<String>,
    system_fingerprint: Option<String>,
    choices: Vec<ChunkChoice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: u32,
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    role: Option<String>,
    content: Option<String>,
    tool_calls: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

fn by_hand(events: &[Bytes]) {
    for event in events {
        let chunk: Chunk = serde_json::from_slice(event).unwrap();
        black_box((&chunk.id, &chunk.object, chunk.created, &chunk.model, &chunk.service_tier));
        black_box(&chunk.system_fingerprint);
        for choice in &chunk.choices {
            black_box((choice.index, &choice.delta.role, &choice.delta.content, &choice.finish_reason));
            black_box(&choice.delta.tool_calls);
        }
        black_box(chunk.usage.map(|usage| usage.prompt_tokens + usage.completion_tokens));
    }
}

/// The median time of one run, over enough runs to be steady.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..301)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[150]
}

fn ratio(what: &str, events: &[Bytes]) {
    let mut out = Vec::new();
    let (ours, floor) = (median(|| decode(events, &mut out)), median(|| by_hand(events)));
    let each = |time: Duration| time.as_nanos() / events.len() as u128;
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    println!("{what}: {} ns an event, by hand {} ns, ratio {ratio:.2}", each(ours), each(floor));
}

fn benches(c: &mut Criterion) {
    let (events, turns) = (openai(1000, 1), openai(1000, 2));
    // Events of one choice are alike and mostly compared; those of two are parsed.
    ratio("one choice", &events);
    ratio("two choices", &turns);
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(events.len() as u64));
    let mut out = Vec::new();
    group.bench_function("decoder", |b| b.iter(|| decode(&events, &mut out)));
    group.bench_function("decoder_two_choices", |b| b.iter(|| decode(&turns, &mut out)));
    group.bench_function("by_hand", |b| b.iter(|| by_hand(&events)));
    group.finish();

    let mut group = c.benchmark_group("large");
    for (name, escaped) in [("plain", false), ("escaped", true)] {
        let event = [large(4 << 20, escaped)];
        group.throughput(Throughput::Bytes(event[0].len() as u64));
        group.bench_function(name, |b| b.iter(|| decode(&event, &mut out)));
    }
    group.finish();

    let codec = ChatCodec::default();
    let batch = ExecuteBatch::new("m", "a line of a prompt\n".repeat(10 << 16));
    let body = codec.encode(&batch).unwrap();
    let mut group = c.benchmark_group("request");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("encode", |b| b.iter(|| codec.encode(&batch).unwrap()));
    group.bench_function("read", |b| b.iter(|| server::read_request(&body).unwrap()));
    let raw = server::read_request(&body).unwrap().batch;
    group.bench_function("encode_raw", |b| b.iter(|| codec.encode(&raw).unwrap()));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
