//! A client that knows only HTTP/1.1, and shows what a better one would hide.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use upstream_sim::Sim;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One response: its head as text, its body with the chunks joined, and whether the body was complete.
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) is_complete: bool,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The data of every event.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body);
        text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    pub(crate) fn chunks(&self) -> Vec<Value> {
        self.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }

    pub(crate) fn streamed_text(&self) -> String {
        self.chunks().iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

pub(crate) async fn open(sim: &Sim, method: &str, path: &str, body: &[u8]) -> TcpStream {
    let host = sim.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sk-test\r\nContent-Type: \
         application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

pub(crate) async fn call(sim: &Sim, method: &str, path: &str, body: &[u8]) -> Response {
    let mut stream = open(sim, method, path, body).await;
    let mut bytes = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("no end in time").unwrap();
    parse(&bytes)
}

pub(crate) fn parse(bytes: &[u8]) -> Response {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("no head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let raw = &bytes[end + 4..];
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return Response { head, body: raw.to_vec(), is_complete: true };
    }
    let (mut body, mut rest, mut is_complete) = (Vec::new(), raw, false);
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            is_complete = true;
            break;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
    Response { head, body, is_complete }
}

pub(crate) async fn chat(sim: &Sim, request: &Value) -> Response {
    call(sim, "POST", "/v1/chat/completions", request.to_string().as_bytes()).await
}

pub(crate) fn ask(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

/// `ask` with more members.
pub(crate) fn ask_with(model: &str, prompt: &str, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("members are an object, not {more}") };
    let mut request = ask(model, prompt);
    request.as_object_mut().unwrap().extend(more);
    request
}

pub(crate) fn streamed(model: &str) -> Value {
    ask_with(model, "Hello", json!({ "stream": true, "stream_options": { "include_usage": true } }))
}

pub(crate) async fn sim() -> Sim {
    Sim::builder().seed(7).start().await.unwrap()
}
