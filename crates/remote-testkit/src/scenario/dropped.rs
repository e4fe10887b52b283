//! Callers who leave: the connection closes, the permit is free, and nothing more is sent.

use std::future::Future;
use std::iter::repeat_with;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use infer_core::{ErrorKind, TokenStream};
use remote_core::RemoteConfig;
use remote_core::meter::Outcome;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Verdict, ensure, same};
use crate::{Rig, Script, Stage};

/// Until when an upstream must have seen that its client left.
const NOTICED: Duration = Duration::from_millis(100);

/// Begins `call` and drops it when `moment` comes, which gives the result.
pub(super) async fn leave<T, M>(
    call: impl Future<Output = T>,
    moment: impl Future<Output = M>,
) -> Verdict<M> {
    match select(pin!(call), pin!(moment)).await {
        Either::Left(_) => Err("the call was over before it could be dropped".into()),
        Either::Right((moment, _)) => Ok(moment),
    }
}

fn one_at_a_time(config: &mut RemoteConfig) {
    config.rate_limits.max_in_flight = Some(1);
}

/// Holds if a call goes through at once, so that no permit is held, and if nothing but that is sent in the hour after.
async fn is_free(rig: &Rig, requests: usize) -> Verdict {
    let begun = Instant::now();
    same("the next answer", rig.collect().await?.text(), "next")?;
    if rig.stage.is_exact() {
        same("how long the next call waited", begun.elapsed(), Duration::ZERO)?;
        sleep(Duration::from_secs(3600)).await;
    }
    rig.saw(requests)
}

/// How often a caller leaves. A machine can be too busy to notice in time, but not every time.
fn times(stage: &Stage) -> usize {
    if stage.is_exact() { 1 } else { 5 }
}

/// How long it took the upstream to see that the client of request `number` has left, which is now.
async fn noticed(rig: &Rig, number: usize) -> Verdict<Duration> {
    let begun = Instant::now();
    let seen = timeout(Duration::from_secs(10), rig.book.until_left(number)).await;
    ensure(seen.is_ok(), "the upstream must see that its client left")?;
    let left = rig.book.left().into_iter().find(|left| left.number == number);
    left.map(|left| left.at.saturating_duration_since(begun)).ok_or_else(|| "another client left".into())
}

fn is_in_time(noticed: &[Duration]) -> Verdict {
    let quickest = noticed.iter().min();
    ensure(
        quickest.is_some_and(|time| *time <= NOTICED),
        format!("the upstream must see within {NOTICED:?} that its client left, not after {noticed:?}"),
    )
}

/// Holds if the first call to end is recorded as left after so many attempts.
fn is_recorded(rig: &Rig, attempts: u32) -> Verdict {
    let calls = rig.records.calls();
    let Some(first) = calls.first() else { return Err("a call that was dropped must be recorded".into()) };
    same(
        "the recorded end of a call that was dropped",
        (first.outcome, first.attempts),
        (Outcome::Cancelled, attempts),
    )
}

/// *drop in the queue*: it leaves no trace at the upstream, and its place is free.
///
/// # Errors
/// What was otherwise.
pub async fn a_call_dropped_in_the_queue_is_never_sent(stage: Stage) -> Verdict {
    let rig = stage.rig_with(one_at_a_time, [stage.beginning(&["Hel"]).hang(), stage.whole("next")]).await?;
    let first = rig.open().await?;
    leave(rig.collect(), sleep(stage.wait())).await?;
    is_recorded(&rig, 0)?;
    rig.saw(1)?;
    drop(first);
    is_free(&rig, 2).await?;
    rig.audit(3)
}

/// *drop in backoff*: a call that waits for its next attempt holds nothing up, and when it is dropped there is none.
///
/// # Errors
/// What was otherwise.
pub async fn a_call_dropped_in_backoff_is_not_sent_again(stage: Stage) -> Verdict {
    let busy = stage.refusal(ErrorKind::Overloaded).header("retry-after", "20");
    let rig = stage.rig_with(one_at_a_time, [busy, stage.whole("meanwhile"), stage.whole("next")]).await?;
    let meanwhile = async {
        sleep(stage.wait()).await;
        let begun = Instant::now();
        (rig.collect().await, begun.elapsed())
    };
    let (other, took) = leave(rig.collect(), meanwhile).await?;
    same("another call meanwhile", other?.text(), "meanwhile")?;
    same("how long it waited", took, Duration::ZERO)?;
    is_free(&rig, 3).await?;
    let ends: Vec<_> = rig.records.calls().iter().map(|call| (call.outcome, call.attempts)).collect();
    let expected = [(Outcome::Completed, 1), (Outcome::Cancelled, 1), (Outcome::Completed, 1)];
    same("the recorded ends", ends, expected.to_vec())?;
    rig.audit(3)
}

/// *drop before the head*: the connection closes while the upstream is still thinking.
///
/// # Errors
/// What was otherwise.
pub async fn a_call_dropped_before_the_head_is_cancelled(stage: Stage) -> Verdict {
    let times = times(&stage);
    let scripts = repeat_with(Script::silence).take(times).chain([stage.whole("next")]);
    let rig = stage.rig_with(one_at_a_time, scripts).await?;
    let mut took = Vec::new();
    for number in 1..=times {
        leave(rig.open(), rig.book.until_seen(number)).await?;
        took.push(noticed(&rig, number).await?);
    }
    is_in_time(&took)?;
    is_recorded(&rig, 1)?;
    is_free(&rig, times + 1).await?;
    rig.audit(times + 1)
}

/// *drop mid-stream*: the connection closes, and what was used so far is estimated and paid for.
///
/// # Errors
/// What was otherwise.
pub async fn a_stream_dropped_midway_is_cancelled(stage: Stage) -> Verdict {
    let times = times(&stage);
    let endless = || stage.beginning(&["Hel"]).hang();
    let scripts = repeat_with(endless).take(times).chain([stage.whole("next")]);
    let rig = stage.rig_with(one_at_a_time, scripts).await?;
    let mut took = Vec::new();
    for number in 1..=times {
        let mut stream = rig.open().await?.into_stream();
        until_text(&mut stream).await?;
        drop(stream);
        took.push(noticed(&rig, number).await?);
    }
    is_in_time(&took)?;
    is_recorded(&rig, 1)?;
    let settled =
        rig.records.calls().first().is_some_and(|call| call.estimated && call.cost.known().is_some());
    ensure(settled, "what was used so far must be estimated and priced")?;
    is_free(&rig, times + 1).await?;
    rig.audit(times + 1)
}

async fn until_text(stream: &mut TokenStream) -> Verdict {
    while let Some(chunk) = stream.next().await {
        if !chunk?.text.is_empty() {
            return Ok(());
        }
    }
    Err("the stream ended without text".into())
}
