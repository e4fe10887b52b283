//! Callers who leave.
//!
//! A call begins when its future is polled first and its request can be encoded. From then on it leaves exactly one record
//! of the call, wherever it was left, and one for each request that was sent. A call that never began leaves none.

use futures_util::StreamExt as _;
use infer_core::{ErrorKind, FinishKind, ModelRunner as _, Usage};
use remote_core::breaker::BreakerState;
use remote_core::meter::Outcome;
use remote_core::{Operation, RemoteConfig};
use tokio::time::{sleep, timeout};

use super::{
    Act, Rig, Script, ask, assert_nothing_is_held, event, fine, rig, run, seconds, status, streaming,
};

/// Nothing is held, nothing is sent later on, and the one call that was left is on record as such.
async fn nothing_is_left(rig: &Rig, requests: usize) {
    assert_nothing_is_held(rig);
    assert_eq!(rig.upstream.seen().len(), requests);
    sleep(seconds(600)).await;
    assert_eq!(rig.upstream.seen().len(), requests, "something was sent after the caller had left");
    assert_eq!(rig.log.attempts().len(), requests);
    let left = rig.log.calls().iter().filter(|call| call.outcome == Outcome::Cancelled).count();
    assert_eq!(left, 1);
    assert_eq!(rig.runner.breaker_state(Operation::Generate), (BreakerState::Closed, None));
}

fn one_at_a_time() -> RemoteConfig {
    let mut config = RemoteConfig::default();
    config.rate_limits.max_in_flight = Some(1);
    config
}

/// Starts a call and leaves after a second.
async fn leave(rig: &Rig) {
    assert!(timeout(seconds(1), rig.runner.execute(streaming())).await.is_err(), "it ended by itself");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_began_leaves_no_trace() {
    let rig = rig(one_at_a_time(), []);
    drop(rig.runner.execute(streaming()));
    let mut refused = streaming();
    "refuse".clone_into(&mut refused.model);
    run(&rig.runner, refused).await.unwrap_err();
    assert!(rig.log.calls().is_empty() && rig.upstream.seen().is_empty());
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_while_queued() {
    let rig = rig(one_at_a_time(), [Script::stream([event("x"), Act::Wait(seconds(5)), event("!end")])]);
    let first = rig.runner.execute(streaming()).await.unwrap();
    leave(&rig).await;
    let state = rig.runner.limit_state("toy-model");
    assert_eq!((state.in_flight, state.waiting), (1, 0));
    first.collect().await.unwrap();
    assert_eq!(rig.log.calls()[0].attempts, 0);
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_in_backoff() {
    let rig = rig(one_at_a_time(), [Script { headers: vec![("retry-after", "5")], ..status(503) }]);
    leave(&rig).await;
    assert_eq!(rig.log.attempts()[0].outcome, Outcome::Retried(ErrorKind::Overloaded));
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_while_connecting_or_before_the_head() {
    let rig = rig(one_at_a_time(), [Script { head_after: seconds(50), ..fine() }]);
    leave(&rig).await;
    let [attempt] = &rig.log.attempts()[..] else { unreachable!() };
    assert_eq!((attempt.outcome, attempt.estimated), (Outcome::Cancelled, true));
    assert_eq!(attempt.usage.map(|usage| usage.output_tokens), Some(0));
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_between_the_head_and_the_first_content() {
    let rig = rig(one_at_a_time(), [Script::stream([event("!role"), Act::Hang])]);
    leave(&rig).await;
    assert_eq!(rig.log.attempts()[0].status, Some(200));
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_in_the_second_attempt() {
    let rig = rig(one_at_a_time(), [status(500), Script { head_after: seconds(50), ..fine() }]);
    leave(&rig).await;
    let outcomes: Vec<_> = rig.log.attempts().iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Retried(ErrorKind::Upstream), Outcome::Cancelled]);
    nothing_is_left(&rig, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_leaves_mid_stream_and_pays_for_an_estimate() {
    let rig = rig(one_at_a_time(), [Script::stream([event("some "), event("text"), Act::Hang])]);
    let mut stream = rig.runner.execute(streaming()).await.unwrap().into_stream();
    for text in ["some ", "text"] {
        assert_eq!(stream.next().await.unwrap().unwrap().text, text);
    }
    drop(stream);
    let [attempt] = &rig.log.attempts()[..] else { unreachable!() };
    assert_eq!((attempt.outcome, attempt.estimated), (Outcome::Cancelled, true));
    // 21 bytes were asked and 9 were written.
    assert_eq!(attempt.usage, Some(Usage::new(6, 3)));
    assert_eq!(attempt.cost.known().unwrap().total().picos(), 6 * 1_000_000 + 3 * 2_000_000);
    let call = &rig.log.calls()[0];
    assert_eq!((call.estimated, call.cost, call.usage), (true, attempt.cost, attempt.usage));
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_while_a_refusal_is_read_does_not_pay_for_it() {
    let rig = rig(one_at_a_time(), [Script::status(500, [Act::Bytes(b"so"), Act::Hang])]);
    leave(&rig).await;
    let [attempt] = &rig.log.attempts()[..] else { unreachable!() };
    assert_eq!((attempt.status, attempt.usage, attempt.estimated), (Some(500), None, false));
    nothing_is_left(&rig, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_between_the_finish_and_the_end_has_the_whole_answer() {
    let rig = rig(one_at_a_time(), [Script::stream([event("all"), event("!end"), Act::Hang])]);
    let mut stream = rig.runner.execute(streaming()).await.unwrap().into_stream();
    while let Some(chunk) = stream.next().await {
        if chunk.unwrap().finish == Some(FinishKind::Stop.into()) {
            break;
        }
    }
    drop(stream);
    assert_eq!(rig.log.attempts()[0].outcome, Outcome::Completed);
    assert_eq!(rig.log.calls()[0].outcome, Outcome::Completed);
    assert_nothing_is_held(&rig);
    ask(&rig).await.unwrap();
}
