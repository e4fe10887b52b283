//! What goes in and comes out when all is well.

mod common;

use common::{Scene, Setting, events, json};
use infer_gateway::Ending;

#[tokio::test]
async fn an_answer_in_one_piece_is_the_upstreams_byte_for_byte() {
    let scene = Scene::new().await;
    let direct = scene.http.post(format!("{}/chat/completions", scene.sims[0].base_url()));
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let expected = direct.body(body).send().await.unwrap().bytes().await.unwrap();
    let response =
        scene.post("/v1/chat/completions", body).header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert_eq!(response.headers()["x-served-by"], "a");
    assert_eq!(response.bytes().await.unwrap(), expected);
    let seen = &scene.log.ended(1).await[0];
    assert_eq!((seen.status, seen.ending, seen.request_id.as_str()), (200, Ending::Answered, "mine-1"));
    assert!(seen.usage.is_some() && seen.provider.as_deref() == Some("a"));
}

#[tokio::test]
async fn what_the_client_sent_reaches_the_upstream_members_unknown_here_too() {
    let scene = Scene::new().await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi","odd":1.50}],"top_k":3,"deep":{"a":[1.0,{"b":null}]}}"#;
    scene.post("/v1/chat/completions", body).send().await.unwrap();
    let sent = &scene.sims[0].requests()[0].body;
    let sent = String::from_utf8_lossy(sent);
    for part in [
        r#""messages":[{"role":"user","content":"hi","odd":1.50}]"#,
        r#""top_k":3"#,
        r#""deep":{"a":[1.0,{"b":null}]}"#,
    ] {
        assert!(sent.contains(part), "{part} is not in {sent}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_done_after_a_finish_and_counts_come_only_when_asked_for() {
    let scene = Scene::new().await;
    let (status, plain) = events(scene.chat("m", true)).await;
    assert_eq!((status, plain.last().unwrap().as_str()), (200, "[DONE]"));
    assert!(plain[plain.len() - 2].contains(r#""finish_reason":"stop""#));
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#;
    let (_, counted) = events(scene.post("/v1/chat/completions", body)).await;
    assert!(counted[counted.len() - 2].contains(r#""choices":[]"#));
    let seen = scene.log.ended(2).await;
    assert!(
        seen.iter().all(|seen| seen.usage.is_some() && seen.streamed),
        "counts are metered whoever sees them"
    );
}

#[tokio::test]
async fn the_azure_shape_names_the_model_in_the_path_and_the_key_in_its_own_header() {
    let scene = Setting::yaml("keys: [{ name: team, secret: 0123456789abcdef }]").start().await;
    let path = "/openai/deployments/my%2Fmodel/chat/completions?api-version=2024-10-21";
    let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let (status, _, _) = json(scene.post(path, body).header("api-key", "0123456789abcdef")).await;
    assert_eq!(status, 200);
    let sent: serde_json::Value = serde_json::from_slice(&scene.sims[0].requests()[0].body).unwrap();
    assert_eq!(sent["model"], "my/model");
    let path = "/openai/deployments/my%2Fmodel/completions?api-version=2024-10-21";
    let old = r#"{"model":"another","prompt":"hi"}"#;
    let (status, _, text) = json(scene.post(path, old).header("api-key", "0123456789abcdef")).await;
    assert_eq!(
        (status, &text["object"], &text["model"]),
        (200, &"text_completion".into(), &"my/model".into())
    );
    let listing = scene.get("/openai/models?api-version=2024-10-21").header("api-key", "0123456789abcdef");
    assert!(json(listing).await.2["data"].as_array().is_some_and(|models| !models.is_empty()));
    let path = "/openai/deployments/e/embeddings?api-version=2024-10-21";
    let (status, headers, vectors) =
        json(scene.post(path, r#"{"input":"hi"}"#).header("api-key", "0123456789abcdef")).await;
    assert_eq!((status, &headers["x-served-by"]), (200, &"a".parse().unwrap()));
    assert!(vectors["data"][0]["embedding"].is_array());
    assert_eq!(scene.log.ended(3).await[2].key.as_deref(), Some("team"));
}

#[tokio::test]
async fn version_one_of_azures_addresses_is_answered_as_the_usual_ones() {
    let scene = Setting::yaml("keys: [{ name: team, secret: 0123456789abcdef }]").start().await;
    let key = |request: reqwest::RequestBuilder| json(request.header("api-key", "0123456789abcdef"));
    for (path, body, upstream) in [
        (
            "/chat/completions",
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
            "/chat/completions",
        ),
        ("/completions", r#"{"model":"m","prompt":"hi"}"#, "/chat/completions"),
        ("/embeddings", r#"{"model":"e","input":"hi"}"#, "/embeddings"),
        (
            "/messages",
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
            "/chat/completions",
        ),
        ("/responses", r#"{"model":"m","input":"hi"}"#, "/responses"),
        ("/moderations", r#"{"model":"m","input":"hi"}"#, "/moderations"),
    ] {
        let (usual, _, expected) = key(scene.post(&format!("/v1{path}"), body)).await;
        let azure = format!("/openai/v1{path}?api-version=preview");
        let (status, headers, answer) = key(scene.post(&azure, body)).await;
        assert_eq!((status, usual), (200, 200), "{path}: {answer}");
        assert_eq!(headers["x-served-by"], "a", "{path}");
        let members =
            |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&answer), members(&expected), "{path}");
        let asked = scene.sims[0].requests();
        assert_eq!(
            asked.last().unwrap().path,
            format!("/v1{upstream}"),
            "no version of Azure's goes further"
        );
    }
    let (status, _, models) = key(scene.get("/openai/v1/models")).await;
    assert!(status == 200 && models["data"].as_array().is_some_and(|models| !models.is_empty()), "{models}");
    assert_eq!(key(scene.get("/openai/v1/models/a/gpt-4o-mini")).await.2["id"], "a/gpt-4o-mini");
    assert_eq!(key(scene.get("/openai/v1/usage")).await.0, 200);
    assert_eq!(json(scene.get("/openai/v1/models")).await.0, 401, "without a key");
    let (status, _, error) = key(scene.get("/openai/v1/messages")).await;
    assert_eq!((status, &error["type"]), (405, &"error".into()), "in the shape of its route");
}

#[tokio::test]
async fn of_azures_query_only_the_version_stays_here() {
    let scene = Scene::new().await;
    for (query, passed) in [
        ("?api-version=preview&include=a&x-api-version=1", "?include=a&x-api-version=1"),
        ("?api-version=v1", ""),
        ("", ""),
    ] {
        scene
            .post(&format!("/openai/v1/responses{query}"), r#"{"model":"m","input":"hi"}"#)
            .send()
            .await
            .unwrap();
        assert_eq!(scene.sims[0].requests().last().unwrap().path, format!("/v1/responses{passed}"));
    }
    scene.post("/v1/responses?api-version=1", r#"{"model":"m","input":"hi"}"#).send().await.unwrap();
    assert_eq!(scene.sims[0].requests().last().unwrap().path, "/v1/responses?api-version=1");
}

#[tokio::test]
async fn models_are_listed_by_name_and_one_with_a_slash_is_found() {
    let scene = Scene::new().await;
    let (_, _, list) = json(scene.get("/v1/models")).await;
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(ids.contains(&"a/gpt-4o-mini"), "{ids:?}");
    let (status, _, one) = json(scene.get("/v1/models/a/gpt-4o-mini")).await;
    assert_eq!((status, &one["id"]), (200, &"a/gpt-4o-mini".into()));
    let (status, _, none) = json(scene.get("/v1/models/nope")).await;
    assert_eq!((status, &none["error"]["code"]), (404, &"model_not_found".into()));
}

#[tokio::test]
async fn a_live_target_answers_for_a_dead_one_and_both_are_named() {
    let mut setting = Setting::yaml(
        "routes: { fast: { targets: [{ provider: a, model: sim-error-500 }, { provider: b, model: m, priority: 2 }] } }",
    );
    setting.sims = vec![upstream_sim::Sim::builder(), upstream_sim::Sim::builder()];
    let scene = setting.start().await;
    for stream in [false, true] {
        let response = scene.chat("fast", stream).send().await.unwrap();
        assert_eq!(response.headers()["x-served-by"], "b");
        assert_eq!(response.headers()["x-failed-providers"], "a;upstream");
    }
    let (status, headers, error) = json(scene.chat("fast", false).header("x-no-failover", "1")).await;
    assert_eq!((status, &error["error"]["type"]), (500, &"server_error".into()), "{headers:?}");
    let (_, headers, _) = json(scene.chat("fast", false).header("x-provider-priority", "b")).await;
    assert!(!headers.contains_key("x-failed-providers"));
}

#[tokio::test]
async fn the_cache_says_what_it_did_and_a_hit_costs_nothing() {
    let scene = Setting::yaml("cache: { ttl: 1h }").start().await;
    let body = r#"{"model":"gpt-4o-mini","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut answers = Vec::new();
    for expected in ["miss", "hit"] {
        let response = scene.post("/v1/chat/completions", body).send().await.unwrap();
        assert_eq!(response.headers()["x-infer-cache"], expected);
        answers.push(response.bytes().await.unwrap());
    }
    assert_eq!(answers[0], answers[1], "a hit is the same answer, byte for byte");
    let response =
        scene.post("/v1/chat/completions", body).header("x-infer-cache", "off").send().await.unwrap();
    assert_eq!(response.headers()["x-infer-cache"], "skipped");
    assert_eq!(scene.sims[0].calls(), 2);
}
