//! Traces go on from the client to the upstream. It is one test, since what `tracing` remembers of each place in the code is one
//! for the whole process.
#![cfg(feature = "otel")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Scene, Setting};
use inference::otel::{self, OtelConfig};
use tracing_subscriber::prelude::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The headers of the last request that the upstream saw: the parts of its `traceparent`, and its `tracestate`.
fn seen(scene: &Scene) -> (Vec<String>, Option<String>) {
    let requests = scene.sims[0].requests();
    let last = requests.last().unwrap();
    let parent = last.header("traceparent").unwrap_or_default();
    (parent.split('-').map(str::to_owned).collect(), last.header("tracestate").map(str::to_owned))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|byte| byte != b'0')
}

const CALLS: [(&str, &str); 5] = [
    ("/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#),
    ("/v1/chat/completions", r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#),
    ("/v1/messages", r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#),
    ("/v1/embeddings", r#"{"model":"e","input":"hi"}"#),
    ("/v1/responses", r#"{"model":"m","input":"hi"}"#),
];

#[tokio::test]
async fn an_upstream_is_told_the_clients_trace_with_a_parent_of_ours_and_nothing_that_is_not_well_formed() {
    // Nobody takes what is exported, which is no matter here.
    let config = OtelConfig { endpoint: "http://127.0.0.1:9".to_owned(), ..OtelConfig::default() };
    let telemetry = otel::start(&config).unwrap();
    let _inside = tracing::subscriber::set_default(tracing_subscriber::registry().with(telemetry.layer()));
    let scene = Setting { sinks: vec![telemetry.sink()], ..Setting::default() }.start().await;
    let mut parents = Vec::new();
    for (path, body) in CALLS {
        let asked = scene.post(path, body).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
        let response = asked.header("tracestate", "congo=t61rcWkgMzE").send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap();
        let (parent, state) = seen(&scene);
        let [version, trace, span, flags] = &parent[..] else { unreachable!("{path}: {parent:?}") };
        assert_eq!((&**version, &**trace, &**flags), ("00", TRACE, "01"), "{path}");
        assert!(is_hex(span, 16) && span != PARENT, "{path}: {span}");
        assert_eq!(state.as_deref(), Some("congo=t61rcWkgMzE"), "{path}");
        assert!(!parents.contains(span), "{path}: each call is a span of its own");
        parents.push(span.clone());

        // Whoever keeps the trace is told by the client.
        let asked = scene.post(path, body).header("traceparent", format!("00-{TRACE}-{PARENT}-00"));
        asked.send().await.unwrap().bytes().await.unwrap();
        assert_eq!(seen(&scene).0[3], "00", "{path}");
    }
    let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
    let shouted = format!("00-{}-{PARENT}-01", TRACE.to_uppercase());
    for wrong in ["nonsense", &zeros, &shouted, &format!("ff-{TRACE}-{PARENT}-01"), &format!("00-{TRACE}-01")]
    {
        let asked = scene.post(CALLS[4].0, CALLS[4].1).header("traceparent", wrong);
        asked.header("tracestate", "congo=t61rcWkgMzE").send().await.unwrap().bytes().await.unwrap();
        let (parent, state) = seen(&scene);
        assert!(parent.len() == 4 && is_hex(&parent[1], 32) && parent[1] != TRACE, "{wrong}: {parent:?}");
        assert!(is_hex(&parent[2], 16), "{wrong}: {parent:?}");
        assert_eq!(state, None, "{wrong}: what came without a trace is nobody's");
    }

    // Kept here, where that is wanted, and where nothing is exported.
    let quiet = otel::start(&OtelConfig { propagate: false, ..config.clone() }).unwrap();
    let apart = otel::start(&OtelConfig { traces: false, ..config }).unwrap();
    for sinks in [vec![quiet.sink()], vec![apart.sink()], Vec::new()] {
        let scene = Setting { sinks, ..Setting::default() }.start().await;
        for (path, body) in CALLS {
            let asked = scene.post(path, body).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
            asked.header("tracestate", "congo=t61rcWkgMzE").send().await.unwrap().bytes().await.unwrap();
            assert_eq!(seen(&scene), (vec![String::new()], None), "{path}");
        }
    }
}
