//! The routes beside chat.

use serde_json::{Value, json};

use crate::client::{Response, call, sim};

async fn post(path: &str, body: Value) -> Response {
    call(&sim().await, "POST", path, body.to_string().as_bytes()).await
}

/// Name and data of every event.
fn named(response: &Response) -> Vec<(String, Value)> {
    let text = String::from_utf8_lossy(&response.body);
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).ok()?))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_response_says_the_same_in_one_piece_and_as_events() {
    let body =
        |stream| json!({"model": "gpt-4o", "input": [{"role": "user", "content": "moon"}], "stream": stream});
    let whole = post("/v1/responses", body(false)).await.json();
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
    let text = whole["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("moon"), "{text}");
    let events = named(&post("/v1/responses", body(true)).await);
    let said: String = events.iter().filter_map(|(_, data)| data["delta"].as_str()).collect();
    assert_eq!(said, text);
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!((first.0.as_str(), &first.1["response"]["usage"]), ("response.created", &Value::Null));
    assert_eq!((last.0.as_str(), &last.1["response"]), ("response.completed", &whole));
    let place = |name: &str| events.iter().position(|(known, _)| known == name);
    let order = ["response.output_item.added", "response.content_part.added", "response.output_text.delta"];
    assert!(
        order.map(place).is_sorted() && place(order[0]).is_some(),
        "an item and a part are announced before their text"
    );
    assert_eq!(events[place("response.output_item.done").unwrap()].1["item"], whole["output"][0]);
    for (nth, (name, data)) in events.iter().enumerate() {
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(nth)));
    }
}

#[tokio::test]
async fn counts_are_told_and_asking_for_them_counts_for_nothing() {
    let sim = sim().await;
    call(&sim, "GET", "/v1/models", b"").await;
    for _ in 0..2 {
        let stats = call(&sim, "GET", "/sim/stats", b"").await.json();
        assert_eq!((&stats["calls"], &stats["cancelled"]), (&json!(1), &json!(0)));
    }
    assert_eq!((sim.calls(), sim.cancelled()), (1, 0));
}

#[tokio::test]
async fn a_response_that_reaches_its_limit_is_incomplete() {
    let body = json!({"model": "gpt-4o", "input": "moon", "max_output_tokens": 2, "stream": true});
    let events = named(&post("/v1/responses", body).await);
    let (name, data) = events.last().unwrap();
    assert_eq!(
        (name.as_str(), &data["response"]["usage"]["output_tokens"]),
        ("response.incomplete", &json!(2))
    );
}

#[tokio::test]
async fn scripted_faults_hold_on_every_route() {
    for path in ["/v1/responses", "/v1/moderations", "/v1/audio/speech"] {
        let refused = post(path, json!({"model": "sim-error-503", "input": "x"})).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert_eq!(post(path, json!({"model": "sim-nothing", "input": "x"})).await.status(), 404);
        assert_eq!(call(&sim().await, "GET", path, b"").await.status(), 405);
        assert_eq!(call(&sim().await, "POST", path, b"{").await.status(), 400);
    }
    for (model, is_complete, last) in [
        ("sim-cut", false, "response.output_text.delta"),
        ("sim-no-done", true, "response.output_item.done"),
        ("sim-error-midway", true, "error"),
        ("sim-error-first", true, "error"),
    ] {
        let answer = post("/v1/responses", json!({"model": model, "input": "x", "stream": true})).await;
        assert_eq!(answer.is_complete, is_complete, "{model}");
        assert_eq!(named(&answer).last().unwrap().0, last, "{model}");
    }
    assert!(!post("/v1/audio/speech", json!({"model": "sim-cut", "input": "x"})).await.is_complete);
}

#[tokio::test]
async fn nothing_is_flagged_and_speech_is_no_text() {
    let found = post("/v1/moderations", json!({"input": ["a", "b"]})).await.json();
    assert_eq!(found["results"].as_array().map(Vec::len), Some(2));
    let say = |text: &'static str| post("/v1/audio/speech", json!({"model": "tts-1", "input": text}));
    let (one, same, other) = (say("a").await, say("a").await, say("b").await);
    assert!(one.body == same.body && one.body != other.body && std::str::from_utf8(&one.body).is_err());
}
