//! Retry, breaker, limits, sessions and meter together, scenario by scenario, on a paused clock.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "resilience/breaker.rs"]
mod breaker;
#[path = "resilience/credentials.rs"]
mod credentials;
#[path = "resilience/embedding.rs"]
mod embedding;
#[path = "resilience/hedge.rs"]
mod hedge;
#[path = "resilience/hints.rs"]
mod hints;
#[path = "resilience/leaving.rs"]
mod leaving;
#[path = "resilience/limits.rs"]
mod limits;
#[path = "resilience/listing.rs"]
mod listing;
#[path = "resilience/records.rs"]
mod records;
#[path = "resilience/relay.rs"]
mod relay;
#[path = "resilience/retries.rs"]
mod retries;
#[path = "common/rig.rs"]
mod rig;
#[path = "common/script.rs"]
mod script;
#[path = "resilience/streams.rs"]
mod streams;
#[path = "common/toy.rs"]
mod toy;

use std::time::Duration;

use infer_core::{Completion, ExecuteBatch, InferenceError, ModelRunner as _, RunMeta};
use remote_core::session::{SessionHandle, SessionSnapshot};
use remote_core::{RemoteConfig, RemoteRunner};

use crate::rig::Rig;
use crate::script::{Act, Script, event};
use crate::toy::{Toy, streaming};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn session() -> SessionHandle {
    SessionSnapshot::new(Some("key-0".into())).unwrap().into_handle()
}

/// An answer with 1000 tokens in and 2 out.
fn fine() -> Script {
    Script::stream([event("fi"), event("ne"), event("!end"), event("!use 1000 2"), event("!done")])
}

fn status(status: u16) -> Script {
    Script::status(status, [Act::Bytes(b"no")])
}

/// An upstream that plays `scripts` and is well afterwards.
fn rig(config: RemoteConfig, scripts: impl IntoIterator<Item = Script>) -> Rig {
    let scripts: Vec<Script> = scripts.into_iter().collect();
    Rig::new(config, session(), 7, move |nth, _| scripts.get(nth).cloned().unwrap_or_else(fine))
}

/// Settings without retries.
fn once() -> RemoteConfig {
    let mut config = RemoteConfig::default();
    config.retry.attempts = 1;
    config
}

async fn run(
    runner: &RemoteRunner<Toy>,
    batch: ExecuteBatch,
) -> Result<(RunMeta, Completion), InferenceError> {
    let run = runner.execute(batch).await?;
    let meta = run.meta().clone();
    Ok((meta, run.collect().await?))
}

async fn ask(rig: &Rig) -> Result<(RunMeta, Completion), InferenceError> {
    run(&rig.runner, streaming()).await
}

/// The seconds between one request and the next.
fn gaps(rig: &Rig) -> Vec<f64> {
    rig.upstream.seen().windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
}

/// Whether `found` is within the bounds; the timer may be a millisecond late.
fn is_within(found: f64, least: f64, most: f64) -> bool {
    (least..=most + 0.002).contains(&found)
}

#[track_caller]
fn assert_nothing_is_held(rig: &Rig) {
    let state = rig.runner.limit_state("toy-model");
    assert_eq!((state.in_flight, state.waiting, rig.upstream.open()), (0, 0, 0));
}
