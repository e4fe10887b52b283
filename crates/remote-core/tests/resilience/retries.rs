//! How often a call is repeated, and when not.

use infer_core::{ErrorKind, ExecuteBatch, InferenceError, TransportKind};
use remote_core::config::BudgetConfig;
use remote_core::meter::Outcome;
use remote_core::{RemoteConfig, TransportFault};
use tokio::time::Instant;

use super::{
    Act, Rig, Script, ask, assert_nothing_is_held, event, fine, gaps, is_within, rig, run, seconds, session,
    status, streaming,
};

#[tokio::test(start_paused = true)]
async fn two_failures_and_an_answer_are_an_answer_after_two_jittered_waits() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let rig = Rig::new(RemoteConfig::default(), session(), seed, |nth, _| match nth {
            0 | 1 => status(500),
            _ => fine(),
        });
        let (meta, whole) = ask(&rig).await.unwrap();
        assert_eq!((meta.attempts, whole.text()), (3, "fine"));
        let gaps = gaps(&rig);
        assert!(is_within(gaps[0], 0.0, 0.5) && is_within(gaps[1], 0.0, 1.0), "{gaps:?}");
        waits.push(gaps);
        let outcomes: Vec<Outcome> = rig.log.attempts().iter().map(|record| record.outcome).collect();
        let retried = Outcome::Retried(ErrorKind::Upstream);
        assert_eq!(outcomes, [retried, retried, Outcome::Completed]);
        let [call] = &rig.log.calls()[..] else { unreachable!() };
        assert_eq!((call.outcome, call.attempts), (Outcome::Completed, 3));
        assert_nothing_is_held(&rig);
    }
    assert!(waits.iter().any(|gaps| gaps[0] > 0.25) && waits.iter().any(|gaps| gaps[0] < 0.25), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_last_attempt_says_how_often_and_how_long_was_tried() {
    let rig = Rig::new(RemoteConfig::default(), session(), 7, |_, _| Script {
        head_after: seconds(2),
        ..status(500)
    });
    let begun = Instant::now();
    let error = ask(&rig).await.unwrap_err();
    let at = error.origin().unwrap();
    assert_eq!((error.kind(), at.attempts, at.elapsed), (ErrorKind::Upstream, 4, begun.elapsed()));
    assert!(begun.elapsed() >= seconds(8));
    let text = error.to_string();
    assert!(text.contains(&format!("after 4 attempts in {:.1}s", at.elapsed.as_secs_f64())), "{text}");
    assert_eq!(rig.upstream.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_total_time_for_retries() {
    let mut config = RemoteConfig::default();
    config.retry.attempts = 100;
    config.retry.total = seconds(10);
    let rig = Rig::new(config, session(), 7, |_, _| Script { head_after: seconds(1), ..status(503) });
    let begun = Instant::now();
    let error = ask(&rig).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.to_string().contains("retry.total"), "{error}");
    assert!(rig.upstream.seen().iter().all(|seen| seen.at - begun <= seconds(10)));
    assert!(begun.elapsed() <= seconds(11));
}

#[tokio::test(start_paused = true)]
async fn a_calls_deadline_ends_it_during_an_attempt_and_before_a_wait_that_is_too_long() {
    let slow = Script { head_after: seconds(4), ..status(500) };
    let rig = rig(RemoteConfig::default(), [slow.clone(), slow]);
    let begun = Instant::now();
    let error = run(&rig.runner, streaming().with_deadline(seconds(6))).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::DeadlineExceeded, seconds(6)));
    assert_eq!(error.origin().unwrap().attempts, 2);

    let throttled = Script { headers: vec![("retry-after", "30")], ..status(429) };
    let rig = super::rig(RemoteConfig::default(), [throttled]);
    let begun = Instant::now();
    let error = run(&rig.runner, streaming().with_deadline(seconds(6))).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::RateLimited, seconds(0)));
    assert!(error.to_string().contains("too late"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn clones_share_a_retry_budget_and_without_it_calls_fail_with_their_own_error() {
    let mut config = RemoteConfig::default();
    config.retry.budget = BudgetConfig { capacity: 30, cost: 14, ..BudgetConfig::default() };
    config.circuit_breaker.enabled = false;
    let rig = Rig::new(config, session(), 7, |_, _| status(500));
    let clone = rig.runner.clone();
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().attempts), (ErrorKind::Upstream, 3));
    let error = run(&clone, streaming()).await.unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().attempts), (ErrorKind::Upstream, 1));
    assert!(error.to_string().contains("retry.budget"), "{error}");
    assert_eq!(rig.upstream.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn successes_fill_the_retry_budget_again() {
    let mut config = RemoteConfig::default();
    config.retry.budget = BudgetConfig { capacity: 14, cost: 14, ..BudgetConfig::default() };
    let rig = Rig::new(config, session(), 7, |nth, _| match nth {
        0 | 1 | 16 => status(500),
        _ => fine(),
    });
    assert!(ask(&rig).await.is_err(), "one retry is in the budget");
    for _ in 2..16 {
        ask(&rig).await.unwrap();
    }
    let (meta, _) = ask(&rig).await.unwrap();
    assert_eq!(meta.attempts, 2, "14 successes pay for a retry");
    assert_eq!(rig.upstream.seen().len(), 18);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_repeated_only_where_the_operator_allows_to_be_billed_twice() {
    let hangs = || Script { head_after: seconds(1000), ..fine() };
    let mut config = RemoteConfig::default();
    config.retry.total = seconds(300);
    let rig = rig(config.clone(), [hangs()]);
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), rig.upstream.seen().len()), (ErrorKind::Timeout, 1));

    config.retry.timeouts = true;
    let rig = super::rig(config.clone(), [hangs()]);
    let (meta, whole) = ask(&rig).await.unwrap();
    assert_eq!((meta.attempts, whole.text()), (2, "fine"));
    assert!(rig.log.attempts()[0].estimated, "the upstream may have read the prompt");

    config.retry.idempotent = false;
    let rig = super::rig(config, [hangs()]);
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn without_idempotence_only_what_cannot_have_been_executed_is_repeated() {
    let mut config = RemoteConfig::default();
    config.retry.idempotent = false;
    for (fault, attempts) in [
        (TransportFault::Before(TransportKind::Connect), Some(2)),
        (TransportFault::Before(TransportKind::Dns), Some(2)),
        (TransportFault::ConnectTimeout, Some(2)),
        (TransportFault::Before(TransportKind::Closed), None),
    ] {
        let rig = rig(config.clone(), [Script { fails: Some(fault), ..fine() }]);
        let result = ask(&rig).await;
        assert_eq!(result.ok().map(|(meta, _)| meta.attempts), attempts, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_after_the_first_content() {
    for end in [Act::Break, event("!error overloaded"), event("!bad"), Act::Hang] {
        let rig = rig(RemoteConfig::default(), [Script::stream([event("some"), end])]);
        let error = ask(&rig).await.unwrap_err();
        assert_eq!(error.origin().unwrap().chunks, 1);
        assert_eq!(rig.upstream.seen().len(), 1);
        assert_eq!(rig.log.calls()[0].outcome, Outcome::Failed(error.kind()));
        assert_nothing_is_held(&rig);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_before_any_content_is_repeated_and_no_text_comes_twice() {
    let role = || event("!role");
    for acts in [vec![event("!error overloaded")], vec![role(), event("!error x")], vec![role(), Act::Break]]
    {
        let rig = rig(RemoteConfig::default(), [Script::stream(acts)]);
        let (meta, whole) = ask(&rig).await.unwrap();
        assert_eq!((meta.attempts, whole.text()), (2, "fine"));
        assert_nothing_is_held(&rig);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_did_wrong_or_cannot_pay_is_not_repeated() {
    for code in [400, 402, 403, 404, 413, 422] {
        let rig = rig(RemoteConfig::default(), [status(code)]);
        let error: InferenceError = ask(&rig).await.unwrap_err();
        assert_eq!((error.origin().unwrap().attempts, rig.upstream.seen().len()), (1, 1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_is_repeated_until_it_can_be_read() {
    let cut = Script { body: vec![Act::Bytes(b"ha"), Act::Break], ..Script::whole("") };
    let rig = rig(RemoteConfig::default(), [cut, Script::whole("!error overloaded"), Script::whole("whole")]);
    let (meta, whole) = run(&rig.runner, ExecuteBatch::new("toy-model", "hi")).await.unwrap();
    assert_eq!((meta.attempts, whole.text()), (3, "whole"));
    assert_nothing_is_held(&rig);
}
