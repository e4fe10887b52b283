//! Streams end honestly, whoever breaks them off.

mod common;

use common::{Scene, Setting, events, json};
use futures_util::StreamExt as _;
use infer_gateway::Ending;

#[tokio::test]
async fn a_broken_stream_ends_with_one_error_event_and_never_with_done() {
    let scene = Scene::new().await;
    for model in ["sim-cut", "sim-error-midway", "sim-utf8"] {
        let (status, events) = events(scene.chat(model, true)).await;
        assert_eq!(status, 200, "{model}");
        let errors = events.iter().filter(|event| event.starts_with(r#"{"error""#)).count();
        assert_eq!(errors, 1, "{model}: {events:?}");
        assert!(events.last().unwrap().starts_with(r#"{"error""#), "{model}");
        assert!(!events.iter().any(|event| event == "[DONE]"), "{model}");
    }
    let seen = scene.log.ended(3).await;
    assert!(seen.iter().all(|seen| matches!(seen.ending, Ending::Broken(_)) && seen.chunks > 0), "{seen:?}");
}

#[tokio::test]
async fn what_fails_before_content_has_a_status_of_its_own() {
    let scene = Scene::new().await;
    for (model, expected) in
        [("sim-error-429", 429), ("sim-error-503", 503), ("sim-error-first", 502), ("sim-quota", 429)]
    {
        let (status, _, body) = json(scene.chat(model, true)).await;
        assert_eq!(status, expected, "{model}: {body}");
        assert!(body["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_upstream_call_with_it() {
    let scene = Scene::new().await;
    for (calls, (model, stream)) in
        (1..).zip([("sim-silent", false), ("sim-silent", true), ("sim-stall", true)])
    {
        let response = scene.chat(model, stream).send();
        if model == "sim-silent" {
            // Left before there is a head.
            let left = tokio::spawn(response);
            while scene.sims[0].calls() < calls {
                tokio::task::yield_now().await;
            }
            left.abort();
        } else {
            let mut body = response.await.unwrap().bytes_stream();
            body.next().await.unwrap().unwrap();
            drop(body);
        }
        while scene.sims[0].cancelled() < calls {
            tokio::task::yield_now().await;
        }
    }
    let seen = scene.log.ended(3).await;
    assert!(seen.iter().all(|seen| seen.ending == Ending::Left), "{seen:?}");
    assert_eq!(seen.iter().map(|seen| seen.status).collect::<Vec<_>>(), [499, 499, 200]);
}

#[tokio::test]
async fn comments_go_into_a_silence_so_that_nobody_gives_the_stream_up() {
    let scene = Setting::yaml("gateway: { keep_alive: 20ms }").start().await;
    let mut body = scene.chat("sim-stall", true).send().await.unwrap().bytes_stream();
    let mut text = String::new();
    while !text.contains(": keep-alive\n\n") {
        text += std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_stream_without_content_begins_after_a_while_and_its_failure_is_an_event() {
    let scene = Setting::yaml("gateway: { early_head: 20ms, keep_alive: 20ms }").start().await;
    let request = scene.chat("sim-silent", true).header("x-infer-timeout", "300ms");
    let (status, events) = events(request).await;
    assert_eq!((status, events.len()), (200, 1), "{events:?}");
    assert!(events[0].contains("deadline_exceeded"), "{events:?}");
}

#[tokio::test]
async fn a_stop_lets_streams_finish_takes_no_new_calls_and_then_ends_the_rest_with_an_error() {
    let mut scene = Setting::yaml("gateway: { drain: 200ms }").start().await;
    let mut stalled = scene.chat("sim-stall", true).send().await.unwrap().bytes_stream();
    stalled.next().await.unwrap().unwrap();
    let silent = tokio::spawn(scene.chat("sim-silent", false).send());
    while scene.sims[0].calls() < 2 {
        tokio::task::yield_now().await;
    }
    scene.stop();
    let mut rest = String::new();
    while let Some(piece) = stalled.next().await {
        rest += std::str::from_utf8(&piece.unwrap()).unwrap();
    }
    assert!(rest.contains("the gateway is stopping") && !rest.contains("[DONE]"), "{rest}");
    let refused = silent.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains("draining"));
    let url = scene.url.clone();
    let http = scene.http.clone();
    scene.stopped().await;
    assert!(http.get(format!("{url}/healthz")).send().await.is_err());
}

#[tokio::test]
async fn calls_for_vectors_and_calls_passed_on_end_with_the_time_of_a_stop_as_all_others() {
    for (path, body) in [
        ("/v1/embeddings", r#"{"model":"sim-silent","input":"hi"}"#),
        ("/openai/deployments/sim-silent/embeddings?api-version=2024-10-21", r#"{"input":"hi"}"#),
        ("/v1/responses", r#"{"model":"sim-silent","input":"hi"}"#),
    ] {
        let mut scene = Setting::yaml("gateway: { drain: 20ms }").start().await;
        let running = tokio::spawn(scene.post(path, body).send());
        while scene.sims[0].calls() < 1 {
            tokio::task::yield_now().await;
        }
        scene.stop();
        let refused = running.await.unwrap().unwrap();
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.text().await.unwrap().contains("draining"), "{path}");
        while scene.sims[0].cancelled() < 1 {
            tokio::task::yield_now().await;
        }
        let seen = &scene.log.ended(1).await[0];
        assert_eq!((seen.status, seen.ending), (503, Ending::Failed("draining")), "{path}");
        scene.stopped().await;
    }
}
