//! Telemetry over a socket, decoded as a collector decodes it. One test has a subscriber: what `tracing` remembers of
//! each place in the code is one for the whole process.
#![cfg(all(feature = "otel", feature = "openai"))]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inference::core::{ErrorKind, ExecuteBatch, ModelRunner as _, Rates, Usage};
use inference::openai::OpenAiConfig;
use inference::otel::{self, Otel, OtelConfig, ShutdownError};
use inference::remote::meter::{EventSink, Fanout};
use inference::remote::session::{RemoteSessionActor, Secret, SecretRef};
use inference::remote::{ProviderConfig as _, RemoteConfig, RemoteProvider, RemoteRunner};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use prost::Message as _;
use remote_testkit::{ChatWire, Script, Upstream, Wire as _};
use tracing::Instrument as _;
use tracing_subscriber::prelude::*;

const KEY: &str = "sk-never-exported";
const COLLECTOR_KEY: &str = "collector-key-1";
const PROMPT: &str = "a prompt about the moon";
const ANSWER: &str = "an answer about cheese";

fn config(endpoint: &str) -> OtelConfig {
    OtelConfig {
        endpoint: endpoint.to_owned(),
        headers: [("x-key".to_owned(), Secret::from(COLLECTOR_KEY))].into(),
        service_name: "moon".to_owned(),
        shutdown_timeout: Duration::from_secs(30),
        ..OtelConfig::default()
    }
}

/// A collector that takes everything.
async fn collector() -> Upstream {
    let collector = Upstream::start([]).await.unwrap();
    collector.playbook().otherwise(|_| Script::status(200));
    collector
}

async fn runner(upstream: &Upstream, otel: &Otel) -> RemoteRunner<impl RemoteProvider> {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    config.endpoint = format!("{}/v1", upstream.base_url());
    config.price_overrides.insert("gpt-4o".to_owned(), Rates::new(2.5, 10.0));
    let session = RemoteSessionActor::bootstrap(SecretRef::inline(KEY)).await.unwrap();
    let mut remote = RemoteConfig::default();
    remote.retry.attempts = 1;
    RemoteRunner::builder(config.into_provider("eu").unwrap(), session)
        .with_config(remote)
        .with_sink(Arc::new(Fanout(vec![Arc::new(EventSink), otel.sink()])))
        .build()
        .unwrap()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

/// Every metric's points as attributes and value: the sum of a histogram, the count of a sum.
fn points(metric: &Metric) -> Vec<(BTreeMap<String, String>, f64)> {
    match metric.data.as_ref().unwrap() {
        Data::Histogram(histogram) => {
            histogram.data_points.iter().map(|point| (texts(&point.attributes), point.sum.unwrap())).collect()
        }
        Data::Sum(sum) => {
            let value = |value: &Option<number_data_point::Value>| match value {
                Some(number_data_point::Value::AsDouble(value)) => *value,
                Some(number_data_point::Value::AsInt(value)) => *value as f64,
                other => unreachable!("{other:?}"),
            };
            sum.data_points.iter().map(|point| (texts(&point.attributes), value(&point.value))).collect()
        }
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_becomes_a_span_and_metrics_and_neither_has_a_word_of_it() {
    let collector = collector().await;
    let wire = ChatWire::new("gpt-4o-2024-08-06");
    let refused = wire.refusal(ErrorKind::InvalidRequest, "no");
    let whole = Script::json(wire.whole(ANSWER, Usage::new(100, 3)));
    let upstream = Upstream::start([whole, refused]).await.unwrap();
    let otel = otel::start(&config(&collector.base_url())).unwrap();
    let runner = runner(&upstream, &otel).await;
    let subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(otel.layer()));

    let batch = || ExecuteBatch::new("gpt-4o", PROMPT);
    let answer = async { runner.execute(batch()).await.unwrap().collect().await.unwrap() };
    assert_eq!(answer.instrument(tracing::info_span!("request")).await.text(), ANSWER);
    runner.execute(batch()).await.unwrap_err();
    drop(runner);
    otel.shutdown().await.unwrap();
    drop(subscriber);

    let seen = collector.playbook().seen();
    for request in &seen {
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.headers["x-key"], COLLECTOR_KEY);
        let body = String::from_utf8_lossy(&request.body);
        for word in [PROMPT, ANSWER, KEY, COLLECTOR_KEY] {
            assert!(!body.contains(word), "{word}");
        }
    }
    let to = |path: &'static str| {
        seen.iter().filter(move |request| request.uri == path).map(|request| request.body.clone())
    };

    let traces: Vec<_> =
        to("/v1/traces").map(|body| ExportTraceServiceRequest::decode(body).unwrap()).collect();
    let resource = traces[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(texts(&resource.attributes)["service.name"], "moon");
    let spans: Vec<_> = traces
        .iter()
        .flat_map(|traces| &traces.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    let request = spans.iter().find(|span| span.name == "request").unwrap();
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "chat gpt-4o").collect();
    assert_eq!((spans.len(), calls.len()), (3, 2), "the exports themselves are no spans");
    let (well, failed) = (calls[0], calls[1]);
    assert_eq!(well.parent_span_id, request.span_id);
    for (call, asked) in calls.iter().zip(upstream.playbook().seen()) {
        let trace = u128::from_be_bytes(call.trace_id.clone().try_into().unwrap());
        let span = u64::from_be_bytes(call.span_id.clone().try_into().unwrap());
        let span = format!("00-{trace:032x}-{span:016x}-01");
        assert_eq!(asked.headers["traceparent"], span, "the upstream goes on where the call stands");
    }
    let told = texts(&well.attributes);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4o"),
        ("gen_ai.response.model", "gpt-4o-2024-08-06"),
        ("gen_ai.usage.input_tokens", "Some(IntValue(100))"),
        ("gen_ai.usage.output_tokens", "Some(IntValue(3))"),
        ("http.response.status_code", "Some(IntValue(200))"),
        ("infer.provider", "eu"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(told["gen_ai.response.finish_reasons"].starts_with("Some(ArrayValue"), "{told:?}");
    assert_eq!(texts(&failed.attributes)["error.type"], "invalid_request");
    assert_eq!(failed.status.as_ref().unwrap().code, 2, "an error");

    let metrics: Vec<_> =
        to("/v1/metrics").map(|body| ExportMetricsServiceRequest::decode(body).unwrap()).collect();
    assert_eq!(metrics.len(), 1, "one export, at the end");
    let metrics: BTreeMap<_, _> = metrics[0].resource_metrics[0]
        .scope_metrics
        .iter()
        .flat_map(|scope| &scope.metrics)
        .map(|metric| (metric.name.as_str(), points(metric)))
        .collect();
    let tokens: BTreeMap<_, _> = metrics["gen_ai.client.token.usage"]
        .iter()
        .map(|(labels, sum)| (labels["gen_ai.token.type"].as_str(), *sum))
        .collect();
    assert_eq!(tokens, BTreeMap::from([("input", 100.0), ("output", 3.0)]));
    let (labels, spend) = &metrics["infer.client.cost"][0];
    assert!((spend - 0.00028).abs() < 1e-12, "{spend}");
    assert_eq!(labels["gen_ai.request.model"], "gpt-4o");
    let mut ends: Vec<_> = metrics["gen_ai.client.operation.duration"]
        .iter()
        .map(|(labels, _)| (labels["infer.outcome"].as_str(), labels.get("error.type").map(String::as_str)))
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, [("completed", None), ("failed", Some("invalid_request"))]);
    assert_eq!(metrics["infer.client.unpriced_calls"][0].0["infer.unpriced"], "failed");
    assert!(!metrics.contains_key("gen_ai.client.operation.time_to_first_chunk"), "nothing was streamed");
}

#[tokio::test]
async fn a_streamed_call_has_a_time_to_its_first_chunk() {
    let collector = collector().await;
    let wire = ChatWire::new("gpt-4o");
    let events = Script::events(wire.stream(&["a", "b"], Usage::new(1, 2)));
    let upstream = Upstream::start([events]).await.unwrap();
    let otel = otel::start(&OtelConfig { traces: false, ..config(&collector.base_url()) }).unwrap();
    let runner = runner(&upstream, &otel).await;
    runner.execute(ExecuteBatch::new("gpt-4o", PROMPT).streaming()).await.unwrap().collect().await.unwrap();
    otel.shutdown().await.unwrap();
    let seen = collector.playbook().seen();
    assert_eq!(seen.len(), 1, "no traces");
    let name = b"gen_ai.client.operation.time_to_first_chunk";
    assert!(seen[0].body.windows(name.len()).any(|window| window == name));
}

#[tokio::test]
async fn with_the_collector_gone_calls_go_on_and_the_end_comes() {
    // Nobody listens on a port that has just been given back.
    let endpoint = Upstream::start([]).await.unwrap().base_url();
    let wire = ChatWire::new("gpt-4o");
    let upstream = Upstream::start([Script::json(wire.whole(ANSWER, Usage::new(1, 1)))]).await.unwrap();
    let gone = OtelConfig { timeout: Duration::from_millis(200), ..config(&endpoint) };
    let otel = otel::start(&gone).unwrap();
    let runner = runner(&upstream, &otel).await;
    let batch = ExecuteBatch::new("gpt-4o", PROMPT);
    assert_eq!(runner.execute(batch).await.unwrap().collect().await.unwrap().text(), ANSWER);
    assert_eq!(otel.shutdown().await, Err(ShutdownError::Undelivered { lost: 0 }));
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let collector = Upstream::start([]).await.unwrap();
    collector.playbook().otherwise(|_| Script::silence());
    let upstream = Upstream::start([Script::status(400)]).await.unwrap();
    for is_dropped in [false, true] {
        let limit = Duration::from_millis(100);
        let hangs = OtelConfig { shutdown_timeout: limit, ..config(&collector.base_url()) };
        let otel = otel::start(&hangs).unwrap();
        let runner = runner(&upstream, &otel).await;
        runner.execute(ExecuteBatch::new("gpt-4o", PROMPT)).await.unwrap_err();
        let begin = Instant::now();
        if is_dropped {
            drop(otel);
        } else {
            assert_eq!(otel.shutdown().await, Err(ShutdownError::Late(limit)));
        }
        assert!(begin.elapsed() < Duration::from_secs(3), "the exporter alone would wait for 10 s");
    }
}

#[test]
fn without_a_runtime_it_says_so() {
    let error = otel::start(&OtelConfig::default()).unwrap_err().to_string();
    assert!(error.contains("Tokio runtime"), "{error}");
}
