//! What is sent for every form of the settings, and which settings are refused before anything is.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use infer_core::{
    EmbedBatch, ErrorKind, ExecuteBatch, InferenceError, ModelRunner as _, ReasoningEffort, Retryability,
};
use proptest::prelude::*;
use remote_core::session::{Secret, SessionSnapshot};
use remote_core::{Call, ProviderConfig as _, RemoteProvider as _, RemoteRunner};
use remote_testkit::{Script, ScriptedTransport, Seen};
use runtime_azure::config::SecretRef;
use runtime_azure::{AzureCloud, AzureConfig, AzureRunner};
use serde_json::{Value, json};

const KEY: &str = "azure-key-0123456789abcdef";

fn seeded() -> AzureConfig {
    AzureConfig {
        resource: "my-azure-resource".into(),
        deployment: "gpt-4o-deployment".into(),
        api_version: "2024-08-01-preview".into(),
        api_key: SecretRef::env("AZURE_OPENAI_KEY"),
        ..AzureConfig::default()
    }
}

fn by_v1() -> AzureConfig {
    AzureConfig::new("res", "dep", SecretRef::None)
}

fn at(endpoint: &str) -> AzureConfig {
    AzureConfig { endpoint: endpoint.to_owned(), ..AzureConfig::default() }
}

fn answer() -> Script {
    let choice = json!({"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"});
    Script::json(json!({"model": "gpt-4o-2024-11-20", "choices": [choice]}).to_string())
}

fn runner(
    mut config: AzureConfig,
    scripts: impl IntoIterator<Item = Script>,
) -> (AzureRunner, Arc<ScriptedTransport>) {
    config.retry.attempts = 1;
    let transport = Arc::new(ScriptedTransport::new(scripts));
    let session = SessionSnapshot::new(Some(Secret::from(KEY))).unwrap().into_handle();
    let remote = config.remote();
    let provider = config.into_provider("azure").unwrap();
    let builder = RemoteRunner::builder(provider, session).with_config(remote);
    (builder.with_transport(transport.clone()).build().unwrap(), transport)
}

async fn sent(config: AzureConfig, batch: ExecuteBatch) -> Seen {
    let (runner, transport) = runner(config, [answer()]);
    assert_eq!(runner.execute(batch).await.unwrap().collect().await.unwrap().text(), "hi");
    transport.playbook().seen().remove(0)
}

async fn refused(config: AzureConfig, script: Script) -> InferenceError {
    let (runner, _) = runner(config, [script]);
    runner.execute(ExecuteBatch::new("m", "hi")).await.unwrap_err()
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

fn uri(seen: &Seen) -> http::Uri {
    seen.uri.parse().unwrap()
}

fn fault(config: AzureConfig) -> String {
    assert!(config.credentials().is_err(), "nothing may be fetched for settings that do not fit");
    config.into_provider("azure").unwrap_err().to_string()
}

#[tokio::test]
async fn a_dated_version_asks_the_deployment_in_the_path_with_the_key_alone() {
    let seen = sent(seeded(), ExecuteBatch::new("gpt-4o", "hi").with_max_output_tokens(9)).await;
    assert_eq!(
        seen.uri,
        "https://my-azure-resource.openai.azure.com/openai/deployments/gpt-4o-deployment/chat/completions\
         ?api-version=2024-08-01-preview"
    );
    assert_eq!((seen.method.as_str(), &seen.headers["api-key"]), ("POST", &KEY.parse().unwrap()));
    assert!(seen.headers["api-key"].is_sensitive());
    assert!(!seen.headers.contains_key("authorization"));
    let messages = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(body(&seen), json!({"model": "gpt-4o", "messages": messages, "max_tokens": 9}));
}

#[tokio::test]
async fn the_v1_routes_name_the_deployment_as_the_model_and_need_no_version() {
    for version in ["", "v1"] {
        let config = AzureConfig { api_version: version.into(), ..by_v1() };
        let seen = sent(config, ExecuteBatch::new("gpt-4o", "hi").with_max_output_tokens(9)).await;
        assert_eq!(seen.uri, "https://res.openai.azure.com/openai/v1/chat/completions");
        assert_eq!(body(&seen)["model"], "dep");
        assert_eq!(body(&seen)["max_completion_tokens"], 9);
    }
}

#[tokio::test]
async fn without_a_deployment_each_call_names_its_own() {
    let dated = AzureConfig { deployment: String::new(), api_version: "2024-10-21".into(), ..by_v1() };
    let seen = sent(dated, ExecuteBatch::new("team a/gpt", "hi")).await;
    let path = "/openai/deployments/team%20a%2Fgpt/chat/completions";
    assert_eq!(seen.uri, format!("https://res.openai.azure.com{path}?api-version=2024-10-21").as_str());
    let seen =
        sent(AzureConfig { deployment: String::new(), ..by_v1() }, ExecuteBatch::new("team a/gpt", "hi"))
            .await;
    assert_eq!(
        (uri(&seen).path(), &body(&seen)["model"]),
        ("/openai/v1/chat/completions", &json!("team a/gpt"))
    );
}

#[tokio::test]
async fn a_deployment_stays_one_part_of_the_path_whatever_its_name() {
    for (name, path) in [
        ("gpt-4.1_b~", "gpt-4.1_b~"),
        ("a/../b", "a%2F..%2Fb"),
        ("a?x=1#y", "a%3Fx=1%23y"),
        ("50%2F", "50%252F"),
        ("modèle", "mod%C3%A8le"),
    ] {
        let config = AzureConfig { deployment: name.to_owned(), ..seeded() };
        let seen = sent(config, ExecuteBatch::new("m", "hi")).await;
        assert_eq!(uri(&seen).path(), format!("/openai/deployments/{path}/chat/completions"));
    }
}

proptest! {
    // Whatever an operator calls a deployment, it is one part of the path and can be read back from there.
    #[test]
    fn a_deployment_can_be_read_back_from_the_path(name in "\\PC{1,20}|[./%?#]{1,6}") {
        prop_assume!(!matches!(name.as_str(), "." | ".."));
        let provider = AzureConfig { deployment: name.clone(), ..seeded() }.into_provider("azure").unwrap();
        let batch = ExecuteBatch::new("m", "hi");
        let uri = provider.endpoint(Call::Generate(&batch)).unwrap();
        let parts: Vec<_> = uri.path().split('/').collect();
        prop_assert_eq!(parts.len(), 6, "{}", uri);
        let mut bytes = parts[3].bytes();
        let mut read = Vec::new();
        while let Some(byte) = bytes.next() {
            let digits: String = bytes.by_ref().take(if byte == b'%' { 2 } else { 0 }).map(char::from).collect();
            read.push(u8::from_str_radix(&digits, 16).unwrap_or(byte));
        }
        prop_assert_eq!(String::from_utf8(read).unwrap(), name);
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused_before_anything_is_sent() {
    for name in ["", ".", ".."] {
        let config = AzureConfig { deployment: String::new(), ..seeded() };
        let (runner, transport) = runner(config, [answer()]);
        let error = runner.execute(ExecuteBatch::new(name, "hi")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        assert_eq!(transport.playbook().seen().len(), 0);
    }
}

#[tokio::test]
async fn every_cloud_and_every_endpoint_leads_to_the_same_routes() {
    let cloud = |cloud| AzureConfig { cloud, ..by_v1() };
    for (config, expect) in [
        (cloud(AzureCloud::UsGovernment), "https://res.openai.azure.us/openai/v1/chat/completions"),
        (cloud(AzureCloud::China), "https://res.openai.azure.cn/openai/v1/chat/completions"),
        (at("https://x.services.ai.azure.com"), "https://x.services.ai.azure.com/openai/v1/chat/completions"),
        (at(" https://x.openai.azure.com/openai/ "), "https://x.openai.azure.com/openai/v1/chat/completions"),
        (
            at("https://x.openai.azure.com/openai/v1/"),
            "https://x.openai.azure.com/openai/v1/chat/completions",
        ),
        (at("http://gw:8080/team/llm/"), "http://gw:8080/team/llm/openai/v1/chat/completions"),
    ] {
        assert_eq!(sent(config, ExecuteBatch::new("m", "hi")).await.uri, expect);
    }
}

#[tokio::test]
async fn a_gateway_gets_its_own_headers_and_query_beside_ours() {
    let mut config =
        AzureConfig { endpoint: "https://gw.example".into(), resource: String::new(), ..seeded() };
    config.headers.insert("Ocp-Apim-Subscription-Key".into(), "gateway-key".into());
    config.headers.insert("api-key".into(), "an older one".into());
    config.query.insert("tenant".into(), "a b".into());
    let seen = sent(config, ExecuteBatch::new("m", "hi")).await;
    assert_eq!(uri(&seen).query(), Some("api-version=2024-08-01-preview&tenant=a+b"));
    assert_eq!(seen.headers["ocp-apim-subscription-key"], "gateway-key");
    assert_eq!(seen.headers.get_all("api-key").iter().collect::<Vec<_>>(), [KEY]);
}

#[tokio::test]
async fn a_token_is_sent_as_bearer_and_never_beside_a_key() {
    let seen = sent(AzureConfig { bearer: true, ..seeded() }, ExecuteBatch::new("m", "hi")).await;
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}").as_str());
    assert!(seen.headers["authorization"].is_sensitive());
    assert!(!seen.headers.contains_key("api-key"));
}

#[tokio::test]
async fn vectors_models_and_health_have_their_routes_in_both_forms() {
    let vector = r#"{"data":[{"index":0,"embedding":[0.5]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":1}}"#;
    let list = r#"{"data":[{"id":"gpt-4o","object":"model"}]}"#;
    for (version, deployments, query) in
        [("2024-10-21", "/deployments/dep", Some("api-version=2024-10-21")), ("v1", "/v1", None)]
    {
        let config = AzureConfig { api_version: version.into(), ..by_v1() };
        let scripts = [Script::json(vector), Script::json(list), Script::json(list)];
        let (runner, transport) = runner(config, scripts);
        let found = runner.embed(EmbedBatch::new("e", ["x"])).await.unwrap();
        assert_eq!((found.vectors, found.cost.unwrap().total().picos()), (vec![vec![0.5]], 22_000));
        assert_eq!(runner.models().await.unwrap()[0].id, "gpt-4o");
        runner.health().await.unwrap();
        let seen = transport.playbook().seen();
        let models = if version == "v1" { "/openai/v1/models" } else { "/openai/models" };
        let paths: Vec<_> =
            seen.iter().map(|one| (one.method.as_str(), uri(one).path().to_owned())).collect();
        let embeddings = format!("/openai{deployments}/embeddings");
        assert_eq!(paths, [("POST", embeddings), ("GET", models.to_owned()), ("GET", models.to_owned())]);
        assert!(seen.iter().all(|one| uri(one).query() == query && one.headers.contains_key("api-key")));
    }
}

#[tokio::test]
async fn large_batches_of_vectors_are_split_at_the_limit_of_the_version() {
    let vectors = |count| {
        let entry = |index| json!({"index": index, "embedding": [0.5]});
        let data: Vec<_> = (0..count).map(entry).collect();
        Script::json(json!({"data": data, "usage": {"prompt_tokens": 1}}).to_string())
    };
    let config = AzureConfig { max_embed_inputs: Some(16), ..by_v1() };
    let (few, transport) = runner(config, [vectors(16), vectors(4)]);
    assert_eq!(few.embed(EmbedBatch::new("ada", vec!["x"; 20])).await.unwrap().vectors.len(), 20);
    assert_eq!(transport.playbook().seen().len(), 2);
    let (many, transport) = runner(by_v1(), [vectors(2048), vectors(1)]);
    assert_eq!(many.embed(EmbedBatch::new("ada", vec!["x"; 2049])).await.unwrap().vectors.len(), 2049);
    assert_eq!(transport.playbook().seen().len(), 2);
}

#[tokio::test]
async fn a_version_is_not_asked_for_what_it_does_not_know() {
    let batch = || ExecuteBatch::new("o3", "hi").with_max_output_tokens(9).streaming();
    let events = || {
        Script::events([
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
        ])
    };
    for (version, knows) in [
        ("2024-06-01", false),
        ("2024-08-01-preview", false),
        ("2024-09-01-preview", true),
        ("2024-10-21", true),
        ("", true),
    ] {
        let (runner, transport) = runner(AzureConfig { api_version: version.into(), ..by_v1() }, [events()]);
        runner.execute(batch()).await.unwrap().collect().await.unwrap();
        let body = body(&transport.playbook().seen()[0]);
        assert_eq!(body.get("max_completion_tokens").is_some(), knows, "{version}");
        assert_eq!(body.get("max_tokens").is_some(), !knows, "{version}");
        assert_eq!(body.get("stream_options").is_some(), knows, "{version}");
    }
}

#[tokio::test]
async fn the_model_behind_a_deployment_decides_how_long_it_may_think() {
    let thinks = |model: Option<&str>, deployment: &str| {
        let config = AzureConfig { model: model.map(Into::into), ..by_v1() };
        config.into_provider("azure").unwrap().is_reasoning_model(deployment)
    };
    assert!(thinks(Some("o3"), "chat") && thinks(None, "o3"));
    assert!(!thinks(Some("gpt-4o"), "o3") && !thinks(None, "chat"));
    let batch = ExecuteBatch::new("m", "hi").with_reasoning_effort(ReasoningEffort::Low);
    assert_eq!(body(&sent(by_v1(), batch).await)["reasoning_effort"], "low");
}

#[test]
fn a_resource_that_is_no_name_is_one_error_with_the_value_and_the_way_out() {
    let long = "x".repeat(65);
    for name in [
        "a",
        "my.res",
        "my/res",
        "my?res",
        "my%res",
        "my#res",
        "my res",
        "mÿ",
        "https://r.openai.azure.com",
        &long,
    ] {
        let error = fault(AzureConfig { resource: name.into(), ..seeded() });
        assert!(error.contains(&format!("{name:?}")) && error.contains("endpoint"), "{error}");
        assert!(!error.contains("; ") && !error.contains('\n'), "{error}");
    }
    let government = AzureConfig { resource: "a.b".into(), cloud: AzureCloud::UsGovernment, ..seeded() };
    assert!(fault(government).contains(".openai.azure.us"));
}

#[test]
fn a_resource_and_an_endpoint_exclude_each_other_and_one_is_needed() {
    let both = AzureConfig { endpoint: "https://user:secret@x".into(), ..seeded() };
    let neither = AzureConfig { resource: String::new(), ..seeded() };
    for config in [both, neither] {
        let error = fault(config);
        assert!(error.contains("one of the two") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_version_that_is_no_date_is_refused_with_the_value_and_known_ones() {
    for bad in [
        "2024-8-1",
        "2024-08-01preview",
        "2024-08-01-beta",
        "latest",
        "v2",
        "20240801",
        "2024-08-0١",
        "-preview",
    ] {
        let error = fault(AzureConfig { api_version: bad.into(), ..seeded() });
        assert!(error.contains(&format!("{bad:?}")) && error.contains("2024-10-21"), "{error}");
    }
    for good in ["2022-12-01", "2024-10-21", "2025-04-01-preview", "2031-01-01"] {
        AzureConfig { api_version: good.into(), ..seeded() }.into_provider("azure").unwrap();
    }
}

#[test]
fn every_fault_is_named_at_once() {
    let mut config = AzureConfig { resource: "a.b".into(), api_version: "soon".into(), ..seeded() };
    config.headers.insert("bad name".into(), "sk-secret".into());
    let error = fault(config);
    let places: Vec<_> = ["a.b", "soon", "bad name"].iter().map(|part| error.find(part).unwrap()).collect();
    assert!(places.is_sorted() && !error.contains("sk-secret"), "{error}");
    assert!(fault(at("htps://x")).contains("htps://x"));
}

#[tokio::test]
async fn a_key_with_a_line_break_is_refused_by_its_place_and_never_shown() {
    let config = AzureConfig { api_key: SecretRef::inline("azure-key\nwith a break"), ..seeded() };
    let source = config.credentials().unwrap();
    let error = remote_core::session::RemoteSessionActor::bootstrap(source).await.unwrap_err().to_string();
    assert!(error.contains("api_key") && !error.contains("azure-key"), "{error}");
}

#[test]
fn settings_read_from_a_file_refuse_what_they_do_not_know() {
    let read = |json: Value| serde_json::from_value::<AzureConfig>(json);
    let config = read(json!({
        "resource": "res", "deployment": "dep", "api_version": "2024-10-21", "cloud": "us_government",
        "scope": "data_zone_us", "model": "gpt-4o", "api_key": {"env": "AZURE_OPENAI_KEY"}, "retry": {"attempts": 2}
    }))
    .unwrap();
    assert_eq!((config.cloud, config.retry.attempts), (AzureCloud::UsGovernment, 2));
    assert!(read(json!({"resurce": "res"})).is_err());
    assert!(read(json!({"scope": "moon"})).unwrap_err().to_string().contains("data_zone_us"));
}

/// Azure's answers by layer: its gateway's, the service's, and those of API Management (public reports and documents,
/// read 2026-11-21). The fixtures have more.
#[tokio::test]
async fn each_refusal_means_what_its_layer_means() {
    let cases = [
        (
            401,
            r#"{"statusCode":401,"message":"Access denied due to missing subscription key."}"#,
            ErrorKind::Unauthenticated,
        ),
        (
            401,
            r#"{"error":{"code":"PermissionDenied","message":"The principal `x` lacks the required data action"}}"#,
            ErrorKind::PermissionDenied,
        ),
        (
            403,
            r#"{"error":{"code":"403","message":"Your resource has been temporarily blocked"}}"#,
            ErrorKind::PermissionDenied,
        ),
        (
            403,
            r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 2.12:34:56."}"#,
            ErrorKind::QuotaExhausted,
        ),
        (
            403,
            r#"{"statusCode":403,"message":"Out of bandwidth quota. Quota will be replenished in 00:01:00."}"#,
            ErrorKind::QuotaExhausted,
        ),
        (
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
            ErrorKind::ModelNotFound,
        ),
        (404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, ErrorKind::ModelNotFound),
        (408, r#"{"error":{"code":"Timeout","message":"The operation was timeout."}}"#, ErrorKind::Upstream),
        (424, r#"{"error":{"code":"424","message":"failed dependency"}}"#, ErrorKind::Upstream),
        (
            429,
            r#"{"error":{"code":"429","message":"Requests to the API have exceeded call rate limit of your current OpenAI S0 pricing tier. Please go here: https://aka.ms/oai/quotaincrease"}}"#,
            ErrorKind::RateLimited,
        ),
        (
            429,
            r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}"#,
            ErrorKind::QuotaExhausted,
        ),
        (
            400,
            r#"{"error":{"code":null,"type":null,"message":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ErrorKind::ContentFiltered,
        ),
    ];
    for (status, body, kind) in cases {
        let error = refused(seeded(), Script::status(status).body(body)).await;
        assert_eq!(error.kind(), kind, "{body}: {error}");
    }
    let unknown = refused(seeded(), Script::status(404).body(cases[6].1)).await;
    assert!(unknown.to_string().contains("API version"), "{unknown}");
    let failed = refused(seeded(), Script::status(424).body(cases[8].1)).await;
    assert_eq!(failed.retryability(), Retryability::Backoff);
}

#[tokio::test]
async fn a_refusal_of_a_filter_names_the_categories() {
    let body = r#"{"error":{"code":"content_filter","message":"The response was filtered","innererror":{
        "code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"},
        "sexual":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":true,"detected":true}}}}}"#;
    let error = refused(seeded(), Script::status(400).body(body)).await;
    assert_eq!(error.origin().unwrap().filtered, ["hate", "jailbreak"]);
    assert!(error.to_string().contains("refused by a content filter (hate, jailbreak)"), "{error}");
}

#[tokio::test]
async fn a_wait_is_taken_from_the_finer_header() {
    let script = Script::status(429).header("retry-after-ms", "6643").header("retry-after", "7");
    let error = refused(seeded(), script.body(r#"{"error":{"code":"429","message":"x"}}"#)).await;
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_millis(6643)));
}
