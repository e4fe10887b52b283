//! What is told when something goes wrong, and what is never told.

use serde_json::{Value, json};
use upstream_sim::{Behaviour, Sim};

use crate::running::{KEY, chat, infer, run, run_together, sim};

/// Model, kind, class, status, retryable.
const FAULTS: [(&str, &str, &str, Option<u16>, bool); 22] = [
    ("sim-error-400", "invalid_request", "caller", Some(400), false),
    ("sim-error-401", "unauthenticated", "credential", Some(401), false),
    ("sim-error-403", "permission_denied", "credential", Some(403), false),
    ("sim-error-404", "model_not_found", "caller", Some(404), false),
    ("sim-error-408", "upstream", "upstream", Some(408), true),
    ("sim-error-409", "upstream", "upstream", Some(409), true),
    ("sim-error-413", "request_too_large", "caller", Some(413), false),
    ("sim-error-429", "rate_limited", "throttle", Some(429), true),
    ("sim-error-500", "upstream", "upstream", Some(500), true),
    ("sim-error-502", "upstream", "upstream", Some(502), true),
    ("sim-error-503", "overloaded", "upstream", Some(503), true),
    ("sim-error-529", "overloaded", "upstream", Some(529), true),
    ("sim-quota", "quota_exhausted", "quota", Some(429), false),
    ("sim-context", "context_length_exceeded", "caller", Some(400), false),
    ("sim-filter", "content_filtered", "caller", Some(400), false),
    ("sim-html", "decode", "protocol", None, false),
    ("sim-cut", "stream_interrupted", "network", None, true),
    ("sim-error-midway", "upstream", "upstream", None, true),
    ("sim-error-first", "upstream", "upstream", None, true),
    ("sim-utf8", "decode", "protocol", None, true),
    ("sim-huge", "decode", "protocol", None, false),
    ("sim-echo-key", "unauthenticated", "credential", Some(401), false),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told_by_kind_and_ends_with_one() {
    let sim = sim().await;
    let runs = FAULTS.map(|(model, ..)| chat(&sim, &["--json", "--model", model, "Hello"]));
    for ((model, kind, class, status, retryable), ran) in FAULTS.into_iter().zip(run_together(runs)) {
        assert_eq!(ran.code, 1, "{model}: {ran:?}");
        let error = &ran.json()["error"];
        assert_eq!((&error["kind"], &error["class"]), (&json!(kind), &json!(class)), "{model}: {error}");
        assert_eq!(
            (&error["status"], &error["retryable"]),
            (&json!(status), &json!(retryable)),
            "{model}: {error}"
        );
        // What passes by itself is tried again until the attempts are used up, as long as no output was printed.
        let again = retryable && !matches!(model, "sim-cut" | "sim-error-midway" | "sim-utf8");
        assert_eq!(error["attempts"], json!(if again { 4 } else { 1 }), "{model}: {error}");
        let wait = if model == "sim-error-429" { json!(1000) } else { json!(null) };
        assert_eq!(error["retry_after_ms"], wait, "{model}: {error}");
        assert!(error["request_id"].as_str().unwrap().starts_with("req_sim_"), "{model}: {error}");
        assert_eq!(ran.stderr, format!("infer: {}\n", error["message"].as_str().unwrap()), "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_the_fault_is_kept() {
    let sim = sim().await;
    for model in ["sim-cut", "sim-error-midway", "sim-utf8"] {
        let object = run(&mut chat(&sim, &["--json", "--model", model, "Hello"])).json();
        let partial = object["partial"]["text"].as_str().unwrap();
        assert!(partial.starts_with("This is a"), "{model}: {object}");
        assert_eq!(object["partial"]["tool_calls"], json!([]));
        let ran = run(&mut chat(&sim, &["--model", model, "Hello"]));
        assert_eq!((ran.code, ran.stdout.as_str()), (1, partial), "{model}: {ran:?}");
        assert!(ran.stderr.starts_with("infer: ") && ran.stderr.lines().count() == 1, "{model}: {ran:?}");
    }
    let object = run(&mut chat(&sim, &["--json", "--model", "sim-error-500", "Hello"])).json();
    assert_eq!(
        object["partial"],
        json!({ "text": "", "reasoning": null, "refusal": null, "tool_calls": [] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_success_is_an_error() {
    let sim = sim().await;
    for flags in [&["--json"][..], &["--json", "--no-stream"]] {
        let ran = run(chat(&sim, flags).args(["--model", "sim-200-error", "Hello"]));
        assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("upstream")), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_its_closing_mark_is_whole_once_it_gave_a_finish_reason() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["--json", "--model", "sim-no-done", "Hello"]));
    assert_eq!((ran.code, &ran.json()["finish"]), (0, &json!("stop")), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_refused_and_not_followed() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["--json", "--model", "sim-redirect", "Hello"]));
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("transport")), "{ran:?}");
    assert!(ran.stderr.contains("redirect refused") && ran.stderr.contains("base URL"), "{ran:?}");
    assert!(sim.requests().iter().all(|request| request.path == "/v1/chat/completions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_upstream_runs_into_the_timeout() {
    let sim = sim().await;
    for model in ["sim-silent", "sim-stall"] {
        let ran = run(&mut chat(&sim, &["--json", "--timeout", "300ms", "--model", model, "Hello"]));
        assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("deadline_exceeded")), "{ran:?}");
    }
    sim.until_cancelled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_no_output_whatever_the_upstream_does_and_however_much_is_logged() {
    let raw = Behaviour::Raw { status: 500, content_type: "text/plain".into(), body: KEY.into() };
    let sim = Sim::builder().behaviour("raw", raw).start().await.unwrap();
    let models =
        ["gpt-4o-mini", "raw", "sim-redirect", "sim-error-404", "sim-cut", "sim-html", "sim-echo-key"];
    for flags in [&["-vv"][..], &["-vv", "--json"], &["--no-stream"]] {
        let runs = models.map(|model| {
            let mut command = chat(&sim, flags);
            command.env("RUST_LOG", "trace").args(["--model", model, "Hello"]);
            command
        });
        for (model, ran) in models.iter().zip(run_together(runs)) {
            assert!(ran.stderr.contains("TRACE"), "{model}: nothing was logged");
            assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{model} {flags:?}: {ran:?}");
        }
    }
    assert!(sim.requests().iter().all(|request| request.header("authorization").unwrap().contains(KEY)));
}

#[test]
fn a_key_that_no_header_may_hold_is_refused_without_being_shown() {
    let mut command = infer(&["chat", "--json", "Hello"]);
    let ran = run(command.env("OPENAI_API_KEY", "sk-first-line\nsk-second-line"));
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (2, &json!("config")), "{ran:?}");
    assert!(ran.stderr.contains("OPENAI_API_KEY") && !ran.stderr.contains("sk-"), "{ran:?}");
}

#[test]
fn a_base_url_that_leads_nowhere_is_named_with_a_way_out() {
    for (url, part) in [
        ("localhost", "--base-url"),
        ("ftp://example.com", "http:// or https://"),
        ("http://", "--base-url"),
        ("", "is empty"),
        ("http://name:secret@127.0.0.1:1/v1", "user name or password"),
    ] {
        let ran = run(&mut infer(&["chat", "--json", "--base-url", url, "Hello"]));
        assert_eq!((ran.code, &ran.json()["error"]["kind"]), (2, &json!("config")), "{url}: {ran:?}");
        assert!(ran.stderr.contains(part) && ran.stderr.starts_with("infer: "), "{url}: {ran:?}");
        assert!(ran.stderr.lines().count() == 1 && !ran.stderr.contains("secret"), "{url}: {ran:?}");
    }
}

#[test]
fn a_refused_connection_is_told_with_its_address() {
    // Bound and dropped at once: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run(&mut infer(&["chat", "--json", "--base-url", &format!("http://{address}/v1"), "Hello"]));
    let error: Value = ran.json()["error"].clone();
    assert_eq!((ran.code, &error["kind"]), (1, &json!("transport")), "{ran:?}");
    assert!(ran.stderr.contains(&address.to_string()) && ran.stderr.contains("running"), "{ran:?}");
}
