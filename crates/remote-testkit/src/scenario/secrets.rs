//! Keys stay where they belong.

use std::error::Error;
use std::fmt::Write as _;

use futures_util::StreamExt as _;
use infer_core::{ErrorKind, TransportKind};
use remote_core::TransportFault;

use crate::check::{Verdict, ensure, same};
use crate::logs::Logs;
use crate::stage::{FIRST_KEY, SECOND_KEY};
use crate::{Act, Rig, Script, Stage};

/// An error with everything it holds.
fn all_of(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (**error).source()).fold(String::new(), |mut text, error| {
        let _ = write!(text, "{error} {error:?} ");
        text
    })
}

/// *no secret*: no key is in any `Debug` or `Display` of runner, session, errors, pieces and records, nor in the log,
/// although the upstream repeats it wherever it can.
///
/// # Errors
/// Where the key was found.
pub async fn no_secret_is_printed(stage: Stage) -> Verdict {
    let logs = Logs::default();
    let guard = logs.listen();
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
    let mut printed = format!("{:?} {:?} {:?}", rig.runner, rig.session, rig.runner.info());
    for _ in 0..calls {
        printed.push_str(&printed_call(&rig).await);
    }
    let _ = write!(printed, "{:?}{:?}", rig.records.calls(), rig.records.attempts());
    drop(guard);

    let logged = logs.text();
    ensure(!logged.trim().is_empty(), "the log was not listened to")?;
    ensure(printed.contains("[redacted]"), "an upstream's words without the key must be kept")?;
    for (place, text) in [("printed", &printed), ("logged", &logged)] {
        let at = text.find(FIRST_KEY);
        let around = at.and_then(|at| text.get(at.saturating_sub(150)..at)).unwrap_or_default();
        ensure(at.is_none(), format!("the key is {place}, after: {around}"))?;
    }
    same(
        "requests that carried the key",
        rig.book.seen().iter().filter(|one| one.carries(FIRST_KEY)).count(),
        calls,
    )?;
    rig.audit(calls)
}

/// Everything that one call lets a caller print.
async fn printed_call(rig: &Rig) -> String {
    let run = match rig.open().await {
        Err(error) => return all_of(&error),
        Ok(run) => run,
    };
    let mut printed = format!("{run:?}");
    let mut stream = run.into_stream();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => drop(write!(printed, "{chunk:?}")),
            Err(error) => printed.push_str(&all_of(&error)),
        }
    }
    printed
}
