//! What is in `deploy/` fits the program: names of metrics exist, files can be read, and settings are settings.

#![expect(clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use infer_gateway::Metrics;
use infer_store::Clock;
use infer_store::keys::KeyBook;
use inference::config::{Format, Reader, Source};
use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(directory().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file, which are a line of three dashes apart.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let parts = text.split("\n---\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

/// Names of metrics in a query: every word that begins like one and is neither a label nor a word of the language.
fn metrics(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("infer_") || word.starts_with("process_"))
        .map(|word| {
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            histogram.unwrap_or(word).to_owned()
        })
        .collect()
}

fn assert_known(names: &BTreeSet<String>, file: &str) {
    let known = Metrics::new();
    let unknown: Vec<&String> = names.iter().filter(|name| !known.names().contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "{file}: there are no metrics called {unknown:?}");
}

/// Every text under the key `name`, however deep.
fn texts<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == name => found.push(text),
                    value => texts(value, name, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, found)),
        _ => {}
    }
}

#[test]
fn every_metric_of_the_dashboard_exists_and_every_one_of_the_gateway_is_shown_or_left_out_on_purpose() {
    let dashboard: Value = serde_json::from_str(&read("grafana/infer.json")).unwrap();
    let mut queries = Vec::new();
    texts(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 30, "{} queries", queries.len());
    let shown: BTreeSet<String> = queries.iter().flat_map(|query| metrics(query)).collect();
    assert_known(&shown, "infer.json");
    let left_out = [
        "infer_admission_queue_limit",
        "infer_attempt_duration_seconds",
        "infer_budget_accounts",
        "infer_budget_limit_tokens",
        "infer_budget_limit_usd",
        "infer_budget_reserved_tokens",
        "infer_budget_reserved_usd",
        "infer_budget_spent_tokens",
        "infer_budget_spent_usd",
        "infer_build_info",
        "infer_draining",
    ];
    let all = Metrics::new();
    let missing: Vec<&str> = all
        .names()
        .iter()
        .copied()
        .filter(|name| !shown.contains(*name) && !left_out.contains(name))
        .collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
}

#[test]
fn panels_of_the_dashboard_have_places_of_their_own() {
    let dashboard: Value = serde_json::from_str(&read("grafana/infer.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies over another panel", panel["title"]);
            }
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are used once");
}

#[test]
fn every_metric_of_the_alerts_exists_and_every_alert_says_what_is_wrong() {
    let rules = documents("prometheus/alerts.yaml").remove(0);
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 7);
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let used = metrics(rule["expr"].as_str().unwrap());
        assert!(!used.is_empty(), "{name} asks for nothing");
        assert_known(&used, name);
        for words in ["summary", "description"] {
            assert!(
                rule["annotations"][words].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {words}"
            );
        }
        assert!(["page", "warn"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn a_metric_that_is_not_there_would_be_noticed() {
    let names =
        metrics("sum(rate(infer_no_such_thing_total{status=\"5xx\"}[5m])) / infer_overhead_seconds_bucket");
    let expected = ["infer_no_such_thing_total", "infer_overhead_seconds"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
    let known = Metrics::new();
    assert!(!known.names().contains(&"infer_no_such_thing_total"));
}

/// The manifest of this kind in the file.
fn manifest(path: &str, kind: &str) -> Value {
    let mut found = documents(path).into_iter().filter(|document| document["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("{path}: no {kind}"))
}

#[test]
fn the_configuration_of_the_manifests_is_one_and_has_every_variable_from_the_secret() {
    let map = manifest("kubernetes/configmap.yaml", "ConfigMap");
    let secret = manifest("kubernetes/secret.yaml", "Secret");
    let variables: BTreeMap<String, String> = serde_json::from_value(secret["stringData"].clone()).unwrap();
    let text = map["data"]["llm.yaml"].as_str().unwrap();
    let reader = infer_gateway::sections().into_iter().fold(Reader::default(), Reader::with_section);
    let config = reader.read(&Source::text(text.to_owned(), Format::Yaml), &variables);
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let (gateway, keys) = infer_gateway::settings(&config);
    assert!(gateway.admin_key.is_some(), "Prometheus needs it");
    assert!(!KeyBook::fixed(&keys, Clock::system()).unwrap().is_empty(), "callers need a key");
    for name in variables.keys() {
        assert!(text.contains(&format!("${{{name}}}")), "{name} is in the Secret and nowhere used");
    }
    let deployment = manifest("kubernetes/deployment.yaml", "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    assert!(grace > pause + gateway.drain.as_secs(), "answers that run would be cut");
    let port = pod["containers"][0]["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(port, u64::from(gateway.listen.port()));
    assert_eq!(pod["containers"][0]["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(pod["containers"][0]["readinessProbe"]["httpGet"]["path"], "/readyz");
}

#[test]
fn every_manifest_can_be_read_and_names_what_it_is() {
    let mut manifests = 0;
    for entry in std::fs::read_dir(directory().join("kubernetes")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for document in documents(&format!("kubernetes/{name}")) {
            assert!(document["apiVersion"].is_string() && document["kind"].is_string(), "{name}");
            manifests += 1;
        }
    }
    assert!(manifests >= 9, "{manifests} manifests");
    let listed = documents("kubernetes/kustomization.yaml").remove(0);
    for file in listed["resources"].as_array().unwrap() {
        let file = file.as_str().unwrap();
        assert!(directory().join("kubernetes").join(file).is_file(), "{file}");
    }
}

#[test]
fn the_service_waits_longer_than_the_gateway_lets_calls_finish() {
    let unit = read("systemd/infer.service");
    let value =
        |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    let patience: u64 = value("TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    assert!(patience > infer_gateway::GatewayConfig::default().drain.as_secs());
    for (name, wanted) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("StateDirectory", "infer"),
    ] {
        assert_eq!(value(name), wanted);
    }
    assert!(unit.contains("ExecReload=/bin/kill -HUP $MAINPID"));
}
