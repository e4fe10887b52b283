//! What an answer looks like, and what is sent to get it.

use std::process::Stdio;

use serde_json::json;
use upstream_sim::{Behaviour, Sim};

use crate::running::{KEY, Running, chat, infer, run, sent, sim};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_carries_the_answer_and_nothing_else() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["Why", "is", "the sky blue?"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("You asked: \"Why is the sky blue?\""), "{ran:?}");
    assert!(ran.stdout.ends_with('\n') && ran.stdout.lines().count() == 1, "{ran:?}");
    for part in ["gpt-4o-mini · ", " in · ", " out · ", "unpriced", "first token", "tokens/s"] {
        assert!(ran.stderr.contains(part) && !ran.stdout.contains(part), "{part}: {ran:?}");
    }
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(!ran.stderr.contains('\u{1b}'), "colors go to terminals only: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_appear_while_the_answer_is_still_being_written() {
    let sim = sim().await;
    let mut running = Running::start(&["chat", "--model", "sim-stall", "Hello"], Some(&sim.base_url()));
    running.read_until("This is a");
    assert_eq!(running.child.try_wait().unwrap(), None);
    running.signal("-INT");
    assert_eq!(running.end().code, 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_question_is_read_from_arguments_and_standard_input() {
    for (args, stdin, expect) in [
        (&["Hello"][..], "", "Hello"),
        (&[][..], "from a pipe\n", "from a pipe"),
        (&["Explain this:"][..], "fn main() {}\n", "Explain this:\n\nfn main() {}"),
    ] {
        let sim = sim().await;
        let ran = run(chat(&sim, args).write_stdin(stdin));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(sent(&sim)["messages"], json!([{ "role": "user", "content": expect }]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_reach_the_upstream() {
    let sim = sim().await;
    let flags = ["--model", "gpt-4o", "--system", "Be brief.", "--temperature", "0.5", "--seed", "-3"];
    let more = ["--max-tokens", "50", "--stop", "END", "--effort", "low", "Hello"];
    let ran = run(chat(&sim, &flags).args(more));
    assert_eq!(ran.code, 0, "{ran:?}");
    let body = sent(&sim);
    assert_eq!(body["model"], "gpt-4o");
    assert_eq!(body["messages"][0]["content"], "Be brief.");
    assert_eq!(body["messages"][1], json!({ "role": "user", "content": "Hello" }));
    assert_eq!((&body["temperature"], &body["seed"]), (&json!(0.5), &json!(-3)));
    assert!(body["max_tokens"] == 50 || body["max_completion_tokens"] == 50, "{body}");
    assert!(body["stop"] == "END" || body["stop"] == json!(["END"]), "{body}");
    assert_eq!((&body["reasoning_effort"], &body["stream"]), (&json!("low"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_honoured_and_an_empty_variable_counts_as_unset() {
    let sim = sim().await;
    let mut command = infer(&["chat", "Hello"]);
    command
        .env("OPENAI_BASE_URL", sim.base_url())
        .env("OPENAI_API_KEY", KEY)
        .env("INFER_MODEL", "gpt-5-mini");
    command.env("OPENAI_ORG_ID", "org-1").env("OPENAI_PROJECT_ID", "proj-1");
    assert_eq!(run(&mut command).code, 0);
    let request = &sim.requests()[0];
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(request.header("openai-organization"), Some("org-1"));
    assert_eq!(request.header("openai-project"), Some("proj-1"));
    assert_eq!(sent(&sim)["model"], "gpt-5-mini");

    let mut command = infer(&["chat", "Hello"]);
    command.env("OPENAI_BASE_URL", "").env("OPENAI_API_KEY", " ").env("INFER_MODEL", "");
    assert!(run(&mut command).stderr.contains("built-in simulator"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_none_is_sent() {
    let sim = sim().await;
    let ran = run(&mut infer(&["chat", "--base-url", &sim.base_url(), "Hello"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sim.requests()[0].header("authorization"), None);
}

#[test]
fn without_a_key_and_a_base_url_the_simulator_answers_and_says_so_once() {
    let ran = run(&mut infer(&["chat", "Hello"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("This is a simulator"), "{ran:?}");
    let line = "no OPENAI_API_KEY and no --base-url: answering from the built-in simulator";
    assert_eq!(ran.stderr.matches(line).count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("nothing charged (list price $0."), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_piece_is_the_same() {
    let sim = sim().await;
    let streamed = run(&mut chat(&sim, &["Hello"]));
    let whole = run(&mut chat(&sim, &["--no-stream", "--quiet", "Hello"]));
    assert_eq!((whole.code, &whole.stdout), (0, &streamed.stdout));
    assert_eq!(whole.stderr, "");
    let bodies: Vec<serde_json::Value> =
        sim.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert_eq!(bodies[0]["stream"], true);
    assert_ne!(bodies[1]["stream"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_object_with_everything_known() {
    let sim = sim().await;
    for flags in [&["--json", "Hello"][..], &["--json", "--no-stream", "Hello"]] {
        let ran = run(&mut chat(&sim, flags));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        let answer = ran.json();
        assert!(answer["text"].as_str().unwrap().contains("simulator"), "{answer}");
        assert_eq!((&answer["finish"], &answer["model"]), (&json!("stop"), &json!("gpt-4o-mini")));
        assert_eq!((&answer["cost_usd"], &answer["simulated"]), (&json!(null), &json!(false)));
        assert!(answer["request_id"].as_str().unwrap().starts_with("req_sim_"), "{answer}");
        assert!(answer["usage"]["output_tokens"].as_u64().unwrap() > 10, "{answer}");
        assert_eq!((&answer["attempts"], &answer["tool_calls"]), (&json!(1), &json!([])));
        assert!(answer["time_to_first_token_ms"].is_u64(), "{answer}");
        assert_eq!((&answer["reasoning"], &answer["refusal"]), (&json!(null), &json!(null)));
    }
}

#[test]
fn json_from_the_simulator_has_a_price_and_says_that_it_is_simulated() {
    let answer = run(&mut infer(&["chat", "--json", "Hello"])).json();
    assert!(answer["cost_usd"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["simulated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_stays_out_of_the_answer() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["--model", "sim-reasoning", "Hello"]));
    assert!(ran.stdout.starts_with("This is a simulator"), "{ran:?}");
    assert!(ran.stderr.contains("reasoning)"), "{ran:?}");
    let answer = run(&mut chat(&sim, &["--json", "--model", "sim-reasoning", "Hello"])).json();
    assert!(answer["reasoning"].as_str().unwrap().contains("repeats the question"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_answer() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["--model", "sim-refusal", "Hello"]));
    assert!(ran.code == 0 && ran.stdout.contains("asked to refuse"), "{ran:?}");
    let answer = run(&mut chat(&sim, &["--json", "--model", "sim-refusal", "Hello"])).json();
    assert!(answer["refusal"].as_str().unwrap().contains("refuse"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_whole_is_remarked_on() {
    let sim = sim().await;
    for (flags, remark) in [
        (&["--max-tokens", "3", "Hello"][..], "raise --max-tokens"),
        (&["--model", "sim-finish-length", "Hello"], "the model's own token limit"),
        (&["--model", "sim-finish-content_filter", "Hello"], "content filter"),
    ] {
        let ran = run(&mut chat(&sim, flags));
        assert!(ran.code == 0 && ran.stderr.contains(remark), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_the_answer_as_it_is() {
    let text = "\u{1b}[31mred\u{7} line\r\n";
    let sim = Sim::builder().behaviour("m", Behaviour::Text(text.into())).start().await.unwrap();
    assert_eq!(run(&mut chat(&sim, &["--model", "m", "Hello"])).stdout, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_sent_as_data() {
    let sim = sim().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PNG).unwrap();
    let ran = run(&mut chat(&sim, &["--image", file.path().to_str().unwrap(), "What is this?"]));
    assert!(ran.code == 0 && ran.stdout.contains("A picture came with it."), "{ran:?}");
    let parts = sent(&sim)["messages"][0]["content"].clone();
    assert_eq!(parts[0], json!({ "type": "text", "text": "What is this?" }));
    let url = parts[1]["image_url"]["url"].as_str().unwrap();
    assert!(url.starts_with("data:image/png;base64,iVBORw0KGgo"), "{url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_can_be_asked_for() {
    let sim = sim().await;
    let ran = run(&mut chat(&sim, &["--response-format", "json", "Some JSON"]));
    assert!(serde_json::from_str::<serde_json::Value>(&ran.stdout).is_ok(), "{ran:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("city.schema.json");
    let schema = json!({
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"],
        "additionalProperties": false,
    });
    std::fs::write(&path, schema.to_string()).unwrap();
    let ran = run(&mut chat(&sim, &["--response-format", path.to_str().unwrap(), "A city"]));
    assert_eq!(ran.stdout.trim(), r#"{"city":"simulated"}"#);
    let body: serde_json::Value = serde_json::from_slice(&sim.requests()[1].body).unwrap();
    let format = &body["response_format"]["json_schema"];
    assert_eq!((&format["name"], &format["strict"]), (&json!("city"), &json!(true)));
    assert_eq!(format["schema"], schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_ten_mebibytes_is_answered() {
    let sim = sim().await;
    let ran = run(chat(&sim, &[]).write_stdin("word ".repeat(2 << 20)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// Programs that start others often leave the other end of standard input open and never write to it.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_stays_open_and_silent_is_left_out_with_a_note() {
    let sim = sim().await;
    let mut running = Running::start_with(&["chat", "Hello"], Some(&sim.base_url()), Stdio::piped());
    let open = running.child.stdin.take();
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("asking without it"), "{ran:?}");
    assert_eq!(sent(&sim)["messages"][0]["content"], "Hello");
    drop(open);
}
