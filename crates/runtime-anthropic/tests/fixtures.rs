//! Every recorded shape, served over a socket with its status, through the whole pipeline.
//!
//! The fixtures belong to `wire-messages`, which holds the decoder to them. Here status, framing and refinement come in:
//! what a caller sees must be what the index says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use infer_core::{
    Completion, DecodeKind, ErrorKind, ExecuteBatch, FinishReason, InferenceError, ModelRunner as _, RawJson,
};
use remote_core::session::RemoteSessionActor;
use remote_testkit::{Act, Script, Upstream};
use runtime_anthropic::config::SecretRef;
use runtime_anthropic::{AnthropicConfig, AnthropicRunner};
use serde_json::{Value, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire-messages/tests/data")
}

/// The fixture as a response, in small writes.
fn response(fixture: &Value) -> Script {
    let file = fixture["file"].as_str().unwrap();
    let body = std::fs::read(data().join(file)).unwrap();
    let kind = match file.rsplit('.').next().unwrap() {
        "sse" => "text/event-stream; charset=utf-8",
        "html" => "text/html",
        "txt" => "text/plain",
        _ => "application/json",
    };
    let pieces = body.chunks((body.len() / 7).max(11)).map(|piece| Act::bytes(piece.to_vec()));
    let status = fixture["status"].as_u64().unwrap().try_into().unwrap();
    Script::status(status).header("content-type", kind).header("request-id", "req_fx").acts(pieces)
}

async fn runner(base_url: String) -> AnthropicRunner {
    let mut config = AnthropicConfig::defaults_for_anthropic(SecretRef::inline("sk-ant-fixture"));
    config.endpoint = base_url;
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    AnthropicRunner::new(config, session).unwrap()
}

/// What a caller sees: what was handed over, and how it ended.
async fn run(fixture: &Value) -> (Completion, Option<InferenceError>) {
    let upstream = Upstream::start([response(fixture)]).await.unwrap();
    let mut batch = ExecuteBatch::new("claude-sonnet-5", "hi");
    if fixture["kind"] == "stream" {
        batch = batch.streaming();
    }
    let mut whole = Completion::default();
    let run = match runner(upstream.base_url()).await.execute(batch).await {
        Err(error) => return (whole, Some(error)),
        Ok(run) => run,
    };
    assert_eq!(run.meta().upstream_request_id.as_deref(), Some("req_fx"));
    let mut stream = run.into_stream();
    let mut end = None;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => whole.push(chunk),
            Err(error) => end = Some(error),
        }
    }
    (whole, end)
}

/// The answer in the index's words, as far as `expect` asks.
fn told(whole: &Completion, expect: &Value) -> Value {
    let choice = &whole.choices[0];
    let finish = choice.finish.as_ref();
    let usage = whole.usage.unwrap_or_default();
    let counts = [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cached", usage.cached_input_tokens),
        ("written", usage.cache_write_tokens),
        ("written_for_an_hour", usage.long_cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    ];
    let calls = choice.tool_calls.iter();
    let calls = calls.map(|call| json!({"id": call.id, "name": call.name, "arguments": call.arguments}));
    let all = json!({
        "text": choice.text,
        "reasoning": choice.reasoning,
        "refusal": choice.refusal,
        "reasoning_blocks": choice.reasoning_blocks.iter().map(RawJson::get).collect::<Vec<_>>(),
        "tool_calls": calls.collect::<Vec<_>>(),
        "finish": finish.map(FinishReason::as_str),
        "finish_kind": finish.map(|finish| finish.kind().as_str()),
        "usage": counts.into_iter().filter(|(_, count)| *count > 0).collect::<std::collections::BTreeMap<_, _>>(),
        "id": whole.served.id,
        "model": whole.served.model,
        "service_tier": whole.served.service_tier,
    });
    let asked = expect.as_object().unwrap().keys().filter(|name| *name != "saw_stop");
    asked.map(|name| (name.clone(), all[name].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The index's word for what went wrong.
fn word(error: &InferenceError) -> &'static str {
    match error {
        InferenceError::Decode { kind: DecodeKind::Json, .. } => "json",
        InferenceError::Decode { kind: DecodeKind::Utf8, .. } => "utf8",
        InferenceError::Decode { kind: DecodeKind::Empty, .. } => "empty",
        InferenceError::Decode { kind: DecodeKind::Excess, .. } => "excess",
        InferenceError::Decode { kind: DecodeKind::ContentType, .. } => "content_type",
        error if error.kind() == ErrorKind::StreamInterrupted => "truncated",
        error => error.kind().name(),
    }
}

fn check(expect: &Value, seen: &(Completion, Option<InferenceError>)) -> Result<(), String> {
    let (whole, end) = seen;
    let (fault, error) = (expect["fault"].as_str(), &expect["error"]);
    if fault.is_none() && error.is_null() {
        let found = match end {
            None => told(whole, expect),
            Some(error) => json!(error.to_string()),
        };
        let mut expect = expect.clone();
        expect.as_object_mut().unwrap().remove("saw_stop");
        return if found == expect { Ok(()) } else { Err(format!("expected {expect}, found {found}")) };
    }
    let Some(end) = end else { return Err(format!("expected an error, found {whole:?}")) };
    let expected = match fault {
        Some("truncated") => "truncated",
        Some("malformed") => expect["decode"].as_str().unwrap(),
        _ => error["kind"].as_str().unwrap(),
    };
    let words = error["message_contains"].as_str().unwrap_or_default();
    let at = end.origin().unwrap();
    if word(end) != expected || !at.message.as_deref().unwrap_or_default().contains(words) {
        return Err(format!("expected {expected} with {words:?}, found {end}"));
    }
    // An error before any output is one of the call; output before it was handed over.
    let text = whole.choices.first().map_or("", |choice| &choice.text);
    if text != expect["text"].as_str().unwrap_or_default() || (at.chunks > 0) != expect["text"].is_string() {
        return Err(format!("{text:?} was handed over in {} pieces before {end}", at.chunks));
    }
    Ok(())
}

#[tokio::test]
async fn every_fixture_comes_out_as_its_index_says() {
    let index = std::fs::read_to_string(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for fixture in index["files"].as_array().unwrap() {
        ran += 1;
        if let Err(found) = check(&fixture["expect"], &run(fixture).await) {
            wrong.push(format!("{}: {found}", fixture["file"]));
        }
    }
    assert!(ran > 60, "only {ran} fixtures were read");
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
