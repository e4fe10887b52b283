//! Streams that go wrong: what came stays, nothing comes twice, and the end is honest.

use std::time::Duration;

use bytes::Bytes;
use infer_core::{ErrorKind, InferenceError, TimeoutPhase};
use tokio::time::Instant;

use crate::check::{Verdict, drain, ensure, fails, same};
use crate::{Act, Rig, Script, Stage};

/// Holds if a stream gives `text` and then an error of `kind`, and is not asked for again.
async fn breaks_off(rig: &Rig, what: &str, text: &str, kind: ErrorKind) -> Verdict<InferenceError> {
    let before = rig.book.seen().len();
    let (whole, end) = rig.drain().await?;
    let error = fails(what, end, kind)?;
    same(&format!("{what}: the text before it"), whole.text(), text)?;
    let chunks = error.origin().map_or(0, |at| at.chunks);
    same(&format!("{what}: whether the error knows of the text"), chunks > 0, !text.is_empty())?;
    rig.saw(before + 1)?;
    Ok(error)
}

/// *stalled stream*: a stream or a head that does not come is an error that names the limit, the connection is closed, and
/// nothing is tried again, since the upstream may bill both.
///
/// # Errors
/// What was otherwise.
pub async fn a_stalled_stream_is_an_error(stage: Stage) -> Verdict {
    let limit = if stage.is_exact() { Duration::from_secs(90) } else { Duration::from_millis(100) };
    let times = |config: &mut remote_core::RemoteConfig| {
        config.timeouts.idle_bytes = limit;
        config.timeouts.head_streamed = limit;
    };
    let rig = stage.rig_with(times, [stage.beginning(&["Hel"]).hang(), Script::silence()]).await?;
    let mut stream = rig.open().await?.into_stream();
    let begun = Instant::now();
    let (whole, end) = drain(&mut stream).await?;
    same("the text before the stall", whole.text(), "Hel")?;
    ran_out(&fails("a stream that stalls", end, ErrorKind::Timeout)?, TimeoutPhase::IdleBytes)?;
    rig.book.until_left(1).await; // although the caller still holds the stream
    drop(stream);
    if stage.is_exact() {
        same("when it ran out", begun.elapsed(), limit)?;
    }
    let error = breaks_off(&rig, "a head that does not come", "", ErrorKind::Timeout).await?;
    ran_out(&error, TimeoutPhase::Head)?;
    rig.book.until_left(2).await;
    rig.saw(2)?;
    rig.audit(2)
}

fn ran_out(error: &InferenceError, expected: TimeoutPhase) -> Verdict {
    let is_named = matches!(error, InferenceError::Timeout { phase, .. } if *phase == expected);
    ensure(is_named, format!("the error must say that {} ran out: {error}", expected.key()))
}

/// *truncated stream*: a body that ends or breaks before the finish is an error, not an end; before any text it is
/// retried.
///
/// # Errors
/// What was otherwise.
pub async fn a_truncated_stream_is_an_error(stage: Stage) -> Verdict {
    let cut = || stage.beginning(&["Hel"]);
    let rig = stage.rig([cut(), cut().acts([Act::Break]), cut().body("data: ")]).await?;
    for what in ["an early end", "a break", "half an event"] {
        breaks_off(&rig, what, "Hel", ErrorKind::StreamInterrupted).await?;
    }
    rig.audit(3)?;

    let whole = stage.subject.wire.whole("Hello", stage.usage());
    let half = whole.slice(..whole.len() / 2);
    let rig = stage
        .rig([
            stage.beginning(&[]),
            stage.beginning(&[]).acts([Act::Break]),
            stage.stream(&["Hel", "lo"]),
            Script::json(half).acts([Act::Break]),
            stage.whole("Hello"),
        ])
        .await?;
    let (streamed, end) = rig.drain().await?;
    end?;
    same("the text, after two that were cut before any", streamed.text(), "Hello")?;
    rig.saw(3)?;
    same("the text, after one that was cut", rig.collect().await?.text(), "Hello")?;
    rig.saw(5)?;
    rig.audit(2)
}

/// *error event first*: an error inside a success, before any text, is retried as if it had been the status.
///
/// # Errors
/// What was otherwise.
pub async fn an_error_event_before_any_text_is_retried(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    for kind in [ErrorKind::Overloaded, ErrorKind::Upstream] {
        let error = wire.error_event(kind, "as scripted");
        let first = Script::events([error.clone()]);
        let after_role = Script::events([wire.role(), error, wire.text("lost")]);
        let rig = stage.rig([first, after_role, stage.stream(&["Hel", "lo"])]).await?;
        let (whole, end) = rig.drain().await?;
        end?;
        same("the text", whole.text(), "Hello")?;
        rig.saw(3)?;
        rig.audit(1)?;
    }
    Ok(())
}

/// *error event midway*: an error after text, and even after the finish, ends the stream with that error.
///
/// # Errors
/// What was otherwise.
pub async fn an_error_event_after_text_ends_the_stream(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let error = || wire.error_event(ErrorKind::Overloaded, "as scripted");
    let rest = [wire.text("lost"), wire.finish(), wire.done()];
    let midway = stage.beginning(&["Hel", "lo"]).acts([error()].into_iter().chain(rest).map(Act::Bytes));
    let last = stage.beginning(&["Hel", "lo"]).acts([wire.finish(), error(), wire.done()].map(Act::Bytes));
    let at_once = Bytes::from([wire.text("Hello"), error()].concat());
    let rig = stage.rig([midway, last, Script::events([at_once])]).await?;
    for what in ["an error midway", "an error at the end", "an error in one read with the text"] {
        breaks_off(&rig, what, "Hello", ErrorKind::Overloaded).await?;
    }
    rig.audit(3)
}

/// *malformed event*: an event or a body that cannot be read is a `Decode` error, not a gap in the answer, and asking
/// again would not help.
///
/// # Errors
/// What was otherwise.
pub async fn a_malformed_event_is_never_skipped(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let rest = || [wire.malformed(), wire.text("lo"), wire.finish(), wire.done()].map(Act::Bytes);
    let whole = wire.whole("Hello", stage.usage());
    let rig = stage
        .rig([
            stage.beginning(&["Hel"]).acts(rest()),
            stage.beginning(&[]).acts(rest()),
            Script::json(whole.slice(..whole.len() / 2)),
            Script::status(200)
                .header("content-type", "text/html")
                .body("<!doctype html><title>Sign in</title>"),
        ])
        .await?;
    breaks_off(&rig, "an event midway", "Hel", ErrorKind::Decode).await?;
    breaks_off(&rig, "the first event", "", ErrorKind::Decode).await?;
    fails("half a body", rig.collect().await, ErrorKind::Decode)?;
    breaks_off(&rig, "a web page", "", ErrorKind::Decode).await?;
    rig.saw(4)?;
    rig.audit(4)
}
