//! Keys stay where they belong.

use std::fmt::Debug;

use infer_core::{ErrorKind, TransportKind};
use remote_core::TransportFault;

use crate::check::{Verdict, same};
use crate::leaks::Leaks;
use crate::stage::{FIRST_KEY, SECOND_KEY};
use crate::{Act, Script, Stage};

/// *no secret*: no key is in any `Debug` or `Display` of runner, session, errors, pieces and records, nor in the log,
/// although the upstream repeats it wherever it can.
///
/// # Errors
/// Where the key was found.
pub async fn no_secret_is_printed(stage: Stage) -> Verdict {
    let mut leaks = Leaks::listen();
    let wire = &stage.subject.wire;
    let spiteful = format!("the key {FIRST_KEY} or {SECOND_KEY} is wrong");
    let named = |script: Script| script.header("x-request-id", FIRST_KEY);
    let refusal = |kind| named(wire.refusal(kind, &spiteful));
    let event = wire.error_event(ErrorKind::Overloaded, &format!("the key {FIRST_KEY} is wrong"));
    let scripts = [
        refusal(ErrorKind::InvalidRequest),
        refusal(ErrorKind::Upstream),
        Script::status(400).body(FIRST_KEY),
        Script::status(307).header("location", format!("/{FIRST_KEY}")),
        Script::fault(TransportFault::Before(TransportKind::Closed)),
        stage.beginning(&["Hel"]).acts([Act::Bytes(event)]),
        named(stage.beginning(&["Hel"])).acts([Act::Break]),
        stage.beginning(&["Hel"]).acts([Act::Bytes(wire.malformed())]),
        named(stage.stream(&["Hel", "lo"])),
        refusal(ErrorKind::Unauthenticated),
    ];
    let calls = scripts.len();
    let rig = stage.rig_with(|config| config.retry.attempts = 1, scripts).await?;
    for shown in [&rig.runner as &dyn Debug, &rig.session, rig.runner.info()] {
        leaks.show(shown);
    }
    for _ in 0..calls {
        leaks.call(&*rig.runner, rig.batch().streaming()).await;
    }
    leaks.show(&(rig.records.calls(), rig.records.attempts()));
    leaks.none_of(&[FIRST_KEY])?;
    same(
        "requests that carried the key",
        rig.book.seen().iter().filter(|one| one.carries(FIRST_KEY)).count(),
        calls,
    )?;
    rig.audit(calls)
}
