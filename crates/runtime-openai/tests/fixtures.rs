//! Every recorded shape, served over a socket with its status and headers, through the whole pipeline.
//!
//! The fixtures belong to `wire-chat`, which holds the decoder to them byte by byte. Here status, headers, framing and
//! refinement come in: what a caller sees must be what the index says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::format_push_string, reason = "a test")]

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use infer_core::{
    Completion, EmbedBatch, ErrorKind, ExecuteBatch, InferenceError, ModelRunner as _, RunMeta,
};
use remote_core::session::RemoteSessionActor;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire-chat/tests/data")
}

/// Serves one response, in small writes, to one connection after the other.
async fn serve(response: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // The whole request has arrived once its announced length has.
            while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                request.extend_from_slice(buffer.get(..read).unwrap());
                let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                    break;
                }
            }
            let size = (response.len() / 7).max(11);
            for piece in response.chunks(size) {
                if socket.write_all(piece).await.is_err() {
                    break;
                }
            }
            _ = socket.shutdown().await;
        }
    });
    format!("http://{address}/v1")
}

/// The response of a fixture as it goes over the wire.
fn response(fixture: &Value) -> Vec<u8> {
    let body = std::fs::read(data().join(fixture["file"].as_str().unwrap())).unwrap();
    if body.starts_with(b"HTTP/1.1 ") {
        return body; // recorded with its head
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", fixture["status"]);
    for (name, value) in fixture["http"]["headers"].as_object().into_iter().flatten() {
        if name != "content-length" && name != "transfer-encoding" {
            head += &format!("{name}: {}\r\n", value.as_str().unwrap());
        }
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

/// A runner as the preset of the upstream says that the fixture is from; as for OpenAI where it is nobody's own.
async fn runner(base_url: String, fixture: &Value) -> OpenAiRunner {
    let folder = fixture["file"].as_str().unwrap().split('/').next().unwrap();
    let is_known = OpenAiConfig::presets().names().any(|name| name == folder);
    let mut config = OpenAiConfig::preset(if is_known { folder } else { "openai" }).unwrap();
    assert!(is_known || matches!(folder, "azure" | "malformed"), "{folder} has no preset");
    config.api_key = SecretRef::inline("sk-fixture-key-1234");
    config.health_path = None;
    config.endpoint = base_url;
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    OpenAiRunner::new(config, session).unwrap()
}

struct Seen {
    whole: Completion,
    meta: Option<RunMeta>,
    error: Option<InferenceError>,
}

async fn run(fixture: &Value) -> Seen {
    let runner = runner(serve(response(fixture)).await, fixture).await;
    let mut batch = ExecuteBatch::new("gpt-4o-mini", "hi");
    let file = fixture["file"].as_str().unwrap();
    if fixture["kind"] == "stream" || file.contains("stream_") || file.contains("_stream") {
        batch = batch.streaming();
    }
    let mut seen = Seen { whole: Completion::default(), meta: None, error: None };
    match runner.execute(batch).await {
        Err(error) => seen.error = Some(error),
        Ok(run) => {
            seen.meta = Some(run.meta().clone());
            let mut stream = run.into_stream();
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => seen.whole.push(chunk),
                    Err(error) => seen.error = Some(error),
                }
            }
        }
    }
    seen
}

/// The index's word for a kind of error.
fn word(error: &InferenceError) -> &'static str {
    match (error.kind(), error.origin().and_then(|at| at.status)) {
        (ErrorKind::Upstream, Some(408)) => "timeout",
        (ErrorKind::Upstream, Some(409)) => "conflict",
        (ErrorKind::Upstream, _) => "server_error",
        (ErrorKind::Overloaded, _) => "overloaded",
        (ErrorKind::RateLimited, _) => "rate_limited",
        (ErrorKind::RequestTooLarge, Some(413)) => "payload_too_large",
        (ErrorKind::RequestTooLarge, _) => "rate_limited",
        (ErrorKind::InvalidRequest, _) => "invalid_request",
        (ErrorKind::ContextLengthExceeded, _) => "context_length_exceeded",
        (ErrorKind::ContentFiltered, _) => "content_filtered",
        (ErrorKind::ModelNotFound, _) => "not_found",
        (ErrorKind::Unauthenticated, _) => "authentication",
        (ErrorKind::PermissionDenied, _) => "permission_denied",
        (ErrorKind::QuotaExhausted, _) => "quota_exceeded",
        (ErrorKind::StreamInterrupted, _) => "stream_interrupted",
        (ErrorKind::Decode, _) => "malformed_response",
        _ => "?",
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn check(expect: &Value, http: &Value, seen: &Seen) -> Result<(), String> {
    let differs = |what: &str, found: String| Err(format!("{what}: expected {expect:#}, found {found}"));
    let choice = seen.whole.choices.first();
    if let Some(expected) = text(&expect["text"]) {
        let found = choice.map_or("", |choice| &choice.text);
        if found != expected {
            return differs("text", found.to_owned());
        }
    }
    if expect["outcome"] == "error" {
        let Some(error) = &seen.error else { return differs("outcome", "an answer".into()) };
        let at = error.origin().unwrap();
        let expected = &expect["error"];
        if text(&expected["kind"]) != Some(word(error)) {
            return differs("kind", format!("{error} ({})", word(error)));
        }
        if expected["retryable"].as_bool() != Some(error.is_transient()) {
            return differs("retryable", format!("{error:?}"));
        }
        if expected["after_output"].as_bool() != Some(at.chunks > 0) {
            return differs("after_output", format!("{error:?}"));
        }
        if let Some(part) = text(&expected["message_contains"])
            && !error.to_string().contains(part)
        {
            return differs("message", error.to_string());
        }
        let wait = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap());
        // A wait that stands only in the message may be used.
        let from_message = expected["retry_after_ms_from_message"].as_u64();
        if wait != http["retry_after_ms"].as_u64().or(from_message) {
            return differs("retry_after", format!("{wait:?}"));
        }
        return Ok(());
    }
    if let Some(error) = &seen.error {
        return differs("outcome", error.to_string());
    }
    if let Some(expected) = text(&expect["finish_reason"]) {
        let found = seen.whole.finish().map(infer_core::FinishReason::as_str);
        if found != Some(expected) {
            return differs("finish", format!("{found:?}"));
        }
    }
    let counts = seen.whole.usage.map(|usage| (usage.input_tokens, usage.output_tokens, usage.total_tokens));
    let count = |name: &str| expect["usage"][name].as_u64();
    let expected = count("prompt_tokens").zip(count("completion_tokens")).zip(count("total_tokens"));
    if expect.get("usage").is_some() && counts != expected.map(|((a, b), c)| (a, b, c)) {
        return differs("usage", format!("{counts:?}"));
    }
    let meta = seen.meta.as_ref().unwrap();
    if let Some(expected) = text(&http["request_id"])
        && meta.upstream_request_id.as_deref() != Some(expected)
    {
        return differs("request id", format!("{meta:?}"));
    }
    if let Some(expected) = http["rate_limit"].as_object() {
        let limits = meta.rate_limits.as_deref().cloned().unwrap_or_default();
        let millis =
            |time: Option<std::time::Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap());
        for (name, found) in [
            ("limit_requests", limits.limit_requests),
            ("limit_tokens", limits.limit_tokens),
            ("remaining_requests", limits.remaining_requests),
            ("remaining_tokens", limits.remaining_tokens),
            ("reset_requests_ms", millis(limits.reset_requests)),
            ("reset_tokens_ms", millis(limits.reset_tokens)),
        ] {
            if found != expected.get(name).and_then(Value::as_u64) {
                return differs(name, format!("{found:?}"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_fixture_comes_out_as_its_index_says() {
    let index = std::fs::read_to_string(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for fixture in index["files"].as_array().unwrap() {
        let file = fixture["file"].as_str().unwrap();
        let kind = fixture["kind"].as_str().unwrap();
        // Token endpoints speak another language.
        if !matches!(kind, "chat" | "stream" | "error" | "headers") || file.contains("/token_") {
            continue;
        }
        let seen = run(fixture).await;
        let expected: Vec<&Value> = match fixture["expect_any"].as_array() {
            Some(any) => any.iter().collect(),
            None => vec![&fixture["expect"]],
        };
        let results: Vec<_> = expected.iter().map(|expect| check(expect, &fixture["http"], &seen)).collect();
        ran += 1;
        if results.iter().all(Result::is_err) {
            wrong
                .push(format!("{file}: {}", results.into_iter().filter_map(Result::err).collect::<String>()));
        }
    }
    assert!(ran >= 180, "only {ran} fixtures were read");
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn vectors_come_out_as_the_index_says() {
    let index = std::fs::read_to_string(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let mut ran = 0;
    for fixture in index["files"].as_array().unwrap().iter().filter(|fixture| fixture["kind"] == "embeddings")
    {
        let expected: Vec<Vec<f32>> =
            serde_json::from_value(fixture["expect"]["embeddings"].clone()).unwrap();
        let runner = runner(serve(response(fixture)).await, fixture).await;
        let texts = vec!["x"; expected.len()];
        let found = runner.embed(EmbedBatch::new("text-embedding-3-small", texts)).await.unwrap();
        assert_eq!(found.vectors, expected, "{}", fixture["file"]);
        assert_eq!(
            found.usage.unwrap().input_tokens,
            fixture["expect"]["usage"]["prompt_tokens"].as_u64().unwrap()
        );
        ran += 1;
    }
    assert!(ran >= 5);
}

#[tokio::test]
async fn lists_and_signs_of_life_come_out_as_the_index_says() {
    let index = std::fs::read_to_string(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let mut ran = 0;
    for fixture in index["files"].as_array().unwrap() {
        let (file, expect) = (&fixture["file"], &fixture["expect"]);
        let outcome = match fixture["kind"].as_str().unwrap() {
            "models" => {
                let runner = runner(serve(response(fixture)).await, fixture).await;
                runner.models().await.map(|models| models.into_iter().map(|model| model.id).collect())
            }
            "health" => {
                let runner = runner(serve(response(fixture)).await, fixture).await;
                runner.health().await.map(|_| Vec::new())
            }
            _ => continue,
        };
        ran += 1;
        match outcome {
            Ok(ids) => {
                let expected = expect["models"].as_array().into_iter().flatten();
                let expected: Vec<_> = expected.map(|model| model["id"].as_str().unwrap()).collect();
                assert_eq!(ids, expected, "{file}");
            }
            Err(error) => assert_eq!(Some(word(&error)), expect["kind"].as_str(), "{file}: {error}"),
        }
    }
    assert!(ran >= 15, "only {ran} fixtures were read");
}

/// Answers of the Responses route, which an upstream with the wrong base URL might give.
#[tokio::test]
async fn an_answer_of_another_route_is_never_taken_for_one() {
    let index = std::fs::read_to_string(data().join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let files = index["files"].as_array().unwrap().iter().filter(|fixture| fixture["kind"] == "responses");
    let mut ran = 0;
    for fixture in files {
        let seen = run(fixture).await;
        let error = seen.error.unwrap_or_else(|| panic!("{}: {:?}", fixture["file"], seen.whole));
        assert!(seen.whole.choices.is_empty(), "{}: {error}", fixture["file"]);
        ran += 1;
    }
    assert_eq!(ran, 5);
}
