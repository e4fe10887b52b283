//! `infer config`: what is wrong with a configuration, and what it is understood as.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::running::{infer, run};

const GOOD: &str = "\
providers:
  local: { type: openai, base_url: 'http://127.0.0.1:9/v1', model: llama3.2 }
  openai: { api_key: \"${TEST_KEY:-sk-in-the-file-0123456789}\", timeout: 30s }
routes:
  fast: { targets: [{ provider: openai, model: gpt-4o-mini }] }
";
const THREE_FAULTS: &str = "\
providers:
  openai:
    weight: 0
    timeuot: 30s
routes:
  fast: { targets: [{ provider: opnai }] }
";

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_configuration_without_faults_is_one_line_of_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "good.yaml", GOOD);
    let ran = run(&mut infer(&["config", "check", &path]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.stdout, format!("{path}: ok: 2 providers (local, openai), 2 routes (fast, llama3.2)\n"));
    let ran = run(&mut infer(&["config", "check", "--json", &path]));
    let routes = ["fast", "llama3.2"];
    assert_eq!(
        ran.json(),
        json!({"ok": true, "file": path, "providers": ["local", "openai"], "routes": routes})
    );
}

#[test]
fn the_file_is_the_argument_or_the_environments_or_llm_yaml() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "llm.yaml", "providers: { one: { type: openai, model: a } }");
    file(dir.path(), "two.yaml", "providers: { two: { type: openai, model: a } }");
    file(dir.path(), "three.toml", "[providers.three]\ntype = 'openai'\nmodel = 'a'\n");
    for (args, environment, expect) in [
        (&["config", "check"][..], "", "llm.yaml: ok: 1 provider (one), 1 route (a)\n"),
        (&["config", "check"], "two.yaml", "two.yaml: ok: 1 provider (two), 1 route (a)\n"),
        (&["config", "check", "three.toml"], "two.yaml", "three.toml: ok: 1 provider (three), 1 route (a)\n"),
    ] {
        let ran = run(infer(args).current_dir(dir.path()).env("INFER_CONFIG", environment));
        assert_eq!((ran.code, ran.stdout.as_str()), (0, expect), "{ran:?}");
    }
}

#[test]
fn all_faults_are_printed_as_editors_read_them_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "bad.yaml", THREE_FAULTS);
    for command in ["check", "show"] {
        let ran = run(infer(&["config", command, "bad.yaml"]).current_dir(dir.path()));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        let lines: Vec<_> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{ran:?}");
        assert!(lines[0].starts_with("bad.yaml:3:13: providers.openai.weight: must be"), "{lines:?}");
        assert_eq!(lines[1], "bad.yaml:4:5: providers.openai.timeuot: unknown key; did you mean timeout?");
        assert!(lines[2].starts_with("bad.yaml:6:33: routes.fast.targets[0].provider: "), "{lines:?}");

        let ran = run(infer(&["config", command, "--json", "bad.yaml"]).current_dir(dir.path()));
        let object = ran.json();
        assert_eq!((ran.code, &object["ok"]), (2, &json!(false)), "{ran:?}");
        assert_eq!(object["faults"].as_array().unwrap().len(), 3, "{ran:?}");
        assert_eq!((&object["faults"][1]["line"], &object["faults"][1]["column"]), (&json!(4), &json!(5)));
    }
}

#[test]
fn a_file_that_is_not_there_or_is_none_is_a_fault_with_two() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "noise.yaml", "providers: [\u{1b}");
    for (path, part) in [
        ("nowhere.yaml", "nowhere.yaml:1:1: there is no such file: check the path"),
        (dir.path().to_str().unwrap(), "cannot be read"),
        (text.as_str(), "noise.yaml:1:"),
    ] {
        let ran = run(infer(&["config", "check", path]).current_dir(dir.path()));
        assert!(ran.code == 2 && ran.stderr.contains(part) && ran.stdout.is_empty(), "{path}: {ran:?}");
        assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
    let ran = run(infer(&["config", "check"]).current_dir(dir.path()));
    assert!(ran.code == 2 && ran.stderr.starts_with("llm.yaml:1:1: "), "{ran:?}");
}

#[test]
fn what_is_shown_has_overrides_filled_in_and_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "good.yaml", GOOD);
    for key in ["", "sk-in-the-environment-0123456789"] {
        for flags in [&[][..], &["--json"]] {
            let mut command = infer(&["config", "show", &path]);
            command.args(flags).env("TEST_KEY", key).env("INFER__PROVIDERS__OPENAI__TIMEOUT", "45s");
            let ran = run(&mut command);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
            assert!(ran.stdout.contains("45s") && !ran.stdout.contains("30s"), "{ran:?}");
            assert!(ran.stdout.contains("***") && !ran.stdout.contains("sk-in-the"), "{ran:?}");
            if !flags.is_empty() {
                assert_eq!(ran.json()["providers"]["openai"]["api_key"], "***");
            }
        }
    }
}

#[test]
fn the_schema_is_an_object_that_knows_the_sections() {
    let ran = run(&mut infer(&["config", "schema"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let schema = ran.json();
    for section in ["providers", "routes", "budgets", "ledger"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn the_settings_that_a_package_installs_are_in_order_without_any_variable() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/debian/llm.yaml");
    let ran = run(infer(&["config", "check", path]).env_remove("OPENAI_API_KEY"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("1 provider (local)"), "{ran:?}");
}
