//! Whose turn it is, and what an upstream's own numbers change.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use infer_core::{ErrorKind, ExecuteBatch, InferenceError, ModelRunner as _, Priority, RequestId};
use remote_core::RemoteConfig;
use remote_core::limit::LimitState;
use remote_core::meter::{MetricsSink, Outcome, RunRecord};
use tokio::time::{Instant, advance, sleep};

use super::{
    Act, Rig, Script, ask, assert_nothing_is_held, event, fine, is_within, once, rig, run, seconds, status,
    streaming,
};

/// One request a minute.
fn one_a_minute(max_wait: u64) -> RemoteConfig {
    let mut config = once();
    config.rate_limits.requests_per_minute = Some(1);
    config.rate_limits.max_wait = seconds(max_wait);
    config
}

fn named() -> (RequestId, ExecuteBatch) {
    let id = RequestId::generate();
    (id.clone(), streaming().with_request_id(id))
}

/// The calls in the order in which they were sent.
fn order(rig: &Rig) -> Vec<RequestId> {
    rig.log.attempts().iter().map(|record| record.subject.request_id.clone()).collect()
}

fn state(rig: &Rig) -> LimitState {
    rig.runner.limit_state("toy-model")
}

#[tokio::test(start_paused = true)]
async fn ten_callers_at_one_a_minute_start_a_minute_apart_in_the_order_in_which_they_came() {
    let rig = rig(one_a_minute(3600), []);
    let begun = Instant::now();
    let (ids, batches): (Vec<_>, Vec<_>) = (0..10).map(|_| named()).unzip();
    let results = join_all(batches.into_iter().map(|batch| run(&rig.runner, batch))).await;
    assert!(results.iter().all(Result::is_ok));
    for (nth, seen) in rig.upstream.seen().iter().enumerate() {
        let (at, due) = ((seen.at - begun).as_secs_f64(), 60.0 * nth as f64);
        assert!(is_within(at, due, due), "{nth} started at {at}s");
    }
    assert_eq!(order(&rig), ids);
    for (nth, call) in rig.log.calls().iter().enumerate() {
        assert_eq!(call.timing.queued.as_secs(), 60 * nth as u64);
    }
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_at_once_how_long() {
    let rig = rig(one_a_minute(150), []);
    let begun = Instant::now();
    let calls = (0..4).map(|_| async { (ask(&rig).await.map(drop), begun.elapsed()) });
    let mut results = join_all(calls).await;
    let (last, took) = results.pop().unwrap();
    let InferenceError::QueueFull { retry_after, .. } = last.unwrap_err() else { unreachable!() };
    assert_eq!((retry_after, took), (seconds(180), seconds(0)));
    assert!(results.iter().all(|(result, _)| result.is_ok()));
    assert_eq!(rig.upstream.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_answers_with_the_wait_that_would_have_been_needed() {
    let mut config = one_a_minute(3600);
    config.rate_limits.max_queue = 1;
    let rig = rig(config, []);
    let calls = (0..3).map(|_| ask(&rig));
    let mut results = join_all(calls).await;
    let error = results.pop().unwrap().map(drop).unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::QueueFull, Some(seconds(120))));
    let refused = rig.log.calls().into_iter().find(|call| call.attempts == 0).unwrap();
    assert_eq!(refused.outcome, Outcome::Failed(ErrorKind::QueueFull));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_queue_ends_the_call_then() {
    let mut config = once();
    config.rate_limits.max_in_flight = Some(1);
    let rig = rig(config, [Script::stream([event("x"), Act::Wait(seconds(20)), event("!end")])]);
    let begun = Instant::now();
    let first = async { ask(&rig).await.map(drop) };
    let second = async {
        let result = run(&rig.runner, streaming().with_deadline(seconds(3))).await.map(drop);
        (result, begun.elapsed())
    };
    let (first, (second, took)) = tokio::join!(first, second);
    first.unwrap();
    assert_eq!((second.unwrap_err().kind(), took), (ErrorKind::DeadlineExceeded, seconds(3)));
    assert_eq!(rig.upstream.seen().len(), 1);
    assert_eq!(rig.log.calls()[0].timing.queued, seconds(3), "the wait is on record");
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn what_matters_more_goes_first() {
    let rig = rig(one_a_minute(3600), []);
    ask(&rig).await.unwrap();
    let classes = [Priority::Background, Priority::Normal, Priority::High, Priority::Critical];
    let calls = classes.into_iter().zip(1..).map(|(priority, second)| {
        let (id, batch) = named();
        let rig = &rig;
        async move {
            sleep(seconds(second)).await;
            run(&rig.runner, batch.with_priority(priority)).await.unwrap();
            id
        }
    });
    let mut ids = join_all(calls).await;
    ids.reverse();
    assert_eq!(order(&rig)[1..], ids);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_stands_in_the_queue_again_and_holds_nothing_while_it_waits() {
    let mut config = RemoteConfig::default();
    config.rate_limits.max_in_flight = Some(1);
    let throttled = Script { headers: vec![("retry-after", "20")], ..status(503) };
    let rig = rig(config, [throttled]);
    let calls = tokio::join!(ask(&rig), async {
        sleep(seconds(1)).await;
        let begun = Instant::now();
        ask(&rig).await.unwrap();
        begun.elapsed()
    });
    assert_eq!(calls.0.unwrap().0.attempts, 2);
    assert_eq!(calls.1, seconds(0), "it did not wait for the one in backoff");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_nothing_is_left_is_believed() {
    let mut config = once();
    config.rate_limits.requests_per_minute = Some(600);
    let told = Script {
        headers: vec![("content-type", "text/event-stream"), ("x-ratelimit-remaining-requests", "0")],
        ..fine()
    };
    let rig = rig(config, [told]);
    let (meta, _) = ask(&rig).await.unwrap();
    assert_eq!(meta.rate_limits.unwrap().remaining_requests, Some(0));
    assert_eq!(state(&rig).requests_left, Some(0));
    let begun = Instant::now();
    ask(&rig).await.unwrap();
    assert!(is_within(begun.elapsed().as_secs_f64(), 0.1, 0.1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn tokens_are_charged_as_used_and_given_back_when_nothing_was() {
    let mut config = once();
    config.rate_limits.tokens_per_minute = Some(60_000);
    let rig = rig(config.clone(), [status(500)]);
    let batch = || streaming().with_max_output_tokens(50_000);
    run(&rig.runner, batch()).await.unwrap_err();
    assert_eq!(state(&rig).tokens_left, Some(60_000));
    run(&rig.runner, batch()).await.unwrap();
    assert_eq!(state(&rig).tokens_left, Some(60_000 - 1002));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_say_what_it_used_is_charged_as_asked_for() {
    let mut config = once();
    config.rate_limits.tokens_per_minute = Some(60_000);
    let rig = rig(config.clone(), [Script::stream([event("x"), event("!end")])]);
    run(&rig.runner, streaming().with_max_output_tokens(50_000)).await.unwrap();
    let left = state(&rig).tokens_left.unwrap();
    assert!(left < 10_000, "{left} tokens are left although 50000 were reserved");
}

/// Notes whether the limits were paused by the time a refusal was written down.
#[derive(Debug, Default)]
struct Pauses(Mutex<Option<super::RemoteRunner<super::Toy>>>, Mutex<Vec<Duration>>);

impl MetricsSink for Pauses {
    fn record(&self, record: &RunRecord) {
        if record.outcome == Outcome::Retried(ErrorKind::RateLimited)
            && let Some(runner) = &*self.0.lock().unwrap()
        {
            let state = runner.limit_state("toy-model");
            assert_eq!(state.in_flight, 0);
            self.1.lock().unwrap().push(state.paused_for);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn limits_are_paused_before_a_refused_call_makes_room_for_the_next() {
    let sink = Arc::new(Pauses::default());
    let upstream = rig(RemoteConfig::default(), [status(429)]).upstream;
    let runner = super::RemoteRunner::builder(super::Toy::new(), super::session())
        .with_transport(upstream)
        .with_sink(Arc::clone(&sink) as Arc<dyn MetricsSink>)
        .build()
        .unwrap();
    *sink.0.lock().unwrap() = Some(runner.clone());
    run(&runner, streaming()).await.unwrap();
    sink.0.lock().unwrap().take();
    assert_eq!(*sink.1.lock().unwrap(), [seconds(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_up_every_clone_and_ends_by_itself() {
    let rig = rig(once(), [Script { headers: vec![("retry-after", "7")], ..status(429) }]);
    ask(&rig).await.unwrap_err();
    let clone = rig.runner.clone();
    advance(seconds(2)).await;
    let begun = Instant::now();
    clone.execute(streaming()).await.unwrap().collect().await.unwrap();
    assert!(is_within(begun.elapsed().as_secs_f64(), 5.0, 5.0), "{:?}", begun.elapsed());
}
