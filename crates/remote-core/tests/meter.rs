//! The meter: what records say, and what they add up to.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, StreamExt};
use infer_core::{
    CostEstimate, ErrorKind, FinishKind, Price, Rates, RequestId, Served, TokenChunk, ToolCallDelta, Usage,
    Usd,
};
use proptest::prelude::*;
use remote_core::Operation;
use remote_core::meter::{
    AttemptTimer, CallTimer, Cost, Fanout, MetricsActor, MetricsSink, NullSink, OTHER, Outcome, RunRecord,
    Scope, Subject, Unpriced,
};
use tokio::time::Instant;

const PRICE: Rates = Rates::new(2.5, 10.0);

fn subject(provider: &str, model: &str) -> Subject {
    let mut subject = Subject::new("openai", provider, Operation::Generate, model, RequestId::generate());
    subject.prompt_bytes = 402;
    subject
}

fn call(model: &str, now: Instant) -> CallTimer {
    CallTimer::begin(subject("p", model), SystemTime::UNIX_EPOCH, now)
}

/// A call of one attempt that reported `usage`.
fn simple(sink: &dyn MetricsSink, model: &str, usage: Usage) {
    let now = Instant::now();
    let mut call = call(model, now);
    let mut attempt = call.attempt(now);
    attempt.head(now, 200);
    attempt.whole(now, Some(usage), Served::default(), None);
    sink.record(call.settle(attempt, now, Outcome::Completed, Some(&Price::flat(PRICE))));
    sink.record(&call.finish(now, Outcome::Completed));
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_calls_times_count_from_its_beginning_and_its_counts_over_its_attempts() {
    let t0 = Instant::now();
    let at = |s| t0 + seconds(s);
    let mut call = call("m", t0);
    call.queued(seconds(2));
    let mut first = call.attempt(at(2));
    first.sent(100);
    first.head(at(3), 503);
    first.received(10);
    let record = call.settle(first, at(3), Outcome::Retried(ErrorKind::Overloaded), None).clone();
    assert_eq!(record.scope, Scope::Attempt { number: 1 });
    assert_eq!((record.timing.queued, record.timing.total), (seconds(2), seconds(1)));
    assert_eq!((record.cost, record.unpriced_attempts), (Cost::Unpriced(Unpriced::Failed), 0));
    assert_eq!(record.started, SystemTime::UNIX_EPOCH + seconds(2));

    call.queued(seconds(1));
    let mut second = call.attempt(at(10));
    second.sent(100);
    second.named(Some("up-2".to_owned()));
    second.head(at(11), 200);
    second.received(500);
    second.chunk(at(12), &TokenChunk::default());
    for time in [12, 13, 16] {
        second.chunk(at(time), &TokenChunk::text(0, "said"));
    }
    let mut end = TokenChunk::finish(0, FinishKind::Stop);
    end.usage = Some(Usage::new(100, 3));
    end.served = Some(Box::new({
        let mut served = Served::default();
        served.model = Some("m-2026".to_owned());
        served
    }));
    second.chunk(at(16), &end);
    assert_eq!(second.served_model(), "m-2026");
    let record = call.settle(second, at(17), Outcome::Completed, Some(&Price::flat(PRICE))).clone();
    assert_eq!((record.timing.head, record.timing.first_content), (Some(seconds(1)), Some(seconds(2))));
    assert_eq!((record.gaps.count, record.gaps.max, record.gaps.sum), (3, seconds(3), seconds(4)));

    let whole = call.finish(at(17), Outcome::Completed);
    assert_eq!((whole.scope, whole.attempts, whole.status), (Scope::Call, 2, Some(200)));
    assert_eq!((whole.timing.queued, whole.timing.total), (seconds(3), seconds(17)));
    assert_eq!((whole.timing.head, whole.timing.first_content), (Some(seconds(11)), Some(seconds(12))));
    assert_eq!((whole.bytes_out, whole.bytes_in, whole.chunks), (200, 510, 5));
    assert_eq!(whole.upstream_request_id.as_deref(), Some("up-2"));
    assert_eq!((whole.usage, whole.estimated, whole.cost), (record.usage, false, record.cost));
    assert_eq!(whole.finish, Some(FinishKind::Stop.into()));
    assert!(!format!("{whole:?}").contains("said"));
}

#[test]
fn a_call_that_sent_nothing_has_waited_and_costs_nothing_known() {
    let t0 = Instant::now();
    let mut call = call("m", t0);
    call.queued(seconds(5));
    call.stopped("queue full");
    let record = call.finish(t0 + seconds(5), Outcome::Failed(ErrorKind::QueueFull));
    assert_eq!((record.attempts, record.timing.queued), (0, seconds(5)));
    assert_eq!((record.cost, record.unpriced_attempts), (Cost::Unpriced(Unpriced::Failed), 0));
    assert_eq!(record.stop.as_deref(), Some("queue full"));
}

/// Settles one attempt after `fill`.
fn settled(
    outcome: Outcome,
    price: Option<&Price>,
    fill: impl FnOnce(&mut AttemptTimer, Instant),
) -> RunRecord {
    let now = Instant::now();
    let mut call = call("m", now);
    let mut attempt = call.attempt(now);
    fill(&mut attempt, now);
    call.settle(attempt, now, outcome, price).clone()
}

#[test]
fn what_a_caller_who_left_has_used_is_estimated_from_bytes_and_pieces() {
    let price = Price::flat(PRICE);
    let price = Some(&price);
    let record = settled(Outcome::Cancelled, price, |attempt, now| {
        attempt.head(now, 200);
        attempt.chunk(now, &TokenChunk::text(0, "x".repeat(41)));
    });
    assert_eq!((record.usage, record.estimated), (Some(Usage::new(101, 11)), true));
    assert_eq!(record.cost.known().unwrap().total().picos(), 101 * 2_500_000 + 11 * 10_000_000);

    // One token a piece at least, whatever its size; a role or a finish is no piece of text, arguments of a call are.
    let record = settled(Outcome::Cancelled, price, |attempt, now| {
        attempt.head(now, 200);
        attempt.chunk(now, &TokenChunk::default());
        for text in ["字", "。", "a"] {
            attempt.chunk(now, &TokenChunk::text(0, text));
        }
        let mut tool = ToolCallDelta::new(0);
        tool.arguments = "{}".to_owned();
        let mut chunk = TokenChunk::default();
        chunk.tool_calls.push(tool);
        attempt.chunk(now, &chunk);
        attempt.chunk(now, &TokenChunk::finish(0, FinishKind::Stop));
    });
    assert_eq!(record.usage, Some(Usage::new(101, 4)));
}

#[test]
fn only_an_answer_that_began_and_was_not_told_to_its_end_is_estimated() {
    let price = Price::flat(PRICE);
    let price = Some(&price);
    let head = |attempt: &mut AttemptTimer, now: Instant| attempt.head(now, 200);
    let text = |attempt: &mut AttemptTimer, now: Instant| {
        attempt.head(now, 200);
        attempt.chunk(now, &TokenChunk::text(0, "abcd"));
    };
    let failed = Cost::Unpriced(Unpriced::Failed);
    // Nothing came: nothing is known.
    assert_eq!(settled(Outcome::Cancelled, price, |_, _| ()).cost, failed);
    // Left, cut or late while the upstream thought: the prompt was read.
    for outcome in [
        Outcome::Cancelled,
        Outcome::Failed(ErrorKind::Timeout),
        Outcome::Retried(ErrorKind::StreamInterrupted),
    ] {
        assert_eq!(settled(outcome, price, head).usage, Some(Usage::new(101, 0)), "{outcome:?}");
    }
    assert_eq!(
        settled(Outcome::Cancelled, price, |attempt, _| attempt.assume_read()).usage,
        Some(Usage::new(101, 0))
    );
    // The upstream says that it failed: free before it wrote anything, and not after.
    let said = Outcome::Failed(ErrorKind::Overloaded);
    assert_eq!(settled(said, price, head).cost, failed);
    assert_eq!(settled(said, price, text).usage, Some(Usage::new(101, 1)));
    // Whole, without a word of what it used.
    let record = settled(Outcome::Completed, price, text);
    assert_eq!((record.cost, record.unpriced_attempts), (Cost::Unpriced(Unpriced::NoUsage), 1));
    let record = settled(Outcome::Cancelled, None, text);
    assert_eq!((record.cost, record.estimated), (Cost::Unpriced(Unpriced::NoPriceForModel), true));
}

#[test]
fn a_count_reported_in_the_middle_stands_until_more_was_written() {
    let counted = |after: usize| {
        settled(Outcome::Cancelled, Some(&Price::flat(PRICE)), move |attempt, now| {
            attempt.head(now, 200);
            let mut chunk = TokenChunk::text(0, "abcdefgh");
            chunk.usage = Some(Usage::new(7, 1));
            attempt.chunk(now, &chunk);
            for _ in 0..after {
                attempt.chunk(now, &TokenChunk::text(0, "abcd"));
            }
        })
    };
    assert_eq!((counted(0).usage, counted(0).estimated), (Some(Usage::new(7, 1)), false));
    assert_eq!((counted(3).usage, counted(3).estimated), (Some(Usage::new(7, 5)), true));
}

/// How it ends, what usage is reported, how many pieces of text come, whether the price is known.
type Told = (u8, Option<(u32, u32)>, u8, bool);

/// The attempts of a call to an upstream that does what it likes.
fn attempts() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec((0..6u8, prop::option::of(any::<(u32, u32)>()), 0..5u8, any::<bool>()), 0..5)
}

proptest! {
    /// The sum of the costs of calls is that of attempts, is that of usages, and is what the actor shows: to the
    /// pico-dollar. Sums over series lose no call, whichever labels they got.
    #[test]
    fn every_cost_is_counted_once(
        calls in prop::collection::vec((0..3usize, 0..9usize, attempts()), 0..30),
        max_models in 0..6usize,
    ) {
        let actor = Arc::new(MetricsActor::with_max_models(max_models));
        let sink = Fanout(vec![Arc::new(NullSink), actor.clone()]);
        let now = Instant::now();
        let price = Price::flat(Rates::new(0.123_457, 1.999_999));
        let (mut of_calls, mut of_attempts, mut of_usages) = (Usd::ZERO, Usd::ZERO, Usd::ZERO);
        let mut made = 0;
        for (provider, model, attempts) in &calls {
            let subject = subject(&format!("p{provider}"), &format!("m{model}"));
            let mut call = CallTimer::begin(subject, SystemTime::UNIX_EPOCH, now);
            let mut outcome = Outcome::Failed(ErrorKind::CircuitOpen);
            for (ending, usage, pieces, priced) in attempts {
                let mut attempt = call.attempt(now);
                attempt.head(now, if *ending == 3 { 500 } else { 200 });
                for _ in 0..*pieces {
                    attempt.chunk(now, &TokenChunk::text(0, "some text"));
                }
                let mut last = TokenChunk::default();
                last.usage = usage.map(|(input, output)| Usage::new(input.into(), output.into()));
                attempt.chunk(now, &last);
                outcome = match ending {
                    0 | 1 => Outcome::Completed,
                    2 => Outcome::Cancelled,
                    3 => Outcome::Retried(ErrorKind::Upstream),
                    4 => Outcome::Retried(ErrorKind::Timeout),
                    _ => Outcome::Failed(ErrorKind::StreamInterrupted),
                };
                let record = call.settle(attempt, now, outcome, priced.then_some(&price));
                made += 1;
                let cost = record.cost.known().map(CostEstimate::total);
                if *priced {
                    let usage = record.usage.map(|usage| price.cost(&usage, None).total());
                    prop_assert_eq!(cost, usage);
                }
                of_attempts = of_attempts.saturating_add(cost.unwrap_or_default());
                let usage = record.usage.filter(|_| *priced).unwrap_or_default();
                of_usages = of_usages.saturating_add(price.cost(&usage, None).total());
                sink.record(record);
            }
            let record = call.finish(now, outcome);
            of_calls = of_calls.saturating_add(record.cost.known().map(CostEstimate::total).unwrap_or_default());
            sink.record(&record);
        }
        let snapshot = actor.snapshot();
        prop_assert_eq!(snapshot.spend(), of_calls);
        prop_assert_eq!(of_calls, of_attempts);
        prop_assert_eq!(of_calls, of_usages);
        prop_assert!(snapshot.series.len() <= 2 * max_models + 1);
        let sum = |count: fn(&remote_core::meter::Stats) -> u64| {
            snapshot.series.iter().map(|series| count(&series.stats)).sum::<u64>()
        };
        prop_assert_eq!(sum(|stats| stats.calls.total), calls.len() as u64);
        prop_assert_eq!(sum(|stats| stats.attempts.total), made);
        let named = |outcomes: &remote_core::meter::Outcomes| {
            outcomes.completed + outcomes.cancelled
                + outcomes.failed.values().chain(outcomes.retried.values()).sum::<u64>()
        };
        for series in &snapshot.series {
            prop_assert_eq!(named(&series.stats.calls), series.stats.calls.total);
            prop_assert_eq!(named(&series.stats.attempts), series.stats.attempts.total);
        }
    }
}

#[test]
fn a_thousand_models_have_a_series_and_further_ones_share_one() {
    let actor = MetricsActor::default();
    for model in 0..1_200 {
        simple(&actor, &format!("m{model}"), Usage::new(1, 1));
    }
    simple(&actor, "m7", Usage::new(1, 1));
    let snapshot = actor.snapshot();
    assert_eq!(snapshot.series.len(), 1_001);
    assert_eq!(snapshot.get("p", OTHER).unwrap().calls.total, 200);
    assert_eq!(snapshot.get("p", "m7").unwrap().calls.total, 2);
    assert!(snapshot.get("p", "m1100").is_none());
}

#[test]
fn a_name_that_no_upstream_knows_gets_no_series() {
    let actor = MetricsActor::default();
    for model in ["made-up".to_owned(), "x".repeat(257)] {
        let now = Instant::now();
        let mut call = call(&model, now);
        let attempt = call.attempt(now);
        let outcome = Outcome::Failed(ErrorKind::ModelNotFound);
        actor.record(call.settle(attempt, now, outcome, None));
        actor.record(&call.finish(now, outcome));
    }
    simple(&actor, &"x".repeat(257), Usage::new(1, 1));
    let snapshot = actor.snapshot();
    assert_eq!(snapshot.series.len(), 1);
    let stats = snapshot.get("p", OTHER).unwrap();
    assert_eq!((stats.calls.total, stats.calls.failed.get("model_not_found")), (3, Some(&2)));
    assert_eq!(stats.unpriced_calls.get("failed"), Some(&2));
}

#[test]
fn a_snapshot_is_json_with_exact_money() {
    let actor = MetricsActor::default();
    simple(&actor, "m", Usage::new(1_000_001, 3));
    let json = serde_json::to_value(actor.snapshot()).unwrap();
    let series = &json["series"][0];
    assert_eq!((&series["provider"], &series["model"]), (&"p".into(), &"m".into()));
    assert_eq!(series["spend_usd"], "2.5000325");
    assert_eq!(series["tokens"]["input"], 1_000_001);
    assert_eq!(series["calls"]["completed"], 1);
    assert_eq!(series["total_seconds"]["counts"][0], 1);
    assert_eq!(series["first_content_seconds"]["le"][0], 0.01);
}

#[tokio::test]
async fn changes_wake_their_reader_with_what_changed_and_end_with_the_actor() {
    let actor = MetricsActor::default();
    simple(&actor, "before", Usage::new(1, 1));
    let mut changes = actor.changes();
    assert!(changes.next().now_or_never().is_none());

    let (seen, ()) = tokio::join!(changes.next(), async { simple(&actor, "a", Usage::new(5, 0)) });
    let seen = seen.unwrap();
    assert!(seen.get("p", "before").is_none());
    assert_eq!(seen.get("p", "a").unwrap().tokens.input, 5);

    // A reader who is slow sees the sum, once.
    for _ in 0..100 {
        simple(&actor, "a", Usage::new(5, 0));
    }
    simple(&actor, "b", Usage::new(5, 0));
    let seen = changes.next().await.unwrap();
    assert_eq!(seen.get("p", "a").unwrap().tokens.input, 505);
    assert_eq!(seen.series.len(), 2);
    assert!(changes.next().now_or_never().is_none());

    simple(&actor, "c", Usage::new(5, 0));
    drop(actor);
    assert_eq!(changes.next().await.unwrap().series.len(), 1);
    assert_eq!(changes.next().await, None);
}
