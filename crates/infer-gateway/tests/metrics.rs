//! What is told to Prometheus: true numbers, under names that are documented, in a number of series that nobody can raise.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Scene, Setting, events, json};
use infer_gateway::Metrics;
use upstream_sim::Sim;

impl Scene {
    async fn metrics(&self) -> String {
        let response = self.get("/metrics").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text")
        );
        response.text().await.unwrap()
    }
}

/// The sum over the series called `name` that have all of these labels.
fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let mut found = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (this, set) = series.split_once('{').unwrap_or((series, ""));
        (this == name && labels.iter().all(|label| set.contains(label)))
            .then(|| value.parse::<f64>().unwrap())
    });
    let first = found.next().unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"));
    first + found.sum::<f64>()
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn answers_tokens_and_costs_are_counted_once() {
    let scene = Scene::new().await;
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
    json(scene.post("/v1/chat/completions", body)).await;
    events(scene.chat("gpt-4o-mini", true)).await;
    json(scene.post("/v1/chat/completions", "{")).await;
    let seen = scene.log.ended(3).await;
    let text = scene.metrics().await;
    assert!(text.ends_with("# EOF\n"));
    let answered = [r#"endpoint="chat""#, r#"status="2xx""#, r#"ending="answered""#, r#"error="""#];
    assert_eq!(sum(&text, "infer_requests_total", &answered), 2.0);
    assert_eq!(sum(&text, "infer_requests_total", &[r#"status="4xx""#, r#"error="invalid_request""#]), 1.0);
    assert_eq!(sum(&text, "infer_requests_in_flight", &[]), 0.0);
    assert_eq!(sum(&text, "infer_request_duration_seconds_count", &[]), 3.0);
    assert_eq!(sum(&text, "infer_time_to_first_token_seconds_count", &[]), 1.0);
    assert_eq!(sum(&text, "infer_attempts_total", &[r#"provider="a""#, r#"outcome="completed""#]), 2.0);
    let tokens: u64 = seen.iter().filter_map(|seen| seen.usage).map(|usage| usage.input_tokens).sum();
    assert!(tokens > 0);
    assert_eq!(sum(&text, "infer_tokens_total", &[r#"kind="input""#]), tokens as f64);
    let gaps: u64 = seen.iter().map(|seen| seen.silences.count()).sum();
    assert_eq!(sum(&text, "infer_chunk_gap_seconds_count", &[]), gaps as f64);
    assert_eq!(sum(&text, "infer_chunk_gap_seconds_bucket", &[r#"le="+Inf""#]), gaps as f64);
    let (overhead, duration) = ("infer_overhead_seconds_sum", "infer_request_duration_seconds_sum");
    assert!(sum(&text, overhead, &[]) <= sum(&text, duration, &[]));
}

#[tokio::test]
async fn models_that_clients_made_up_add_no_series() {
    let scene = Setting::yaml("keys: [{ name: team, secret: 0123456789abcdef, admin: true }]").start().await;
    let ask = async |model: String| {
        let body = format!(r#"{{"model":{model:?},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        let request = scene.post("/v1/chat/completions", &body).bearer_auth("0123456789abcdef");
        let response = request.send().await.unwrap();
        response.bytes().await.unwrap();
    };
    let scrape = async || {
        let request = scene.get("/metrics").bearer_auth("0123456789abcdef");
        request.send().await.unwrap().text().await.unwrap()
    };
    // Answered, not found and failed: each with a name of its own.
    ask("made-up".to_owned()).await;
    ask("sim-error-500".to_owned()).await;
    let before = scrape().await;
    assert_eq!(sum(&before, "infer_attempts_total", &[r#"model="other""#]), 2.0);
    let many = (0..200).map(|nth| ask(format!("made-up-{nth}")));
    let mut many = futures_util::stream::iter(many);
    let mut running = futures_util::stream::FuturesUnordered::new();
    loop {
        use futures_util::StreamExt as _;
        while running.len() < 64 {
            let Some(next) = many.next().await else { break };
            running.push(next);
        }
        if running.next().await.is_none() {
            break;
        }
    }
    drop(running);
    let after = scrape().await;
    assert_eq!(sum(&after, "infer_attempts_total", &[r#"model="other""#]), 202.0);
    assert!(!after.contains("made-up"), "{after}");
    assert_eq!(series(&after), series(&before));
}

#[tokio::test]
async fn a_model_of_the_configuration_has_its_own_series_whatever_the_upstream_calls_it() {
    let scene = Setting::yaml("routes: { fast: { targets: [{ provider: a, model: mine }] } }").start().await;
    json(scene.chat("fast", false)).await;
    let text = scene.metrics().await;
    assert_eq!(sum(&text, "infer_attempts_total", &[r#"model="mine""#, r#"outcome="completed""#]), 1.0);
    assert_eq!(sum(&text, "infer_target_calls_total", &[r#"provider="a""#, r#"model="mine""#]), 1.0);
    assert_eq!(sum(&text, "infer_unpriced_calls_total", &[r#"reason="no_price_for_model""#]), 1.0);
    assert_eq!(sum(&text, "infer_spend_capture_ratio", &[]), 0.0);
}

#[tokio::test]
async fn failovers_retries_and_an_open_breaker_are_told_with_their_reasons() {
    let mut setting = Setting::yaml(
        "routes: { fast: { targets: [{ provider: a, model: sim-error-500 }, { provider: b, model: m, priority: 2 }] } }",
    );
    setting.sims = vec![Sim::builder(), Sim::builder()];
    setting.provider =
        "retry: { attempts: 2, base: 1ms }, circuit_breaker: { consecutive_failures: 2, open: 10m, open_max: 10m }"
            .to_owned();
    let scene = setting.start().await;
    json(scene.chat("fast", false)).await;
    let text = scene.metrics().await;
    assert_eq!(sum(&text, "infer_failovers_total", &[r#"provider="a""#, r#"reason="upstream""#]), 1.0);
    assert_eq!(sum(&text, "infer_retries_total", &[r#"provider="a""#, r#"reason="upstream""#]), 1.0);
    assert_eq!(sum(&text, "infer_upstream_errors_total", &[r#"provider="a""#, r#"kind="upstream""#]), 2.0);
    assert_eq!(sum(&text, "infer_breaker_state", &[r#"provider="a""#, r#"operation="chat""#]), 2.0);
    assert_eq!(sum(&text, "infer_breaker_transitions_total", &[r#"provider="a""#, r#"to="open""#]), 1.0);
    assert!(sum(&text, "infer_provider_ready_in_seconds", &[r#"provider="a""#]) > 0.0);
    assert_eq!(sum(&text, "infer_provider_ready_in_seconds", &[r#"provider="b""#]), 0.0);
}

#[tokio::test]
async fn what_an_upstream_takes_is_no_overhead_of_ours() {
    let setting =
        Setting { sims: vec![Sim::builder().latency(Duration::from_millis(400))], ..Setting::default() };
    let scene = setting.start().await;
    json(scene.chat("m", false)).await;
    events(scene.chat("m", true)).await;
    json(scene.chat("sim-error-500", false)).await;
    for seen in scene.log.ended(3).await {
        assert!(seen.total >= Duration::from_millis(400), "{seen:?}");
        assert!(seen.overhead + Duration::from_millis(300) < seen.total, "{seen:?}");
        assert!(!seen.overhead.is_zero(), "{seen:?}");
    }
}

#[tokio::test]
async fn a_request_that_asked_no_upstream_is_all_overhead() {
    let scene = Scene::new().await;
    json(scene.post("/v1/chat/completions", "{")).await;
    let seen = &scene.log.ended(1).await[0];
    assert_eq!(seen.overhead, seen.total);
}

#[tokio::test]
async fn the_cache_budgets_and_the_key_are_told() {
    let scene = Setting::yaml(
        "cache: { ttl: 1h }\nbudgets: { limits: [{ name: all, every: month, usd: 100.0 }] }\n\
         keys: [{ name: team, secret: 0123456789abcdef, admin: true }]\n\
         routes: { gpt-4o-mini: { targets: [{ provider: a }] } }",
    )
    .start()
    .await;
    let body = r#"{"model":"gpt-4o-mini","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#;
    let ask = || scene.post("/v1/chat/completions", body).bearer_auth("0123456789abcdef");
    for request in [ask(), ask(), ask().header("x-infer-cache", "off")] {
        json(request).await;
    }
    let text =
        scene.get("/metrics").bearer_auth("0123456789abcdef").send().await.unwrap().text().await.unwrap();
    for outcome in ["hit", "miss", "skipped"] {
        assert_eq!(
            sum(&text, "infer_cache_requests_total", &[&format!("outcome={outcome:?}")]),
            1.0,
            "{outcome}"
        );
    }
    assert_eq!(sum(&text, "infer_budget_limit_usd", &[r#"budget="all""#]), 100.0);
    let (status, _, _) = json(scene.get("/metrics")).await;
    assert_eq!(status, 401, "it tells what keys spend, so it wants one");
}

/// The names in the first column of the tables of docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let names: BTreeSet<String> = Metrics::new().names().iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, documented());
}

#[tokio::test]
async fn what_is_served_has_no_name_that_is_not_listed_and_keeps_prometheus_conventions() {
    let scene = Setting::yaml("cache: { ttl: 1h }").start().await;
    json(scene.chat("m", false)).await;
    let text = scene.metrics().await;
    let metrics = Metrics::new();
    let mut served = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(metrics.names().contains(&name.as_str()), "{name} is not in the list");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        served += 1;
    }
    assert!(served > 25, "{text}");
}
