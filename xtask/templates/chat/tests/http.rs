//! The provider over a loopback socket: what is sent, and what is made of the answer.

#![expect(clippy::unwrap_used, reason = "a test")]

use infer_core::{EmbedBatch, ErrorKind, ExecuteBatch, ModelRunner as _, PriceTable, RunnerFactory as _};
use mockito::{Matcher, Mock, Server, ServerGuard};
use remote_core::session::{RemoteSessionActor, SecretRef};
use runtime_acme::{AcmeConfig, AcmeRunner};
use serde_json::json;

const KEY: &str = "sk-test-0123456789";

async fn runner_with(server: &ServerGuard, change: impl FnOnce(&mut AcmeConfig)) -> AcmeRunner {
    let mut config = AcmeConfig { endpoint: server.url(), ..AcmeConfig::default() };
    config.api_key = SecretRef::inline(KEY);
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    change(&mut config);
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    AcmeRunner::new(config, session).unwrap()
}

fn post(server: &mut ServerGuard, path: &str) -> Mock {
    server.mock("POST", path).with_header("content-type", "application/json")
}

#[tokio::test]
async fn the_request_has_its_address_key_headers_query_and_body() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server, "/v1/chat/completions")
        .match_query(Matcher::UrlEncoded("tenant".into(), "a b".into()))
        .match_header("authorization", format!("Bearer {KEY}").as_str())
        .match_header("x-team", "blue")
        .match_body(Matcher::Json(json!({
            "model": "acme-large",
            "messages": [{"role": "user", "content": "Say hello"}],
            "max_tokens": 9
        })))
        .with_body(
            json!({"model": "acme-large", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
            ]})
            .to_string(),
        )
        .create_async()
        .await;
    let runner = runner_with(&server, |config| {
        config.headers.insert("X-Team".into(), "blue".into());
        config.query.insert("tenant".into(), "a b".into());
    })
    .await;
    let batch = ExecuteBatch::new("acme-large", "Say hello").with_max_output_tokens(9);
    assert_eq!(runner.execute(batch).await.unwrap().collect().await.unwrap().text(), "Hello");
    mock.assert_async().await;
}

#[tokio::test]
async fn vectors_have_an_address_of_their_own() {
    let mut server = Server::new_async().await;
    let mock = post(&mut server, "/v1/embeddings")
        .match_body(Matcher::PartialJson(json!({"model": "acme-embed", "input": ["a"]})))
        .with_body(json!({"data": [{"index": 0, "embedding": [0.5, 0.25]}]}).to_string())
        .create_async()
        .await;
    let found = runner_with(&server, |_| ()).await.embed(EmbedBatch::new("acme-embed", ["a"])).await.unwrap();
    assert_eq!(found.vectors, [vec![0.5, 0.25]]);
    mock.assert_async().await;
}

#[tokio::test]
async fn errors_mean_what_the_vendor_says_they_mean() {
    for (status, code, expected) in [
        (400, "context_length_exceeded", ErrorKind::ContextLengthExceeded),
        (400, "content_filter", ErrorKind::ContentFiltered),
        (400, "invalid_value", ErrorKind::InvalidRequest),
        (401, "invalid_api_key", ErrorKind::Unauthenticated),
        (429, "insufficient_quota", ErrorKind::QuotaExhausted),
        (429, "rate_limit_exceeded", ErrorKind::RateLimited),
        (503, "overloaded", ErrorKind::Overloaded),
    ] {
        let mut server = Server::new_async().await;
        let body = json!({"error": {"message": "as scripted", "code": code}}).to_string();
        post(&mut server, "/v1/chat/completions").with_status(status).with_body(body).create_async().await;
        let runner = runner_with(&server, |_| ()).await;
        let error = runner.execute(ExecuteBatch::new("acme-large", "hi")).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{status} {code}: {error}");
    }
}

#[test]
fn the_price_list_can_be_read() {
    let list = PriceTable::parse(include_str!("../prices.tsv")).unwrap();
    assert!(list.get("acme-large").is_some() && list.get("acme-nonsense").is_none());
}

#[tokio::test]
async fn list_prices_hold_at_the_vendor_and_not_elsewhere() {
    let config = AcmeConfig::default();
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let batch = ExecuteBatch::new("acme-large", "hi").with_max_output_tokens(9);
    assert!(AcmeRunner::new(config, session).unwrap().estimate(&batch).is_some());
    let server = Server::new_async().await;
    assert_eq!(runner_with(&server, |_| ()).await.estimate(&batch), None);
}

#[tokio::test]
async fn settings_that_do_not_fit_are_all_named_and_nothing_prints_a_secret() {
    let settings = json!({"endpoint": "htps://x", "headers": {"bad name": "sk-secret"}});
    let error = runtime_acme::factory().build("work", settings).await.unwrap_err().to_string();
    assert!(error.contains("htps://x") && error.contains("bad name"), "{error}");
    let server = Server::new_async().await;
    let runner = runner_with(&server, |config| {
        config.query.insert("key".into(), "sk-query".into());
    })
    .await;
    let printed = format!("{error} {runner:?} {:?} {:?}", runner.provider(), runner.session());
    assert!(!printed.contains("sk-"), "{printed}");
}
