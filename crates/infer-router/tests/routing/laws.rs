//! What holds whatever the targets do and whenever the caller leaves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::{ErrorKind, ModelRunner as _};
use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::scripted::{Act, Scripted, says};
use super::{ask, assert_nothing_in_flight, ms, router};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn act() -> impl Strategy<Value = Act> {
    let kind = || prop::sample::select(ErrorKind::ALL.to_vec());
    prop_oneof![
        3 => (0_u64..900).prop_map(|after| Act::Say("fine", ms(after))),
        6 => (kind(), 0_u64..900).prop_map(|(kind, after)| Act::Fail(kind, ms(after))),
        1 => kind().prop_map(|kind| Act::Break("half a", kind)),
        1 => Just(Act::Hang),
        1 => Just(Act::Stall("half a")),
    ]
}

#[derive(Clone, Debug)]
struct Scene {
    acts: Vec<Act>,
    cools: Vec<u64>,
    priorities: Vec<u32>,
    policy: &'static str,
    hold_back: Option<u64>,
    deadline: u64,
    streaming: bool,
    leaves_after: Option<u64>,
}

fn scene() -> impl Strategy<Value = Scene> {
    let policies = ["weighted", "least_in_flight", "lowest_latency", "lowest_cost", "sticky"];
    let count = NAMES.len();
    (
        prop::collection::vec(act(), count),
        prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 1_u64..3_000], count),
        prop::collection::vec(1_u32..3, count),
        prop::sample::select(policies.to_vec()),
        prop::option::of(1_u64..500),
        1_u64..4_000,
        any::<bool>(),
        prop::option::of(0_u64..4_000),
    )
        .prop_map(|(acts, cools, priorities, policy, hold_back, deadline, streaming, leaves_after)| {
            Scene { acts, cools, priorities, policy, hold_back, deadline, streaming, leaves_after }
        })
}

/// What became of a call: the text that was handed over, and the error it ended with.
struct Outcome {
    text: String,
    error: Option<ErrorKind>,
    took: Duration,
}

async fn play(scene: &Scene, runners: &[Arc<Scripted>]) -> (infer_router::Router, Option<Outcome>) {
    let targets: Vec<_> = NAMES
        .iter()
        .zip(&scene.priorities)
        .map(|(name, priority)| format!(r#"{{"provider": "{name}", "model": "m", "priority": {priority}}}"#))
        .collect();
    let hold_back = scene.hold_back.map_or(String::new(), |time| format!(r#", "hold_back": "{time}ms""#));
    let json = format!(
        r#"{{"routes": {{"r": {{"policy": "{}", "targets": [{}]{hold_back}}}}}}}"#,
        scene.policy,
        targets.join(",")
    );
    let router = router(runners, &json);
    for (runner, cools) in runners.iter().zip(&scene.cools) {
        runner.cool_down(ms(*cools));
    }
    let mut batch = ask("r").with_deadline(ms(scene.deadline));
    if scene.streaming {
        batch = batch.streaming();
    }
    let begun = Instant::now();
    let call = async {
        let mut text = String::new();
        let error = match router.execute(batch).await {
            Err(error) => Some(error),
            Ok(run) => {
                let mut stream = run.into_stream();
                loop {
                    match stream.next().await {
                        None => break None,
                        Some(Ok(chunk)) => text.push_str(&chunk.text),
                        Some(Err(error)) => break Some(error),
                    }
                }
            }
        };
        Outcome { text, error: error.map(|error| error.kind()), took: begun.elapsed() }
    };
    let patience = ms(scene.leaves_after.unwrap_or(60_000));
    let outcome = timeout(patience, call).await.ok();
    (router, outcome)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Each target at most once, no text twice, all over by the deadline, nothing left in flight, and a call ends as the
    /// table says: nobody is asked after an error that does not fail over, and no error that does is the end while
    /// somebody who could be asked is left.
    #[test]
    fn a_call_asks_each_target_once_and_ends_in_time_and_leaves_nothing_behind(scene in scene()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let runners: Vec<_> = NAMES.iter().zip(&scene.acts).map(|(name, act)| says(name, [act.clone()])).collect();
            let (router, outcome) = play(&scene, &runners).await;
            prop_assert!(runners.iter().all(|runner| runner.calls() <= 1));
            assert_nothing_in_flight(&router);
            prop_assert!(runners.iter().all(|runner| runner.open() == 0));
            let Some(outcome) = outcome else { return Ok(()) };
            prop_assert!(outcome.took <= ms(scene.deadline) + ms(1), "{:?}", outcome.took);
            prop_assert!(["", "fine", "half a"].contains(&outcome.text.as_str()), "{}", outcome.text);
            prop_assert_eq!(outcome.error.is_none(), outcome.text == "fine");
            let asked: Vec<_> = runners.iter().zip(&scene.acts).filter(|(runner, _)| runner.calls() > 0).collect();
            let fatal = |act: &Act| match act {
                Act::Fail(kind, _) => !kind.policy().fails_over && *kind != ErrorKind::ContextLengthExceeded,
                _ => false,
            };
            if scene.hold_back.is_none() {
                // One at a time: at most one of those asked can have ended the call.
                prop_assert!(asked.iter().filter(|(_, act)| fatal(act)).count() <= 1);
            }
            let passing = outcome.error.is_some_and(|kind| kind.policy().fails_over && kind != ErrorKind::CircuitOpen);
            let broke = scene.acts.iter().any(|act| matches!(act, Act::Break(..) | Act::Stall(_)));
            let larger = asked.iter().any(|(_, act)| matches!(act, Act::Fail(ErrorKind::ContextLengthExceeded, _)));
            let cooled = scene.cools.iter().any(|cools| *cools > 0);
            if passing && !broke && !larger && !cooled {
                prop_assert_eq!(asked.len(), NAMES.len(), "it gave up although somebody was left");
            }
            Ok(())
        })?;
    }
}
