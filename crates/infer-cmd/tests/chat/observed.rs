//! `observability` of an `llm.yaml`: what is logged, and what a collector gets.

use serde_json::Value;

use crate::configured::{ask, described};
use crate::running::{KEY, run, sim};

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_what_the_configuration_wants_unless_the_command_line_or_the_environment_does() {
    let sim = sim().await;
    let dir = described(&sim, "observability: { log: { level: debug, format: json } }");
    let told = |ran: &str| {
        let lines = ran.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let ran = run(&mut ask(&dir, &["chat", "--quiet", "--model", "fast", "a word of the prompt"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = told(&ran.stderr);
    assert!(!lines.is_empty() && lines.len() == ran.stderr.lines().count(), "{ran:?}");
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{ran:?}");
    assert!(!ran.stderr.contains("a word of the prompt") && !ran.stderr.contains(KEY), "{ran:?}");

    let ran = run(ask(&dir, &["chat", "--quiet", "--model", "fast", "Hello"]).env("RUST_LOG", "off"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let level = ("INFER__OBSERVABILITY__LOG__LEVEL", "error");
    let ran = run(ask(&dir, &["chat", "--quiet", "--model", "fast", "Hello"]).env(level.0, level.1));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let ran = run(ask(&dir, &["chat", "--quiet", "-vv", "--model", "fast", "Hello"]).env(level.0, level.1));
    assert!(ran.code == 0 && told(&ran.stderr).iter().any(|line| line["level"] == "DEBUG"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_configuration_that_can_be_read_only_once_is_enough() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sim = runtime.block_on(sim());
    let dir = described(&sim, "model: fast");
    let script = "cat llm.yaml | \"$INFER\" chat --quiet --config /dev/stdin Hello";
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", script]).env_clear().env("NO_PROXY", "*").env("TEST_KEY", KEY);
    command.env("INFER", env!("CARGO_BIN_EXE_infer")).env("PATH", "/usr/bin:/bin");
    let ran = run(command.current_dir(dir.path()));
    assert!(ran.code == 0 && ran.stdout.contains("You asked"), "{ran:?}");
}

#[cfg(not(feature = "otel"))]
#[tokio::test(flavor = "multi_thread")]
async fn telemetry_that_is_not_compiled_in_is_refused_before_any_call() {
    let sim = sim().await;
    let dir = described(&sim, "observability: { otel: {} }");
    let ran = run(&mut ask(&dir, &["chat", "--model", "fast", "Hello"]));
    assert!(ran.code == 2 && ran.stderr.contains("build with the feature otel"), "{ran:?}");
    assert_eq!(sim.requests().len(), 0);
}

#[cfg(feature = "otel")]
mod exported {
    use std::collections::BTreeSet;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use remote_testkit::{Script, Upstream};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_gets_spans_and_metrics_of_a_call_and_not_a_word_of_it() {
        let collector = Upstream::start([]).await.unwrap();
        collector.playbook().otherwise(|_| Script::status(200));
        let sim = sim().await;
        let otel = format!(
            "observability: {{ otel: {{ endpoint: '{}', service_name: moon, headers: {{ x-key: collector-key }} }} }}",
            collector.base_url()
        );
        let dir = described(&sim, &otel);
        let ran = run(&mut ask(&dir, &["chat", "--quiet", "--model", "fast", "a word of the prompt"]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert!(ran.stdout.contains("You asked"), "{ran:?}");

        let seen = collector.playbook().seen();
        let to = |path: &'static str| {
            seen.iter().filter(move |request| request.uri == path).map(|request| request.body.clone())
        };
        for request in &seen {
            assert_eq!(request.headers["x-key"], "collector-key");
            let body = String::from_utf8_lossy(&request.body);
            assert!(!body.contains("a word of the prompt") && !body.contains("You asked"));
            assert!(!body.contains(KEY) && body.contains("moon"));
        }
        let spans: Vec<String> = to("/v1/traces")
            .map(|body| ExportTraceServiceRequest::decode(body).unwrap())
            .flat_map(|traces| traces.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .map(|span| span.name)
            .collect();
        assert_eq!(spans.iter().filter(|name| *name == "chat gpt-4o-mini").count(), 1, "{spans:?}");
        let metrics: BTreeSet<String> = to("/v1/metrics")
            .map(|body| ExportMetricsServiceRequest::decode(body).unwrap())
            .flat_map(|metrics| metrics.resource_metrics)
            .flat_map(|resource| resource.scope_metrics)
            .flat_map(|scope| scope.metrics)
            .map(|metric| metric.name)
            .collect();
        for name in ["gen_ai.client.token.usage", "gen_ai.client.operation.duration", "infer.client.cost"] {
            assert!(metrics.contains(name), "{name}: {metrics:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_gone_costs_telemetry_and_neither_the_answer_nor_the_exit_code() {
        // Nobody listens on a port that has just been given back.
        let gone = Upstream::start([]).await.unwrap().base_url();
        let sim = sim().await;
        let otel = format!("observability: {{ otel: {{ endpoint: '{gone}', timeout: 300ms }} }}");
        let dir = described(&sim, &otel);
        let ran = run(&mut ask(&dir, &["chat", "--quiet", "--model", "fast", "Hello"]));
        assert!(ran.code == 0 && ran.stdout.contains("You asked"), "{ran:?}");
        assert!(ran.stderr.contains("telemetry was not delivered"), "{ran:?}");
    }
}
