//! Waiting for a target that cools down, and company for one that is slow.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use infer_core::{ErrorKind, InferenceError, ModelRunner as _};
use infer_router::{Provider, Registry, Router};
use tokio::time::{Instant, advance, sleep};

use super::scripted::{Act, Scripted, fails, says};
use super::{ask, assert_nothing_in_flight, config, in_order, ms, router, run, who};

#[tokio::test(start_paused = true)]
async fn a_target_that_cools_down_is_passed_over_while_another_is_ready() {
    let (first, second) = (says("first", []), says("second", []));
    let router = in_order(&[first.clone(), second], "");
    first.cool_down(ms(50));
    assert_eq!(who(&router, ask("r")).await, "second");
    advance(ms(50)).await;
    assert_eq!(who(&router, ask("r")).await, "first");
}

#[tokio::test(start_paused = true)]
async fn when_all_cool_down_the_call_waits_for_the_first_of_them() {
    let (first, second) = (says("first", []), says("second", []));
    let router = in_order(&[first.clone(), second.clone()], "");
    first.cool_down(ms(4_000));
    second.cool_down(ms(1_500));
    assert_eq!(router.ready_in("r"), ms(1_500));
    let begun = Instant::now();
    assert_eq!(who(&router, ask("r").with_deadline(ms(3_000))).await, "second");
    assert_eq!(begun.elapsed(), ms(1_500));
}

#[tokio::test(start_paused = true)]
async fn it_does_not_wait_beyond_the_deadline_or_what_the_operator_allows() {
    let only = says("only", []);
    let router = in_order(std::slice::from_ref(&only), "");
    let begun = Instant::now();
    for (cools, deadline) in [(ms(900), ms(800)), (ms(5_001), ms(60_000))] {
        only.cool_down(cools);
        let error = run(&router, ask("r").with_deadline(deadline)).await.unwrap_err();
        let InferenceError::CircuitOpen { retry_after, .. } = error else { panic!("{error}") };
        assert_eq!(retry_after, cools);
    }
    assert_eq!((begun.elapsed(), only.calls()), (ms(0), 0));
}

#[tokio::test(start_paused = true)]
async fn the_only_target_gives_what_its_upstream_said_last_and_one_of_several_does_not() {
    let only = says("only", []);
    only.break_open(ms(60_000), 529);
    let alone = run(&in_order(std::slice::from_ref(&only), ""), ask("r")).await.unwrap_err();
    let at = alone.origin().unwrap();
    assert_eq!((alone.kind(), alone.retry_after()), (ErrorKind::CircuitOpen, Some(ms(60_000))));
    assert_eq!(
        (at.status, at.code.as_deref(), at.message.as_deref()),
        (Some(529), Some("busy"), Some("come back"))
    );
    assert_eq!(at.provider.as_deref(), Some("only"));

    let other = says("other", []);
    other.cool_down(ms(60_000));
    let several = run(&in_order(&[only.clone(), other], ""), ask("r")).await.unwrap_err();
    assert_eq!((several.kind(), several.origin().unwrap().status), (ErrorKind::CircuitOpen, None));
    assert_eq!(only.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_error_there_is_comes_before_a_wait_that_is_too_long() {
    let (first, second) = (fails("first", ErrorKind::RateLimited), says("second", []));
    let router = in_order(&[first, second.clone()], "");
    second.cool_down(ms(60_000));
    let error = run(&router, ask("r")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.to_string(), "first: rate limited; the other targets cool down for 60.0s");
}

#[tokio::test(start_paused = true)]
async fn waits_add_up_to_no_more_than_allowed() {
    let only = says("only", []);
    let router = router(
        std::slice::from_ref(&only),
        r#"{"routes": {"r": {"targets": [{"provider": "only"}]}}, "max_cooldown_wait": "1s"}"#,
    );
    only.cool_down(ms(600));
    let again = async {
        sleep(ms(550)).await;
        only.cool_down(ms(500)); // somebody else's probe failed meanwhile
    };
    let begun = Instant::now();
    let (result, ()) = join(run(&router, ask("r")), again).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::CircuitOpen);
    assert_eq!((begun.elapsed(), only.calls()), (ms(600), 0));
}

const HOLD_BACK: &str = r#", "hold_back": "300ms""#;

#[tokio::test(start_paused = true)]
async fn a_slow_target_gets_company_and_the_first_to_answer_wins() {
    let slow = says("slow", [Act::Say("late", ms(5_000)), Act::Say("in time", ms(400))]);
    let quick = says("quick", [Act::Say("soon", ms(200)), Act::Say("too late", ms(200))]);
    let router = in_order(&[slow.clone(), quick.clone()], HOLD_BACK);
    let begun = Instant::now();
    assert_eq!(run(&router, ask("r")).await.unwrap().1.text(), "soon");
    assert_eq!((begun.elapsed(), slow.open()), (ms(500), 0));
    assert_eq!(run(&router, ask("r")).await.unwrap().1.text(), "in time");
    assert_eq!((begun.elapsed(), quick.open()), (ms(900), 0));
    assert_eq!((slow.calls(), quick.calls()), (2, 2));
    assert_nothing_in_flight(&router);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_answers_within_the_time_gets_no_company() {
    let (first, second) = (says("first", [Act::Say("fine", ms(299))]), says("second", []));
    let router = in_order(&[first, second.clone()], HOLD_BACK);
    assert_eq!(who(&router, ask("r").streaming()).await, "first");
    assert_eq!(second.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_beside_another_leaves_it_running_and_is_told_of() {
    let slow = says("slow", [Act::Fail(ErrorKind::Overloaded, ms(1_000))]);
    let company = says("company", [Act::Fail(ErrorKind::RateLimited, ms(100))]);
    let third = says("third", [Act::Fail(ErrorKind::Upstream, ms(2_000))]);
    let router = in_order(&[slow, company, third], HOLD_BACK);
    let begun = Instant::now();
    let error = run(&router, ask("r")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    let tried: Vec<_> =
        error.origin().unwrap().tried.iter().map(|tried| tried.provider.to_string()).collect();
    assert_eq!(tried, ["company", "slow"]);
    assert_eq!(begun.elapsed(), ms(2_600));
    assert_nothing_in_flight(&router);
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_at_any_moment_leaves_nothing_in_flight() {
    for left_after in (0..2_000).step_by(50) {
        let runners =
            ["a", "b", "c"].map(|name| says(name, [Act::Fail(ErrorKind::Upstream, ms(500)), Act::Hang]));
        runners[0].cool_down(ms(200));
        runners[1].cool_down(ms(150));
        runners[2].cool_down(ms(700));
        let router = in_order(&runners, HOLD_BACK);
        let call = run(&router, ask("r"));
        tokio::select! {
            _ = call => {}
            () = sleep(ms(left_after)) => {}
        }
        assert_nothing_in_flight(&router);
        assert!(runners.iter().all(|runner| runner.open() == 0), "{left_after}");
    }
}

/// Targets `a` and `b`, in this order of priority, with a hint about `a`'s model `m0`.
fn hinted(a: &Arc<Scripted>, b: &Arc<Scripted>) -> Router {
    let provider =
        |runner: &Arc<Scripted>| Provider::new(Arc::clone(&runner.info.name), Arc::clone(runner) as _);
    let hint = |model: &str| if model == "m0" { ms(60_000) } else { Duration::ZERO };
    let registry = Registry::new().with(provider(a).with_hint(Arc::new(hint))).with(provider(b));
    let routes = r#"{"routes": {
        "r": {"targets": [{"provider": "a", "model": "m0"}, {"provider": "b", "model": "m1", "priority": 2}]},
        "other": {"targets": [{"provider": "a", "model": "m2"}, {"provider": "b", "model": "m1", "priority": 2}]},
        "alone": {"targets": [{"provider": "a", "model": "m0"}]}}}"#;
    Router::builder(registry, config(routes)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hint_sends_calls_elsewhere_and_never_stops_one_that_has_nowhere_else_to_go() {
    let (a, b) = (says("a", []), says("b", []));
    let router = hinted(&a, &b);
    assert_eq!(who(&router, ask("r")).await, "b");
    assert_eq!(who(&router, ask("other")).await, "a");
    let begun = tokio::time::Instant::now();
    assert_eq!(who(&router, ask("alone")).await, "a");
    // The other one is known here to let nothing through, and that counts for more than what others say of this one.
    b.cool_down(ms(60_000));
    assert_eq!(who(&router, ask("r")).await, "a");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(router.ready_in("alone"), Duration::ZERO);
}
