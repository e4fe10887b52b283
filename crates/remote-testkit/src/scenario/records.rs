//! The books.

use infer_core::{ErrorKind, Usd};
use remote_core::meter::{Outcome, RunRecord};

use crate::check::{Verdict, fails, same};
use crate::{Script, Stage};

fn spent(records: &[RunRecord]) -> Usd {
    records.iter().filter_map(|record| record.cost.known()).map(infer_core::CostEstimate::total).sum()
}

/// *records add up*: every attempt and every call reaches the sink with its end and its cost, and both sums of costs are
/// the same, to the pico-dollar.
///
/// # Errors
/// What was otherwise.
pub async fn every_attempt_and_call_is_recorded_and_the_costs_add_up(stage: Stage) -> Verdict {
    let scripts: [Script; 7] = [
        stage.refusal(ErrorKind::Upstream),
        stage.whole("hi"),
        stage.stream(&["Hel", "lo"]),
        stage.beginning(&["Hel"]).hang(),
        stage.beginning(&["Hel"]),
        stage.refusal(ErrorKind::InvalidRequest),
        stage.beginning(&[]).hang(),
    ];
    let rig = stage.rig_with(|config| config.timeouts.idle_bytes = stage.wait() * 50, scripts).await?;
    rig.collect().await?;
    rig.drain().await?.1?;
    drop(rig.open().await?);
    fails("a stream that is cut", rig.drain().await?.1, ErrorKind::StreamInterrupted)?;
    fails("a call that is refused", rig.collect().await, ErrorKind::InvalidRequest)?;
    fails("a stream that stalls", rig.drain().await?.1, ErrorKind::Timeout)?;

    let (attempts, calls) = (rig.records.attempts(), rig.records.calls());
    let failed = |kind| Outcome::Failed(kind);
    let ends: Vec<Outcome> = calls.iter().map(|call| call.outcome).collect();
    let expected = vec![
        Outcome::Completed,
        Outcome::Completed,
        Outcome::Cancelled,
        failed(ErrorKind::StreamInterrupted),
        failed(ErrorKind::InvalidRequest),
        failed(ErrorKind::Timeout),
    ];
    same("how the calls ended", ends, expected)?;
    same(
        "how the first attempt ended",
        attempts.first().map(|a| a.outcome),
        Some(Outcome::Retried(ErrorKind::Upstream)),
    )?;
    same("attempts", attempts.len(), 7)?;
    same("the cost of all calls and of all attempts", spent(&calls), spent(&attempts))?;
    let exact = rig.price(&stage.usage()).total();
    let told: Vec<RunRecord> = calls.iter().filter(|call| !call.estimated).cloned().collect();
    same("the cost of the two answers that were told to the end", spent(&told), exact.saturating_add(exact))?;
    let guessed: Vec<bool> = calls.iter().map(|call| call.estimated).collect();
    same("calls whose usage is estimated", guessed, vec![false, false, true, true, false, true])?;
    for call in &calls {
        same("the model", call.subject.model.as_str(), stage.subject.model.as_str())?;
        same("whether a head came", call.status.is_some() && call.timing.head.is_some(), true)?;
    }
    rig.audit(6)
}
