//! The board as a whole, and what it becomes in JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use infer_core::{BreakerPhase, CostEstimate, ErrorKind, RequestId, Tried, Usage, Usd};
use infer_store::ledger::{LedgerRow, RowCost};
use infer_store::{Clock, Ledger, LedgerConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::board::{Board, SECONDS};
use super::view::{CallView, ProviderView, Since, TargetView};
use super::{Live, LiveSnapshot};
use crate::observe::{Ending, Observer as _, Seen};

/// 2026-11-21, 12:00 UTC.
const NOON: u64 = 1_795_262_400;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn seen(ending: Ending) -> Seen {
    let mut cost = CostEstimate::default();
    cost.output = Usd::from_usd(0.25).unwrap();
    Seen {
        request_id: "req-1".parse::<RequestId>().unwrap(),
        endpoint: "chat",
        began: at(NOON),
        key: Some("team-a".into()),
        model: Some("fast".to_owned()),
        provider: Some("openai".into()),
        served_model: Some("gpt-4o-mini".to_owned()),
        status: 200,
        ending,
        streamed: true,
        cached: None,
        tried: Vec::new(),
        attempts: 1,
        first_content: Some(Duration::from_millis(320)),
        total: Duration::from_millis(1_500),
        overhead: Duration::from_micros(125),
        queued: Duration::ZERO,
        chunks: 12,
        usage: Some(Usage::new(100, 20)),
        cost: Some(cost),
    }
}

fn put(board: &mut Board, second: u64, seen: &Seen) {
    board.ended(at(second), seen, CallView::from(seen));
}

fn json_of(snapshot: &LiveSnapshot) -> Value {
    serde_json::to_value(snapshot).unwrap()
}

#[test]
fn a_finished_call_is_in_every_part_of_the_json_and_nothing_of_what_was_said() {
    let mut board = Board::new(at(NOON - 60));
    let mut call = seen(Ending::Broken("stream_cut"));
    let mut tried = Tried::new("azure", "gpt", ErrorKind::RateLimited, Duration::from_millis(40));
    tried.status = Some(429);
    call.tried = vec![tried];
    put(&mut board, NOON, &call);
    let told = json_of(&board.snapshot(at(NOON + 1), &Since::default(), 3));
    assert_eq!(told["started"], (NOON - 60) * 1_000);
    assert_eq!((&told["now"], &told["in_flight"]), (&json!((NOON + 1) * 1_000), &json!(3)));
    let series = &told["series"];
    assert_eq!(series["from"], NOON + 2 - SECONDS);
    let place = usize::try_from(SECONDS).unwrap() - 2;
    for (name, value) in [
        ("requests", json!(1)),
        ("errors", json!(1)),
        ("input_tokens", json!(100)),
        ("output_tokens", json!(20)),
        ("cost_usd", json!(0.25)),
    ] {
        let values = series[name].as_array().unwrap();
        assert_eq!((values.len(), &values[place]), (place + 2, &value), "{name}");
    }
    assert_eq!(told["endings"], json!({"answered": 0, "failed": 0, "broken": 1, "left": 0}));
    assert_eq!(told["errors"], json!([{"name": "stream_cut", "count": 1}]));
    assert_eq!(told["first_token"]["count"], 1);
    let p50 = told["first_token"]["p50_ms"].as_f64().unwrap();
    assert!((p50 - 320.0).abs() < 20.0, "{p50}");
    assert_eq!(told["first_token"]["series"]["p95_ms"].as_array().unwrap().len(), 90);
    let spent = &told["spend"]["month"]["by_model"][0];
    assert_eq!((&spent["name"], &spent["cost_usd"]), (&json!("gpt-4o-mini"), &json!(0.25)));
    assert_eq!(told["spend"]["today"]["by_key"][0]["name"], "team-a");
    let call = &told["calls"][0];
    assert_eq!(
        (&call["number"], &call["id"], &call["error"]),
        (&json!(1), &json!("req-1"), &json!("stream_cut"))
    );
    assert_eq!(
        call["tried"][0],
        json!({"provider": "azure", "model": "gpt", "error": "rate_limited", "status": 429, "took_ms": 40.0})
    );
    assert_eq!((&call["total_ms"], &call["overhead_ms"]), (&json!(1_500.0), &json!(0.125)));
}

#[test]
fn a_page_is_sent_what_it_lacks_and_everything_after_another_process_began() {
    let mut board = Board::new(at(NOON));
    for second in 0..3 {
        put(&mut board, NOON + second, &seen(Ending::Answered));
    }
    let mut told = |since: Since| board.snapshot(at(NOON + 3), &since, 0);
    let some = told(Since { second: Some(NOON + 2), call: Some(2) });
    assert_eq!((some.series.from, some.series.requests), (NOON + 2, vec![1, 0]));
    assert_eq!(some.calls.iter().map(|call| call.number).collect::<Vec<_>>(), [3]);
    let foreign = told(Since { second: Some(NOON - 5_000), call: Some(900) });
    assert_eq!((foreign.series.requests.len() as u64, foreign.calls.len()), (SECONDS, 3));
    let ahead = told(Since { second: Some(u64::MAX), call: None });
    assert_eq!((ahead.series.from, ahead.series.requests), (NOON + 3, vec![0]));
}

#[test]
fn answers_from_the_cache_and_whole_ones_do_not_count_as_first_tokens() {
    let mut board = Board::new(at(NOON));
    put(&mut board, NOON, &Seen { cached: Some(true), ..seen(Ending::Answered) });
    put(&mut board, NOON, &Seen { streamed: false, ..seen(Ending::Answered) });
    let told = board.snapshot(at(NOON), &Since::default(), 0);
    assert_eq!(told.first_token.count, 0);
    assert_eq!(told.first_token.p50_ms, None);
    assert_eq!(told.spend.today.total.input_tokens, 100, "tokens from the cache were not bought again");
}

#[test]
fn a_call_that_no_client_stayed_for_is_a_request_and_no_error() {
    let mut board = Board::new(at(NOON));
    put(&mut board, NOON, &seen(Ending::Left));
    let told = board.snapshot(at(NOON), &Since::default(), 0);
    assert_eq!((told.endings.left, told.series.requests.last()), (1, Some(&1)));
    assert!(told.errors.is_empty() && told.series.errors.iter().all(|count| *count == 0));
}

#[test]
fn a_call_without_a_known_price_is_shown_as_unpriced_and_not_as_free() {
    let mut board = Board::new(at(NOON));
    put(&mut board, NOON, &Seen { cost: None, ..seen(Ending::Answered) });
    let told = board.snapshot(at(NOON), &Since::default(), 0);
    assert_eq!((told.spend.today.total.unpriced, told.calls[0].cost_usd), (1, None));
}

#[test]
fn a_name_of_any_length_is_cut() {
    let mut board = Board::new(at(NOON));
    let name = Some("ü".repeat(1_000_000));
    put(&mut board, NOON, &Seen { model: name.clone(), served_model: name, ..seen(Ending::Answered) });
    let told = board.snapshot(at(NOON), &Since::default(), 0);
    assert_eq!(told.calls[0].model.as_ref().unwrap().len(), 256);
    assert_eq!(told.spend.today.by_model[0].name.as_ref().unwrap().len(), 256);
}

#[test]
fn calls_under_way_are_counted_and_never_fewer_than_none() {
    let live = Live::with_clock(Clock::new(|| at(NOON)));
    live.began("chat");
    live.began("chat");
    live.ended(&seen(Ending::Answered));
    assert_eq!(live.snapshot(&Since::default()).in_flight, 1);
    live.ended(&seen(Ending::Answered));
    live.ended(&seen(Ending::Answered));
    assert_eq!(live.snapshot(&Since::default()).in_flight, 0);
}

#[tokio::test]
async fn what_the_ledger_had_before_the_process_began_is_counted_and_what_was_last_month_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(NOON));
    let clock = Clock::new({
        let now = Arc::clone(&now);
        move || at(now.load(Ordering::Relaxed))
    });
    let ledger = Ledger::open_at(directory.path(), LedgerConfig::default(), clock.clone()).unwrap();
    for (days_ago, usd) in [(0, 1.0), (5, 2.0), (40, 4.0)] {
        let mut row = LedgerRow::new(at(NOON - days_ago * 86_400), "gpt-4o-mini", "req-0");
        row.key = Some("team-a".to_owned());
        row.cost = RowCost::Priced(Usd::from_usd(usd).unwrap());
        ledger.append(row).await.unwrap();
    }
    let live = Live::with_clock(clock);
    live.seed(&ledger).unwrap();
    live.ended(&seen(Ending::Answered));
    let spend = live.snapshot(&Since::default()).spend;
    assert_eq!((spend.today.total.cost_usd, spend.today.total.calls), (1.25, 2));
    assert_eq!((spend.month.total.cost_usd, spend.month.by_key[0].cost_usd), (3.25, 3.25));
    assert_eq!(spend.month.by_model.len(), 1, "the name of the ledger and of the call are one");
    now.store(NOON + 86_400, Ordering::Relaxed);
    let spend = live.snapshot(&Since::default()).spend;
    assert_eq!((spend.today.total.calls, spend.month.total.calls), (0, 3));
}

#[test]
fn a_provider_is_as_slow_as_the_models_it_is_asked_for() {
    let model = |calls, latency_ms| TargetView {
        model: "m".to_owned(),
        in_flight: 1,
        calls,
        failures: 2,
        latency_ms,
    };
    let view = |models| ProviderView::of("openai", "openai", models);
    let busy = view(vec![model(30, Some(100.0)), model(10, Some(500.0)), model(1_000, None)]);
    assert_eq!((busy.calls, busy.failures, busy.in_flight, busy.latency_ms), (1_040, 6, 3, Some(200.0)));
    assert_eq!(view(vec![model(0, Some(100.0))]).latency_ms, None, "nothing was asked yet");
    assert_eq!(view(Vec::new()).latency_ms, None);
}

#[test]
fn a_breaker_that_an_operator_holds_open_is_shown_as_open_and_held() {
    let shown = |state, forced, wait| {
        let mut report = infer_core::BreakerReport::new("chat", state);
        (report.forced, report.next_try) = (forced, wait);
        let view = ProviderView::new("openai", "openai", &[]).with_breaker(&report);
        let told = serde_json::to_value(view).unwrap();
        (told["breaker"].clone(), told["next_try_ms"].clone(), told["forced"].clone())
    };
    let wait = Some(Duration::from_millis(1_500));
    assert_eq!(shown(BreakerPhase::Closed, false, None), (json!("closed"), Value::Null, json!(false)));
    assert_eq!(shown(BreakerPhase::HalfOpen, false, None), (json!("half_open"), Value::Null, json!(false)));
    assert_eq!(shown(BreakerPhase::Open, true, wait), (json!("open"), json!(1_500), json!(true)));
    assert_eq!(shown(BreakerPhase::Closed, true, None), (json!("closed"), Value::Null, json!(true)));
}

proptest! {
    /// Whatever ends when, sums of the seconds shown are those of a plain list of the last 15 minutes, and the calls are
    /// the last hundred of it.
    #[test]
    fn the_board_shows_what_a_plain_list_would(
        steps in proptest::collection::vec((0_u64..30, 0_usize..5), 1..250),
        rest in 0_u64..1_000,
    ) {
        const ENDINGS: [Ending; 5] = [
            Ending::Answered, Ending::Failed("timeout"), Ending::Failed("overloaded"), Ending::Broken("timeout"), Ending::Left,
        ];
        let (mut board, mut list, mut now) = (Board::new(at(NOON)), Vec::new(), NOON);
        for (step, ending) in steps {
            now += step;
            put(&mut board, now, &seen(ENDINGS[ending]));
            list.push((now, ENDINGS[ending]));
        }
        now += rest;
        let told = board.snapshot(at(now), &Since::default(), 0);
        prop_assert_eq!(told.calls.len(), list.len().min(100));
        let newest = told.calls.first().map(|call| call.number);
        prop_assert_eq!(newest, Some(list.len() as u64));
        list.retain(|(second, _)| second + SECONDS > now);
        let count = |wanted: fn(&Ending) -> bool| list.iter().filter(|(_, ending)| wanted(ending)).count() as u64;
        let sum = |values: &[u32]| values.iter().map(|value| u64::from(*value)).sum::<u64>();
        prop_assert_eq!(sum(&told.series.requests), list.len() as u64);
        prop_assert_eq!(sum(&told.series.errors), count(|ending| ending.error().is_some()));
        prop_assert_eq!(told.endings.left, count(|ending| *ending == Ending::Left));
        let timeouts = told.errors.iter().find(|error| error.name == "timeout").map_or(0, |error| error.count);
        prop_assert_eq!(timeouts, count(|ending| ending.error() == Some("timeout")));
        prop_assert!(told.errors.is_sorted_by(|a, b| a.count >= b.count));
    }
}
