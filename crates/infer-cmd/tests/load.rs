//! A gateway under load: many streams at once, some of them faulty, through the real command to a real simulator.
//!
//! A few seconds by default, as an ordinary test. `cargo xtask load` runs it as long and as wide as it is told, by
//! `INFER_LOAD_SECONDS`, `INFER_LOAD_STREAMS` and `INFER_LOAD_JSON`, a file for what was measured.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that measures time"
)]

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use infer_store::{Ledger, LedgerConfig};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_infer");

/// One call in twenty goes to one of these in turn.
const FAULTS: [&str; 10] = [
    "sim-error-500",
    "sim-cut",
    "sim-error-400",
    "sim-error-midway",
    "sim-utf8",
    "sim-html",
    "sim-error-first",
    "sim-error-503",
    "sim-stall",
    "sim-quota",
];
const ONE_IN: u64 = 20;

/// A process of the command that says its address first.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("NO_PROXY", "*").args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.next().unwrap();
        assert!(url.starts_with("http://"), "{url}");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// Resident memory in bytes; none where the system does not say.
    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Open files and sockets.
    fn files(&self) -> Option<u64> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?.count() as u64)
    }

    fn stop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a call ended, as its caller sees it. Each of these is an honest end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// `[DONE]` after a finish, with so many tokens read and written.
    Done(u64, u64),
    /// One error event, after a 200.
    Broken,
    /// A status and an error, and how long to wait.
    Refused(Duration),
}

/// Calls `model` and reads to the end; an error for anything that is no honest end.
async fn call(http: &reqwest::Client, url: &str, model: &str) -> Result<(End, Option<Duration>), String> {
    let body = json!({
        "model": model,
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Tell me something that takes a few words."}],
    });
    let start = Instant::now();
    let request = http.post(format!("{url}/v1/chat/completions")).body(body.to_string());
    let response = request.send().await.map_err(|error| format!("no answer: {error:?}"))?;
    let status = response.status().as_u16();
    if status != 200 {
        let told =
            response.headers().get("retry-after-ms").and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = Duration::from_millis(told.unwrap_or(0));
        let text = response.text().await.map_err(|error| format!("{status} without a body: {error:?}"))?;
        let error: Value = serde_json::from_str(&text).map_err(|_| format!("{status} {text}"))?;
        let is_said = error["error"]["message"].is_string();
        return if is_said { Ok((End::Refused(wait), None)) } else { Err(format!("{status} {text}")) };
    }
    let (mut text, mut first, mut body) = (Vec::new(), None, response.bytes_stream());
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece.map_err(|error| format!("cut off: {error:?}"))?);
        if first.is_none() && text.windows(5).any(|part| part == b"data:") {
            first = Some(start.elapsed());
        }
    }
    let text = String::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    Ok((ending(&text).ok_or_else(|| format!("no honest end: {text}"))?, first))
}

fn ending(text: &str) -> Option<End> {
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (last, before) = events.split_last()?;
    let before: Vec<Value> =
        before.iter().map(|event| serde_json::from_str(event).ok()).collect::<Option<_>>()?;
    let has_error = before.iter().any(|event| event.get("error").is_some());
    let is_finished = before.iter().any(|event| event["choices"][0]["finish_reason"].is_string());
    if *last == "[DONE]" {
        let usage =
            before.iter().rev().find_map(|event| event.get("usage").filter(|usage| usage.is_object()))?;
        let tokens = |name: &str| usage[name].as_u64();
        let done = End::Done(tokens("prompt_tokens")?, tokens("completion_tokens")?);
        return (is_finished && !has_error).then_some(done);
    }
    let error: Value = serde_json::from_str(last).ok()?;
    (error["error"].is_object() && !has_error && !is_finished).then_some(End::Broken)
}

/// What callers saw, all together.
#[derive(Default)]
struct Tally {
    done: u64,
    broken: u64,
    refused: u64,
    input: u64,
    output: u64,
    first: Vec<Duration>,
    dishonest: Vec<String>,
}

impl Tally {
    fn add(&mut self, model: &str, ended: Result<(End, Option<Duration>), String>) {
        match ended {
            Ok((End::Done(input, output), first)) => {
                self.done += 1;
                self.input += input;
                self.output += output;
                self.first.extend(first);
            }
            Ok((End::Broken, _)) => self.broken += 1,
            Ok((End::Refused(_), _)) => self.refused += 1,
            Err(error) => self.dishonest.push(format!("{model}: {error}")),
        }
    }

    fn calls(&self) -> u64 {
        self.done + self.broken + self.refused + self.dishonest.len() as u64
    }
}

/// What the ledger has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rows {
    answered: u64,
    failed: u64,
    input: u64,
    output: u64,
}

fn rows(data: &Path) -> Rows {
    let ledger = Ledger::open(data, LedgerConfig::default()).unwrap();
    let mut rows = Rows::default();
    let each = |_, row: infer_store::LedgerRow| {
        if row.outcome.as_str() == "answered" {
            rows.answered += 1;
            rows.input += row.usage.input_tokens;
            rows.output += row.usage.output_tokens;
        } else {
            rows.failed += 1;
        }
        ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    rows
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// One look at the gateway.
#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    memory: u64,
    files: u64,
}

/// The middle one of what was seen between two parts of the time.
fn middle(
    samples: &[Sample],
    from: f64,
    to: f64,
    whole: Duration,
    of: impl Fn(&Sample) -> u64,
) -> Option<u64> {
    let between = whole.mul_f64(from)..=whole.mul_f64(to);
    let mut seen: Vec<u64> = samples.iter().filter(|sample| between.contains(&sample.at)).map(of).collect();
    seen.sort_unstable();
    seen.get(seen.len() / 2).copied()
}

fn share(sorted: &[Duration], part: usize) -> Duration {
    sorted.get((sorted.len() * part / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Keeps so many calls running for so long, and looks at the gateway meanwhile. Those under way may end.
async fn drive(
    http: &reqwest::Client,
    gateway: &Process,
    streams: u64,
    time: Duration,
) -> (Tally, Vec<Sample>) {
    let (tally, next) = (Arc::new(Mutex::new(Tally::default())), Arc::new(AtomicU64::new(0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let callers: Vec<_> = (0..streams)
        .map(|_| {
            let (http, url) = (http.clone(), gateway.url.clone());
            let (tally, next, is_over) = (Arc::clone(&tally), Arc::clone(&next), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let nth = usize::try_from(turn / ONE_IN).unwrap() % FAULTS.len();
                    // Those that fail are over sooner than the others: as long as none of these has ended, the upstream
                    // would look as if it did nothing but fail.
                    let is_faulty = turn >= streams && turn % ONE_IN == 0;
                    let model = if is_faulty { FAULTS[nth] } else { "gpt-4o-mini" };
                    let ended = call(&http, &url, model).await;
                    if let Ok((End::Refused(wait), _)) = &ended {
                        // As a client of good manners does.
                        tokio::time::sleep(*wait).await;
                    }
                    tally.lock().unwrap().add(model, ended);
                }
            })
        })
        .collect();
    let mut samples = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while start.elapsed() < time {
        tick.tick().await;
        if let (Some(memory), Some(files)) = (gateway.memory(), gateway.files()) {
            samples.push(Sample { at: start.elapsed(), memory, files });
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let tally = std::mem::take(&mut *tally.lock().unwrap());
    (tally, samples)
}

/// What grew, or did not: once all was warm, and at the end.
struct Growth {
    memory: Option<(u64, u64)>,
    files: Option<(u64, u64)>,
}

impl Growth {
    fn of(samples: &[Sample], time: Duration) -> Self {
        let both = |of: fn(&Sample) -> u64| {
            Some((middle(samples, 0.3, 0.5, time, of)?, middle(samples, 0.8, 1.0, time, of)?))
        };
        Self { memory: both(|one| one.memory), files: both(|one| one.files) }
    }

    fn is_none(&self, time: Duration) -> Result<(), String> {
        let (Some((warm, end)), Some((warm_files, end_files))) = (self.memory, self.files) else {
            return Err("skipped: memory and open files of a process are not in /proc here".to_owned());
        };
        // Over a short time pools still fill; over a long one nothing may.
        let slack = if time < Duration::from_secs(30) { 48 << 20 } else { 16 << 20 };
        assert!(end <= warm + warm / 10 + slack, "memory grows: {warm} bytes, then {end}");
        assert!(end_files <= warm_files + warm_files / 10 + 64, "files grow: {warm_files}, then {end_files}");
        Ok(())
    }
}

fn report(tally: &mut Tally, streams: u64, took: Duration, growth: &Growth) -> Value {
    tally.first.sort_unstable();
    let millis = |part| u64::try_from(share(&tally.first, part).as_millis()).unwrap();
    json!({
        "streams_at_once": streams,
        "seconds": took.as_secs_f64(),
        "requests": tally.calls(),
        "answered": tally.done,
        "broken": tally.broken,
        "refused": tally.refused,
        "dishonest": tally.dishonest.len(),
        "first_token_p50_ms": millis(50),
        "first_token_p99_ms": millis(99),
        "memory_warm_bytes": growth.memory.map(|(warm, _)| warm),
        "memory_end_bytes": growth.memory.map(|(_, end)| end),
        "files_warm": growth.files.map(|(warm, _)| warm),
        "files_end": growth.files.map(|(_, end)| end),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_stream_ends_honestly_the_counts_agree_and_nothing_grows() {
    let streams = variable("INFER_LOAD_STREAMS", 200);
    let time = Duration::from_secs(variable("INFER_LOAD_SECONDS", 3));
    let directory = tempfile::tempdir().unwrap();
    let sim = Process::start(&["sim", "--port", "0", "--delay", "50"]);
    let (file, data) = (directory.path().join("llm.yaml"), directory.path().join("data"));
    // All streams are asked for at once, and those that fail do so before the first of the others answers: a breaker would see
    // nothing but faults, open, and leave few streams to be looked at.
    let text = format!(
        "providers: {{ a: {{ type: openai, base_url: {:?}, api_key: sk-load, retry: {{ attempts: 1 }}, circuit_breaker: {{ enabled: false }}, \
         timeouts: {{ idle_bytes: 5s }} }} }}\nroutes: {{ \"*\": {{ targets: [{{ provider: a }}] }} }}\n\
         gateway: {{ admission: {{ max_in_flight: {streams} }} }}\n",
        sim.url
    );
    std::fs::write(&file, text).unwrap();
    let (config, kept) = (file.to_str().unwrap(), data.to_str().unwrap());
    let mut gateway =
        Process::start(&["serve", "--config", config, "--listen", "127.0.0.1:0", "--data", kept]);
    let idle_files = gateway.files();

    // Whether TLS is compiled in is not for this test to say; nothing here speaks it.
    _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = Instant::now();
    let (mut tally, samples) = drive(&http, &gateway, streams, time).await;
    let took = start.elapsed();
    let stats = http.get(sim.url.replace("/v1", "/sim/stats")).send().await.unwrap().text().await.unwrap();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    drop(http);
    // Sockets of callers close with them; what may stay are idle ones to the upstream.
    let closed = tokio::time::timeout(Duration::from_secs(30), async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while gateway.files() > idle_files.map(|files| files + streams + 32) {
            tick.tick().await;
        }
    });
    assert!(closed.await.is_ok(), "sockets stay open");
    gateway.stop();

    let growth = Growth::of(&samples, time);
    let report = report(&mut tally, streams, took, &growth);
    for (name, value) in report.as_object().unwrap() {
        eprintln!("{name:<20} {value}");
    }
    if let Some(file) = std::env::var_os("INFER_LOAD_JSON") {
        std::fs::write(file, report.to_string()).unwrap();
    }
    assert!(tally.dishonest.is_empty(), "{} calls, such as {}", tally.dishonest.len(), tally.dishonest[0]);
    assert!(tally.done > streams && tally.broken > 0 && tally.refused > 0, "{report}");
    let rows = rows(&data);
    let expected = Rows {
        answered: tally.done,
        failed: tally.broken + tally.refused,
        input: tally.input,
        output: tally.output,
    };
    assert_eq!(rows, expected, "the ledger and the callers disagree");
    let counted = json!({
        "calls": tally.calls(),
        "cancelled": stats["cancelled"],
        "answers": rows.answered,
        "input_tokens": rows.input,
        "output_tokens": rows.output,
    });
    assert_eq!(stats, counted, "the simulator and the ledger disagree");
    if let Err(skipped) = growth.is_none(time) {
        eprintln!("{skipped}");
    }
}
