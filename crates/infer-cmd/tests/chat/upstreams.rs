//! Whom to ask: presets, the models there are, and whether anybody answers.

use serde_json::json;

use crate::running::{Running, infer, run, sent, sim};

const GROQ_KEY: &str = "gsk_test_0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_brings_its_own_key_and_manners_to_whatever_address() {
    let sim = sim().await;
    let args =
        ["chat", "--preset", "Groq", "--base-url", &sim.base_url(), "--model", "gpt-oss-120b", "Hello"];
    let ran = run(infer(&args).env("GROQ_API_KEY", GROQ_KEY).env("OPENAI_API_KEY", "sk-other"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sent(&sim)["model"], "gpt-oss-120b");
    assert_eq!(sim.requests()[0].header("authorization"), Some(format!("Bearer {GROQ_KEY}").as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_preset_sends_no_key_of_somebody_else() {
    let sim = sim().await;
    let args = ["chat", "--preset", "ollama", "--base-url", &sim.base_url(), "-m", "llama3.2", "Hello"];
    let ran = run(infer(&args).env("OPENAI_API_KEY", "sk-other"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sim.requests()[0].header("authorization"), None);
}

#[test]
fn what_a_preset_cannot_do_is_wrong_usage_found_before_any_call() {
    let args = [
        "chat",
        "--preset",
        "minimax",
        "--base-url",
        "http://127.0.0.1:9",
        "-m",
        "MiniMax-M3",
        "--stop",
        "x",
        "Hi",
    ];
    let ran = run(infer(&args).env("MINIMAX_API_KEY", "sk-test-0123456789"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("minimax") && ran.stderr.contains("stop: not supported"), "{ran:?}");
}

#[test]
fn an_unknown_preset_names_the_near_ones_wherever_it_is_given() {
    for command in ["chat", "models", "health"] {
        let ran = run(&mut infer(&[command, "--preset", "grok"]));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("--preset") && ran.stderr.contains("did you mean groq?"), "{ran:?}");
        assert!(ran.stderr.contains("ollama, openai, openrouter"), "{ran:?}");
    }
    let ran = run(infer(&["chat", "Hi"]).env("INFER_PRESET", "olama"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.starts_with("infer: INFER_PRESET: ") && ran.stderr.contains("did you mean ollama?"),
        "{ran:?}"
    );
}

#[test]
fn a_preset_without_its_key_or_without_a_model_says_what_is_missing() {
    let ran = run(&mut infer(&["chat", "--preset", "groq", "-m", "x", "Hi"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("environment variable GROQ_API_KEY is not set"), "{ran:?}");
    let ran = run(infer(&["chat", "Hi"]).env("INFER_PRESET", "ollama"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("ollama needs a --model: infer models --preset ollama lists them"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_base_url_outranks_the_environments_preset() {
    let sim = sim().await;
    let mut command = infer(&["chat", "--base-url", &sim.base_url(), "Hello"]);
    let ran = run(command.env("INFER_PRESET", "groq").env("GROQ_API_KEY", GROQ_KEY));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sim.requests()[0].header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_a_sorted_table_for_people_and_one_object_for_programs() {
    let sim = sim().await;
    let ran = run(&mut infer(&["models", "--base-url", &sim.base_url()]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "colours in a pipe: {ran:?}");
    let rows: Vec<_> = ran.stdout.lines().collect();
    assert!(rows[0].starts_with("MODEL ") && rows[0].ends_with("OWNER"), "{rows:?}");
    assert!(rows[1..].is_sorted() && rows[1..].iter().all(|row| row.ends_with("  upstream-sim")), "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("sim-cut ")), "{rows:?}");

    let ran = run(&mut infer(&["models", "--json", "--base-url", &sim.base_url()]));
    let object = ran.json();
    assert_eq!(object["models"].as_array().unwrap().len(), rows.len() - 1);
    assert_eq!(object["models"][0]["owned_by"], "upstream-sim");
    assert_eq!((&object["upstream"], &object["simulated"]), (&json!("upstream"), &json!(false)));
    let asked: Vec<_> = sim.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(asked, ["/v1/models", "/v1/models"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_who_answered_and_how_fast() {
    let sim = sim().await;
    let args = ["health", "--preset", "groq", "--base-url", &sim.base_url()];
    let ran = run(infer(&args).env("GROQ_API_KEY", GROQ_KEY));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("groq answers, after ") && ran.stdout.ends_with(" ms\n"), "{ran:?}");
    let ran = run(infer(&args).arg("--json").env("GROQ_API_KEY", GROQ_KEY));
    let object = ran.json();
    assert_eq!((&object["healthy"], &object["upstream"]), (&json!(true), &json!("groq")));
    assert!(object["latency_ms"].is_u64());
    assert_eq!(sim.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_or_not_well_ends_with_one() {
    let sim = sim().await;
    // The simulator has no such route.
    let url = sim.base_url();
    let ran = run(&mut infer(&["health", "--preset", "ollama", "--base-url", &url, "--json"]));
    assert_eq!((ran.code, &ran.json()["error"]["status"]), (1, &json!(404)), "{ran:?}");
    assert_eq!(sim.requests()[0].path, "/api/version");
    let ran = run(&mut infer(&["health", "--base-url", "http://127.0.0.1:9"]));
    assert!(ran.code == 1 && ran.stdout.is_empty() && ran.stderr.contains("127.0.0.1:9"), "{ran:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_asked_whether_it_is_ready_and_the_exit_code_says_so() {
    let mut gateway = Running::start(&["serve", "--listen", "127.0.0.1:0"], None);
    let url = gateway.read_until("\n");
    let url = url.trim();
    let ran = run(&mut infer(&["health", "--gateway", url]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with(&format!("{url}/readyz is ready, after ")), "{ran:?}");
    let ran = run(&mut infer(&["health", "--gateway", &format!("{url}/healthz"), "--json"]));
    assert_eq!((ran.code, &ran.json()["healthy"]), (0, &json!(true)), "{ran:?}");
    let ran = run(&mut infer(&["health", "--gateway", &format!("{url}/nowhere")]));
    assert!(ran.code == 1 && ran.stderr.contains("says 404, not_found: "), "{ran:?}");
    gateway.signal("-TERM");
    gateway.end();
    let ran = run(&mut infer(&["health", "--json", "--gateway", url]));
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("unwell")), "{ran:?}");
}

#[test]
fn a_gateway_that_hangs_is_unwell_after_two_seconds_and_a_wrong_address_is_wrong_usage() {
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hangs.local_addr().unwrap());
    let ran = run(&mut infer(&["health", "--gateway", &url]));
    assert!(ran.code == 1 && ran.stderr.contains("does not answer within 2s"), "{ran:?}");
    for args in [
        &["health", "--gateway", "127.0.0.1:8080"][..],
        &["health", "--gateway", "--base-url", "http://x"],
        &["health", "--ca", "ca.pem"],
    ] {
        assert_eq!(run(&mut infer(args)).code, 2, "{args:?}");
    }
}

#[test]
fn without_anybody_to_ask_the_simulator_answers_for_itself() {
    let ran = run(&mut infer(&["health"]));
    assert!(ran.code == 0 && ran.stdout.starts_with("simulator answers"), "{ran:?}");
    assert!(ran.stderr.contains("answering from the built-in simulator"), "{ran:?}");
    let ran = run(&mut infer(&["models", "--json"]));
    assert_eq!(ran.json()["simulated"], true, "{ran:?}");
}

#[test]
fn shells_complete_the_names_of_presets() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&mut infer(&["completions", shell]));
        assert!(ran.stdout.contains("openrouter") && ran.stdout.contains("llamacpp"), "{shell}");
    }
}
