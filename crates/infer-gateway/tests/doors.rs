//! Who is let in, with what, and what is said to the others.

mod common;

use common::{Scene, Setting, json};
use infer_gateway::{Gateway, GatewayConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const KEYS: &str = "keys:\n  - { name: team, secret: 0123456789abcdef, routes: [\"gpt-*\"] }\n  - { name: slow, secret: fedcba9876543210, limits: { requests_per_minute: 1 } }\n  - { name: old, secret: aaaaaaaaaaaaaaaa, expires: 2020-01-01 }\n";

#[tokio::test]
async fn a_key_is_asked_for_and_a_wrong_one_is_not_repeated() {
    let scene = Setting::yaml(KEYS).start().await;
    let ask = |key: &str| scene.chat("gpt-x", false).bearer_auth(key);
    for (request, says) in [
        (scene.chat("gpt-x", false), "no key"),
        (ask("wrong-secret-wrong"), "not known"),
        (ask("aaaaaaaaaaaaaaaa"), "expired"),
    ] {
        let (status, _, body) = json(request).await;
        let text = body["error"]["message"].as_str().unwrap();
        assert_eq!((status, &body["error"]["code"]), (401, &"invalid_api_key".into()));
        assert!(text.contains(says) && !text.contains("wrong-secret") && !text.contains("aaaa"), "{text}");
    }
    assert_eq!(json(ask("0123456789abcdef")).await.0, 200);
    assert_eq!(scene.sims[0].calls(), 1, "nobody without a key reached the upstream");
    let (status, _, body) = json(scene.chat("claude", false).bearer_auth("0123456789abcdef")).await;
    assert_eq!((status, &body["error"]["code"]), (403, &"model_not_allowed".into()));
    let headers: Vec<String> =
        scene.sims[0].requests().iter().map(|request| format!("{request:?}")).collect();
    assert!(headers.iter().all(|text| !text.contains("0123456789abcdef")), "our keys never leave");
}

#[tokio::test]
async fn a_keys_own_limit_says_when_to_come_back() {
    let scene = Setting::yaml(&format!("{KEYS}gateway: {{ admission: {{ max_wait: 1s }} }}\n")).start().await;
    assert_eq!(json(scene.chat("m", false).bearer_auth("fedcba9876543210")).await.0, 200);
    let (status, headers, body) = json(scene.chat("m", false).bearer_auth("fedcba9876543210")).await;
    assert_eq!((status, &body["error"]["code"]), (429, &"rate_limited".into()));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused_and_named() {
    let scene = Setting::yaml("gateway: { max_body_bytes: 2048 }").start().await;
    let (status, _, body) = json(scene.post("/v1/chat/completions", &"x".repeat(4096))).await;
    assert_eq!((status, &body["error"]["code"]), (413, &"body_too_large".into()));
    for (text, param) in [
        ("{", None),
        ("[]", None),
        ("{}", Some("model")),
        (r#"{"model":"m","messages":5}"#, Some("messages")),
    ] {
        let (status, _, body) = json(scene.post("/v1/chat/completions", text)).await;
        assert_eq!((status, body["error"]["param"].as_str()), (400, param), "{text}");
    }
    assert_eq!(scene.sims[0].calls(), 0);
}

#[expect(clippy::unwrap_used, reason = "a test")]
async fn connect(scene: &Scene) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(scene.url.trim_start_matches("http://")).await.unwrap()
}

#[tokio::test]
async fn a_head_that_never_ends_or_never_begins_is_given_up() {
    let scene = Setting::yaml("gateway: { head_timeout: 50ms }").start().await;
    for said in ["POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n", "", "P", "PRI"] {
        let mut stream = connect(&scene).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // The gateway ends the connection; otherwise this test never ends.
        _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn a_request_may_come_in_any_pieces_and_http_2_needs_no_tls() {
    let scene = Scene::new().await;
    let mut stream = connect(&scene).await;
    stream.set_nodelay(true).unwrap();
    for part in ["P", "R", "OPFIND /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"] {
        stream.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 405 "), "{said}");

    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(connect(&scene).await),
    )
    .await
    .unwrap();
    let running = tokio::spawn(connection);
    let request =
        http::Request::get(format!("{}/healthz", scene.url)).body(axum::body::Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    running.abort();
}

#[tokio::test]
async fn a_full_house_queues_and_then_refuses_with_a_wait() {
    let scene = Setting::yaml("gateway: { admission: { max_in_flight: 1, max_queue: 0 } }").start().await;
    let running = scene.chat("sim-stall", true).send().await.unwrap();
    let (status, headers, body) = json(scene.chat("m", false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &"queue_full".into()));
    assert!(headers.contains_key("retry-after"));
    drop(running);
    scene.log.ended(2).await;
    assert_eq!(json(scene.chat("m", false)).await.0, 200);
}

#[tokio::test]
async fn without_keys_it_does_not_listen_beyond_this_machine() {
    let scene = Scene::new().await;
    let mut config = GatewayConfig::default();
    config.listen = "0.0.0.0:0".parse().unwrap();
    let refused = Gateway::builder(scene.inference.clone(), config.clone()).bind().await.unwrap_err();
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    config.insecure = true;
    Gateway::builder(scene.inference.clone(), config).bind().await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_nothing_and_a_wrong_method_say_so() {
    let scene = Scene::new().await;
    let (status, _, body) = json(scene.get("/v2/chat")).await;
    assert_eq!((status, &body["error"]["code"]), (404, &"not_found".into()));
    for path in ["/openai/deployments/%ff/embeddings", "/v1/models/%ff", "/admin/live?call=x"] {
        let request = if path.contains("embeddings") { scene.post(path, "{}") } else { scene.get(path) };
        let (status, _, body) = json(request).await;
        assert_eq!((status, &body["error"]["code"]), (400, &"bad_request".into()), "{path}: {body}");
    }
    let (status, _, body) = json(scene.get("/v1/messages")).await;
    assert_eq!((status, &body["type"]), (405, &"error".into()), "in the words of this route's clients");
    let (status, _, body) = json(scene.get("/v1/chat/completions")).await;
    assert_eq!((status, &body["error"]["code"]), (405, &"method_not_allowed".into()));
}

#[tokio::test]
async fn a_call_that_is_left_in_the_middle_is_not_free_for_the_limit_of_its_key() {
    let scene = Setting::yaml(
        "keys: [{ name: team, secret: 0123456789abcdef, limits: { tokens_per_minute: 600 } }]\n\
         gateway: { admission: { max_wait: 0s } }\n",
    )
    .start()
    .await;
    let ask = |model: &str, tokens: u32| {
        let body = format!(
            r#"{{"model":"{model}","stream":true,"max_tokens":{tokens},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        scene.post("/v1/chat/completions", &body).bearer_auth("0123456789abcdef")
    };
    // Nothing was handed over, so nothing was used.
    assert_eq!(json(ask("sim-error-500", 560)).await.0, 500);
    scene.log.ended(1).await;
    let mut left = ask("sim-stall", 560).send().await.unwrap();
    assert!(left.chunk().await.unwrap().is_some());
    drop(left);
    scene.log.ended(2).await;
    let (status, headers, body) = json(ask("m", 560)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &"rate_limited".into()));
    assert!(headers.contains_key("retry-after"));
}
