//! Requests that are passed on: the same bytes in both directions, and the same care as for a call that is read.

use bytes::Bytes;
use futures_util::StreamExt as _;
use infer_core::{ErrorKind, InferenceError, RelayAnswer, RelayMethod, RelayRequest};
use remote_core::Operation;
use remote_core::meter::Outcome;
use serde_json::json;

use crate::check::{Verdict, ensure, fails, same};
use crate::stage::{FIRST_KEY, PROMPT, SECOND_KEY};
use crate::{Act, Rig, Script, Stage};

/// A request whose bytes nobody would write like this by chance.
fn request(stage: &Stage) -> RelayRequest {
    let model = &stage.subject.model;
    let body =
        format!("{{ \"input\" : {PROMPT:?},\n\t\"n\": 1.00, \"model\":{model:?} , \"stream\": true}}\n");
    RelayRequest::new(RelayMethod::Post, "/responses").with_json(body)
}

/// The body of `asked` under the name that the model has in `sent`, which may be a deployment's.
fn as_sent(sent: &Bytes, asked: RelayRequest) -> Verdict<Bytes> {
    let name = RelayRequest::new(asked.method, "/").with_json(sent.clone()).model.unwrap_or_default();
    Ok(asked.for_model(&name)?.body)
}

fn event(kind: &str, mut members: serde_json::Value) -> String {
    if let Some(members) = members.as_object_mut() {
        members.insert("type".to_owned(), kind.into());
    }
    format!("event: {kind}\ndata: {members}\n\n")
}

fn created(stage: &Stage) -> String {
    event("response.created", json!({ "response": { "model": stage.subject.model, "usage": null } }))
}

fn delta(text: &str) -> String {
    event("response.output_text.delta", json!({ "delta": text }))
}

fn completed(stage: &Stage) -> String {
    let usage = stage.usage();
    let usage = json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_input_tokens },
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    });
    let response = json!({ "model": stage.subject.model, "status": "completed", "usage": usage });
    event("response.completed", json!({ "response": response }))
}

fn events(stage: &Stage) -> Vec<String> {
    vec![created(stage), ": a comment\r\n\r\n".to_owned(), delta("Hel"), delta("lo"), completed(stage)]
}

/// All bytes of an answer, and how they ended.
async fn drain(mut answer: RelayAnswer) -> Verdict<(Vec<u8>, Result<(), InferenceError>)> {
    let mut whole = Vec::new();
    let end = loop {
        match answer.body.next().await {
            Some(Ok(piece)) => whole.extend_from_slice(&piece),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    ensure(answer.body.next().await.is_none(), "a body must give nothing after its end")?;
    Ok((whole, end))
}

fn paid(rig: &Rig) -> Verdict {
    let calls = rig.records.calls();
    let Some(call) = calls.last() else { return Err("there is no record".into()) };
    same("the operation", call.subject.operation, Operation::Relay)?;
    same("the recorded end", call.outcome, Outcome::Completed)?;
    same("the usage", call.usage, Some(rig.stage.usage()))?;
    same("the cost", call.cost.known().copied(), Some(rig.price(&rig.stage.usage())))
}

/// *relay*: a body goes out and an answer comes back byte for byte, with the upstream's own key and no other header of the
/// caller's than those allowed; what it used is paid for.
///
/// # Errors
/// What was otherwise.
pub async fn bytes_pass_unchanged_both_ways(stage: Stage) -> Verdict {
    let sent = events(&stage).concat();
    let answer = Script::events(events(&stage))
        .header("set-cookie", "session=1")
        .header("x-request-id", format!("for {FIRST_KEY}"));
    let sound = [0_u8, 159, 146, 150, 10, 13].repeat(100);
    let binary = Script::status(200).header("content-type", "audio/mpeg").body(sound.clone());
    let rig = stage.rig([answer, binary]).await?;
    let mut asked = request(&stage).with_header("OpenAI-Beta", "some=v1");
    asked.headers.push(("authorization".to_owned(), "Bearer a-callers-own".to_owned()));
    asked.headers.push(("cookie".to_owned(), "a-callers-own".to_owned()));
    let got = rig.runner.relay(asked.clone()).await?;
    same("the status", got.status, 200)?;
    same("the type", got.header("content-type"), Some("text/event-stream"))?;
    same("a cookie", got.header("set-cookie"), None)?;
    same("the upstream's name for it", got.header("x-request-id"), Some("for [redacted]"))?;
    let (whole, end) = drain(got).await?;
    end?;
    same("the answer", String::from_utf8(whole)?, sent)?;
    paid(&rig)?;
    let seen = rig.book.seen();
    let Some(request) = seen.first() else { return Err("no request came".into()) };
    same("the body", &request.body, &as_sent(&request.body, asked)?)?;
    same("the method", request.method.as_str(), "POST")?;
    let path = request.uri.split('?').next().unwrap_or_default();
    ensure(path.ends_with("/responses"), format!("the path must end in /responses: {path}"))?;
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    same("a header that is allowed", header("openai-beta"), Some("some=v1"))?;
    same("the type of the body", header("content-type"), Some("application/json"))?;
    ensure(request.carries(FIRST_KEY), "the key must be in the request's headers or query")?;
    ensure(!request.carries("a-callers-own"), "a caller's credentials must not be sent")?;

    let speech = RelayRequest::new(RelayMethod::Get, "/files/file-1/content").with_query("part=1");
    let (whole, end) = drain(rig.runner.relay(speech).await?).await?;
    end?;
    same("bytes of the sound", whole, sound)?;
    let seen = rig.book.seen();
    let Some(request) = seen.last() else { return Err("no request came".into()) };
    same("the method", request.method.as_str(), "GET")?;
    ensure(request.uri.contains("/files/file-1/content?"), "the path must be the caller's")?;
    ensure(request.uri.ends_with("part=1"), "the caller's query must come last")?;
    rig.audit(2)
}

/// *relay retried*: what fails before the first event is tried again, a refused key is replaced, and nobody notices.
///
/// # Errors
/// What was otherwise.
pub async fn a_relay_is_retried_before_its_first_event(stage: Stage) -> Verdict {
    let failed = event("error", json!({ "code": "server_error", "message": "as scripted" }));
    let scripts = [
        stage.refusal(ErrorKind::Unauthenticated),
        Script::events([failed]),
        Script::events([": only a comment\n\n"]).acts([Act::Break]),
        Script::events(events(&stage)),
    ];
    let rig = stage.rig_with(|config| config.retry.attempts = 5, scripts).await?;
    let got = rig.runner.relay(request(&stage)).await?;
    same("attempts", got.meta.attempts, 4)?;
    let (whole, end) = drain(got).await?;
    end?;
    same("the answer", String::from_utf8(whole)?, events(&stage).concat())?;
    let seen = rig.book.seen();
    let rotated = seen.iter().map(|one| one.carries(SECOND_KEY)).collect::<Vec<_>>();
    same("requests with the second key", rotated, vec![false, true, true, true])?;
    for one in &seen {
        same("the body of every attempt", &one.body, &as_sent(&one.body, request(&stage))?)?;
    }
    let refused = stage.rig([stage.refusal(ErrorKind::InvalidRequest)]).await?;
    let error = refused.runner.relay(request(&stage)).await;
    fails("a request that is wrong", error, ErrorKind::InvalidRequest)?;
    refused.saw(1)?;
    rig.audit(1)
}

/// *relay cut*: a stream that breaks off before its last event is an error and is not asked for again.
///
/// # Errors
/// What was otherwise.
pub async fn a_relay_that_is_cut_is_an_error(stage: Stage) -> Verdict {
    let beginning = [created(&stage), delta("Hel")];
    let mut half = completed(&stage);
    half.truncate(40);
    let scripts = [
        Script::events(beginning.clone()),
        Script::events(beginning.clone()).acts([Act::bytes(half), Act::Break]),
    ];
    let rig = stage.rig(scripts).await?;
    for _ in 0..2 {
        let (whole, end) = drain(rig.runner.relay(request(&stage)).await?).await?;
        same("what came before", String::from_utf8(whole)?, beginning.concat())?;
        let error = fails("a stream that was cut", end, ErrorKind::StreamInterrupted)?;
        ensure(
            error.origin().is_some_and(|at| at.chunks > 0),
            "the error must say that something was given",
        )?;
    }
    rig.saw(2)?;
    rig.audit(2)
}

/// *relay dropped*: a caller who leaves closes the connection and frees what was held.
///
/// # Errors
/// What was otherwise.
pub async fn a_relay_dropped_midway_is_cancelled(stage: Stage) -> Verdict {
    let scripts = [Script::events([created(&stage), delta("Hel")]).hang(), Script::events(events(&stage))];
    let rig = stage.rig_with(|config| config.rate_limits.max_in_flight = Some(1), scripts).await?;
    let mut got = rig.runner.relay(request(&stage)).await?;
    ensure(matches!(got.body.next().await, Some(Ok(_))), "the first event must come")?;
    drop(got);
    rig.book.until_left(1).await;
    let ends: Vec<_> = rig.records.calls().iter().map(|call| call.outcome).collect();
    same("the recorded ends", ends, vec![Outcome::Cancelled])?;
    let (_, end) = drain(rig.runner.relay(request(&stage)).await?).await?;
    end?;
    paid(&rig)?;
    rig.audit(2)
}
