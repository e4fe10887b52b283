//! `--config`: asking what an `llm.yaml` describes.

use std::fs;

use serde_json::json;
use upstream_sim::Sim;

use crate::running::{KEY, infer, run, sent, sim};

/// A directory with an `llm.yaml` whose route `fast` leads to the simulator.
pub(crate) fn described(sim: &Sim, more: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let url = sim.base_url();
    let text = format!(
        "providers:\n  up: {{ type: openai, base_url: '{url}', api_key: '${{TEST_KEY}}', prices: published }}\n\
         routes:\n  fast: {{ targets: [{{ provider: up, model: gpt-4o-mini }}] }}\n{more}\n"
    );
    fs::write(directory.path().join("llm.yaml"), text).unwrap();
    directory
}

pub(crate) fn ask(directory: &tempfile::TempDir, args: &[&str]) -> assert_cmd::Command {
    let mut command = infer(&[args[0], "--config", "llm.yaml"]);
    command.args(&args[1..]).env("TEST_KEY", KEY).current_dir(directory.path());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_asked_like_a_model_and_the_environments_upstream_is_not() {
    let sim = sim().await;
    let dir = described(&sim, "");
    let mut command = ask(&dir, &["chat", "--model", "fast", "Hello"]);
    let ran = run(command.env("OPENAI_BASE_URL", "http://127.0.0.1:9").env("INFER_PRESET", "groq"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("You asked: \"Hello\""), "{ran:?}");
    assert!(ran.stderr.starts_with("gpt-4o-mini · ") && ran.stderr.lines().count() == 1, "{ran:?}");
    assert_eq!(sent(&sim)["model"], "gpt-4o-mini");
    assert_eq!(sim.requests()[0].header("authorization"), Some(format!("Bearer {KEY}").as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_configurations_own_is_asked_if_it_has_one() {
    let sim = sim().await;
    let dir = described(&sim, "model: fast");
    let ran = run(&mut ask(&dir, &["chat", "--json", "Hello"]));
    assert_eq!((ran.code, &ran.json()["simulated"]), (0, &json!(false)), "{ran:?}");
    assert_eq!(sent(&sim)["model"], "gpt-4o-mini");
    let ran = run(&mut ask(&described(&sim, ""), &["chat", "Hello"]));
    assert!(ran.code == 2 && ran.stderr.contains("the configuration names no model"), "{ran:?}");
    assert_eq!(sim.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_in_the_ledger_that_the_configuration_names() {
    let sim = sim().await;
    let dir = described(&sim, "model: fast\ndata: ledger");
    for _ in 0..2 {
        assert_eq!(run(&mut ask(&dir, &["chat", "Hello"])).code, 0);
    }
    let ran = run(&mut ask(&dir, &["cost", "--by", "route,provider", "--format", "json"]));
    let spend = ran.json();
    let group = &spend["groups"][0];
    assert_eq!((&group["route"], &group["provider"]), (&json!("fast"), &json!("up")), "{ran:?}");
    assert_eq!((&group["calls"], &group["unpriced"]), (&json!(2), &json!(0)), "{ran:?}");
    assert!(group["cost_usd"].as_str().unwrap().starts_with("0.0000"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_health_are_those_of_what_is_described() {
    let sim = sim().await;
    let dir = described(&sim, "");
    let ran = run(&mut ask(&dir, &["health"]));
    assert!(ran.code == 0 && ran.stdout.contains(" answers, after "), "{ran:?}");
    let ran = run(&mut ask(&dir, &["models"]));
    assert!(ran.code == 0 && ran.stdout.contains("fast"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_not_there_and_faults_end_with_two_before_any_call() {
    let sim = sim().await;
    let dir = described(&sim, "");
    fs::write(dir.path().join("llm.toml"), "[providers.up]\ntype = 'openai'\nweight = 0\n").unwrap();
    for (args, part) in [
        (&["chat", "--config", "llm.toml", "Hello"][..], "llm.toml:3:"),
        (&["chat", "--config", "nowhere.yaml", "Hello"], "nowhere.yaml:1:1: there is no such file"),
        (&["chat", "--config", "llm.yaml", "--preset", "groq", "Hello"], "cannot be used with"),
        (&["health", "--config", "llm.yaml", "--base-url", "http://x"], "cannot be used with"),
    ] {
        let ran = run(infer(args).env("TEST_KEY", KEY).current_dir(dir.path()));
        assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.contains(part), "{args:?}: {ran:?}");
    }
    assert_eq!(sim.requests().len(), 0);
}
