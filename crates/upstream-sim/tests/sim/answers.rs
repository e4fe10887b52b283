//! What the simulator says when all is well.

use serde_json::{Value, json};
use upstream_sim::Sim;

use crate::client::{ask, ask_with, call, chat, sim, streamed};

#[tokio::test]
async fn an_answer_says_that_it_is_simulated_and_repeats_the_question() {
    let sim = sim().await;
    let response = chat(&sim, &ask("gpt-4o-mini", "Why is the sky blue?")).await;
    assert_eq!(response.status(), 200);
    let answer = response.json();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("simulator") && text.contains("Why is the sky blue?"), "{text}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    assert_eq!(answer["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn the_stream_adds_up_to_the_same_text_and_ends_with_usage_and_done() {
    let sim = sim().await;
    let whole = chat(&sim, &ask("gpt-4o-mini", "Hello")).await.json();
    let response = chat(&sim, &streamed("gpt-4o-mini")).await;
    assert!(response.is_complete && response.head.contains("text/event-stream"), "{}", response.head);
    assert_eq!(Value::from(response.streamed_text()), whole["choices"][0]["message"]["content"]);
    assert!(response.events().len() > 10);
    assert_eq!(response.events().last().unwrap(), "[DONE]");
    let chunks = response.chunks();
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn usage_is_sent_only_when_asked_for() {
    let sim = sim().await;
    let response = chat(&sim, &ask_with("gpt-4o-mini", "Hello", json!({ "stream": true }))).await;
    assert!(response.chunks().iter().all(|chunk| chunk["usage"].is_null()));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let (one, two) = (sim().await, sim().await);
    let text = async |sim: &Sim, seed: i64| {
        chat(sim, &ask_with("gpt-4o-mini", "Hello", json!({ "seed": seed }))).await.json()["choices"].clone()
    };
    assert_eq!(text(&one, 1).await, text(&two, 1).await);
    let mut others = Vec::new();
    for seed in 2..6 {
        others.push(text(&one, seed).await);
    }
    assert!(others.iter().any(|other| *other != others[0]));
}

#[tokio::test]
async fn limits_and_stop_texts_and_the_number_of_answers_are_obeyed() {
    let sim = sim().await;
    let cut =
        chat(&sim, &ask_with("gpt-4o-mini", "Hello", json!({ "max_completion_tokens": 3 }))).await.json();
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["usage"]["completion_tokens"], 3);
    let request = ask_with("sim-reasoning", "Hello", json!({ "max_completion_tokens": 40 }));
    assert_eq!(chat(&sim, &request).await.json()["usage"]["completion_tokens"], 40);
    let stopped = chat(&sim, &ask_with("gpt-4o-mini", "Hello", json!({ "stop": [","] }))).await.json();
    assert_eq!(stopped["choices"][0]["message"]["content"], "This is a simulator");
    let several = chat(&sim, &ask_with("gpt-4o-mini", "Hello", json!({ "n": 3, "stream": true }))).await;
    let indexes: std::collections::BTreeSet<_> =
        several.chunks().iter().filter_map(|chunk| chunk["choices"][0]["index"].as_u64()).collect();
    assert_eq!(indexes.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn a_tool_is_called_when_required_or_named_and_its_result_is_answered() {
    let sim = sim().await;
    let tools = json!([{ "type": "function", "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": { "city": { "type": "string" }, "days": { "type": "integer", "minimum": 1 } },
        },
    } }]);
    for (prompt, choice) in [("Rain?", json!("required")), ("Use get_weather please", json!("auto"))] {
        let request = ask_with("gpt-4o-mini", prompt, json!({ "tools": tools, "tool_choice": choice }));
        let answer = chat(&sim, &request).await.json();
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
        let call = &answer["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"], "get_weather");
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["city"].is_string() && arguments["days"].is_u64());
    }
    let request = json!({ "model": "gpt-4o-mini", "tools": tools, "messages": [
        { "role": "user", "content": "Use get_weather" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "get_weather", "arguments": "{}" } },
        ] },
        { "role": "tool", "tool_call_id": "c1", "content": "sunny" },
    ] });
    let answer = chat(&sim, &request).await.json();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("sunny"));
}

#[tokio::test]
async fn json_is_written_when_asked_for() {
    let sim = sim().await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    for (format, member) in [(format, "n"), (json!({ "type": "json_object" }), "asked")] {
        let request = ask_with("gpt-4o-mini", "JSON please", json!({ "response_format": format }));
        let answer = chat(&sim, &request).await.json();
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(text).unwrap().get(member).is_some(), "{text}");
    }
}

#[tokio::test]
async fn log_probabilities_add_up_to_the_text() {
    let sim = sim().await;
    let request = ask_with("gpt-4o-mini", "Hello", json!({ "logprobs": true, "top_logprobs": 2 }));
    let choice = chat(&sim, &request).await.json()["choices"][0].clone();
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(Value::from(text), choice["message"]["content"]);
    assert_eq!(tokens[0]["top_logprobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn reasoning_and_refusal_have_members_of_their_own() {
    let sim = sim().await;
    let reasoned = chat(&sim, &streamed("sim-reasoning")).await;
    let last = reasoned.chunks().pop().unwrap();
    assert!(last["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
    let refused = chat(&sim, &ask("sim-refusal", "Hello")).await.json();
    assert!(refused["choices"][0]["message"]["refusal"].as_str().unwrap().contains("refuse"));
}

#[tokio::test]
async fn requests_are_recorded() {
    let sim = sim().await;
    chat(&sim, &ask("gpt-4o-mini", "Hello")).await;
    let requests = sim.requests();
    assert_eq!((sim.calls(), requests.len()), (1, 1));
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(requests[0].header("authorization"), Some("Bearer sk-test"));
    assert_eq!(serde_json::from_slice::<Value>(&requests[0].body).unwrap()["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_what_is_not_there_is_not_found() {
    let sim = sim().await;
    for body in ["", "{", "[]", "{\"model\":\"m\"}", "\u{fffd}"] {
        let response = call(&sim, "POST", "/v1/chat/completions", body.as_bytes()).await;
        assert_eq!(response.status(), 400, "{body:?}");
        assert!(response.json()["error"]["message"].is_string(), "{body:?}");
    }
    assert_eq!(call(&sim, "GET", "/v1/nothing", b"").await.status(), 404);
    assert_eq!(call(&sim, "GET", "/v1/chat/completions", b"").await.status(), 405);
    let models = call(&sim, "GET", "/v1/models", b"").await.json();
    assert!(models["data"].as_array().unwrap().iter().any(|model| model["id"] == "sim-cut"));
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_and_its_excerpt_kept() {
    let sim = sim().await;
    let response = chat(&sim, &ask("gpt-4o-mini", &"x".repeat(17 << 20))).await;
    assert_eq!(response.status(), 413);
    assert_eq!(sim.requests()[0].body.len(), 1 << 20);
    let response = chat(&sim, &ask("gpt-4o-mini", &"x".repeat(10 << 20))).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn embeddings_are_unit_vectors_in_order_and_in_either_encoding() {
    let sim = sim().await;
    let embed = async |more: Value| {
        let mut request = json!({ "model": "text-embedding-3-small", "input": ["one", "two"] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(&sim, "POST", "/v1/embeddings", request.to_string().as_bytes()).await.json()
    };
    let plain = embed(json!({ "dimensions": 8 })).await;
    let vector: Vec<f64> = serde_json::from_value(plain["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(vector.len(), 8);
    assert!((vector.iter().map(|part| part * part).sum::<f64>() - 1.0).abs() < 1e-4);
    assert_ne!(plain["data"][0]["embedding"], plain["data"][1]["embedding"]);
    assert_eq!(plain, embed(json!({ "dimensions": 8 })).await);
    let packed = embed(json!({ "dimensions": 8, "encoding_format": "base64" })).await;
    assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), 44);
    assert_eq!(embed(json!({})).await["data"][1]["embedding"].as_array().unwrap().len(), 1536);
}

#[tokio::test]
async fn what_was_handed_over_whole_is_counted_and_asking_for_the_counts_is_no_call() {
    let sim = sim().await;
    let whole = chat(&sim, &ask("gpt-4o-mini", "Hello")).await.json();
    let mut streamed = ask("gpt-4o-mini", "Hello");
    streamed["stream"] = true.into();
    chat(&sim, &streamed).await;
    for model in ["sim-error-500", "sim-cut", "sim-error-midway"] {
        let mut broken = ask(model, "Hello");
        broken["stream"] = true.into();
        _ = chat(&sim, &broken).await;
    }
    let stats = call(&sim, "GET", "/sim/stats", b"").await.json();
    let tokens = |name: &str| whole["usage"][name].as_u64().unwrap() * 2;
    let expected = json!({
        "calls": 5,
        "cancelled": 0,
        "answers": 2,
        "input_tokens": tokens("prompt_tokens"),
        "output_tokens": tokens("completion_tokens"),
    });
    assert_eq!((stats, sim.answered().answers, sim.requests().len()), (expected, 2, 5));
}
