//! Streams among other calls on one connection of HTTP/1: in order, whole, and over when one side has left.

#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::{Scene, Setting};
use infer_gateway::Ending;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpSocket, TcpStream};
use upstream_sim::{Behaviour, Sim};

async fn connect(scene: &Scene) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(scene.url.trim_start_matches("http://")).await.unwrap())
}

fn body(model: &str, is_streamed: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{is_streamed},"messages":[{{"role":"user","content":"Say hello"}}]}}"#
    )
}

/// A chat request with more `headers`, each a line of its own, and the length of `body` if it is not among them.
fn request(version: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\n");
    for header in headers {
        write!(text, "{header}\r\n").unwrap();
    }
    if !headers.iter().any(|header| header.contains("chunked")) {
        write!(text, "content-length: {}\r\n", body.len()).unwrap();
    }
    text + "\r\n" + body
}

/// A request called `id`.
fn named(id: &str, model: &str, is_streamed: bool) -> String {
    request("1.1", &[&format!("x-request-id: {id}")], &body(model, is_streamed))
}

async fn say(to: &mut (impl AsyncWrite + Unpin), text: &str) {
    to.write_all(text.as_bytes()).await.unwrap();
    to.flush().await.unwrap();
}

async fn head(from: &mut (impl AsyncBufRead + Unpin)) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(from.read_line(&mut head).await.unwrap(), 0, "cut off: {head:?}");
    }
    head
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn exactly(from: &mut (impl AsyncBufRead + Unpin), length: usize) -> String {
    let mut text = vec![0; length];
    from.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// The next chunk; an empty one at the end.
async fn chunk(from: &mut (impl AsyncBufRead + Unpin)) -> String {
    let mut size = String::new();
    from.read_line(&mut size).await.unwrap();
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
    exactly(from, size + 2).await.strip_suffix("\r\n").unwrap().to_owned()
}

/// All chunks that are left.
async fn chunks(from: &mut (impl AsyncBufRead + Unpin)) -> String {
    let mut text = String::new();
    loop {
        match chunk(from).await {
            end if end.is_empty() => return text,
            more => text += &more,
        }
    }
}

/// One answer to its end, head and body.
async fn answer(from: &mut (impl AsyncBufRead + Unpin)) -> (String, String) {
    let head = head(from).await;
    if let Some(length) = value(&head, "content-length") {
        let body = exactly(from, length.parse().unwrap()).await;
        return (head, body);
    }
    assert_eq!(value(&head, "transfer-encoding"), Some("chunked"), "{head}");
    let body = chunks(from).await;
    (head, body)
}

/// Holds an answer to what was asked.
fn check((head, body): &(String, String), id: &str, is_streamed: bool) {
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(value(head, "x-request-id"), Some(id), "{head}");
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "{head}");
    assert_eq!(value(head, "connection"), None, "{head}");
    assert_eq!(value(head, "transfer-encoding").is_some(), is_streamed, "{head}");
    assert_eq!(body.ends_with("data: [DONE]\n\n"), is_streamed, "{body}");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order_and_whole_however_slowly_they_are_read() {
    const ASKED: [(&str, bool); 5] =
        [("one", false), ("two", true), ("three", false), ("four", true), ("five", true)];
    let scene = Scene::new().await;
    for (capacity, model) in [(8 << 10, "m"), (1, "m"), (1 << 10, "sim-long")] {
        let socket = TcpSocket::new_v4().unwrap();
        if model == "sim-long" {
            // More is said than fits between the two.
            socket.set_recv_buffer_size(4096).unwrap();
        }
        let address = scene.url.trim_start_matches("http://").parse().unwrap();
        let mut client = BufReader::with_capacity(capacity, socket.connect(address).await.unwrap());
        let all: String = ASKED.iter().map(|(id, is_streamed)| named(id, model, *is_streamed)).collect();
        say(&mut client, &all).await;
        let calls = scene.sims[0].calls();
        scene.sims[0].until_calls(calls + 1).await;
        let mut texts = Vec::new();
        for (id, is_streamed) in ASKED {
            let answer = answer(&mut client).await;
            check(&answer, id, is_streamed);
            texts.push((is_streamed, answer.1.len()));
        }
        // The same was asked, so the same is said but for times and names of the same length.
        assert_eq!((texts[0], texts[1], texts[1]), (texts[2], texts[3], texts[4]));
    }
    let seen = scene.log.ended(15).await;
    assert!(seen.iter().all(|seen| seen.ending == Ending::Answered), "{seen:?}");
}

#[tokio::test]
async fn what_is_asked_while_an_answer_runs_is_answered_after_it_although_it_is_large() {
    let mut setting = Setting::default();
    let slow = Behaviour::Slow { first: Duration::ZERO, each: Duration::from_millis(20) };
    setting.sims = vec![Sim::builder().behaviour("slow", slow)];
    let scene = setting.start().await;
    let (reading, mut writing) = connect(&scene).await.into_inner().into_split();
    let mut client = BufReader::new(reading);
    say(&mut writing, &named("one", "slow", true)).await;
    assert_eq!(value(&head(&mut client).await, "x-request-id"), Some("one"));
    assert!(chunk(&mut client).await.starts_with("data: {"));
    let large = body("m", true).replace("Say hello", &"hello ".repeat(10_000));
    let asked = request("1.1", &["x-request-id: two"], &large);
    let asking = tokio::spawn(async move {
        say(&mut writing, &asked).await;
        writing
    });
    let rest = chunks(&mut client).await;
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    check(&answer(&mut client).await, "two", true);
    drop(asking.await.unwrap());
}

#[tokio::test]
async fn a_connection_goes_on_after_a_stream_until_its_client_asks_for_its_end() {
    let scene = Scene::new().await;
    for close in ["close", "Keep-Alive , CLOSE"] {
        let mut client = connect(&scene).await;
        for (id, is_streamed) in [("one", true), ("two", true), ("three", false), ("four", true)] {
            say(&mut client, &named(id, "m", is_streamed)).await;
            check(&answer(&mut client).await, id, is_streamed);
        }
        let last = request("1.1", &[&format!("connection: {close}")], &body("m", true));
        say(&mut client, &last).await;
        let (head, body) = answer(&mut client).await;
        assert_eq!(value(&head, "connection"), Some("close"), "{head}");
        assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
        assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_reads_its_stream_to_the_end_of_the_connection() {
    let scene = Scene::new().await;
    let mut client = connect(&scene).await;
    say(&mut client, &request("1.0", &[], &body("m", true))).await;
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.0 200 OK\r\n") && !said.contains("transfer-encoding"), "{said}");
    assert!(said.ends_with("data: [DONE]\n\n"), "{said}");
}

#[tokio::test]
async fn a_request_may_come_in_chunks_or_ask_whether_it_may_come() {
    let scene = Scene::new().await;
    let mut client = connect(&scene).await;
    let text = body("m", true);
    let (begin, end) = text.split_at(20);
    let chunks = format!("{:x}\r\n{begin}\r\n{:x}\r\n{end}\r\n0\r\n\r\n", begin.len(), end.len());
    say(&mut client, &request("1.1", &["x-request-id: one", "transfer-encoding: chunked"], &chunks)).await;
    check(&answer(&mut client).await, "one", true);
    let asks = request("1.1", &["x-request-id: two", "expect: 100-continue"], &text);
    let (asks, content) = asks.split_once("\r\n\r\n").unwrap();
    say(&mut client, &format!("{asks}\r\n\r\n")).await;
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&mut client, content).await;
    check(&answer(&mut client).await, "two", true);
    say(&mut client, &named("three", "m", false)).await;
    check(&answer(&mut client).await, "three", false);
}

/// A proxy before the gateway may go by the one while the gateway goes by the other.
#[tokio::test]
async fn a_request_with_two_lengths_is_the_last_one_of_its_connection() {
    let scene = Scene::new().await;
    let text = body("m", true);
    let chunks = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    for both in [
        ["content-length: 5", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked", "content-length: 5"],
    ] {
        let mut client = connect(&scene).await;
        let smuggled = named("smuggled", "m", false);
        say(&mut client, &(request("1.1", &both, &chunks) + &smuggled)).await;
        let (head, _) = answer(&mut client).await;
        assert_eq!(value(&head, "connection"), Some("close"), "{head}");
        let mut rest = Vec::new();
        // A reset, since there is more that nobody reads, is an end too.
        _ = client.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }
    assert_eq!(scene.sims[0].calls(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_ends_its_call_although_it_asked_for_more() {
    // Nothing is written that could tell.
    let scene = Setting::yaml("gateway: { keep_alive: 1h }").start().await;
    for (calls, more) in (1..).zip([String::new(), named("two", "m", false)]) {
        let mut client = connect(&scene).await;
        say(&mut client, &(named("one", "sim-stall", true) + &more)).await;
        head(&mut client).await;
        chunk(&mut client).await;
        drop(client);
        scene.sims[0].until_cancelled(calls).await;
    }
    let seen = scene.log.ended(2).await;
    assert!(seen.iter().all(|seen| seen.ending == Ending::Left), "{seen:?}");
    assert_eq!(scene.sims[0].calls(), 2, "nobody is there for what was asked too");
}

#[tokio::test]
async fn a_stop_waits_for_the_streams_that_run_and_ends_their_connections_then() {
    let mut setting = Setting::default();
    let slow = Behaviour::Slow { first: Duration::ZERO, each: Duration::from_millis(20) };
    setting.sims = vec![Sim::builder().behaviour("slow", slow)];
    let mut scene = setting.start().await;
    let mut client = connect(&scene).await;
    say(&mut client, &named("one", "slow", true)).await;
    let head = head(&mut client).await;
    assert_eq!(value(&head, "connection"), None, "{head}");
    let first = chunk(&mut client).await;
    scene.stop();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(first.starts_with("data: {") && rest.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{rest}");
    scene.stopped().await;
}
