//! A second attempt beside a slow first one.

use infer_core::{ErrorKind, Usage};
use remote_core::meter::{Outcome, RunRecord};
use remote_core::{RemoteConfig, TransportFault};
use tokio::time::timeout;

use super::{Rig, Script, ask, assert_nothing_is_held, fine, rig, seconds, status};

fn after_two_seconds() -> RemoteConfig {
    let mut config = RemoteConfig::default();
    config.hedge.after = Some(seconds(2));
    config
}

fn late(head_after: u64) -> Script {
    Script { head_after: seconds(head_after), ..fine() }
}

fn outcomes(rig: &Rig) -> Vec<Outcome> {
    rig.log.attempts().iter().map(|attempt| attempt.outcome).collect()
}

/// What the attempts cost is what the call cost, to the pico-dollar.
fn assert_costs_add_up(rig: &Rig) {
    let picos = |record: &RunRecord| record.cost.known().map_or(0, |cost| cost.total().picos());
    let attempts: u128 = rig.log.attempts().iter().map(picos).sum();
    assert_eq!(rig.log.calls().iter().map(picos).sum::<u128>(), attempts);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_brings_a_second_request_and_the_first_answer_wins() {
    let rig = rig(after_two_seconds(), [late(30), late(1)]);
    let (meta, whole) = ask(&rig).await.unwrap();
    assert_eq!((whole.text(), meta.attempts), ("fine", 2));
    assert_eq!(meta.time_to_head, Some(seconds(3)));
    assert_eq!(outcomes(&rig), [Outcome::Cancelled, Outcome::Completed]);
    let attempts = rig.log.attempts();
    // The one that lost was read by the upstream, which may bill it.
    assert!(attempts[0].estimated && attempts[0].usage.is_some());
    assert_eq!(attempts[1].usage, Some(Usage::new(1000, 2)));
    assert_costs_add_up(&rig);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_may_still_win() {
    let rig = rig(after_two_seconds(), [late(3), late(30)]);
    let (meta, whole) = ask(&rig).await.unwrap();
    assert_eq!((whole.text(), meta.attempts, rig.upstream.seen().len()), ("fine", 1, 2));
    assert_eq!(outcomes(&rig), [Outcome::Cancelled, Outcome::Completed]);
    assert_costs_add_up(&rig);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_head_and_a_switch_that_is_off_send_one_request() {
    for (config, script) in [(after_two_seconds(), late(1)), (RemoteConfig::default(), late(30))] {
        let rig = rig(config, [script]);
        ask(&rig).await.unwrap();
        assert_eq!((rig.upstream.seen().len(), outcomes(&rig)), (1, vec![Outcome::Completed]));
    }
}

#[tokio::test(start_paused = true)]
async fn when_one_of_two_fails_the_other_one_answers() {
    let broken = |head_after| Script { fails: Some(TransportFault::ConnectTimeout), ..late(head_after) };
    for scripts in [[broken(5), late(10)], [late(10), broken(1)]] {
        let rig = rig(after_two_seconds(), scripts);
        assert_eq!(ask(&rig).await.unwrap().1.text(), "fine");
        assert_eq!(outcomes(&rig), [Outcome::Retried(ErrorKind::Timeout), Outcome::Completed]);
        assert_nothing_is_held(&rig);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_one_of_the_attempts_and_is_paid_from_the_retry_budget() {
    let mut config = after_two_seconds();
    config.retry.attempts = 1;
    let one = rig(config, [late(30)]);
    ask(&one).await.unwrap();
    assert_eq!(one.upstream.seen().len(), 1, "no attempt was left");

    let mut config = after_two_seconds();
    config.retry.budget.capacity = 0;
    let poor = rig(config, [late(30)]);
    ask(&poor).await.unwrap();
    assert_eq!(poor.upstream.seen().len(), 1, "nothing was left to pay with");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_does_not_wait_for_the_limits() {
    let mut config = after_two_seconds();
    config.rate_limits.max_in_flight = Some(1);
    let rig = rig(config, [late(30)]);
    ask(&rig).await.unwrap();
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_winner_is_handled_like_any_other() {
    let rig = rig(after_two_seconds(), [late(30), status(500)]);
    let (meta, whole) = ask(&rig).await.unwrap();
    assert_eq!((whole.text(), meta.attempts), ("fine", 3));
    assert_eq!(
        outcomes(&rig),
        [Outcome::Cancelled, Outcome::Retried(ErrorKind::Upstream), Outcome::Completed]
    );
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_during_the_race_leaves_two_attempts_on_record() {
    let rig = rig(after_two_seconds(), [late(30), late(30)]);
    assert!(timeout(seconds(5), ask(&rig)).await.is_err());
    assert_eq!(outcomes(&rig), [Outcome::Cancelled, Outcome::Cancelled]);
    assert_eq!(rig.log.calls().len(), 1);
    assert_costs_add_up(&rig);
    assert_nothing_is_held(&rig);
}
