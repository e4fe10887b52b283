//! An upstream that is down, and how it is found to be well again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use infer_core::{BreakerPhase, ErrorKind, InferenceError, ModelRunner as _};
use remote_core::breaker::BreakerState;
use remote_core::{Operation, RemoteConfig};
use tokio::time::{advance, timeout};

use super::{
    Act, Rig, Script, ask, assert_nothing_is_held, event, fine, once, rig, seconds, session, status,
    streaming,
};

/// Three failures open it, one success closes it, one attempt a call.
fn config() -> RemoteConfig {
    let mut config = once();
    config.circuit_breaker.consecutive_failures = 3;
    config.circuit_breaker.successes_to_close = 1;
    config
}

fn state(rig: &Rig) -> BreakerState {
    rig.runner.breaker_state(Operation::Generate).0
}

fn wait_of(error: &InferenceError) -> Duration {
    let InferenceError::CircuitOpen { retry_after, .. } = error else { unreachable!("{error}") };
    *retry_after
}

/// A rig whose breaker has just opened and will let a probe through; `then` are the scripts from the probe on.
async fn half_open(then: impl IntoIterator<Item = Script>) -> Rig {
    let rig = rig(config(), (0..3).map(|_| status(500)).chain(then));
    for _ in 0..3 {
        ask(&rig).await.unwrap_err();
    }
    assert_eq!(state(&rig), BreakerState::Open);
    advance(wait_of(&ask(&rig).await.unwrap_err())).await;
    assert_eq!(state(&rig), BreakerState::HalfOpen);
    rig
}

#[tokio::test(start_paused = true)]
async fn three_refused_requests_do_not_open_it() {
    let rig = rig(config(), (0..3).map(|_| status(400)));
    for _ in 0..3 {
        assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    assert_eq!(state(&rig), BreakerState::Closed);
    ask(&rig).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_twelve_calls_against_a_dead_upstream_three_reach_it_and_the_rest_hear_a_true_wait() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let rig =
        Rig::new(
            config(),
            session(),
            7,
            move |_, _| {
                if is_well.load(Ordering::Relaxed) { fine() } else { status(500) }
            },
        );
    for call in 0..12 {
        let error = ask(&rig).await.unwrap_err();
        let at = error.origin().unwrap();
        if call < 3 {
            assert_eq!((error.kind(), at.attempts), (ErrorKind::Upstream, 1));
        } else {
            assert_eq!((error.kind(), at.attempts), (ErrorKind::CircuitOpen, 0));
        }
    }
    assert_eq!(rig.upstream.seen().len(), 3);
    well.store(true, Ordering::Relaxed);
    let wait = wait_of(&ask(&rig).await.unwrap_err());
    assert!(wait >= seconds(5) && wait <= Duration::from_millis(5500), "{wait:?}");
    advance(wait.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(wait_of(&ask(&rig).await.unwrap_err()), Duration::from_millis(1));
    advance(Duration::from_millis(1)).await;
    ask(&rig).await.unwrap();
    assert_eq!(state(&rig), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_retries_opened_it_ends_with_the_upstreams_error_and_says_so() {
    let mut config = config();
    config.retry.attempts = 10;
    let rig = Rig::new(config, session(), 7, |_, _| status(500));
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().attempts), (ErrorKind::Upstream, 3));
    assert!(error.to_string().contains("circuit open"), "{error}");
    assert_eq!(rig.upstream.seen().len(), 3);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_calls_at_half_open_one_is_the_probe() {
    let rig = half_open([Script { head_after: seconds(1), ..fine() }]).await;
    let results = join_all((0..100).map(|_| ask(&rig))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    }
    assert_eq!(rig.upstream.seen().len(), 4);
    assert_eq!(state(&rig), BreakerState::Closed);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_waits_for_its_turn_keeps_no_other_from_probing() {
    let mut config = config();
    config.rate_limits.max_in_flight = Some(1);
    let rig = rig(config, [Script::stream([event("x"), Act::Wait(seconds(5)), event("!end")])]);
    let busy = rig.runner.execute(streaming()).await.unwrap();
    rig.runner.force_open(Operation::Generate, Some(Duration::from_millis(1)));
    advance(Duration::from_millis(2)).await;
    let waits = timeout(seconds(1), ask(&rig));
    assert!(waits.await.is_err(), "it waits for the call that is under way");
    assert_eq!(rig.runner.breaker_state(Operation::Generate), (BreakerState::HalfOpen, None));
    drop(busy);
    ask(&rig).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_again_for_twice_as_long() {
    let rig = half_open([status(503)]).await;
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(state(&rig), BreakerState::Open);
    let wait = wait_of(&ask(&rig).await.unwrap_err());
    assert!(wait >= seconds(10) && wait <= seconds(11), "{wait:?}");
    assert_eq!(rig.upstream.seen().len(), 4);
    advance(wait).await;
    ask(&rig).await.unwrap();
    assert_eq!(state(&rig), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_frees_its_place_and_says_nothing() {
    let slow_head = Script { head_after: seconds(50), ..fine() };
    let slow_content = Script::stream([event("!role"), Act::Hang]);
    for probe in [slow_head, slow_content] {
        let rig = half_open([probe]).await;
        let call = ask(&rig);
        assert!(timeout(seconds(1), call).await.is_err());
        assert_eq!(rig.runner.breaker_state(Operation::Generate), (BreakerState::HalfOpen, None));
        assert_nothing_is_held(&rig);
        ask(&rig).await.unwrap();
        assert_eq!(state(&rig), BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_probe_is_out_nobody_else_is_let_through() {
    let rig = half_open([Script { head_after: seconds(50), ..fine() }]).await;
    let mut probe = Box::pin(ask(&rig));
    assert!(timeout(seconds(1), &mut probe).await.is_err());
    let (state, wait) = rig.runner.breaker_state(Operation::Generate);
    assert_eq!((state, wait.is_some()), (BreakerState::HalfOpen, true));
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::CircuitOpen);
    drop(probe);
    ask(&rig).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_stream_is_left_has_shown_that_the_upstream_is_well() {
    let rig = half_open([Script::stream([event("x"), Act::Hang])]).await;
    let mut stream = rig.runner.execute(streaming()).await.unwrap().into_stream();
    stream.next().await.unwrap().unwrap();
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::CircuitOpen, "the probe is still out");
    drop(stream);
    assert_eq!(state(&rig), BreakerState::Closed);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_breaks_off_opens_it_again() {
    let rig = half_open([Script::stream([event("x"), Act::Break])]).await;
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::StreamInterrupted);
    assert_eq!(state(&rig), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn three_answers_that_break_off_after_content_open_it() {
    let rig = rig(config(), (0..3).map(|_| Script::stream([event("x"), Act::Break])));
    for _ in 0..3 {
        assert_eq!(ask(&rig).await.unwrap_err().origin().unwrap().chunks, 1);
    }
    assert_eq!(state(&rig), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn answers_under_way_keep_it_closed_though_none_of_them_has_ended() {
    let long = || Script::stream([event("x"), Act::Wait(seconds(60)), event("!end")]);
    let scripts = (0..30).map(|nth| if nth % 3 == 2 { long() } else { status(500) });
    let mut config = config();
    config.circuit_breaker.failure_rate = 0.8;
    let rig = rig(config, scripts);
    let mut running = Vec::new();
    for nth in 0..30 {
        match rig.runner.execute(streaming()).await {
            Ok(run) => running.push(run),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Upstream, "call {nth}"),
        }
    }
    assert_eq!((running.len(), state(&rig)), (10, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_began_before_it_opened_changes_nothing_when_it_ends() {
    let long = Script::stream([event("x"), Act::Wait(seconds(2)), event("!end")]);
    let rig = rig(config(), [long, status(500), status(500), status(500)]);
    let run = rig.runner.execute(streaming()).await.unwrap();
    for _ in 0..3 {
        ask(&rig).await.unwrap_err();
    }
    run.collect().await.unwrap();
    assert_eq!(state(&rig), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn throttling_and_a_refused_key_do_not_open_it() {
    let scripts = [429, 401, 402, 403].into_iter().cycle().take(40).map(status);
    let rig = rig(config(), scripts);
    for _ in 0..40 {
        ask(&rig).await.unwrap_err();
    }
    assert_eq!((state(&rig), rig.upstream.seen().len()), (BreakerState::Closed, 40));
}

#[tokio::test(start_paused = true)]
async fn an_operator_opens_it_for_a_time_or_until_told_otherwise() {
    let rig = rig(config(), []);
    rig.runner.force_open(Operation::Generate, Some(seconds(10)));
    let forced = (BreakerState::ForcedOpen, Some(seconds(10)));
    assert_eq!(rig.runner.breaker_state(Operation::Generate), forced);
    assert_eq!(rig.runner.breaker_state(Operation::Embed), (BreakerState::Closed, None));
    assert_eq!(wait_of(&ask(&rig).await.unwrap_err()), seconds(10));
    advance(seconds(10)).await;
    assert_eq!(state(&rig), BreakerState::HalfOpen);
    ask(&rig).await.unwrap();
    assert_eq!(state(&rig), BreakerState::Closed);

    rig.runner.force_open(Operation::Generate, None);
    advance(seconds(100_000)).await;
    assert_eq!(state(&rig), BreakerState::ForcedOpen);
    ask(&rig).await.unwrap_err();
    rig.runner.reset_breaker(Operation::Generate);
    assert_eq!(state(&rig), BreakerState::Closed);
    ask(&rig).await.unwrap();
    assert_eq!(rig.upstream.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_operator_keeps_it_closed_whatever_happens_until_a_reset() {
    let rig = rig(config(), (0..23).map(|_| status(500)));
    rig.runner.force_closed(Operation::Generate);
    for _ in 0..20 {
        assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::Upstream);
    }
    assert_eq!(state(&rig), BreakerState::ForcedClosed);
    rig.runner.reset_breaker(Operation::Generate);
    for _ in 0..3 {
        ask(&rig).await.unwrap_err();
    }
    assert_eq!(state(&rig), BreakerState::Open);
    rig.runner.reset_breaker(Operation::Generate);
    ask(&rig).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_switched_off_is_opened_by_no_failure_and_still_by_an_operator() {
    let mut config = config();
    config.circuit_breaker.enabled = false;
    let rig = rig(config, (0..30).map(|_| status(500)));
    for _ in 0..30 {
        assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::Upstream);
    }
    rig.runner.force_open(Operation::Generate, Some(seconds(10)));
    assert_eq!(wait_of(&ask(&rig).await.unwrap_err()), seconds(10));
    advance(seconds(10)).await;
    assert_eq!(rig.runner.breaker_state(Operation::Generate), (BreakerState::Closed, None));
    ask(&rig).await.unwrap();
    assert_eq!(state(&rig), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_runner_says_how_long_its_open_breaker_or_its_upstreams_pause_will_last() {
    let rig = rig(config(), (0..3).map(|_| status(500)));
    assert_eq!(rig.runner.ready_in("toy-model"), Duration::ZERO);
    for _ in 0..3 {
        ask(&rig).await.unwrap_err();
    }
    let wait = wait_of(&ask(&rig).await.unwrap_err());
    assert_eq!(rig.runner.ready_in("toy-model"), wait);
    advance(wait).await;
    assert_eq!(rig.runner.ready_in("toy-model"), Duration::ZERO);
    let slow = Script { headers: vec![("retry-after", "20")], ..status(429) };
    let paused = super::rig(once(), [slow]);
    ask(&paused).await.unwrap_err();
    assert_eq!(paused.runner.ready_in("toy-model"), seconds(20));
    assert_eq!(paused.runner.ready_in("another"), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_through_hears_what_the_upstream_said_last_until_an_operator_speaks() {
    let rig = rig(config(), (0..3).map(|_| status(503)));
    let mut said = None;
    for _ in 0..3 {
        said = ask(&rig).await.unwrap_err().origin().unwrap().message.clone();
    }
    assert!(said.is_some());
    let error = ask(&rig).await.unwrap_err();
    let at = error.origin().unwrap();
    assert_eq!((error.kind(), at.status, at.attempts), (ErrorKind::CircuitOpen, Some(503), 0));
    assert_eq!(at.message, said);
    assert_eq!(error.retry_after(), rig.runner.breaker_state(Operation::Generate).1);

    let controls = rig.runner.controls().unwrap();
    let report = controls.breakers().remove(0);
    assert_eq!((report.operation, report.state, report.forced), ("chat", BreakerPhase::Open, false));
    assert_eq!(report.last_failure.unwrap().status, Some(503));

    assert_eq!(controls.force_open(Some("chat"), None), 1);
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().status), (ErrorKind::CircuitOpen, None));
    let report = controls.breakers().remove(0);
    assert_eq!((report.state, report.forced, report.last_failure), (BreakerPhase::Open, true, None));
}

#[tokio::test(start_paused = true)]
async fn an_operator_opens_closes_and_resets_by_name_and_learns_that_there_is_no_such_operation() {
    let rig = rig(config(), []);
    let controls = rig.runner.controls().unwrap();
    let states =
        || controls.breakers().into_iter().map(|report| (report.state, report.forced)).collect::<Vec<_>>();
    assert_eq!(controls.force_open(Some("answers"), None), 0);
    assert_eq!(states(), [(BreakerPhase::Closed, false); 4]);
    assert_eq!(controls.force_open(None, Some(seconds(300))), 4);
    assert_eq!(states(), [(BreakerPhase::Open, true); 4]);
    assert_eq!(wait_of(&ask(&rig).await.unwrap_err()), seconds(300));
    assert_eq!(controls.force_closed(Some("chat")), 1);
    ask(&rig).await.unwrap();
    assert_eq!(controls.reset(None), 4);
    assert_eq!(states(), [(BreakerPhase::Closed, false); 4]);
}
