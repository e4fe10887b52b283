//! What is refused once and for all, by the upstream or by the client.

use infer_core::{DecodeKind, ErrorKind, InferenceError, TransportKind};
use remote_core::RemoteConfig;

use crate::check::{Verdict, ensure, fails, same};
use crate::{Rig, Script, Stage};

/// One failure opens the breaker, so that a refusal which counts as one shows.
fn touchy(config: &mut RemoteConfig) {
    config.circuit_breaker.consecutive_failures = 1;
}

/// Refused with `kind`, both ways of asking, after one request each; the upstream is not blamed for it.
async fn is_final(stage: Stage, kind: ErrorKind) -> Verdict {
    let refusal = || stage.refusal(kind).header("x-request-id", "req-up-1");
    let rig = stage.rig_with(touchy, [refusal(), refusal(), refusal(), stage.whole("hi")]).await?;
    for number in 1..=3 {
        let result = if number == 2 { rig.open().await.map(drop) } else { rig.collect().await.map(drop) };
        let error = fails("the refused call", result, kind)?;
        let at = error.origin().cloned().unwrap_or_default();
        same("attempts", at.attempts, 1)?;
        same("the upstream's name for it", at.upstream_request_id.as_deref(), Some("req-up-1"))?;
        ensure(
            at.status.is_some() && at.message.is_some(),
            format!("status and words must be kept: {error}"),
        )?;
        rig.saw(number)?;
    }
    same("the next answer", rig.collect().await?.text(), "hi")?;
    rig.audit(4)
}

/// *400 not retried*: a request that is wrong is sent once, and three of them do not open the breaker.
///
/// # Errors
/// What was otherwise.
pub async fn a_400_is_not_retried(stage: Stage) -> Verdict {
    is_final(stage, ErrorKind::InvalidRequest).await
}

/// *quota 429 not retried*: a quota that is used up is told apart from too many requests.
///
/// # Errors
/// What was otherwise.
pub async fn an_exhausted_quota_is_not_retried(stage: Stage) -> Verdict {
    is_final(stage, ErrorKind::QuotaExhausted).await
}

/// *request-too-large 429 not retried*: a request over a limit by itself is told apart from too many requests.
///
/// # Errors
/// What was otherwise.
pub async fn a_request_too_large_is_not_retried(stage: Stage) -> Verdict {
    is_final(stage, ErrorKind::RequestTooLarge).await
}

/// *context length*: a conversation that is too long is told apart from a wrong request.
///
/// # Errors
/// What was otherwise.
pub async fn a_context_length_error_is_told_apart(stage: Stage) -> Verdict {
    is_final(stage, ErrorKind::ContextLengthExceeded).await
}

/// *content filter*: a filter's refusal is told apart from a wrong request.
///
/// # Errors
/// What was otherwise.
pub async fn a_content_filter_error_is_told_apart(stage: Stage) -> Verdict {
    is_final(stage, ErrorKind::ContentFiltered).await
}

/// *redirect refused*: nobody is followed to another place, the same host included, since the key would go along.
///
/// # Errors
/// What was otherwise.
pub async fn a_redirect_is_refused(stage: Stage) -> Verdict {
    for status in [301, 302, 303, 307, 308] {
        let away = Script::status(status).header("location", "/elsewhere-9c1");
        let rig = stage.rig([away]).await?;
        let error = fails("the redirected call", rig.collect().await, ErrorKind::Transport)?;
        let is_redirect = matches!(error, InferenceError::Transport { kind: TransportKind::Redirect, .. });
        ensure(is_redirect, format!("the error must say that it was a redirect: {error}"))?;
        ensure(!error.to_string().contains("elsewhere-9c1"), "the error must not repeat where to")?;
        rig.saw(1)?;
        rig.audit(1)?;
    }
    Ok(())
}

/// *body cap*: an answer, an event, or events without content over their limit end the call; of an error only the
/// beginning is kept.
///
/// # Errors
/// What was otherwise.
pub async fn a_body_or_an_event_over_its_cap_is_refused(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let long = "x".repeat(10_000);
    // A message begins once; what says nothing may come as often as it likes.
    let idle = wire.empty_events();
    let idle = [wire.role()].into_iter().chain(idle.into_iter().cycle().take(1000));
    for (what, script, expected) in [
        ("a long answer", stage.whole(&long), DecodeKind::BodyTooLarge),
        ("a long event", Script::events([wire.text(&long)]), DecodeKind::EventTooLarge),
        ("many events", Script::events(idle), DecodeKind::EventTooLarge),
    ] {
        let rig = capped(&stage, script).await?;
        let result = if expected == DecodeKind::BodyTooLarge {
            rig.collect().await.map(drop)
        } else {
            rig.open().await.map(drop)
        };
        let error = fails(what, result, ErrorKind::Decode)?;
        let is_cap = matches!(&error, InferenceError::Decode { kind, .. } if *kind == expected);
        ensure(is_cap, format!("{what}: the error must name the limit: {error}"))?;
        rig.saw(1)?;
        rig.audit(1)?;
    }
    let rig = capped(&stage, Script::status(400).body(long.repeat(20))).await?;
    let error = fails("a long error", rig.collect().await, ErrorKind::InvalidRequest)?;
    let length = error.to_string().len();
    ensure(length < 1500, format!("an error must not repeat a whole body, this one has {length} bytes"))?;
    rig.audit(1)
}

async fn capped(stage: &Stage, script: Script) -> Verdict<Rig> {
    let change = |config: &mut RemoteConfig| {
        config.limits.max_body_bytes = 4000;
        config.limits.max_event_bytes = 4000;
    };
    stage.rig_with(change, [script]).await
}
