//! What an operator can set about telemetry.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Uri};
use infer_core::InferenceError;
use remote_core::address::extra_headers;
use remote_core::session::Secret;
use serde::Deserialize;

/// Where telemetry goes, and how much of it.
///
/// Prompts and answers are never part of it, and there is no setting that would make them so.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtelConfig {
    /// The collector's base URL; `/v1/traces` and `/v1/metrics` are added. `http://localhost:4318`, where collectors
    /// listen for OTLP over HTTP by default. Telemetry is sent nowhere else: redirects are refused.
    pub endpoint: String,
    /// Headers of every export, such as the key of a hosted collector.
    pub headers: BTreeMap<String, Secret>,
    /// `service.name` of all telemetry. `infer`.
    pub service_name: String,
    /// Further attributes of the process, such as `deployment.environment.name`.
    pub resource: BTreeMap<String, String>,
    /// Whether spans are exported. Yes.
    pub traces: bool,
    /// Whether upstreams are told the trace of a request, as `traceparent` and `tracestate`. Yes: they are random numbers and
    /// what callers added to the trace, and a server of your own can go on with them.
    pub propagate: bool,
    /// Whether metrics are exported. Yes.
    pub metrics: bool,
    /// Which part of the traces is kept, from 0 to 1; what hangs below a span shares its fate. 1: a call of a model is
    /// slow and dear enough to keep them all.
    pub sample_ratio: f64,
    /// How long a span waits for others to be sent with. 5 s.
    #[serde(with = "infer_core::duration")]
    pub span_interval: Duration,
    /// The time from one export of metrics to the next. 60 s, as OpenTelemetry has it.
    #[serde(with = "infer_core::duration")]
    pub metric_interval: Duration,
    /// One export, repetitions included. 10 s.
    #[serde(with = "infer_core::duration")]
    pub timeout: Duration,
    /// How long [`Otel::shutdown`](super::Otel::shutdown) waits for the last export. 5 s: a process that ends must not
    /// hang on its collector.
    #[serde(with = "infer_core::duration")]
    pub shutdown_timeout: Duration,
    /// How many spans may wait; those beyond are lost and counted. 2048, a few megabytes.
    pub max_queued_spans: usize,
}

impl Default for OtelConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://localhost:4318".to_owned(),
            headers: BTreeMap::new(),
            service_name: "infer".to_owned(),
            resource: BTreeMap::new(),
            traces: true,
            propagate: true,
            metrics: true,
            sample_ratio: 1.0,
            span_interval: Duration::from_secs(5),
            metric_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            max_queued_spans: 2048,
        }
    }
}

/// The longest time that can be set; what is longer is a slip of the pen.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The most spans that may wait: room for all of them is made at once.
const MAX_QUEUE: usize = 1 << 20;

impl OtelConfig {
    /// Checks every value and reports all faults at once, by key.
    ///
    /// # Errors
    /// [`InferenceError::Config`].
    pub fn validate(&self) -> Result<(), InferenceError> {
        self.checked().map(|_| ())
    }

    /// What is wrong, each fault beginning with its key.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.collected().err().unwrap_or_default()
    }

    /// The address of the collector and the headers.
    pub(super) fn checked(&self) -> Result<(Uri, HeaderMap), InferenceError> {
        self.collected().map_err(|faults| InferenceError::config(format!("telemetry: {}", faults.join("; "))))
    }

    fn collected(&self) -> Result<(Uri, HeaderMap), Vec<String>> {
        let mut faults = Vec::new();
        let endpoint = base(&self.endpoint).map_err(|why| {
            faults.push(format!("endpoint: {why}: write it like http://localhost:4318"));
        });
        let headers = extra_headers(&self.headers, &mut faults);
        if self.service_name.trim().is_empty() {
            faults.push("service_name: must not be empty".to_owned());
        }
        if self.resource.keys().any(String::is_empty) {
            faults.push("resource: an attribute has no name".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            faults.push(format!("sample_ratio: must be from 0 to 1, got {}", self.sample_ratio));
        }
        for (key, time) in [
            ("span_interval", self.span_interval),
            ("metric_interval", self.metric_interval),
            ("timeout", self.timeout),
            ("shutdown_timeout", self.shutdown_timeout),
        ] {
            if time.is_zero() || time > MAX_TIME {
                faults.push(format!("{key}: must be above 0s and at most 1day, got {time:?}"));
            }
        }
        if !(1..=MAX_QUEUE).contains(&self.max_queued_spans) {
            let got = self.max_queued_spans;
            faults.push(format!("max_queued_spans: must be from 1 to {MAX_QUEUE}, got {got}"));
        }
        match endpoint {
            Ok(endpoint) if faults.is_empty() => Ok((endpoint, headers)),
            _ => Err(faults),
        }
    }
}

/// A base URL; why it is none is said without it, since a wrong one may hold a key.
fn base(text: &str) -> Result<Uri, &'static str> {
    let text = text.trim().trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| "is no URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("must begin with http:// or https://");
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@') || authority.host().is_empty())
    {
        return Err("must have a host and no user name: keys go into headers");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("must not hold a query or fragment: keys go into headers");
    }
    if uri.path().ends_with("/v1/traces") || uri.path().ends_with("/v1/metrics") {
        return Err("must be the base, without /v1/traces or /v1/metrics");
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<OtelConfig, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn nothing_need_be_set_and_unknown_keys_are_refused() {
        assert_eq!(read(serde_json::json!({})).unwrap(), OtelConfig::default());
        OtelConfig::default().validate().unwrap();
        // No setting exports prompts, so asking for it must not pass in silence.
        for key in ["capture_content", "endpiont"] {
            let error = read(serde_json::json!({ key: true })).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
        let read = read(serde_json::json!({ "timeout": "2s", "sample_ratio": 0.25 })).unwrap();
        assert_eq!((read.timeout, read.sample_ratio), (Duration::from_secs(2), 0.25));
    }

    #[test]
    fn every_fault_is_named_at_once_and_no_secret_is() {
        let config = OtelConfig {
            endpoint: "http://user:sk-hidden@host".to_owned(),
            headers: [("bad name".to_owned(), Secret::from("sk-hidden"))].into(),
            service_name: " ".to_owned(),
            resource: [(String::new(), "x".to_owned())].into(),
            sample_ratio: f64::NAN,
            span_interval: Duration::ZERO,
            metric_interval: Duration::MAX,
            timeout: Duration::ZERO,
            shutdown_timeout: Duration::ZERO,
            max_queued_spans: 0,
            ..OtelConfig::default()
        };
        let error = config.validate().unwrap_err().to_string();
        for key in [
            "endpoint",
            "bad name",
            "service_name",
            "resource",
            "sample_ratio",
            "span_interval",
            "metric_interval",
            "timeout",
            "shutdown_timeout",
            "max_queued_spans",
        ] {
            assert!(error.contains(key), "{key}: {error}");
        }
        assert!(!error.contains("sk-hidden") && !error.contains('\n'), "{error}");
        assert!(!format!("{:?}", config.headers).contains("sk-hidden"));
    }

    #[test]
    fn an_endpoint_is_a_base_url() {
        for (good, expect) in [
            ("http://localhost:4318", "http://localhost:4318/"),
            (" https://otel.example/otlp/ ", "https://otel.example/otlp"),
        ] {
            assert_eq!(base(good).unwrap(), expect, "{good}");
        }
        for bad in [
            "",
            "localhost:4318",
            "ftp://host",
            "http://",
            "https://host/?key=sk",
            "https://host/#a",
            "http://host/v1/traces",
        ] {
            base(bad).unwrap_err();
        }
    }
}
