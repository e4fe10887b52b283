//! Keys that change under running calls.

use futures_util::future::join;
use infer_core::ErrorKind;
use remote_core::session::rotate;

use crate::check::{Verdict, ensure, fails, same};
use crate::stage::{FIRST_KEY, SECOND_KEY};
use crate::{Act, Keys, Rig, Stage};

/// Holds if the requests carried these keys, one each.
fn carried(rig: &Rig, keys: &[&str]) -> Verdict {
    rig.saw(keys.len())?;
    for (request, key) in rig.book.seen().iter().zip(keys) {
        let other = if *key == FIRST_KEY { SECOND_KEY } else { FIRST_KEY };
        let is_right = request.carries(key) && !request.carries(other);
        ensure(is_right, format!("request {} must carry the key {key} and no other", request.number))?;
    }
    Ok(())
}

/// *401 rotates*: a refused key is replaced from its source, once, and the call is tried once more with the new one.
///
/// # Errors
/// What was otherwise.
pub async fn a_401_gets_one_refresh_and_one_more_try(stage: Stage) -> Verdict {
    let refusal = || stage.refusal(ErrorKind::Unauthenticated);
    let rig = stage.rig([refusal(), stage.whole("hi")]).await?;
    same("the text", rig.collect().await?.text(), "hi")?;
    carried(&rig, &[FIRST_KEY, SECOND_KEY])?;
    same("fetches from the source, the first included", rig.keys.fetches(), 2)?;
    rig.audit(1)?;

    // Two keys refused are enough, although there is a third.
    let three = Keys::new([FIRST_KEY, SECOND_KEY, "sk-third-0123456789abcdef"]);
    let rig = stage.rig_with_keys(|_| (), three, [refusal(), refusal()]).await?;
    fails("a call whose second key is refused too", rig.collect().await, ErrorKind::Unauthenticated)?;
    carried(&rig, &[FIRST_KEY, SECOND_KEY])?;
    rig.audit(1)?;

    // A source without another key is asked, the upstream is not.
    let rig = stage.rig_with_keys(|_| (), Keys::new([FIRST_KEY]), [refusal()]).await?;
    fails("a call without another key", rig.collect().await, ErrorKind::Unauthenticated)?;
    carried(&rig, &[FIRST_KEY])?;
    same("fetches from the source", rig.keys.fetches(), 2)?;
    rig.audit(1)
}

/// *in-flight keeps the old key*: rotating disturbs no call under way; the next one, and the next attempt of one under
/// way, use the new key.
///
/// # Errors
/// What was otherwise.
pub async fn a_call_in_flight_keeps_the_old_key(stage: Stage) -> Verdict {
    let mut slow = stage.stream(&["Hel", "lo"]);
    slow.body.insert(2, Act::Wait(stage.wait())); // after the first text
    let rig = stage.rig([slow, stage.whole("next")]).await?;
    let run = rig.open().await?;
    rotate(&rig.session, Some(SECOND_KEY.into()))?;
    same("the text of the call under way", run.collect().await?.text(), "Hello")?;
    same("the text of the next one", rig.collect().await?.text(), "next")?;
    carried(&rig, &[FIRST_KEY, SECOND_KEY])?;
    rig.audit(2)?;

    let failing = stage.refusal(ErrorKind::Upstream).after(stage.wait());
    let rig = stage.rig([failing, stage.whole("hi")]).await?;
    let rotation = async {
        rig.book.until_seen(1).await;
        rotate(&rig.session, Some(SECOND_KEY.into()))
    };
    let (whole, rotated) = join(rig.collect(), rotation).await;
    rotated?;
    same("the text of the call that was retried", whole?.text(), "hi")?;
    carried(&rig, &[FIRST_KEY, SECOND_KEY])?;
    same("fetches from the source", rig.keys.fetches(), 1)?;
    rig.audit(1)
}
