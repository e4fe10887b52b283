//! What is worth another try.

use std::collections::BTreeSet;
use std::time::Duration;

use infer_core::{ErrorKind, TransportKind};
use remote_core::TransportFault;

use crate::check::{Verdict, ensure, fails, same};
use crate::{Script, Stage};

/// *429 with a hint*: it is retried when the time has come that the upstream named, and so is an upstream that is
/// overloaded; a time beyond all patience ends the call at once, with words that say so.
///
/// # Errors
/// What was otherwise.
pub async fn a_429_is_retried_after_its_hint(stage: Stage) -> Verdict {
    follows_the_hint(&stage, ErrorKind::RateLimited).await?;
    follows_the_hint(&stage, ErrorKind::Overloaded).await?;
    let rig = stage.rig([stage.refusal(ErrorKind::RateLimited).header("retry-after", "86400")]).await?;
    let begun = tokio::time::Instant::now();
    let error = fails("a hint of a day", rig.collect().await, ErrorKind::RateLimited)?;
    same("the wait it names", error.retry_after(), Some(Duration::from_secs(86_400)))?;
    ensure(begun.elapsed() < Duration::from_secs(1), "a hint beyond all patience must end the call at once")?;
    let gave_up = error.origin().and_then(|at| at.gave_up.as_ref());
    ensure(gave_up.is_some(), format!("the error must say why no more was tried: {error}"))?;
    rig.saw(1)?;
    rig.audit(1)
}

/// Holds if a call that is refused with `kind` is sent again when the upstream said, and not much later.
async fn follows_the_hint(stage: &Stage, kind: ErrorKind) -> Verdict {
    let (header, value, hint) = if stage.is_exact() {
        ("retry-after", "7", Duration::from_secs(7))
    } else {
        ("retry-after-ms", "5", Duration::from_millis(5))
    };
    let throttled = stage.refusal(kind).header(header, value);
    let rig = stage.rig([throttled, stage.whole("hi")]).await?;
    let run = rig.runner.execute(rig.batch()).await?;
    same("attempts", run.meta().attempts, 2)?;
    same("the text", run.collect().await?.text(), "hi")?;
    let seen = rig.book.seen();
    let [first, second] = seen.as_slice() else { return Err("two requests must be sent".into()) };
    let waited = second.at - first.at;
    ensure(waited >= hint, format!("the upstream asked for {hint:?}, and was asked again after {waited:?}"))?;
    if stage.is_exact() {
        ensure(
            waited <= hint * 2,
            format!("the upstream asked for {hint:?}, and nothing came for {waited:?}"),
        )?;
    }
    same("both requests", &first.body, &second.body)?;
    rig.audit(1)
}

/// *500 then success*: failures of the upstream and of the network are retried, with the same request, and the answer
/// arrives once.
///
/// # Errors
/// What was otherwise.
pub async fn a_500_is_retried(stage: Stage) -> Verdict {
    let closed = || Script::fault(TransportFault::Before(TransportKind::Closed));
    for failure in [stage.refusal(ErrorKind::Upstream), stage.refusal(ErrorKind::Overloaded), closed()] {
        let rig = stage.rig([failure.clone(), failure.clone(), stage.stream(&["Hé", "llo"])]).await?;
        let run = rig.open().await?;
        same("attempts", run.meta().attempts, 3)?;
        same("the text", run.collect().await?.text(), "Héllo")?;
        let bodies: BTreeSet<_> = rig.book.seen().into_iter().map(|seen| seen.body).collect();
        same("different requests", bodies.len(), 1)?;
        rig.saw(3)?;
        rig.audit(1)?;

        let rig = stage.rig([failure, stage.whole("hi")]).await?;
        same("the text", rig.collect().await?.text(), "hi")?;
        rig.saw(2)?;
        rig.audit(1)?;
    }
    // With every attempt used up, the error is the upstream's and says how often it was tried.
    let rig = stage.rig_with(|config| config.retry.attempts = 3, []).await?;
    let refusal = stage.refusal(ErrorKind::Upstream);
    rig.book.otherwise(move |_| refusal.clone());
    let error = fails("an upstream that stays down", rig.collect().await, ErrorKind::Upstream)?;
    same("attempts", error.origin().map(|at| at.attempts), Some(3))?;
    rig.saw(3)?;
    rig.audit(1)
}
