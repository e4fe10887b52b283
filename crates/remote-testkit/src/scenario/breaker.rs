//! An upstream that is down is left alone.

use std::time::Duration;

use futures_util::future::join_all;
use infer_core::{ErrorKind, InferenceError};
use tokio::time::sleep;

use super::dropped::leave;
use crate::check::{Verdict, ensure, fails, same};
use crate::{Script, Stage};

/// *breaker opens*: of 12 calls against a dead upstream at a threshold of 3, three requests reach it, with and without
/// retries; the others are told when to come back.
///
/// # Errors
/// What was otherwise.
pub async fn a_dead_upstream_is_asked_as_often_as_the_threshold_says(stage: Stage) -> Verdict {
    for attempts in [1, 4] {
        let change = |config: &mut remote_core::RemoteConfig| {
            config.circuit_breaker.consecutive_failures = 3;
            config.circuit_breaker.open = Duration::from_secs(30);
            config.retry.attempts = attempts;
        };
        let rig = stage.rig_with(change, []).await?;
        let refusal = stage.refusal(ErrorKind::Upstream);
        rig.book.otherwise(move |_| refusal.clone());
        let reaching = if attempts == 1 { 3 } else { 1 };
        for number in 1..=12 {
            let result = rig.collect().await;
            if number <= reaching {
                fails("a call that reaches it", result, ErrorKind::Upstream)?;
                continue;
            }
            let error = fails("a call that does not", result, ErrorKind::CircuitOpen)?;
            let wait = error.retry_after().unwrap_or_default();
            let is_sane = wait > Duration::from_secs(20) && wait <= Duration::from_secs(33);
            ensure(is_sane, format!("it must say when to come back, not {wait:?}"))?;
        }
        rig.saw(3)?;
        rig.audit(12)?;
    }
    Ok(())
}

/// *one probe*: of 100 calls after the breaker's time is over, one reaches the upstream. A probe that is dropped leaves its
/// place to another one, and one that goes well closes the breaker.
///
/// # Errors
/// What was otherwise.
pub async fn one_of_a_hundred_calls_probes(stage: Stage) -> Verdict {
    let change = |config: &mut remote_core::RemoteConfig| {
        config.circuit_breaker.consecutive_failures = 1;
        config.circuit_breaker.open = Duration::from_secs(5);
        config.circuit_breaker.successes_to_close = 1;
        config.retry.attempts = 1;
    };
    let slow = stage.whole("hi").after(Duration::from_secs(1));
    let scripts = [stage.refusal(ErrorKind::Upstream), Script::silence(), slow.clone(), slow.clone(), slow];
    let rig = stage.rig_with(change, scripts).await?;
    fails("the first call", rig.collect().await, ErrorKind::Upstream)?;
    sleep(Duration::from_secs(6)).await;
    leave(rig.collect(), rig.book.until_seen(2)).await?;
    let results = join_all((0..100).map(|_| rig.collect())).await;
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    let open = refused.filter(|error| matches!(error, InferenceError::CircuitOpen { .. })).count();
    let good = results.iter().filter(|result| result.is_ok()).count();
    same("calls that went through, and calls that were told to wait", (good, open), (1, 99))?;
    rig.saw(3)?;
    let both = join_all((0..2).map(|_| rig.collect())).await;
    ensure(both.iter().all(Result::is_ok), "a probe that goes well closes the breaker")?;
    rig.saw(5)?;
    rig.audit(104)
}
