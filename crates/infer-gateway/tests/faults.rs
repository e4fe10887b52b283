//! What a caller sees of everything an upstream can do wrong, held to `docs/gateway-faults.md` line by line.
//!
//! `UPDATE_EXPECT=1` writes the document from what happens; what changed in it is then to be judged by a reader. Beside
//! the document stand laws that no update can soften.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::{Scene, Setting};
use futures_util::{StreamExt as _, stream};
use infer_store::LedgerRow;
use serde_json::Value;
use upstream_sim::{Behaviour, Sim};

/// The key of the upstream; nobody may ever see it.
const SECRET: &str = "sk-upstream-0123456789";

/// One thing an upstream does wrong: the name it has in the document, and what that means.
struct Fault {
    name: &'static str,
    means: &'static str,
    /// More settings of its provider.
    settings: &'static str,
}

const fn fault(name: &'static str, means: &'static str) -> Fault {
    Fault { name, means, settings: "" }
}

/// Short times, for those that would last.
const fn slow(name: &'static str, means: &'static str) -> Fault {
    let settings = "timeouts: { head_streamed: 400ms, head_unary: 400ms, first_content: 400ms, idle_bytes: 400ms, idle_content: 400ms }";
    Fault { name, means, settings }
}

const REFUSED: &str = "connection-refused";

const FAULTS: [Fault; 31] = [
    fault("sim-error-400", "400 for a value that it does not take"),
    fault("sim-error-401", "401: it refuses the gateway's key"),
    fault("sim-error-403", "403: it refuses the gateway's country or account"),
    fault("sim-error-404", "404: it has no such model"),
    fault("sim-error-408", "408: it gave up waiting"),
    fault("sim-error-409", "409: something is locked"),
    fault("sim-error-413", "413: the request is too large for it"),
    fault("sim-error-422", "422 for a value that it does not take"),
    fault("sim-error-429", "429 with a `Retry-After` of one second"),
    fault("sim-error-500", "500"),
    fault("sim-error-502", "502 with a web page, as a proxy in front of it sends"),
    fault("sim-error-503", "503: overloaded"),
    fault("sim-error-504", "504 with a web page"),
    fault("sim-error-529", "529: overloaded"),
    fault("sim-quota", "429 for a quota that is used up"),
    fault("sim-context", "400 for a conversation that is too long"),
    fault("sim-filter", "400 for a prompt that a filter refuses"),
    fault("sim-html", "200 with a web page"),
    fault("sim-200-error", "200 with an error in the body"),
    fault("sim-refusal", "it refuses in words, which is an answer"),
    fault("sim-cut", "it closes the connection in the middle"),
    fault("sim-no-done", "it ends the stream after the finish, without `[DONE]`"),
    fault("sim-error-midway", "it reports an error in the stream, after some text"),
    fault("sim-error-first", "it reports an error in the stream, before any text"),
    fault("sim-utf8", "it sends bytes that are no text"),
    Fault {
        name: "sim-huge",
        means: "it sends one event, or one answer, that has no end (64 MiB; 64 KiB and 1 MiB are allowed)",
        settings: "limits: { max_event_bytes: 65536, max_body_bytes: 1048576 }",
    },
    slow("sim-silent", "it takes the request and never answers"),
    slow("sim-stall", "it stops after some text and stays connected"),
    fault("sim-redirect", "307 to another host"),
    fault("sim-echo-key", "401 whose message repeats the gateway's key"),
    fault(REFUSED, "nobody listens at its address"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Whole,
    Stream,
}

/// What happened, each part as it stands in the document.
struct Outcome {
    status: u16,
    /// Whether the caller got text.
    is_text: bool,
    end: &'static str,
    kind: String,
    code: String,
    wait: String,
    served: String,
    failed: String,
    rows: String,
}

impl Outcome {
    fn line(&self, fault: &Fault, asked: Asked) -> String {
        let Self { status, end, kind, code, wait, served, failed, rows, .. } = self;
        let name = fault.name;
        let asked = if asked == Asked::Whole { "whole" } else { "stream" };
        format!(
            "| `{name}` | {asked} | {status} | {end} | {kind} | {code} | {wait} | {served} | {failed} | {rows} |"
        )
    }
}

async fn scene(fault: &Fault, has_other: bool, data: &Path) -> Scene {
    let other = if has_other { ", { provider: b, model: gpt-4o-mini, priority: 2 }" } else { "" };
    let model = if fault.name == REFUSED { "gpt-4o-mini" } else { fault.name };
    let mut setting = Setting::yaml(&format!(
        "data: {:?}\nroutes: {{ fast: {{ targets: [{{ provider: a, model: {model} }}{other}] }} }}\n",
        data.to_str().unwrap()
    ));
    setting.provider = format!("retry: {{ attempts: 1 }}, api_key: {SECRET}");
    setting.first = fault.settings.to_owned();
    let live = Behaviour::Text("All is well.".to_owned());
    setting.sims = vec![Sim::builder(), Sim::builder().behaviour("gpt-4o-mini", live)];
    let mut scene = setting.start().await;
    if fault.name == REFUSED {
        // Its port is closed from here on.
        scene.sims.remove(0);
    }
    scene
}

async fn outcome(fault: &Fault, asked: Asked, has_other: bool) -> Outcome {
    let data = tempfile::tempdir().unwrap();
    let scene = scene(fault, has_other, data.path()).await;
    let response = scene.chat("fast", asked == Asked::Stream).send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let at = format!("{} {status} {text:.300}", fault.name);
    assert!(!header("x-request-id").is_empty(), "{at}");
    assert!(!text.contains(SECRET) && !format!("{headers:?}").contains(SECRET), "the key leaked: {at}");
    let (is_text, end, error) = if header("content-type").starts_with("text/event-stream") {
        assert_eq!(status, 200, "{at}");
        ending_of(&text, &at)
    } else {
        let body: Value = serde_json::from_str(&text).unwrap();
        match body.get("error") {
            None => (true, "answer", Value::Null),
            Some(error) => (false, "error", error.clone()),
        }
    };
    assert!(error.is_null() || error["message"].as_str().is_some_and(|words| !words.is_empty()), "{at}");
    scene.log.ended(1).await;
    if matches!(fault.name, "sim-silent" | "sim-stall" | "sim-huge") {
        // Otherwise this never ends: what was given up is closed, too.
        scene.sims[0].until_cancelled(1).await;
    }
    let word = |name: &str| error[name].as_str().map_or(String::new(), |word| format!("`{word}`"));
    Outcome {
        status,
        is_text,
        end,
        kind: word("type"),
        code: word("code"),
        wait: header("retry-after"),
        served: header("x-served-by"),
        failed: header("x-failed-providers"),
        rows: rows(&scene).await,
    }
}

/// A stream has exactly one end: `[DONE]` after a finish, or one error event, and nothing after either.
fn ending_of(text: &str, at: &str) -> (bool, &'static str, Value) {
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (last, before) = events.split_last().unwrap();
    let before: Vec<Value> = before.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(before.iter().all(|event| event.get("error").is_none()), "more than one error: {at}");
    let some = |member: &str| {
        before.iter().any(|event| {
            let said = &event["choices"][0]["delta"][member];
            said.as_str().is_some_and(|text| !text.is_empty())
        })
    };
    let is_text = some("content") || some("refusal");
    let is_finished = before.iter().any(|event| event["choices"][0]["finish_reason"].is_string());
    if *last == "[DONE]" {
        assert!(is_finished, "done without a finish: {at}");
        return (is_text, "answer, `[DONE]`", Value::Null);
    }
    let error = serde_json::from_str::<Value>(last).unwrap()["error"].clone();
    assert!(error.is_object() && !is_finished, "neither done nor broken: {at}");
    (is_text, if is_text { "text, error event" } else { "error event" }, error)
}

/// What the ledger has: provider, outcome, and what was used.
async fn rows(scene: &Scene) -> String {
    let ledger = scene.inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    let mut rows = Vec::new();
    let each = |_, row: LedgerRow| {
        let provider = row.provider.as_deref().unwrap_or("-");
        let mut text = format!("{provider}: {}", row.outcome.as_str());
        let (read, written) = (row.usage.input_tokens, row.usage.output_tokens);
        if read + written > 0 {
            _ = write!(text, ", {read}+{written} tokens{}", if row.estimated { " (estimated)" } else { "" });
        }
        rows.push(text);
        ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    rows.join("; ")
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateway-faults.md")
}

const HEAD: &str = "# What a caller sees of an upstream's faults

Every fault of an upstream, as a caller of the gateway sees it: in one piece (`whole`) and streamed (`stream`), where the
faulty target is the only one, and where a live one stands behind it. The test `faults` of `infer-gateway` does each of them
against the simulator and holds what happens to this page; `UPDATE_EXPECT=1` writes the page from what happens. Repeats at the
same upstream are off here; [resilience.md](resilience.md) says when they come first.

What holds for every line: a status below 400 comes with an answer or a stream that ends as written; a stream ends with
`[DONE]` after a finish, or with exactly one error event; once there was text, nobody else is asked; and the upstream's key
is in no answer. The ledger has a row for every target that was asked: who, how it ended, and the tokens read and written.

## What each fault is

| fault | what the upstream does |
|---|---|
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_as_the_document_says() {
    let mut text = HEAD.to_owned();
    for fault in &FAULTS {
        _ = writeln!(text, "| `{}` | {} |", fault.name, fault.means);
    }
    let mut all = Vec::new();
    for has_other in [false, true] {
        let title = if has_other { "With a live target behind it" } else { "With no other target" };
        _ = write!(
            text,
            "\n## {title}\n\n| fault | asked | status | what comes | type | code | retry-after | served by | failed before | ledger |\n\
             |---|---|---|---|---|---|---|---|---|---|\n"
        );
        let cases = FAULTS.iter().flat_map(|fault| [(fault, Asked::Whole), (fault, Asked::Stream)]);
        let outcomes = stream::iter(cases)
            .map(|(fault, asked)| async move { (fault, asked, outcome(fault, asked, has_other).await) });
        let outcomes: Vec<_> = outcomes.buffered(8).collect().await;
        for (fault, asked, outcome) in &outcomes {
            _ = writeln!(text, "{}", outcome.line(fault, *asked));
        }
        all.push(outcomes);
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(document(), &text).unwrap();
    }
    let expected = std::fs::read_to_string(document()).unwrap();
    for (line, (happened, said)) in (1..).zip(text.lines().zip(expected.lines())) {
        assert_eq!(happened, said, "docs/gateway-faults.md:{line}: left is what happens");
    }
    for ((fault, _, alone), (.., helped)) in all[0].iter().zip(&all[1]) {
        is_helped(fault, helped, alone.status, alone.is_text);
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "docs/gateway-faults.md has another length");
}

/// A live target behind a faulty one helps whenever the fault is not the caller's and nobody has seen text.
fn is_helped(fault: &Fault, outcome: &Outcome, alone: u16, was_text: bool) {
    // Another model may have room for a conversation that is too long here.
    let is_callers = matches!(alone, 400 | 422) && fault.name != "sim-context";
    if was_text || is_callers {
        assert!(outcome.served != "b", "{}: somebody else was asked", fault.name);
    } else {
        assert_eq!((outcome.status, &*outcome.served), (200, "b"), "{}: nobody helped", fault.name);
        assert!(outcome.failed.starts_with("a;"), "{}: {}", fault.name, outcome.failed);
    }
}
