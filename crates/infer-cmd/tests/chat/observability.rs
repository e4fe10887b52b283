//! What `infer serve` tells of its work: lines, metrics, and traces in builds that export them.
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::running::{Running, sim};

/// A server of this configuration, and where it listens.
fn serve(directory: &tempfile::TempDir, yaml: &str) -> (Running, String) {
    let file = directory.path().join("llm.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut running =
        Running::start(&["serve", "--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"], None);
    let address = running.read_until("\n").trim().trim_start_matches("http://").to_owned();
    (running, address)
}

/// Sends one request and returns the whole response.
fn exchange(address: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

const ASK: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"a secret question"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_writes_a_line_of_json_for_every_request_and_counts_it() {
    let sim = sim().await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "providers: {{ up: {{ type: openai, base_url: {:?} }} }}\nobservability: {{ log: {{ format: json }} }}\n\
         routes: {{ gpt-4o-mini: {{ targets: [{{ provider: up }}] }} }}\n",
        sim.base_url()
    );
    let (running, address) = serve(&directory, &yaml);
    let answer = exchange(&address, "POST /v1/chat/completions HTTP/1.1\r\nx-request-id: mine-1", ASK);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let metrics = exchange(&address, "GET /metrics HTTP/1.1", "");
    let counted = r#"infer_attempts_total{provider="up",model="gpt-4o-mini",outcome="completed"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    running.signal("-TERM");
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<Value> = ran.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mine: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == "mine-1").collect();
    assert_eq!(mine.len(), 1, "{}", ran.stderr);
    assert_eq!((&mine[0]["status"], &mine[0]["provider"]), (&200.into(), &"up".into()));
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

/// A collector: the path and body of every export.
#[cfg(feature = "otel")]
fn collector() -> (String, std::sync::mpsc::Receiver<(String, Vec<u8>)>) {
    use std::io::{BufRead as _, BufReader};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut path, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if path.is_empty() {
                    line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
                }
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            // Nobody listens once the test is over.
            _ = sender.send((path, body));
        }
    });
    (url, receiver)
}

#[cfg(feature = "otel")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_exports_its_requests_in_the_trace_they_came_with_and_metrics() {
    let sim = sim().await;
    let (url, exports) = collector();
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!(
        "providers: {{ up: {{ type: openai, base_url: {:?} }} }}\nobservability: {{ otel: {{ endpoint: {url:?} }} }}\n\
         routes: {{ gpt-4o-mini: {{ targets: [{{ provider: up }}] }} }}\n",
        sim.base_url()
    );
    let (running, address) = serve(&directory, &yaml);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01");
    let answer = exchange(&address, &head, ASK);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.signal("-TERM");
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut bodies = std::collections::BTreeMap::<String, Vec<u8>>::new();
    while let Ok((path, body)) = exports.try_recv() {
        bodies.entry(path).or_default().extend(body);
    }
    let count = |path: &str, what: &[u8]| {
        bodies.get(path).map_or(0, |body| body.windows(what.len()).filter(|window| *window == what).count())
    };
    let id: Vec<u8> =
        (0..16).map(|nth| u8::from_str_radix(&trace[2 * nth..2 * nth + 2], 16).unwrap()).collect();
    assert!(count("/v1/traces", &id) >= 2, "the request and its call are in the client's trace: {ran:?}");
    assert!(count("/v1/traces", b"gen_ai.request.model") >= 2);
    assert!(count("/v1/metrics", b"gen_ai.client.operation.duration") >= 1);
    assert_eq!(count("/v1/traces", b"secret"), 0);
}
