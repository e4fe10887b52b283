//! Recorded answers, and what a correct client makes of them.
//!
//! A folder of them has an `index.json`: `files` is a list, and each entry names its `file`, its `kind`, the `status` and
//! `http.headers` it came with, unless the file was recorded with its head, and under `expect` what a caller must see.
//! Whose wire format they are in does not matter here.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::{
    Completion, EmbedBatch, ErrorKind, ExecuteBatch, FinishReason, InferenceError, ModelRunner, RunMeta,
};
use serde_json::Value;

use crate::check::{Verdict, ensure, same};
use crate::{Act, Script, Upstream};

/// A folder of recorded answers.
#[derive(Debug)]
pub struct Fixtures {
    folder: PathBuf,
    list: Vec<Value>,
}

/// What a caller sees of one answer.
struct Seen {
    whole: Completion,
    meta: Option<RunMeta>,
    error: Option<InferenceError>,
}

impl Fixtures {
    /// Reads the index in `folder`.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub fn read(folder: impl Into<PathBuf>) -> Verdict<Self> {
        let folder = folder.into();
        let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
        let list = at(&index, "/files").as_array().ok_or("the index has no list of files")?.clone();
        Ok(Self { folder, list })
    }

    /// Serves every answer, stream and error whose file `wants` accepts over a socket and in small pieces, and holds
    /// what a caller sees against the index. `runner` makes a runner for a base URL, one that does not retry.
    ///
    /// Gives how many were played.
    ///
    /// # Errors
    /// Every file whose answer was read otherwise than the index says.
    pub async fn play<R: ModelRunner>(
        &self,
        wants: impl Fn(&str) -> bool,
        runner: impl AsyncFn(String) -> Verdict<R>,
    ) -> Verdict<usize> {
        let (mut wrong, mut played) = (Vec::new(), 0);
        for fixture in &self.list {
            let file = at(fixture, "/file").as_str().unwrap_or_default();
            let verdict = match at(fixture, "/kind").as_str() {
                _ if !wants(file) => continue,
                Some("chat" | "stream" | "error" | "headers") => self.answer(file, fixture, &runner).await,
                Some("embeddings") => self.vectors(file, fixture, &runner).await,
                _ => continue,
            };
            played += 1;
            wrong.extend(verdict.err().map(|found| format!("{file}: {found}")));
        }
        let all = format!("{} of {played} were read otherwise:\n{}", wrong.len(), wrong.join("\n"));
        ensure(wrong.is_empty(), all).map(|()| played)
    }

    async fn answer<R: ModelRunner>(
        &self,
        file: &str,
        fixture: &Value,
        runner: &impl AsyncFn(String) -> Verdict<R>,
    ) -> Verdict {
        let upstream = Upstream::start([self.response(file, fixture)?]).await?;
        let runner = runner(upstream.base_url()).await?;
        let batch = ExecuteBatch::new("gpt-4o-mini", "hi");
        let streams = at(fixture, "/kind") == "stream" || file.contains("/stream_");
        let seen = see(&runner, if streams { batch.streaming() } else { batch }).await;
        let one = std::slice::from_ref(at(fixture, "/expect"));
        let allowed = at(fixture, "/expect_any").as_array().map_or(one, Vec::as_slice);
        let verdicts = allowed.iter().map(|expect| check(expect, at(fixture, "/http"), &seen));
        let wrong: Vec<_> = verdicts.filter_map(Result::err).map(|found| found.to_string()).collect();
        ensure(wrong.len() < allowed.len(), wrong.join(", nor "))
    }

    async fn vectors<R: ModelRunner>(
        &self,
        file: &str,
        fixture: &Value,
        runner: &impl AsyncFn(String) -> Verdict<R>,
    ) -> Verdict {
        let expected: Vec<Vec<f32>> = serde_json::from_value(at(fixture, "/expect/embeddings").clone())?;
        let upstream = Upstream::start([self.response(file, fixture)?]).await?;
        let runner = runner(upstream.base_url()).await?;
        let texts = vec!["x"; expected.len()];
        let found = runner.embed(EmbedBatch::new("text-embedding-3-small", texts)).await?;
        same("the vectors", found.vectors, expected)?;
        let tokens = at(fixture, "/expect/usage/prompt_tokens").as_u64();
        same("the tokens", found.usage.map(|usage| usage.input_tokens), tokens)
    }

    /// The answer as it goes over the wire.
    fn response(&self, file: &str, fixture: &Value) -> Verdict<Script> {
        let mut body = std::fs::read(self.folder.join(file))?;
        let mut headers = Vec::new();
        let mut status = at(fixture, "/status").as_u64().unwrap_or(200);
        if body.starts_with(b"HTTP/1.1 ") {
            let end = body.windows(4).position(|four| four == b"\r\n\r\n").ok_or("a head without an end")?;
            let rest = body.split_off(end + 4);
            let head = String::from_utf8(body)?;
            let mut lines = head.lines();
            status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().parse()?;
            headers.extend(lines.filter_map(|line| line.split_once(": ")).map(owned));
            let is_chunked = head.to_ascii_lowercase().contains("\ntransfer-encoding: chunked");
            body = if is_chunked { unchunked(&rest)? } else { rest };
        }
        let given = at(fixture, "/http/headers").as_object().into_iter().flatten();
        headers.extend(given.filter_map(|(name, value)| Some(owned((name, value.as_str()?)))));
        headers.retain(|(name, _)| {
            !["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing))
        });
        let mut script = Script::status(status.try_into()?);
        for (name, value) in headers {
            script = script.header(name, value);
        }
        let pieces = body.chunks((body.len() / 7).max(11)).map(|piece| Act::bytes(piece.to_vec()));
        Ok(script.acts(pieces))
    }
}

/// A part of the index; null where there is none.
fn at<'a>(value: &'a Value, place: &str) -> &'a Value {
    value.pointer(place).unwrap_or(&Value::Null)
}

/// A body that was recorded with its framing, without it.
fn unchunked(mut body: &[u8]) -> Verdict<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").ok_or("a chunk without a size")?;
        let (size, rest) = body.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?, 16)?;
        if size == 0 {
            return Ok(whole);
        }
        whole.extend(rest.get(2..).and_then(|rest| rest.get(..size)).ok_or("a chunk that ends early")?);
        body = rest.get(size + 4..).unwrap_or_default();
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn see(runner: &impl ModelRunner, batch: ExecuteBatch) -> Seen {
    let mut seen = Seen { whole: Completion::default(), meta: None, error: None };
    match runner.execute(batch).await {
        Err(error) => seen.error = Some(error),
        Ok(run) => {
            seen.meta = Some(run.meta().clone());
            let mut stream = run.into_stream();
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => seen.whole.push(chunk),
                    Err(error) => seen.error = Some(error),
                }
            }
        }
    }
    seen
}

/// The index's word for a kind of error.
fn word(error: &InferenceError) -> &'static str {
    match (error.kind(), error.origin().and_then(|at| at.status)) {
        (ErrorKind::Upstream, Some(408)) => "timeout",
        (ErrorKind::Upstream, Some(409)) => "conflict",
        (ErrorKind::Upstream, _) => "server_error",
        (ErrorKind::Overloaded, _) => "overloaded",
        (ErrorKind::RequestTooLarge, Some(413)) => "payload_too_large",
        (ErrorKind::RateLimited | ErrorKind::RequestTooLarge, _) => "rate_limited",
        (ErrorKind::InvalidRequest, _) => "invalid_request",
        (ErrorKind::ContextLengthExceeded, _) => "context_length_exceeded",
        (ErrorKind::ContentFiltered, _) => "content_filtered",
        (ErrorKind::ModelNotFound, _) => "not_found",
        (ErrorKind::Unauthenticated, _) => "authentication",
        (ErrorKind::PermissionDenied, _) => "permission_denied",
        (ErrorKind::QuotaExhausted, _) => "quota_exceeded",
        (ErrorKind::StreamInterrupted, _) => "stream_interrupted",
        (ErrorKind::Decode, _) => "malformed_response",
        (other, _) => other.name(),
    }
}

fn check(expect: &Value, http: &Value, seen: &Seen) -> Verdict {
    if let Some(expected) = at(expect, "/text").as_str() {
        let found = seen.whole.choices.first().map_or("", |choice| &choice.text);
        same("the text", found, expected)?;
    }
    if at(expect, "/outcome") == "error" {
        let Some(error) = &seen.error else { return Err("an error was expected, and an answer came".into()) };
        return check_error(expect, http, error);
    }
    if let Some(error) = &seen.error {
        return Err(format!("an answer was expected: {error}").into());
    }
    if let Some(expected) = at(expect, "/finish_reason").as_str() {
        same("the finish", seen.whole.finish().map(FinishReason::as_str), Some(expected))?;
    }
    if let Some(usage) = expect.get("usage") {
        let expected = ["prompt_tokens", "completion_tokens", "total_tokens"]
            .map(|name| usage.get(name).and_then(Value::as_u64));
        let found = seen.whole.usage;
        let found =
            found.map(|usage| [usage.input_tokens, usage.output_tokens, usage.total_tokens].map(Some));
        same("the usage", found.unwrap_or_default(), expected)?;
    }
    check_head(http, seen.meta.as_ref().ok_or("an answer without a head")?)
}

fn check_error(expect: &Value, http: &Value, error: &InferenceError) -> Verdict {
    let expected = at(expect, "/error");
    let origin = error.origin().ok_or("an error of the configuration")?;
    same("the kind", Some(word(error)), at(expected, "/kind").as_str())?;
    same("whether it passes by itself", Some(error.is_transient()), at(expected, "/retryable").as_bool())?;
    same("whether it came after output", Some(origin.chunks > 0), at(expected, "/after_output").as_bool())?;
    let part = at(expected, "/message_contains").as_str().unwrap_or_default();
    ensure(error.to_string().contains(part), format!("the text: expected {part:?} in {error}"))?;
    if let Some(categories) = at(expect, "/filtered_categories").as_array() {
        let expected: Vec<_> = categories.iter().filter_map(Value::as_str).collect();
        same("the categories", origin.filtered.iter().map(String::as_str).collect(), expected)?;
    }
    // A wait that stands only in the message may be used.
    let wait = at(http, "/retry_after_ms").as_u64().or(at(expected, "/retry_after_ms_from_message").as_u64());
    same("the wait", millis(error.retry_after()), wait)
}

fn check_head(http: &Value, meta: &RunMeta) -> Verdict {
    if let Some(expected) = at(http, "/request_id").as_str() {
        same("the request's name", meta.upstream_request_id.as_deref(), Some(expected))?;
    }
    let Some(expected) = at(http, "/rate_limit").as_object() else { return Ok(()) };
    let limits = meta.rate_limits.as_deref().cloned().unwrap_or_default();
    for (name, found) in [
        ("limit_requests", limits.limit_requests),
        ("limit_tokens", limits.limit_tokens),
        ("remaining_requests", limits.remaining_requests),
        ("remaining_tokens", limits.remaining_tokens),
        ("reset_requests_ms", millis(limits.reset_requests)),
        ("reset_tokens_ms", millis(limits.reset_tokens)),
    ] {
        same(name, found, expected.get(name).and_then(Value::as_u64))?;
    }
    Ok(())
}

fn millis(time: Option<Duration>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.as_millis()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_recorded_with_its_framing_is_read_without_it_or_not_at_all() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap(), b"abcde");
        for bad in ["", "3\r\nab", "x\r\n", "3\r\nabc\r\n", "ffffffffffffffff\r\nabc"] {
            assert!(unchunked(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_without_an_index_is_no_folder_of_fixtures() {
        assert!(Fixtures::read("/nowhere").is_err());
    }
}
