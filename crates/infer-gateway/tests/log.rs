//! The line of a request: all that is known of it, and nothing of what was said.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use infer_core::{ErrorKind, RequestId, Tried, Usage};
use infer_gateway::{AccessLog, Ending, Observer as _, Seen};
use serde_json::Value;

/// What was written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line of `seen`, as programs read it.
fn line(seen: &Seen) -> Value {
    let page = Page::default();
    let writer = page.clone();
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
    tracing::subscriber::with_default(lines.finish(), || AccessLog.ended(seen));
    let written = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 1, "{written}");
    serde_json::from_str(&written).unwrap()
}

fn seen(status: u16, ending: Ending) -> Seen {
    let id: RequestId = "req-1".parse().unwrap();
    let mut seen = Seen::new("chat", id, SystemTime::UNIX_EPOCH);
    (seen.status, seen.ending) = (status, ending);
    seen
}

#[test]
fn a_line_says_what_is_known_and_has_no_field_for_what_is_not() {
    let mut known = seen(200, Ending::Answered);
    known.model = Some("fast".to_owned());
    known.provider = Some("azure".into());
    known.key = Some("team".into());
    known.tried = vec![Tried::new("openai", "gpt-4o", ErrorKind::Timeout, Duration::from_secs(1))];
    known.total = Duration::from_micros(1_500_250);
    known.usage = Some(Usage::new(12, 3));
    let known = line(&known);
    for (name, value) in [
        ("request_id", Value::from("req-1")),
        ("endpoint", "chat".into()),
        ("status", 200.into()),
        ("ending", "answered".into()),
        ("model", "fast".into()),
        ("provider", "azure".into()),
        ("key", "team".into()),
        ("tried", "openai;timeout".into()),
        ("duration_ms", 1500.25.into()),
        ("input_tokens", 12.into()),
        ("began", "1970-01-01T00:00:00.000Z".into()),
        ("level", "INFO".into()),
    ] {
        assert_eq!(known.get(name), Some(&value), "{name} of {known}");
    }
    let bare = line(&seen(401, Ending::Failed("invalid_api_key")));
    for name in
        ["model", "provider", "key", "tried", "input_tokens", "cost_usd", "cached", "first_content_ms"]
    {
        assert!(bare.get(name).is_none(), "{name} of {bare}");
    }
    assert_eq!(bare.get("error"), Some(&"invalid_api_key".into()));
}

#[test]
fn the_level_is_that_of_the_ending() {
    for (status, ending, level) in [
        (200, Ending::Answered, "INFO"),
        (429, Ending::Failed("rate_limited"), "INFO"),
        (499, Ending::Left, "INFO"),
        (502, Ending::Failed("upstream"), "WARN"),
        (200, Ending::Broken("stream_interrupted"), "WARN"),
    ] {
        assert_eq!(line(&seen(status, ending)).get("level"), Some(&level.into()), "{status} {ending:?}");
    }
}

#[test]
fn a_name_that_a_client_chose_cannot_make_a_line_of_its_own_or_fill_the_disk() {
    let mut odd = seen(404, Ending::Failed("model_not_found"));
    odd.model = Some(format!("a\n2026-11-21 ERROR all is lost\u{1b}[31m{}", "x".repeat(100_000)));
    let model = line(&odd).get("model").unwrap().as_str().unwrap().to_owned();
    assert!(model.chars().count() == 128 && !model.contains(char::is_control), "{model:?}");
}
