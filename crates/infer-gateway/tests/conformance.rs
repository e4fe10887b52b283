//! A client of ours behind a gateway of ours does what every provider must: nothing is lost on the way through.
//!
//! The runner asks a gateway, and the gateway's only provider is the scripted upstream. The gateway asks once, so that every
//! attempt of the runner is one request there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use infer_core::{InferenceError, Rates};
use infer_gateway::{Gateway, GatewayConfig};
use inference::Inference;
use inference::config::{Format, Source};
use remote_core::ProviderConfig as _;
use remote_testkit::{ChatWire, FIRST_KEY, Parts, conformance_suite};
use runtime_openai::OpenAiConfig;
use runtime_openai::config::SecretRef;

const MODEL: &str = "gpt-4o-mini";

fn rates() -> Rates {
    Rates { cached_input_per_mtok_usd: Some(0.075), ..Rates::new(0.15, 0.60) }
}

/// Starts a gateway in front of `upstream` and gives its address once it answers.
///
/// It has a thread and a runtime of its own: scenarios have short times, which its start must not use up.
fn gateway(upstream: &str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let yaml = format!(
        "providers:
  upstream:
    type: openai
    base_url: {upstream}/v1
    api_key: {FIRST_KEY}
    retry: {{ attempts: 1 }}
    circuit_breaker: {{ enabled: false }}
routes: {{ any: {{ targets: [{{ provider: upstream }}] }}, \"*\": {{ targets: [{{ provider: upstream }}] }} }}
default_route: any
"
    );
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let inference =
                Inference::builder().with_source(Source::text(yaml, Format::Yaml)).build().await.unwrap();
            // An upstream that begins and stalls: the runner's own time for that counts from the head on.
            let config = GatewayConfig { early_head: Duration::from_millis(500), ..GatewayConfig::default() };
            let gateway = Gateway::builder(inference, config).with_listener(listener);
            let gateway = gateway.bind().await.unwrap();
            ready.send(()).unwrap();
            gateway.serve(std::future::pending()).await.unwrap();
        });
    });
    is_ready.recv().unwrap();
    address
}

fn runner(parts: Parts) -> Result<impl infer_core::ModelRunner, InferenceError> {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::None);
    config.endpoint = format!("http://{}/v1", gateway(&parts.base_url));
    config.price_overrides.insert(MODEL.to_owned(), rates());
    let provider = config.into_provider("openai")?;
    parts.runner(provider)
}

conformance_suite! {
    over: socket,
    model: MODEL,
    rates: rates(),
    wire: ChatWire::new("gpt-4o-mini-2024-07-18"),
    runner: runner,
    skip: {
        "empty choices": "the gateway reads an answer itself, and reports one without choices as a 502",
        "400 not retried": "x-request-id is the gateway's name for the call, not the upstream's",
        "redirect refused": "the gateway refuses it itself and answers 502, so no client sees a redirect",
        "body cap": "events without content are held back by the gateway, so a flood of them does not reach a client",
        "401 rotates": "the upstream's key is the gateway's own: a caller's is never passed on, and the answer is a 500",
        "in-flight keeps the old key": "the upstream's key is the gateway's own: a caller's is never passed on",
        "malformed event": "the gateway reads events itself, and reports one it cannot read by an error event",
        "models": "the gateway lists its own names: routes, and models with their provider in front",
        "health": "the gateway's list of models is its own, whether or not an upstream is well",
        "relay": "x-request-id is the gateway's name for the call, not the upstream's",
        "relay retried": "the upstream's key is the gateway's own, so its refusal is a 500 and no reason to rotate",
        "relay cut": "the gateway adds an error event to a stream that was cut, since a client cannot see the cut",
    },
}
