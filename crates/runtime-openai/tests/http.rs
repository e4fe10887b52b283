//! The provider over a loopback socket: what is sent, and what is made of the answer.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use infer_core::{
    DecodeKind, EmbedBatch, ErrorKind, ExecuteBatch, InferenceError, Message, ModelRunner, Part, Rates,
    TransportKind,
};
use mockito::{Matcher, Mock, Server, ServerGuard};
use remote_core::session::{RemoteSessionActor, rotate};
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner, PriceSource};
use serde_json::json;

const KEY: &str = "sk-test-0123456789";

async fn runner_with(server: &ServerGuard, change: impl FnOnce(&mut OpenAiConfig)) -> OpenAiRunner {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    config.endpoint = format!("{}/v1/", server.url());
    config.prices = PriceSource::Published;
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    change(&mut config);
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    OpenAiRunner::new(config, session).unwrap()
}

async fn runner(server: &ServerGuard) -> OpenAiRunner {
    runner_with(server, |_| ()).await
}

fn post(server: &mut ServerGuard) -> Mock {
    server.mock("POST", "/v1/chat/completions")
}

fn answer(text: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    })
    .to_string()
}

fn events(deltas: &[&str]) -> String {
    let chunk = |delta: serde_json::Value, finish: serde_json::Value| {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        format!("data: {}\n\n", json!({"id": "c", "model": "gpt-4o-mini-2024-07-18", "choices": choices}))
    };
    let text: String = deltas.iter().map(|text| chunk(json!({"content": text}), json!(null))).collect();
    let usage =
        json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}});
    format!("{text}{}data: {usage}\n\ndata: [DONE]\n\n", chunk(json!({}), json!("stop")))
}

#[tokio::test]
async fn the_request_carries_key_names_headers_query_and_body() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server)
        .match_query(Matcher::UrlEncoded("tenant".into(), "a b".into()))
        .match_header("authorization", format!("Bearer {KEY}").as_str())
        .match_header("content-type", "application/json")
        .match_header("openai-organization", "org-1")
        .match_header("openai-project", "proj-1")
        .match_header("x-title", "test")
        .match_body(Matcher::Json(json!({
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                ]}
            ],
            "temperature": 0.2,
            "max_tokens": 64,
            "store": true
        })))
        .with_body(answer("A cat."))
        .with_header("content-type", "application/json")
        .with_header("x-request-id", "req_up")
        .with_header("x-ratelimit-remaining-requests", "59")
        .create_async()
        .await;
    let runner = runner_with(&server, |config| {
        config.organization = Some("org-1".into());
        config.project = Some("proj-1".into());
        config.headers.insert("X-Title".into(), "test".into());
        config.query.insert("tenant".into(), "a b".into());
    })
    .await;
    let ask = Message::user([Part::text("What is this?"), Part::image_base64("image/png", "AAAA")]);
    let batch = ExecuteBatch::new("gpt-4o-mini", [ask])
        .with_system("Be brief.")
        .with_temperature(0.2)
        .with_max_output_tokens(64)
        .with_extra("store", json!(true));
    let run = runner.execute(batch).await.unwrap();
    assert_eq!(run.meta().upstream_request_id.as_deref(), Some("req_up"));
    assert_eq!(run.meta().rate_limits.as_ref().unwrap().remaining_requests, Some(59));
    let whole = run.collect().await.unwrap();
    assert_eq!(whole.text(), "A cat.");
    assert_eq!(whole.cost.unwrap().total().picos(), 100 * 150_000 + 10 * 600_000);
    mock.assert_async().await;
}

#[tokio::test]
async fn a_stream_asks_for_usage_and_gives_text_as_it_comes_and_the_cost() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server)
        .match_header("accept", "text/event-stream")
        .match_body(Matcher::PartialJson(json!({"stream": true, "stream_options": {"include_usage": true}})))
        .with_header("content-type", "text/event-stream; charset=utf-8")
        .with_chunked_body(|writer| {
            // Every byte a write of its own: nothing may depend on how the stream is cut.
            events(&["Hé", "llo"]).bytes().try_for_each(|byte| writer.write_all(&[byte]))
        })
        .create_async()
        .await;
    let runner = runner(&server).await;
    let whole = runner.execute(ExecuteBatch::new("gpt-4o-mini", "hi").streaming()).await.unwrap();
    let whole = whole.collect().await.unwrap();
    assert_eq!(whole.text(), "Héllo");
    assert_eq!(whole.served.model.as_deref(), Some("gpt-4o-mini-2024-07-18"));
    assert_eq!(whole.cost.unwrap().total().picos(), 100 * 150_000 + 10 * 600_000);
    mock.assert_async().await;
}

#[tokio::test]
async fn a_name_alone_does_not_give_another_host_openais_prices() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server).with_body(answer("x")).expect(3).create_async().await;
    let auto = runner_with(&server, |config| config.prices = PriceSource::Auto).await;
    let cost = |run: infer_core::RunHandle| async { run.collect().await.unwrap().cost };
    assert_eq!(cost(auto.execute(ExecuteBatch::new("gpt-4o-mini", "x")).await.unwrap()).await, None);
    let own = runner_with(&server, |config| {
        config.prices = PriceSource::None;
        config.price_overrides.insert("gpt-4o-mini".into(), Rates::new(1.0, 2.0));
    })
    .await;
    let own = cost(own.execute(ExecuteBatch::new("gpt-4o-mini", "x")).await.unwrap()).await.unwrap();
    assert_eq!(own.total().picos(), 100 * 1_000_000 + 10 * 2_000_000);
    let unknown = runner(&server).await;
    assert!(unknown.execute(ExecuteBatch::new("gpt-4o-mini", "x")).await.is_ok());
    assert_eq!(unknown.estimate(&ExecuteBatch::new("nobody-knows", "x")), None);
    mock.assert_async().await;
}

#[tokio::test]
async fn errors_are_refined_to_what_a_caller_can_act_on() {
    let body = |message: &str, kind: &str, code: &str| {
        json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string()
    };
    for (status, text, expect) in [
        (
            400,
            body("too long", "invalid_request_error", "context_length_exceeded"),
            ErrorKind::ContextLengthExceeded,
        ),
        (400, body("flagged", "content_filter", ""), ErrorKind::ContentFiltered),
        (400, body("flagged", "", "content_filter"), ErrorKind::ContentFiltered),
        (400, body("bad", "invalid_request_error", "unsupported_value"), ErrorKind::InvalidRequest),
        (401, body("bad key", "invalid_request_error", "invalid_api_key"), ErrorKind::Unauthenticated),
        (403, body("not here", "request_forbidden", ""), ErrorKind::PermissionDenied),
        (404, body("no such model", "invalid_request_error", "model_not_found"), ErrorKind::ModelNotFound),
        (429, body("slower", "tokens", "rate_limit_exceeded"), ErrorKind::RateLimited),
        (429, body("no money", "insufficient_quota", "insufficient_quota"), ErrorKind::QuotaExhausted),
        (429, body("no money", "insufficient_quota", "credit_balance_exhausted"), ErrorKind::QuotaExhausted),
        (
            429,
            body("Request too large for gpt-4o", "tokens", "rate_limit_exceeded"),
            ErrorKind::RequestTooLarge,
        ),
        (500, body("oops", "server_error", ""), ErrorKind::Upstream),
        (503, body("busy", "service_unavailable_error", "server_is_overloaded"), ErrorKind::Overloaded),
        (502, "<html><body>Bad Gateway</body></html>".to_owned(), ErrorKind::Upstream),
        (504, String::new(), ErrorKind::Upstream),
    ] {
        let mut server = Server::new_async().await;
        post(&mut server)
            .with_status(status)
            .with_header("retry-after-ms", "1290")
            .with_header("retry-after", "2")
            .with_body(&text)
            .create_async()
            .await;
        let error = runner(&server).await.execute(ExecuteBatch::new("gpt-4o", "hi")).await.unwrap_err();
        assert_eq!(error.kind(), expect, "{status} {text}: {error}");
        let status = u16::try_from(status).unwrap();
        assert_eq!(error.origin().unwrap().status, Some(status));
        if matches!(expect, ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Upstream) {
            assert_eq!(error.retry_after(), Some(Duration::from_millis(1290)), "{error}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_other_host_sees_nothing() {
    let mut other = Server::new_async().await;
    let never = other.mock("POST", Matcher::Any).expect(0).create_async().await;
    let mut server = Server::new_async().await;
    let location = format!("{}/v1/chat/completions", other.url());
    post(&mut server).with_status(307).with_header("location", &location).create_async().await;
    let error = runner(&server).await.execute(ExecuteBatch::new("m", "hi")).await.unwrap_err();
    assert!(matches!(error, InferenceError::Transport { kind: TransportKind::Redirect, .. }), "{error}");
    never.assert_async().await;
}

#[tokio::test]
async fn a_web_page_is_no_answer_and_the_error_says_where_to_look() {
    for streaming in [false, true] {
        let mut server = Server::new_async().await;
        post(&mut server)
            .with_header("content-type", "text/html")
            .with_body("<html><body>Welcome</body></html>")
            .create_async()
            .await;
        let mut batch = ExecuteBatch::new("m", "hi");
        if streaming {
            batch = batch.streaming();
        }
        let error = runner(&server).await.execute(batch).await.unwrap_err();
        assert!(matches!(error, InferenceError::Decode { kind: DecodeKind::ContentType, .. }), "{error}");
        assert!(error.to_string().contains("check the base URL"), "{error}");
    }
}

#[tokio::test]
async fn an_error_inside_a_success_is_an_error() {
    let mut server = Server::new_async().await;
    post(&mut server)
        .with_body(r#"{"error":{"message":"Provider returned error","code":429}}"#)
        .create_async()
        .await;
    let error = runner(&server).await.execute(ExecuteBatch::new("m", "hi")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
}

#[tokio::test]
async fn nobody_listening_is_said_in_one_line() {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    // A port that was free a moment ago and has no listener now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.endpoint = format!("http://127.0.0.1:{port}/v1");
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let runner = OpenAiRunner::new(config, session).unwrap();
    let error = runner.execute(ExecuteBatch::new("m", "hi")).await.unwrap_err();
    assert!(matches!(error, InferenceError::Transport { kind: TransportKind::Connect, .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn the_next_call_uses_the_rotated_key_and_a_local_upstream_gets_none() {
    let mut server = Server::new_async().await;
    let first = post(&mut server)
        .match_header("authorization", format!("Bearer {KEY}").as_str())
        .with_body(answer("1"))
        .create_async()
        .await;
    let second = post(&mut server)
        .match_header("authorization", "Bearer sk-rotated-key")
        .with_body(answer("2"))
        .create_async()
        .await;
    let third = post(&mut server)
        .match_header("authorization", Matcher::Missing)
        .with_body(answer("3"))
        .create_async()
        .await;
    let runner = runner(&server).await;
    for (key, text) in [(None, "1"), (Some(Some("sk-rotated-key".into())), "2"), (Some(None), "3")] {
        if let Some(key) = key {
            rotate(runner.session(), key).unwrap();
        }
        let run = runner.execute(ExecuteBatch::new("m", "hi")).await.unwrap();
        assert_eq!(run.collect().await.unwrap().text(), text);
    }
    first.assert_async().await;
    second.assert_async().await;
    third.assert_async().await;
}

#[tokio::test]
async fn vectors_come_in_order_with_their_cost() {
    let mut server = Server::new_async().await;
    let mock = server
        .mock("POST", "/v1/embeddings")
        .match_header("authorization", format!("Bearer {KEY}").as_str())
        .match_body(Matcher::Json(
            json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 2}),
        ))
        .with_body(
            json!({"object": "list", "model": "text-embedding-3-small", "data": [
                {"object": "embedding", "index": 1, "embedding": [0.5, 0.25]},
                {"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}
            ], "usage": {"prompt_tokens": 2, "total_tokens": 2}})
            .to_string(),
        )
        .create_async()
        .await;
    let batch = EmbedBatch::new("text-embedding-3-small", ["a", "b"]).with_dimensions(2);
    let found = runner(&server).await.embed(batch).await.unwrap();
    assert_eq!(found.vectors, [vec![1.0, 0.0], vec![0.5, 0.25]]);
    assert_eq!(found.cost.unwrap().total().picos(), 2 * 20_000);
    mock.assert_async().await;
}

#[tokio::test]
async fn settings_that_do_not_fit_are_all_named_at_once_without_their_secrets() {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    config.endpoint = "htps://x".into();
    config.headers.insert("bad name".into(), "sk-secret-header".into());
    config.price_overrides.insert("m".into(), Rates::new(-1.0, 0.0));
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let printed = format!("{config:?}");
    let error = OpenAiRunner::new(config, session).unwrap_err().to_string();
    for part in ["base URL \"htps://x\"", "bad name", "price_overrides.m.input_per_mtok_usd"] {
        assert!(error.contains(part), "{part} missing in {error}");
    }
    assert!(!format!("{printed}{error}").contains("sk-"), "{printed} {error}");
}

#[tokio::test]
async fn a_factory_names_the_path_of_what_does_not_fit() {
    use infer_core::RunnerFactory as _;
    let factory = runtime_openai::factory();
    assert_eq!(factory.kind(), "openai");
    let settings =
        json!({"base_url": "http://localhost:1/v1", "api_key": "", "timeouts": {"connect": "soon"}});
    let error = factory.build("work", settings).await.unwrap_err().to_string();
    assert!(error.starts_with("providers.work.timeouts.connect: \"soon\" is not a duration"), "{error}");
    let error = factory.build("work", json!({"base_ur": ""})).await.unwrap_err().to_string();
    assert!(error.contains("unknown field `base_ur`"), "{error}");
    let settings = json!({"base_url": "http://localhost:1/v1"});
    let runner = factory.build("work", settings).await.unwrap();
    assert_eq!((&*runner.info().name, runner.info().provider), ("work", "openai"));
}
