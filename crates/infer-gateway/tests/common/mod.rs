//! A gateway in front of the simulator, on real sockets.

#![expect(clippy::unwrap_used, reason = "a test")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::format_push_string,
    reason = "each test file uses its part"
)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use infer_gateway::{Gateway, GatewayConfig, Metrics, Observer, Seen};
use infer_store::Clock;
use infer_store::keys::KeyBook;
use inference::config::{Format, Source};
use inference::remote::meter::{Fanout, MetricsSink};
use inference::{Inference, InferenceBuilder};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use upstream_sim::{Sim, SimBuilder};

/// Requests that are over, in the order of their ends.
#[derive(Debug, Default)]
pub struct Log {
    seen: Mutex<Vec<Seen>>,
    more: Notify,
}

impl Observer for Log {
    fn ended(&self, seen: &Seen) {
        self.seen.lock().unwrap().push(seen.clone());
        self.more.notify_waiters();
    }
}

impl Log {
    /// Waits until so many requests are over.
    pub async fn ended(&self, count: usize) -> Vec<Seen> {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let seen = self.seen.lock().unwrap().clone();
            if seen.len() >= count {
                return seen;
            }
            more.await;
        }
    }
}

/// A gateway, whoever stands behind it, and a client.
pub struct Scene {
    pub sims: Vec<Sim>,
    pub url: String,
    pub inference: Inference,
    pub log: Arc<Log>,
    pub http: reqwest::Client,
    pub directory: Option<tempfile::TempDir>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

/// The admin key of [`Setting::operated`].
pub const ADMIN: &str = "0123456789abcdef-admin";

/// What is unlike the usual.
#[derive(Default)]
pub struct Setting {
    /// The simulators, `a`, `b` and so on; one when empty.
    pub sims: Vec<SimBuilder>,
    /// More of `llm.yaml`; `routes` too, else every model goes to `a`.
    pub yaml: String,
    /// Whether there is a directory, which keeps keys, calls and the configuration as a file.
    pub data: bool,
    /// Settings of each provider, such as `retry: { attempts: 1 }`.
    pub provider: String,
    /// More settings of the first provider alone.
    pub first: String,
    /// Who is told of upstreams' calls beside the metrics.
    pub sinks: Vec<Arc<dyn MetricsSink>>,
}

impl Setting {
    pub fn yaml(yaml: &str) -> Self {
        Self { yaml: yaml.to_owned(), ..Self::default() }
    }

    /// One with a directory and an admin key; `yaml` may have no `gateway` of its own.
    pub fn operated(yaml: &str) -> Self {
        let yaml = format!("gateway: {{ admin_key: {ADMIN} }}\n{yaml}");
        Self { yaml, data: true, ..Self::default() }
    }

    pub async fn start(self) -> Scene {
        let Self { sims: builders, yaml, data, provider, first, sinks } = self;
        let builders = if builders.is_empty() { vec![Sim::builder()] } else { builders };
        let mut sims = Vec::new();
        for builder in builders {
            sims.push(builder.start().await.unwrap());
        }
        let mut text = String::from("providers:\n");
        for (name, sim) in ('a'..='z').zip(&sims) {
            let more = if provider.is_empty() { "retry: { attempts: 1 }" } else { &provider };
            let own = if name == 'a' && !first.is_empty() { format!(", {first}") } else { String::new() };
            let url = sim.base_url();
            writeln!(text, "  {name}: {{ type: openai, base_url: {url:?}, {more}{own} }}").unwrap();
        }
        if !yaml.contains("routes:") {
            text += "routes: { \"*\": { targets: [{ provider: a }] } }\n";
        }
        text += &yaml;
        let builder =
            infer_gateway::sections().into_iter().fold(Inference::builder(), InferenceBuilder::with_section);
        let metrics = Metrics::new();
        let told: Arc<dyn MetricsSink> = metrics.clone();
        let builder = builder.with_sink(Arc::new(Fanout([told].into_iter().chain(sinks).collect())));
        let directory = data.then(|| tempfile::tempdir().unwrap());
        let builder = match &directory {
            None => builder.with_source(Source::text(text, Format::Yaml)),
            Some(directory) => {
                std::fs::write(directory.path().join("llm.yaml"), text).unwrap();
                builder.with_data(directory.path().join("data")).with_file(directory.path().join("llm.yaml"))
            }
        };
        let inference = builder.build().await.unwrap();
        let (settings, keys) = infer_gateway::settings(&inference.config());
        let mut settings = GatewayConfig::clone(&settings);
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let keys = match &directory {
            None => KeyBook::fixed(&keys, Clock::system()).unwrap(),
            Some(directory) => KeyBook::open(directory.path(), &keys, Clock::system()).unwrap(),
        };
        let log = Arc::new(Log::default());
        let gateway = Gateway::builder(inference.clone(), settings)
            .with_keys(keys)
            .with_observer(log.clone())
            .with_metrics(metrics)
            .bind()
            .await
            .unwrap();
        let url = gateway.to_string();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move { gateway.serve(stopped.map(drop)).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Scene { sims, url, inference, log, http, directory, stop: Some(stop), served }
    }
}

impl Scene {
    pub async fn new() -> Self {
        Setting::default().start().await
    }

    /// A chat request for `model`.
    pub fn chat(&self, model: &str, stream: bool) -> reqwest::RequestBuilder {
        let body = serde_json::json!({
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": "Say hello"}],
        });
        self.post("/v1/chat/completions", &body.to_string())
    }

    pub fn post(&self, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).body(body.to_owned())
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// As an operator.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.http
            .request(method, format!("{}/admin{path}", self.url))
            .bearer_auth(ADMIN)
            .body(body.to_owned())
    }

    /// Changes the configuration's file, without a word to anybody.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.directory.as_ref().unwrap().path().join("llm.yaml");
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Asks it to stop, without waiting.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    /// Until it has stopped.
    pub async fn stopped(self) {
        self.served.await.unwrap();
    }
}

/// Status, headers and JSON of an answer.
pub async fn json(request: reqwest::RequestBuilder) -> (u16, reqwest::header::HeaderMap, serde_json::Value) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
    (status, headers, json)
}

/// The data of every event of a stream.
pub async fn events(request: reqwest::RequestBuilder) -> (u16, Vec<String>) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect())
}
