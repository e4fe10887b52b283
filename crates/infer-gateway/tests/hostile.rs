//! Whatever is sent to it, the gateway answers: never a panic, never silence, and every error is one that clients can read.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use infer_gateway::{Gateway, GatewayConfig};
use infer_store::Clock;
use infer_store::keys::KeyBook;
use inference::config::{Format, Source};
use inference::{Inference, InferenceBuilder};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower_service::Service as _;
use upstream_sim::Sim;

const KEY: &str = "hostile-0123456789abcdef";
/// Far above what any of these requests takes, so that only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every route there is, and some that there are not.
const PATHS: [&str; 26] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/models",
    "/v1/models/a/gpt-4o-mini",
    "/v1/models/%ff%00",
    "/v1/responses",
    "/v1/moderations",
    "/v1/files/../../etc/passwd",
    "/v1/files/%2e%2e/x?y=%zz",
    "/v1/",
    "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
    "/openai/deployments/%ff/chat/completions",
    "/openai/deployments/%2f%00%20/embeddings",
    "/openai/deployments/m/completions",
    "/openai/models",
    "/healthz",
    "/readyz",
    "/health/providers/%F0%9F%92%A9",
    "/admin/live?second=x&call=-1",
    "/admin/overview?second=18446744073709551615&call=18446744073709551615",
    "/",
    "/app.js",
    "/nowhere",
    "//v1//chat/completions",
];

/// Headers that mean something to it.
const HEADERS: [&str; 22] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "authorization",
    "x-api-key",
    "api-key",
    "x-request-id",
    "x-provider-priority",
    "x-no-failover",
    "x-infer-timeout",
    "x-infer-priority",
    "x-infer-cache",
    "x-infer-sticky",
    "x-infer-tag",
    "x-infer-model",
    "openai-beta",
    "anthropic-version",
    "accept",
    "origin",
    "traceparent",
    "cookie",
];

/// A gateway with a key, in front of a simulator.
struct Scene {
    runtime: Runtime,
    router: Router,
    sim: Sim,
}

static SCENE: LazyLock<Scene> = LazyLock::new(scene);

fn scene() -> Scene {
    let runtime = Runtime::new().unwrap();
    let (router, sim) = runtime.block_on(async {
        let sim = Sim::builder().start().await.unwrap();
        let yaml = format!(
            "providers: {{ a: {{ type: openai, base_url: {:?}, retry: {{ attempts: 1 }}, circuit_breaker: {{ enabled: false }} }} }}
routes: {{ \"*\": {{ targets: [{{ provider: a }}] }} }}
cache: {{ ttl: 1h }}
keys: [{{ name: team, secret: {KEY} }}]
gateway: {{ max_body_bytes: 65536, default_deadline: 2s }}
",
            sim.base_url()
        );
        let builder = infer_gateway::sections().into_iter().fold(Inference::builder(), InferenceBuilder::with_section);
        let inference = builder.with_source(Source::text(yaml, Format::Yaml)).build().await.unwrap();
        let (settings, keys) = infer_gateway::settings(&inference.config());
        let mut settings = GatewayConfig::clone(&settings);
        settings.listen = ([127, 0, 0, 1], 0).into();
        let keys = KeyBook::fixed(&keys, Clock::system()).unwrap();
        (Gateway::builder(inference, settings).with_keys(keys).bind().await.unwrap().router(), sim)
    });
    Scene { runtime, router, sim }
}

/// A whole answer.
struct Answer {
    response: http::response::Parts,
    body: Bytes,
}

fn ask(scene: &Scene, request: Request<Body>) -> Answer {
    let mut router = scene.router.clone();
    let shown = format!("{} {}", request.method(), request.uri());
    scene.runtime.block_on(async {
        let answered = tokio::time::timeout(PATIENCE, async {
            // A task of its own, so that a panic is told from an answer.
            let response: Response<Body> = tokio::spawn(router.call(request)).await.unwrap().unwrap();
            let (response, body) = response.into_parts();
            Answer { response, body: body.collect().await.unwrap().to_bytes() }
        });
        answered.await.unwrap_or_else(|_| panic!("{shown} has no answer after {PATIENCE:?}"))
    })
}

/// Holds if an answer is one that a client can read.
fn is_well_formed(path: &str, answer: &Answer) -> Result<(), TestCaseError> {
    let status = answer.response.status.as_u16();
    prop_assert!((200..600).contains(&status), "{path}: {status}");
    let kind =
        answer.response.headers.get("content-type").map(|kind| kind.to_str().unwrap_or_default().to_owned());
    let kind = kind.unwrap_or_default();
    if status >= 400 {
        prop_assert_eq!(kind.as_str(), "application/json", "{}: {}", path, status);
        let body: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            TestCaseError::fail(format!("{path}: {status}: no JSON ({error}): {:?}", answer.body))
        })?;
        let error = &body["error"];
        prop_assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {body}");
        prop_assert!(error["type"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {body}");
        prop_assert!(!error["message"].as_str().unwrap_or_default().contains('\n'), "{path}: {body}");
        if path.starts_with("/v1/messages") {
            prop_assert_eq!(body["type"].as_str(), Some("error"), "{}: {}", path, body);
        }
    } else if kind.starts_with("application/json") {
        prop_assert!(
            serde_json::from_slice::<Value>(&answer.body).is_ok(),
            "{path}: {status}: {:?}",
            answer.body
        );
    } else if kind.starts_with("text/event-stream") {
        ends_once(path, &answer.body)?;
    }
    Ok(())
}

/// A stream has one end: `[DONE]`, `message_stop`, or one error. What is passed on ends as its upstream does.
fn ends_once(path: &str, body: &Bytes) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(body);
    if path.starts_with("/v1/responses") {
        return Ok(());
    }
    let datas: Vec<&str> = text
        .split("\n\n")
        .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
        .collect();
    let is_end = |data: &str| {
        data == "[DONE]"
            || data.starts_with(r#"{"error""#)
            || data.contains(r#""type":"message_stop""#)
            || data.starts_with(r#"{"type":"error""#)
    };
    let ends = datas.iter().filter(|data| is_end(data)).count();
    prop_assert_eq!(ends, 1, "{}: {}", path, text);
    prop_assert!(datas.last().is_some_and(|data| is_end(data)), "{path}: {text}");
    Ok(())
}

fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let odd = prop::collection::vec(prop_oneof![32_u8..=126, 128_u8..=255, Just(b'\t')], 0..40);
    let telling = select(vec![
        "0",
        "-1",
        "true",
        "1e999",
        "30s",
        "application/json",
        "gzip",
        "bytes",
        "a",
        "refresh",
        "high",
        "5 ms",
    ]);
    let value =
        prop_oneof![odd, telling.prop_map(|text: &str| text.as_bytes().to_vec()), Just(vec![b'x'; 5000])];
    let name = prop_oneof![4 => select(HEADERS.to_vec()).prop_map(str::to_owned), 1 => "x-[a-z]{1,12}"];
    let header = (name, value).prop_filter_map("a header", |(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&value).ok()?))
    });
    prop::collection::vec(header, 0..6)
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        select(vec![
            "user",
            "tool",
            "text",
            "auto",
            "gpt-4o-mini",
            "json_schema",
            "data:image/png;base64,AAAA"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Names that some format knows, and others.
fn member() -> impl Strategy<Value = String> {
    let known = [
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "tools",
        "tool_calls",
        "tool_choice",
        "function",
        "name",
        "arguments",
        "parameters",
        "stream",
        "stream_options",
        "include_usage",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "n",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "response_format",
        "json_schema",
        "schema",
        "input",
        "prompt",
        "encoding_format",
        "dimensions",
        "system",
        "source",
        "media_type",
        "tool_use_id",
        "thinking",
        "budget_tokens",
        "logit_bias",
        "user",
        "metadata",
        "echo",
        "suffix",
        "best_of",
    ];
    prop_oneof![6 => select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

/// A request that is right but for a few members.
fn nearly_right() -> impl Strategy<Value = Value> {
    let right = select(vec![
        json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] }),
        json!({ "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hi" }] }),
        json!({ "model": "sim-cut", "stream": true, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] }),
        json!({ "model": "m", "max_tokens": 9, "system": "s", "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }] }),
        json!({ "model": "m", "input": ["a", "b"], "encoding_format": "base64" }),
        json!({ "model": "m", "prompt": "hi", "stream": true }),
        json!({ "model": "m", "input": "hi", "stream": true }),
    ]);
    (right, prop::collection::vec((member(), value()), 0..3)).prop_map(|(mut request, changes)| {
        for (name, value) in changes {
            request[name] = value;
        }
        request
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => nearly_right().prop_map(|value| value.to_string().into_bytes()),
        2 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (nearly_right(), any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let mut text = value.to_string().into_bytes();
            text.truncate(cut.index(text.len()));
            text
        }),
        1 => (1_usize..3000).prop_map(|depth| "[".repeat(depth).into_bytes()),
        1 => (1_usize..400).prop_map(|depth| {
            format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
        }),
        1 => Just(vec![b' '; 70_000]),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    let others = [Method::GET, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];
    prop_oneof![5 => Just(Method::POST), 2 => select(others.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn anything_sent_to_any_route_is_answered_and_errors_are_readable(
        method in method(),
        path in select(PATHS.to_vec()),
        headers in headers(),
        body in body(),
        knows_the_key in prop::bool::weighted(0.9),
        pieces in 1_usize..4,
    ) {
        let is_head = method == Method::HEAD;
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if knows_the_key {
            // In front of the others: of several the first counts.
            let map = request.headers_mut().unwrap();
            map.remove("authorization");
            map.insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        }
        let size = body.len().div_ceil(pieces).max(1);
        let chunks: Vec<_> = body.chunks(size).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect();
        let request = request.body(Body::from_stream(futures_util::stream::iter(chunks))).unwrap();
        let answer = ask(&SCENE, request);
        if !is_head {
            is_well_formed(path, &answer)?;
        }
        let shown = format!("{:?} {}", answer.response.headers, String::from_utf8_lossy(&answer.body));
        prop_assert!(!shown.contains(KEY), "the key is repeated: {shown}");
    }
}

#[test]
fn a_body_that_breaks_off_is_answered() {
    for path in PATHS {
        let broken = [Ok(Bytes::from_static(b"{\"model\":")), Err(std::io::Error::other("gone"))];
        let request = Request::post(path).header("authorization", format!("Bearer {KEY}"));
        let answer =
            ask(&SCENE, request.body(Body::from_stream(futures_util::stream::iter(broken))).unwrap());
        is_well_formed(path, &answer).unwrap();
    }
}

#[test]
fn nothing_reaches_an_upstream_without_a_key() {
    let scene = scene();
    for path in PATHS {
        let body = json!({ "model": "gpt-4o-mini", "input": "hi", "messages": [{ "role": "user", "content": "hi" }] });
        let answer = ask(&scene, Request::post(path).body(Body::from(body.to_string())).unwrap());
        is_well_formed(path, &answer).unwrap();
        assert!(answer.response.status.is_client_error(), "{path}: {}", answer.response.status);
    }
    assert_eq!(scene.sim.calls(), 0);
}
