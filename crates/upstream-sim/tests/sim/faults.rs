//! What it does wrong, and how it notices who leaves.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use upstream_sim::{Behaviour, Sim};

use crate::client::{DEADLINE, ask, chat, open, sim, streamed};

#[tokio::test]
async fn error_names_answer_with_their_status_and_body() {
    let sim = sim().await;
    for (model, status, code) in [
        ("sim-error-400", 400, json!("invalid_value")),
        ("sim-error-401", 401, json!("invalid_api_key")),
        ("sim-error-404", 404, json!("model_not_found")),
        ("sim-error-429", 429, json!("rate_limit_exceeded")),
        ("sim-error-500", 500, json!("server_error")),
        ("sim-error-529", 529, json!("server_is_overloaded")),
        ("sim-quota", 429, json!("insufficient_quota")),
        ("sim-context", 400, json!("context_length_exceeded")),
        ("sim-filter", 400, json!("content_filter")),
        ("sim-200-error", 200, json!("server_error")),
        ("sim-nonsense", 404, json!("model_not_found")),
    ] {
        let response = chat(&sim, &ask(model, "Hello")).await;
        assert_eq!(response.status(), status, "{model}");
        assert_eq!(response.json()["error"]["code"], code, "{model}");
        assert_eq!(response.head.contains("retry-after: 1"), model == "sim-error-429", "{model}");
    }
    for model in ["sim-html", "sim-error-502"] {
        assert!(chat(&sim, &ask(model, "Hello")).await.head.contains("text/html"), "{model}");
    }
    let redirect = chat(&sim, &ask("sim-redirect", "Hello")).await;
    assert!(redirect.status() == 307 && redirect.head.contains("location: http://localhost:"));
    let echo = chat(&sim, &ask("sim-echo-key", "Hello")).await.json();
    assert!(echo["error"]["message"].as_str().unwrap().contains("Bearer sk-test"));
    assert_eq!(sim.cancelled(), 0);
}

#[tokio::test]
async fn broken_streams_break_as_their_names_say() {
    let sim = sim().await;
    let cut = chat(&sim, &streamed("sim-cut")).await;
    assert!(!cut.is_complete && !cut.streamed_text().is_empty());
    assert!(!cut.body.ends_with(b"\n\n"), "cut between events, not inside one");
    let no_done = chat(&sim, &streamed("sim-no-done")).await;
    assert!(no_done.is_complete && !no_done.events().contains(&"[DONE]".to_owned()));
    let midway = chat(&sim, &streamed("sim-error-midway")).await;
    assert!(!midway.streamed_text().is_empty());
    assert!(midway.chunks().last().unwrap()["error"]["message"].is_string());
    let first = chat(&sim, &streamed("sim-error-first")).await;
    assert!(first.streamed_text().is_empty() && first.chunks().last().unwrap()["error"].is_object());
    let utf8 = chat(&sim, &streamed("sim-utf8")).await;
    assert!(std::str::from_utf8(&utf8.body).is_err());
    let finish = chat(&sim, &streamed("sim-finish-content_filter")).await;
    assert!(finish.chunks().iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "content_filter"));
    assert_eq!(sim.cancelled(), 0);
}

#[tokio::test]
async fn a_huge_event_has_its_size() {
    let sim = Sim::builder().behaviour("big", Behaviour::Huge(3 << 20)).start().await.unwrap();
    let response = chat(&sim, &streamed("big")).await;
    assert_eq!(response.streamed_text().len(), 3 << 20);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_in_every_phase() {
    let sim = Sim::builder().chunk_delay(Duration::from_millis(200)).start().await.unwrap();
    for (count, model) in (1..).zip(["sim-silent", "sim-stall", "gpt-4o-mini", "sim-slow"]) {
        let body = streamed(model).to_string();
        let mut stream = open(&sim, "POST", "/v1/chat/completions", body.as_bytes()).await;
        timeout(DEADLINE, sim.until_calls(count)).await.expect("the call did not arrive");
        if model == "sim-stall" || model == "gpt-4o-mini" {
            let mut head = [0; 64];
            timeout(DEADLINE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        }
        drop(stream);
        timeout(DEADLINE, sim.until_cancelled(count)).await.expect(model);
    }
}

#[tokio::test]
async fn a_silent_model_sends_nothing() {
    let sim = sim().await;
    let mut stream =
        open(&sim, "POST", "/v1/chat/completions", ask("sim-silent", "Hi").to_string().as_bytes()).await;
    timeout(DEADLINE, sim.until_calls(1)).await.unwrap();
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(100), stream.read(&mut byte)).await.is_err());
}

#[tokio::test]
async fn dropping_the_simulator_closes_its_connections_and_its_port() {
    let sim = sim().await;
    let host = sim.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let body = streamed("sim-stall").to_string();
    let mut stream = open(&sim, "POST", "/v1/chat/completions", body.as_bytes()).await;
    timeout(DEADLINE, sim.until_calls(1)).await.unwrap();
    drop(sim);
    let mut rest = Vec::new();
    // Closed or reset: either way it ends.
    _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("still open");
    assert!(TcpStream::connect(&host).await.is_err());
}

#[tokio::test]
async fn a_sequence_is_followed_and_its_last_step_stays() {
    let steps = vec![Behaviour::status(503), Behaviour::Text("Hi.".into())];
    let sim = Sim::builder().behaviour("m", Behaviour::Sequence(steps)).start().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(chat(&sim, &ask("m", "Hello")).await.status());
    }
    assert_eq!(seen, [503, 200, 200]);
}
