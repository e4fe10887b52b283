//! The provider over a loopback socket: what is sent, and what is made of the answer.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use infer_core::{
    EmbedBatch, ErrorKind, ExecuteBatch, FunctionTool, InferenceError, Message, ModelRunner, Rates, RawJson,
    ReasoningEffort, RunnerFactory as _, ToolSpec,
};
use mockito::{Matcher, Mock, Server, ServerGuard};
use remote_core::session::{RemoteSessionActor, rotate};
use runtime_anthropic::config::SecretRef;
use runtime_anthropic::{AnthropicConfig, AnthropicRunner, KeyHeader};
use serde_json::json;

const KEY: &str = "sk-ant-test-0123456789";
const MODEL: &str = "claude-sonnet-5";

async fn runner_with(server: &ServerGuard, change: impl FnOnce(&mut AnthropicConfig)) -> AnthropicRunner {
    let mut config = AnthropicConfig::defaults_for_anthropic(SecretRef::inline(KEY));
    config.endpoint = format!("{}/v1/", server.url());
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    change(&mut config);
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    AnthropicRunner::new(config, session).unwrap()
}

async fn runner(server: &ServerGuard) -> AnthropicRunner {
    runner_with(server, |_| ()).await
}

fn post(server: &mut ServerGuard) -> Mock {
    server.mock("POST", "/v1/messages")
}

fn answer(text: &str) -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {
            "input_tokens": 100, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 10
        }
    })
    .to_string()
}

fn list_rates() -> Rates {
    *runtime_anthropic::AnthropicPricing::published().get(MODEL).unwrap()
}

#[tokio::test]
async fn the_request_carries_key_version_betas_headers_query_and_body() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server)
        .match_query(Matcher::UrlEncoded("tenant".into(), "a b".into()))
        .match_header("x-api-key", KEY)
        .match_header("authorization", Matcher::Missing)
        .match_header("anthropic-version", "2023-06-01")
        .match_header("anthropic-beta", "one-2026-01-01,two-2026-02-02")
        .match_header("content-type", "application/json")
        .match_header("x-title", "test")
        .match_body(Matcher::Json(json!({
            "model": "claude-sonnet-5",
            "max_tokens": 64,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [{"role": "user", "content": "Weather in Oslo?"}],
            "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}],
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
            "inference_geo": "us"
        })))
        .with_body(answer("Rain."))
        .with_header("content-type", "application/json")
        .with_header("request-id", "req_up")
        .with_header("date", "Sat, 21 Nov 2026 12:00:00 GMT")
        .with_header("anthropic-ratelimit-requests-remaining", "59")
        .with_header("anthropic-ratelimit-tokens-remaining", "0")
        .with_header("anthropic-ratelimit-tokens-reset", "2026-11-21T12:00:09Z")
        .create_async()
        .await;
    let runner = runner_with(&server, |config| {
        config.betas = vec!["one-2026-01-01".into(), "two-2026-02-02".into()];
        config.headers.insert("X-Title".into(), "test".into());
        config.query.insert("tenant".into(), "a b".into());
        config.price_overrides.insert(MODEL.into(), list_rates());
    })
    .await;
    let mut rules = Message::system("Be brief.");
    rules.extra.set("cache_control", RawJson::parse(r#"{"type":"ephemeral","ttl":"1h"}"#).unwrap());
    let mut tool = FunctionTool::new("get_weather");
    tool.parameters = Some(RawJson::parse(r#"{"type":"object"}"#).unwrap());
    let batch = ExecuteBatch::new(MODEL, [rules, Message::user("Weather in Oslo?")])
        .with_tools([ToolSpec::Function(tool)])
        .with_reasoning_effort(ReasoningEffort::High)
        .with_max_output_tokens(64)
        .with_extra("inference_geo", json!("us"));
    let run = runner.execute(batch).await.unwrap();
    assert_eq!(run.meta().upstream_request_id.as_deref(), Some("req_up"));
    let limits = run.meta().rate_limits.as_ref().unwrap();
    assert_eq!((limits.remaining_requests, limits.remaining_tokens), (Some(59), Some(0)));
    assert_eq!(limits.reset_tokens, Some(Duration::from_secs(9)));
    let whole = run.collect().await.unwrap();
    assert_eq!(whole.text(), "Rain.");
    let input = 100 * 2_000_000 + 1000 * 200_000 + 100 * 2_500_000 + 200 * 4_000_000;
    assert_eq!(whole.cost.unwrap().total().picos(), input + 10 * 10_000_000);
    mock.assert_async().await;
}

#[tokio::test]
async fn a_token_is_sent_as_bearer_and_never_as_a_key_and_no_key_as_neither() {
    let mut server = Server::new_async().await;
    let bearer = post(&mut server)
        .match_header("authorization", format!("Bearer {KEY}").as_str())
        .match_header("x-api-key", Matcher::Missing)
        .match_header("anthropic-version", "2023-06-01")
        .with_body(answer("1"))
        .create_async()
        .await;
    let none = post(&mut server)
        .match_header("authorization", Matcher::Missing)
        .match_header("x-api-key", Matcher::Missing)
        .with_body(answer("2"))
        .create_async()
        .await;
    for auth in [KeyHeader::Bearer, KeyHeader::ApiKey] {
        let runner = runner_with(&server, |config| config.auth = auth).await;
        if auth == KeyHeader::ApiKey {
            rotate(runner.session(), None).unwrap();
        }
        let run = runner.execute(ExecuteBatch::new(MODEL, "hi")).await.unwrap();
        assert_eq!(run.collect().await.unwrap().text(), if auth == KeyHeader::Bearer { "1" } else { "2" });
    }
    bearer.assert_async().await;
    none.assert_async().await;
}

#[tokio::test]
async fn an_operators_version_is_sent_wherever_it_stands_and_only_once() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server)
        .match_header("anthropic-version", "2030-01-01")
        .match_header("anthropic-beta", Matcher::Missing)
        .with_body(answer("x"))
        .expect(2)
        .create_async()
        .await;
    for is_header in [false, true] {
        let runner = runner_with(&server, |config| {
            if is_header {
                config.headers.insert("Anthropic-Version".into(), "2030-01-01".into());
            } else {
                config.version = Some("2030-01-01".into());
            }
        })
        .await;
        assert!(runner.execute(ExecuteBatch::new(MODEL, "hi")).await.is_ok());
    }
    mock.assert_async().await;
}

#[tokio::test]
async fn a_stream_gives_text_as_it_comes_and_the_cost() {
    let events = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",",
        "\"model\":\"claude-sonnet-5\",\"content\":[],\"usage\":{\"input_tokens\":100,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"H\u{e9}llo\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":10}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let mut server = Server::new_async().await;
    let mock = post(&mut server)
        .match_header("accept", "text/event-stream")
        .match_body(Matcher::PartialJson(json!({"stream": true})))
        .with_header("content-type", "text/event-stream; charset=utf-8")
        // Every byte a write of its own: nothing may depend on how the stream is cut.
        .with_chunked_body(|writer| events.bytes().try_for_each(|byte| writer.write_all(&[byte])))
        .create_async()
        .await;
    let runner = runner_with(&server, |config| {
        config.price_overrides.insert(MODEL.into(), list_rates());
    })
    .await;
    let run = runner.execute(ExecuteBatch::new(MODEL, "hi").streaming()).await.unwrap();
    let whole = run.collect().await.unwrap();
    assert_eq!((whole.text(), whole.served.model.as_deref()), ("Héllo", Some(MODEL)));
    assert_eq!(whole.cost.unwrap().total().picos(), 100 * 2_000_000 + 10 * 10_000_000);
    mock.assert_async().await;
}

#[tokio::test]
async fn a_name_alone_does_not_give_another_host_anthropics_prices() {
    let mut server = Server::new_async().await;
    post(&mut server).with_body(answer("x")).create_async().await;
    let run = runner(&server).await.execute(ExecuteBatch::new(MODEL, "x")).await.unwrap();
    assert_eq!(run.collect().await.unwrap().cost, None);
    let home = AnthropicConfig::defaults_for_anthropic(SecretRef::inline(KEY));
    let session = RemoteSessionActor::bootstrap(home.api_key.clone()).await.unwrap();
    let home = AnthropicRunner::new(home, session).unwrap();
    assert!(home.estimate(&ExecuteBatch::new("claude-sonnet-4-5-20250929", "x")).is_some());
    assert_eq!(home.estimate(&ExecuteBatch::new("nobody-knows", "x")), None);
}

#[tokio::test]
async fn models_are_listed_on_one_page_and_health_asks_for_one_of_them() {
    let mut server = Server::new_async().await;
    let get = |server: &mut ServerGuard, limit: &str| {
        server
            .mock("GET", "/v1/models")
            .match_query(Matcher::UrlEncoded("limit".into(), limit.into()))
            .match_header("x-api-key", KEY)
            .match_header("anthropic-version", "2023-06-01")
    };
    let page = json!({"data": [
        {"type": "model", "id": "claude-opus-5-5", "display_name": "Claude Opus 5.5",
         "created_at": "2026-09-22T00:00:00Z", "max_input_tokens": 1_000_000, "max_tokens": 128_000}
    ], "has_more": false, "first_id": "claude-opus-5-5", "last_id": "claude-opus-5-5"});
    let models = get(&mut server, "1000").with_body(page.to_string()).create_async().await;
    let health = get(&mut server, "1").with_body(page.to_string()).create_async().await;
    let runner = runner(&server).await;
    let listed = runner.models().await.unwrap();
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, "claude-opus-5-5"));
    assert_eq!((listed[0].context_window, listed[0].created), (Some(1_000_000), Some(1_790_035_200)));
    runner.health().await.unwrap();
    models.assert_async().await;
    health.assert_async().await;
}

#[tokio::test]
async fn vectors_are_refused_before_anything_is_sent() {
    let mut server = Server::new_async().await;
    let never = server.mock("POST", Matcher::Any).expect(0).create_async().await;
    let error = runner(&server).await.embed(EmbedBatch::new("m", ["a"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.to_string().contains("no embeddings"), "{error}");
    never.assert_async().await;
}

#[tokio::test]
async fn errors_mean_what_a_caller_can_act_on() {
    let body = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
            .to_string()
    };
    let invalid = |message: &str| body("invalid_request_error", message);
    for (status, text, expect) in [
        (400, invalid("max_tokens: Field required"), ErrorKind::InvalidRequest),
        (400, invalid("`temperature` is deprecated for this model."), ErrorKind::InvalidRequest),
        (400, invalid("prompt is too long: 2 tokens > 1 maximum"), ErrorKind::ContextLengthExceeded),
        (400, invalid("Your credit balance is too low to access the API."), ErrorKind::QuotaExhausted),
        (400, invalid("Output blocked by content filtering policy"), ErrorKind::ContentFiltered),
        (401, body("authentication_error", "invalid x-api-key"), ErrorKind::Unauthenticated),
        (402, body("billing_error", "no payment"), ErrorKind::QuotaExhausted),
        (403, body("permission_error", "not yours"), ErrorKind::PermissionDenied),
        (404, body("not_found_error", "model: claude-none"), ErrorKind::ModelNotFound),
        (413, body("request_too_large", "Request exceeds the maximum size"), ErrorKind::RequestTooLarge),
        (413, "<html>413 Request Entity Too Large</html>".into(), ErrorKind::RequestTooLarge),
        (429, body("rate_limit_error", "slower"), ErrorKind::RateLimited),
        (500, body("api_error", "oops"), ErrorKind::Upstream),
        (504, body("timeout_error", "late"), ErrorKind::Upstream),
        (529, body("overloaded_error", "Overloaded"), ErrorKind::Overloaded),
        (529, String::new(), ErrorKind::Overloaded),
        (200, body("overloaded_error", "Overloaded"), ErrorKind::Overloaded),
    ] {
        let mut server = Server::new_async().await;
        post(&mut server)
            .with_status(status)
            .with_header("request-id", "req_up")
            .with_header("retry-after", "2")
            .with_body(&text)
            .create_async()
            .await;
        let error = runner(&server).await.execute(ExecuteBatch::new(MODEL, "hi")).await.unwrap_err();
        assert_eq!(error.kind(), expect, "{status} {text}: {error}");
        assert_eq!(error.origin().unwrap().upstream_request_id.as_deref(), Some("req_up"), "{error}");
        if matches!(status, 429 | 529) {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(2)), "{error}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_used_up_names_the_wait_where_no_other_does() {
    let mut server = Server::new_async().await;
    post(&mut server)
        .with_status(429)
        .with_header("date", "Sat, 21 Nov 2026 12:00:00 GMT")
        .with_header("anthropic-ratelimit-requests-remaining", "0")
        .with_header("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:30Z")
        .with_body(r#"{"type":"error","error":{"type":"rate_limit_error","message":"slower"}}"#)
        .create_async()
        .await;
    let error = runner(&server).await.execute(ExecuteBatch::new(MODEL, "hi")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)), "{error}");
}

#[tokio::test]
async fn settings_that_do_not_fit_are_all_named_at_once_without_their_secrets() {
    let mut config = AnthropicConfig::defaults_for_anthropic(SecretRef::inline(KEY));
    config.endpoint = "htps://x".into();
    config.version = Some("2023\n06".into());
    config.betas = vec!["a\0b".into()];
    config.headers.insert("bad name".into(), "sk-secret-header".into());
    config.price_overrides.insert("m".into(), Rates::new(-1.0, 0.0));
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let printed = format!("{config:?}");
    let error = AnthropicRunner::new(config, session).unwrap_err();
    assert!(matches!(error, InferenceError::Config { .. }), "{error}");
    let error = error.to_string();
    for part in ["htps://x", "anthropic-version", "anthropic-beta", "bad name", "price_overrides.m.input"] {
        assert!(error.contains(part), "{part} missing in {error}");
    }
    assert!(!format!("{printed}{error}").contains("sk-"), "{printed} {error}");
}

#[tokio::test]
async fn a_factory_reads_settings_and_names_the_path_of_what_does_not_fit() {
    let factory = runtime_anthropic::factory();
    assert_eq!(factory.kind(), "anthropic");
    let settings = json!({
        "base_url": "http://localhost:1", "auth": "bearer", "betas": ["b"],
        "dialect": {"default_max_tokens": 9}
    });
    let runner = factory.build("work", settings).await.unwrap();
    assert_eq!((&*runner.info().name, runner.info().provider), ("work", "anthropic"));
    for (settings, expect) in [
        (json!({"auth": "both"}), "providers.work.auth: unknown variant `both`"),
        (json!({"dialect": {"max": 1}}), "unknown field `max`"),
        (json!({"base_ur": ""}), "unknown field `base_ur`"),
    ] {
        let error = factory.build("work", settings).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
