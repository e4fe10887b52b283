//! Known upstreams as data: every preset does what every provider must, and asks its upstream as the preset says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use infer_core::{
    EmbedBatch, EmbedInput, ErrorKind, ExecuteBatch, Message, ModelRunner, Part, Rates, RunnerFactory as _,
};
use mockito::{Matcher, Server, ServerGuard};
use proptest::prelude::*;
use remote_core::session::RemoteSessionActor;
use remote_core::{Call, ProviderConfig as _, RemoteProvider as _};
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use serde_json::{Value, json};

/// Every preset, so that one without tests is noticed.
const NAMES: [&str; 15] = [
    "cerebras",
    "deepseek",
    "fireworks",
    "groq",
    "litellm",
    "llamacpp",
    "lmstudio",
    "minimax",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "together",
    "vllm",
    "xai",
];

fn preset(name: &str) -> OpenAiConfig {
    OpenAiConfig::preset(name).unwrap()
}

/// The base URL of `preset`, moved to `host`.
fn moved(preset: &str, host: &str) -> OpenAiConfig {
    let mut config = self::preset(preset);
    let path = config.endpoint.splitn(4, '/').nth(3).unwrap_or_default();
    config.endpoint = format!("{host}/{path}");
    config
}

/// A runner as the preset says, except for the host and the key.
async fn runner(name: &str, server: &ServerGuard) -> OpenAiRunner {
    let mut config = moved(name, &server.url());
    if config.api_key != SecretRef::None {
        config.api_key = SecretRef::inline("sk-test-0123456789");
    }
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    OpenAiRunner::new(config, session).unwrap()
}

mod conformance {
    use super::{Rates, moved};

    fn rates() -> Rates {
        Rates { cached_input_per_mtok_usd: Some(0.075), ..Rates::new(0.15, 0.60) }
    }

    fn subject(
        name: &'static str,
        parts: remote_testkit::Parts,
    ) -> Result<runtime_openai::OpenAiRunner, infer_core::InferenceError> {
        let mut config = moved(name, &parts.base_url);
        config.price_overrides.insert("some-model".to_owned(), rates());
        let provider = remote_core::ProviderConfig::into_provider(config, name)?;
        parts.runner(provider)
    }

    macro_rules! every_preset {
        ($($name:ident $(skip: { $($scenario:literal: $reason:literal),* })?;)*) => {
            $(mod $name {
                remote_testkit::conformance_suite! {
                    model: "some-model",
                    rates: super::rates(),
                    wire: remote_testkit::ChatWire::new("some-model"),
                    runner: |parts: remote_testkit::Parts| super::subject(stringify!($name), parts),
                    skip: { $($($scenario: $reason),*)? },
                }
            })*

            #[test]
            fn no_preset_is_left_out() {
                assert_eq!([$(stringify!($name)),*], super::NAMES);
            }
        };
    }

    every_preset! {
        cerebras;
        deepseek;
        fireworks;
        groq;
        litellm;
        llamacpp;
        lmstudio;
        minimax skip: { "vectors in order": "its vectors have a form of their own" };
        mistral;
        ollama;
        openai;
        openrouter;
        together;
        vllm;
        xai;
    }
}

#[test]
fn the_list_of_presets_is_the_one_that_is_shipped() {
    assert_eq!(OpenAiConfig::presets().names().collect::<Vec<_>>(), NAMES);
}

#[test]
fn every_preset_makes_a_provider_that_says_where_it_is_known_from() {
    for name in NAMES {
        let config = preset(name);
        assert_eq!(config.name.as_deref(), Some(name));
        config.remote().validate().unwrap();
        let is_local = config.endpoint.starts_with("http://localhost:");
        assert!(is_local || config.endpoint.starts_with("https://"), "{name}");
        match &config.api_key {
            SecretRef::None => assert!(is_local, "{name} has no key"),
            SecretRef::Env { name: variable } => assert!(variable.ends_with("_API_KEY"), "{variable}"),
            other => panic!("{name}: {other:?}"),
        }
        let about = &OpenAiConfig::presets().find(name).unwrap().1.about;
        assert!(!about.title.is_empty() && about.source.ends_with("read 2026-11-21"), "{name}: {about:?}");
        assert_eq!(about.prices.contains("read 2026-11-21"), !config.price_overrides.is_empty(), "{name}");
        let expected = format!("{}/chat/completions", config.endpoint);
        let provider = config.into_provider("x").unwrap();
        let asked = provider.endpoint(Call::Generate(&ExecuteBatch::new("m", "hi"))).unwrap();
        assert_eq!(asked, expected.as_str());
    }
}

#[test]
fn an_upstream_is_found_by_the_names_people_use() {
    for (name, expect) in [
        ("lm-studio", "lmstudio"),
        ("LM Studio", "lmstudio"),
        ("llama.cpp", "llamacpp"),
        ("together.ai", "together"),
        ("x.ai", "xai"),
        ("Mistral AI", "mistral"),
        ("fireworks-ai", "fireworks"),
    ] {
        assert_eq!(preset(name).name.as_deref(), Some(expect), "{name}");
    }
    let error = OpenAiConfig::preset("grok").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = error.to_string();
    assert!(error.contains("did you mean groq?") && NAMES.iter().all(|name| error.contains(name)), "{error}");
}

#[test]
fn a_presets_own_prices_hold_and_openais_do_not() {
    let price = |name: &str, model: &str| {
        preset(name).into_provider(name).unwrap().price(model).map(|price| price.standard)
    };
    let cached = |rates: Rates, cached| Rates { cached_input_per_mtok_usd: Some(cached), ..rates };
    assert_eq!(price("groq", "openai/gpt-oss-120b"), Some(cached(Rates::new(0.15, 0.60), 0.075)));
    assert_eq!(price("cerebras", "gpt-oss-120b"), Some(Rates::new(0.35, 0.75)));
    assert_eq!(price("deepseek", "deepseek-v4-flash"), Some(cached(Rates::new(0.3, 1.2), 0.006)));
    assert_eq!(price("mistral", "mistral-embed"), Some(Rates::new(0.1, 0.0)));
    assert!(price("openai", "gpt-4o-mini").is_some());
    for name in NAMES.into_iter().filter(|name| *name != "openai") {
        assert_eq!(price(name, "gpt-4o-mini"), None, "{name}");
    }
    let priced: usize = NAMES.iter().map(|name| preset(name).price_overrides.len()).sum();
    assert_eq!(priced, 24);
}

#[test]
fn no_rule_of_a_preset_is_about_a_member_that_nobody_writes() {
    let known = [
        "n",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "modalities",
        "service_tier",
        "user",
        "metadata",
        "store",
        "prediction",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "stream_options",
        "messages.name",
        "tools.strict",
    ];
    for name in NAMES {
        let dialect = preset(name).dialect.unwrap_or_default();
        let by_model = dialect.unsupported_by_model.iter().flat_map(|rule| &rule.members);
        let members = dialect.unsupported.iter().chain(by_model).chain(dialect.renamed.keys());
        for member in members {
            assert!(known.contains(&member.as_str()), "{name}: {member}");
        }
        for member in dialect.embeddings.unsupported.iter().chain(dialect.embeddings.renamed.keys()) {
            assert!(["user", "dimensions", "encoding_format"].contains(&member.as_str()), "{name}: {member}");
        }
    }
}

#[tokio::test]
async fn reasoning_that_is_counted_beside_the_output_is_billed_at_the_presets_price() {
    let mut server = Server::new_async().await;
    let answer = fixture("xai/chat_empty_finish_reason.json");
    let mock = server.mock("POST", "/v1/chat/completions").with_body(answer).create_async().await;
    let run = runner("xai", &server).await.execute(ExecuteBatch::new("grok-4.5", "hi")).await.unwrap();
    let whole = run.collect().await.unwrap();
    // 36 fresh and 64 cached tokens in, 20 written and 200 of reasoning out, at 2.00, 0.30 and 6.00 a million.
    let expect = infer_core::Usd::from_usd(0.001_411_2).unwrap();
    assert_eq!(whole.cost.unwrap().total(), expect);
    mock.assert_async().await;
}

#[tokio::test]
async fn settings_may_begin_with_a_preset_and_what_is_explicit_wins() {
    let config = OpenAiConfig::from_settings(json!({
        "preset": "groq", "api_key": "sk-mine", "dialect": {"on_unsupported": "send"},
        "price_overrides": {"mine": {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}},
    }))
    .unwrap();
    assert_eq!((config.name, config.api_key), (None, SecretRef::inline("sk-mine")));
    assert_eq!(config.endpoint, "https://api.groq.com/openai/v1");
    assert!(config.price_overrides.contains_key("mine") && config.price_overrides.len() == 4);
    let dialect = config.dialect.unwrap();
    assert_eq!(dialect.on_unsupported, wire_chat::OnUnsupported::Send);
    assert!(dialect.unsupported.contains(&"logprobs".to_owned()));

    let factory = runtime_openai::factory();
    let runner = factory.build("fast", json!({"preset": "ollama"})).await.unwrap();
    assert_eq!(&*runner.info().name, "fast");
    for (settings, expect) in [
        (
            json!({"preset": "olama"}),
            "providers.work.preset: there is no preset called \"olama\"; did you mean ollama?",
        ),
        (json!({"preset": "ollama", "endpont": "x"}), "providers.work.endpont: unknown field `endpont`"),
        (json!({"preset": "ollama", "about": {}}), "providers.work.about: unknown field `about`"),
        (
            json!({"preset": "ollama", "dialect": {"tokens": 1}}),
            "providers.work.dialect.tokens: unknown field `tokens`",
        ),
        (json!({"preset": 7}), "providers.work.preset: must be a name, got 7"),
    ] {
        let error = factory.build("work", settings).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn what_an_upstream_cannot_do_is_refused_in_its_name_before_it_is_sent() {
    let mut server = Server::new_async().await;
    let never = server.mock("POST", Matcher::Any).expect(0).create_async().await;
    let batch = || ExecuteBatch::new("m", "hi");
    let picture = ExecuteBatch::new("m", [Message::user([Part::image_url("https://x/a.png")])]);
    let grok = ExecuteBatch::new("grok-4.3", "hi");
    let cases = [
        ("groq", batch().with_n(2), "n"),
        ("groq", batch().with_logprobs(1), "logprobs"),
        ("ollama", batch().with_logit_bias("1", 1), "logit_bias"),
        ("ollama", picture, "messages[0].content[0].image_url"),
        ("lmstudio", batch().with_n(3), "n"),
        ("minimax", batch().with_stop(["x"]), "stop"),
        ("minimax", batch().with_temperature(1.5), "temperature"),
        ("mistral", batch().with_logprobs(0), "logprobs"),
        ("mistral", batch().with_temperature(1.6), "temperature"),
        ("mistral", batch().with_service_tier("flex"), "service_tier"),
        ("xai", grok.with_penalties(1.0, 0.0), "presence_penalty"),
    ];
    for (name, batch, param) in cases {
        let error = runner(name, &server).await.execute(batch).await.unwrap_err();
        let at = error.origin().unwrap();
        assert_eq!(
            (error.kind(), at.param.as_deref()),
            (ErrorKind::InvalidRequest, Some(param)),
            "{name}: {error}"
        );
        assert_eq!((at.attempts, at.provider.as_deref()), (0, Some(name)));
        assert!(error.to_string().contains(name) && error.to_string().contains(param), "{error}");
    }
    let error = runner("minimax", &server).await.embed(EmbedBatch::new("e", ["a"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    never.assert_async().await;
}

/// What is sent to the upstream of `name` for a request that all of them take.
async fn sent(name: &str) -> Value {
    let mut server = Server::new_async().await;
    let path = format!("{}/chat/completions", path_of(name));
    let answer = json!({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}).to_string();
    let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mock = server
        .mock("POST", path.as_str())
        .with_header("content-type", "application/json")
        .with_body_from_request(move |request| {
            send.send(request.body().unwrap().clone()).unwrap();
            answer.clone().into()
        })
        .create_async()
        .await;
    let mut thought = Message::assistant("4");
    thought.reasoning = Some("2+2".into());
    let call = infer_core::ToolCall::function("call_1", "f", "{}");
    let messages = [
        Message::developer("Be brief."),
        Message::user("?").with_name("ada"),
        thought.with_tool_calls([call]),
        Message::tool("call_1", "4"),
    ];
    let mut batch = ExecuteBatch::new("m", messages)
        .with_seed(7)
        .with_user("u-1")
        .with_max_output_tokens(9)
        .with_tools([infer_core::ToolSpec::function("f", "", json!({})).strict()])
        .streaming();
    batch.sampling.temperature = Some(0.5);
    runner(name, &server).await.execute(batch).await.unwrap().collect().await.unwrap();
    mock.assert_async().await;
    serde_json::from_slice(&seen.recv().await.unwrap()).unwrap()
}

/// The path of the base URL.
fn path_of(name: &str) -> String {
    let config = preset(name);
    format!("/{}", config.endpoint.splitn(4, '/').nth(3).unwrap_or_default())
}

#[tokio::test]
async fn every_upstream_is_asked_in_its_own_words() {
    for name in NAMES {
        let body = sent(name).await;
        let has = |member: &str| body.get(member).is_some();
        let messages = &body["messages"];
        let seed = if name == "mistral" { "random_seed" } else { "seed" };
        assert_eq!(body[seed], 7, "{name}");
        assert_eq!(has("seed"), name != "mistral", "{name}");
        let limit =
            if matches!(name, "openai" | "cerebras") { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!(body[limit], 9, "{name}");
        assert_eq!(has("stream_options"), name != "mistral", "{name}");
        assert_eq!(has("user"), !matches!(name, "mistral" | "ollama"), "{name}");
        let keeps_developer = matches!(name, "openai" | "openrouter" | "xai" | "cerebras" | "litellm");
        assert_eq!(messages[0]["role"] == "developer", keeps_developer, "{name}");
        assert_eq!(messages[1].get("name").is_none(), matches!(name, "groq" | "mistral" | "xai"), "{name}");
        let reasoning = match name {
            "deepseek" | "litellm" => Some("reasoning_content"),
            "openrouter" => Some("reasoning"),
            _ => None,
        };
        for member in ["reasoning", "reasoning_content"] {
            assert_eq!(messages[2].get(member).is_some(), reasoning == Some(member), "{name}: {member}");
        }
        let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!(messages[3]["tool_call_id"], id, "{name}");
        assert_eq!(id == "call_1", name != "mistral", "{name}");
        assert_eq!(body["tools"][0]["function"].get("strict").is_some(), name != "xai", "{name}");
        assert_eq!(has("provider"), name == "openrouter");
        assert_eq!(has("context_length_exceeded_behavior"), name == "fireworks");
    }
}

#[tokio::test]
async fn models_and_signs_of_life_are_asked_for_where_the_preset_says() {
    let models = [
        ("groq", "/openai/v1/models", "groq/models_list.json"),
        ("mistral", "/v1/models", "mistral/models_list.json"),
        ("ollama", "/v1/models", "ollama/models_list.json"),
        ("openai", "/v1/models", "openai/models_list.json"),
        ("openrouter", "/api/v1/models", "openrouter/models_list.json"),
        ("together", "/v1/models", "together/models_bare_array.json"),
        ("vllm", "/v1/models", "vllm/models_list.json"),
        ("llamacpp", "/v1/models", "llamacpp/models_list.json"),
        ("lmstudio", "/v1/models", "lmstudio/models_list.json"),
    ];
    for (name, path, file) in models {
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", path).with_body(fixture(file)).expect(1).create_async().await;
        let found = runner(name, &server).await.models().await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|model| model.wire.is_some()), "{name}");
        mock.assert_async().await;
    }
    let health = [
        ("ollama", "/api/version", "ollama/health_version.json"),
        ("vllm", "/health", "malformed/empty_200.json"),
        ("llamacpp", "/health", "llamacpp/health_ok.json"),
        ("litellm", "/health/liveliness", "ollama/health_root.txt"),
        ("openrouter", "/api/v1/key", "malformed/extra_fields.sse"),
        ("groq", "/openai/v1/models", "groq/models_list.json"),
        ("deepseek", "/v1/models", "openai/models_list.json"),
    ];
    for (name, path, file) in health {
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", path).with_body(fixture(file)).expect(1).create_async().await;
        runner(name, &server).await.health().await.unwrap();
        mock.assert_async().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_well_says_so_whatever_status_it_answers_with() {
    let cases = [
        ("llamacpp", "/health", 503, "llamacpp/error_503_loading.json", ErrorKind::Overloaded),
        ("lmstudio", "/v1/models", 200, "lmstudio/health_unexpected_endpoint.json", ErrorKind::ModelNotFound),
        ("minimax", "/v1/models", 200, "minimax/models_error_in_200.json", ErrorKind::Unauthenticated),
        ("xai", "/v1/models", 400, "xai/error_400_bad_key.json", ErrorKind::Unauthenticated),
        ("groq", "/openai/v1/models", 498, "groq/error_498_flex.json", ErrorKind::Overloaded),
    ];
    for (name, path, status, file, kind) in cases {
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", path).with_status(status).with_body(fixture(file)).create_async().await;
        let error = runner(name, &server).await.health().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        mock.assert_async().await;
    }
}

#[tokio::test]
async fn only_what_passes_by_itself_is_asked_again() {
    let cases = [
        ("groq", 498, "groq/error_498_flex.json", true),
        ("openrouter", 529, "openrouter/error_529.json", true),
        ("llamacpp", 503, "llamacpp/error_503_loading.json", true),
        ("minimax", 200, "minimax/error_internal_in_200.json", true),
        ("minimax", 200, "minimax/error_balance_in_200.json", false),
        ("deepseek", 402, "deepseek/error_402.json", false),
        ("xai", 400, "xai/error_400_bad_key.json", false),
        ("groq", 413, "groq/error_413.json", false),
        ("mistral", 422, "mistral/error_422.json", false),
    ];
    for (name, status, file, is_repeated) in cases {
        let mut server = Server::new_async().await;
        let path = format!("{}/chat/completions", path_of(name));
        let refusal =
            server.mock("POST", path.as_str()).with_status(status).with_body(fixture(file)).expect(1);
        let refusal = refusal.create_async().await;
        let answer = server.mock("POST", path.as_str()).with_body(fixture("openai/chat_ok.json"));
        let answer = answer.expect(usize::from(is_repeated)).create_async().await;
        let mut config = moved(name, &server.url());
        config.api_key = SecretRef::None;
        config.retry.attempts = 2;
        config.retry.base = std::time::Duration::from_millis(1);
        let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
        let runner = OpenAiRunner::new(config, session).unwrap();
        let outcome = runner.execute(ExecuteBatch::new("m", "hi")).await;
        assert_eq!(outcome.is_ok(), is_repeated, "{name} {status}: {outcome:?}");
        refusal.assert_async().await;
        answer.assert_async().await;
    }
}

fn fixture(file: &str) -> Vec<u8> {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire-chat/tests/data");
    std::fs::read(data.join(file)).unwrap()
}

/// Answers a request for vectors with one number a text: the number that the text is, as floats or as base64.
fn vectors(body: &[u8], by_base64: bool) -> Vec<u8> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let vector = |text: &Value| {
        let number: f32 = text.as_str().unwrap().parse().unwrap();
        if by_base64 { json!(base64_of(number)) } else { json!([number]) }
    };
    let data: Vec<_> = request["input"].as_array().unwrap().iter().enumerate().collect();
    // Backwards, since nobody promises an order.
    let data: Vec<_> = data
        .into_iter()
        .rev()
        .map(|(index, text)| json!({"index": index, "embedding": vector(text)}))
        .collect();
    let tokens = data.len();
    json!({"data": data, "model": request["model"], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        .to_string()
        .into()
}

/// The four bytes of `number` as base64, which has six characters for them and two marks.
fn base64_of(number: f32) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let [a, b, c, d] = number.to_le_bytes().map(u32::from);
    let bits = [a << 16 | b << 8 | c, d << 16];
    let letters =
        bits.iter().flat_map(|bits| [18, 12, 6, 0].map(|by| LETTERS[(bits >> by & 63) as usize] as char));
    letters.take(6).chain("==".chars()).collect()
}

#[tokio::test]
async fn a_large_batch_is_split_and_its_vectors_come_back_in_order() {
    for (name, by_base64) in [("ollama", false), ("openai", true)] {
        let mut server = Server::new_async().await;
        let path = format!("{}/embeddings", path_of(name));
        let mock = server
            .mock("POST", path.as_str())
            .match_body(Matcher::PartialJson(if by_base64 {
                json!({"model": "e", "dimensions": 1, "encoding_format": "base64"})
            } else {
                json!({"model": "e", "dimensions": 1})
            }))
            .with_header("content-type", "application/json")
            .with_body_from_request(move |request| vectors(request.body().unwrap(), by_base64))
            .expect(3)
            .create_async()
            .await;
        let texts: Vec<EmbedInput> = (0..5000).map(|number: u32| number.to_string().into()).collect();
        let mut batch = EmbedBatch::new("e", texts).with_dimensions(1);
        batch.base64 = by_base64;
        let found = runner(name, &server).await.embed(batch).await.unwrap();
        let expect: Vec<_> = (0..5000_u16).map(|number| vec![f32::from(number)]).collect();
        assert!(found.vectors == expect, "{name}: the vectors are not in the order of their texts");
        assert_eq!(found.usage.unwrap().input_tokens, 5000);
        mock.assert_async().await;
    }
}

#[tokio::test]
async fn vectors_are_asked_for_in_the_upstreams_own_words() {
    let mut server = Server::new_async().await;
    let mock = server
        .mock("POST", "/v1/embeddings")
        .match_body(Matcher::Json(json!({"model": "mistral-embed", "input": ["1"], "output_dimension": 1})))
        .with_body_from_request(|request| vectors(request.body().unwrap(), false))
        .create_async()
        .await;
    let mut batch = EmbedBatch::new("mistral-embed", ["1"]).with_dimensions(1);
    batch.user = Some("u-1".into());
    let found = runner("mistral", &server).await.embed(batch).await.unwrap();
    assert_eq!(found.vectors, [[1.0]]);
    assert_eq!(found.cost.unwrap().total(), infer_core::Usd::from_usd(0.000_000_1).unwrap());
    mock.assert_async().await;
}

#[test]
fn the_table_in_the_readme_is_that_of_the_presets() {
    let readme = include_str!("../README.md");
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let expected: Vec<_> = NAMES
        .iter()
        .map(|name| {
            let config = preset(name);
            let key = match &config.api_key {
                SecretRef::Env { name } => format!("`{name}`"),
                _ => "none".to_owned(),
            };
            let notes = &OpenAiConfig::presets().find(name).unwrap().1.about.notes;
            let notes = if notes.is_empty() { String::new() } else { format!(" {notes}") };
            format!("| `{name}` | `{}` | {key} |{notes} |", config.endpoint)
        })
        .collect();
    assert_eq!(rows, expected, "the README's table:\n{}", expected.join("\n"));
}

proptest! {
    /// Law: no name, however strange, does more than find a preset or be refused in one short line.
    #[test]
    fn no_name_is_too_strange_to_be_refused(name in ".{0,80}") {
        if let Err(error) = OpenAiConfig::preset(&name) {
            let text = error.to_string();
            prop_assert!(text.len() < 600 && !text.contains(char::is_control), "{}", text);
        }
    }
}
