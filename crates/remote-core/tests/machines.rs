//! Laws of the breaker and of retry, over generated histories.

use std::time::Duration;

use infer_core::{BreakerEffect, ErrorClass, ErrorKind, InferenceError, Origin, TransportKind};
use proptest::prelude::*;
use remote_core::breaker::{Breaker, BreakerConfig, BreakerState, Ticket};
use remote_core::retry::{Budget, BudgetConfig, Decision, RetryConfig, RetryState, StopReason};
use tokio::time::Instant;

/// One move against a breaker.
#[derive(Clone, Debug)]
enum Move {
    Admit,
    /// The answer of the nth outstanding ticket's call begins.
    Begin(usize),
    /// Settles the nth outstanding ticket.
    Settle(usize, Option<BreakerEffect>),
    Pass(u64),
    ForceOpen(Option<u64>),
    ForceClosed,
    Reset,
}

fn effect() -> impl Strategy<Value = Option<BreakerEffect>> {
    prop_oneof![
        4 => Just(Some(BreakerEffect::Failure)),
        3 => Just(Some(BreakerEffect::Success)),
        1 => Just(Some(BreakerEffect::Neutral)),
        1 => Just(None),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => Just(Move::Admit),
        3 => (0_usize..8).prop_map(Move::Begin),
        8 => (0_usize..8, effect()).prop_map(|(place, effect)| Move::Settle(place, effect)),
        3 => (0_u64..20_000).prop_map(Move::Pass),
        1 => prop::option::of(0_u64..20_000).prop_map(Move::ForceOpen),
        1 => Just(Move::ForceClosed),
        1 => Just(Move::Reset),
    ];
    prop::collection::vec(one, 0..120)
}

fn config(probes: u32, successes: u32) -> BreakerConfig {
    BreakerConfig {
        consecutive_failures: 3,
        min_calls: 6,
        probes,
        successes_to_close: successes,
        ..BreakerConfig::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Nothing is admitted while open. Never more probes out than configured. A settled or given-up probe frees its
    /// place. A ticket of an earlier epoch changes nothing. The wait it names is enough. It never stays open beyond its cap.
    #[test]
    fn a_breaker_keeps_its_promises(moves in moves(), probes in 1_u32..4, successes in 1_u32..4, roll in 0.0..1.0) {
        let config = config(probes, successes);
        let cap = config.open_max;
        let mut breaker = Breaker::new(config);
        let mut now = Instant::now();
        // Outstanding tickets, and whether each was given out half-open in the present epoch.
        let mut out: Vec<(Ticket, u64, bool)> = Vec::new();
        let mut epoch = 0_u64;
        let mut last = breaker.state(now);
        let mut note = |breaker: &Breaker, now, epoch: &mut u64| {
            let state = breaker.state(now);
            if state != last {
                *epoch += 1;
                last = state;
            }
            state
        };
        for step in moves {
            match step {
                Move::Pass(millis) => now += Duration::from_millis(millis),
                Move::ForceOpen(time) => {
                    breaker.force_open(now, time.map(Duration::from_millis));
                    epoch += 1;
                }
                Move::ForceClosed => { breaker.force_closed(); epoch += 1; }
                Move::Reset => { breaker.reset(); epoch += 1; }
                Move::Admit => {
                    let before = note(&breaker, now, &mut epoch);
                    let peeked = breaker.peek(now);
                    match breaker.admit(now) {
                        Ok(ticket) => {
                            prop_assert!(peeked.is_ok());
                            prop_assert!(!matches!(before, BreakerState::Open | BreakerState::ForcedOpen));
                            out.push((ticket, epoch, before == BreakerState::HalfOpen));
                            let probing = out.iter().filter(|(_, given, probe)| *given == epoch && *probe).count();
                            prop_assert!(probing <= probes as usize, "{probing} probes out of {probes}");
                        }
                        Err(wait) => {
                            prop_assert_eq!(peeked, Err(wait));
                            prop_assert!(wait <= cap);
                            if before == BreakerState::Open {
                                prop_assert!(breaker.peek(now + wait).is_ok(), "the wait is not enough");
                            }
                        }
                    }
                }
                Move::Begin(place) => {
                    let before = breaker.state(now);
                    let outstanding = out.len().max(1);
                    if let Some((ticket, ..)) = out.get_mut(place % outstanding) {
                        breaker.begun(ticket, now);
                    }
                    prop_assert_eq!(before, breaker.state(now), "the beginning of an answer changed the state");
                }
                Move::Settle(place, effect) if !out.is_empty() => {
                    let (ticket, given, probe) = out.swap_remove(place % out.len());
                    let before = note(&breaker, now, &mut epoch);
                    let stale = given != epoch;
                    breaker.settle(ticket, effect, now, roll);
                    let after = breaker.state(now);
                    if stale {
                        prop_assert_eq!(before, after, "a stale ticket changed the state");
                    }
                    if probe && !stale && before == BreakerState::HalfOpen && after == BreakerState::HalfOpen {
                        prop_assert!(breaker.peek(now).is_ok(), "the probe's place is not free");
                    }
                }
                Move::Settle(..) => {}
            }
            note(&breaker, now, &mut epoch);
        }
    }

    /// Calls one after another are judged by their ends, whether or not their answers are told to have begun.
    #[test]
    fn the_beginning_of_an_answer_says_nothing_that_its_end_takes_back(
        calls in prop::collection::vec((0_u64..4_000, any::<bool>(), any::<bool>()), 0..80),
    ) {
        let mut now = Instant::now();
        let (mut told, mut plain) = (Breaker::new(config(1, 1)), Breaker::new(config(1, 1)));
        for (pass, begins, fails) in calls {
            now += Duration::from_millis(pass);
            let effect = if fails { BreakerEffect::Failure } else { BreakerEffect::Success };
            let tickets = (told.admit(now), plain.admit(now));
            prop_assert_eq!(tickets.0.is_ok(), tickets.1.is_ok());
            if let (Ok(mut a), Ok(b)) = tickets {
                if begins {
                    told.begun(&mut a, now);
                }
                told.settle(a, Some(effect), now, 0.5);
                plain.settle(b, Some(effect), now, 0.5);
            }
            prop_assert_eq!((told.state(now), told.peek(now)), (plain.state(now), plain.peek(now)));
        }
    }

    /// Attempts are at most as configured; no wait above its cap without a hint, none below a hint; the sum of waits
    /// stays within the total; what the caller did wrong is never repeated; the same dice give the same waits.
    #[test]
    fn retries_keep_their_promises(
        kinds in prop::collection::vec((0_usize..ErrorKind::ALL.len(), prop::option::of(0_u64..90_000), 0.0..=1.0), 1..12),
        attempts in 1_u32..6,
        total in 0_u64..60_000,
    ) {
        let config = RetryConfig { attempts, total: Duration::from_millis(total), ..RetryConfig::default() };
        let begun = Instant::now();
        let play = || {
            let mut budget = Budget::new(BudgetConfig::default());
            let mut state = RetryState::new(&config, begun, None);
            let mut now = begun;
            let mut decisions = Vec::new();
            for (kind, hint, roll) in &kinds {
                let number = state.begin();
                let error = error(ErrorKind::ALL[*kind], hint.map(Duration::from_millis));
                let decision = state.decide(&error, &mut budget, *roll, now);
                decisions.push((number, error, decision));
                match decision {
                    Decision::RetryAfter(wait) => now += wait,
                    Decision::RefreshThenRetry => {}
                    _ => break,
                }
            }
            (decisions, now)
        };
        let (decisions, ended) = play();
        prop_assert!(ended - begun <= Duration::from_millis(total));
        for (number, error, decision) in &decisions {
            prop_assert!(*number <= attempts);
            match decision {
                Decision::RetryAfter(wait) => {
                    prop_assert!(*number < attempts);
                    prop_assert!(error.class() != ErrorClass::Caller && error.class() != ErrorClass::Quota);
                    match error.retry_after() {
                        Some(hint) => prop_assert!(*wait >= hint && *wait <= hint.mul_f64(1.1001) && hint <= config.max_hint),
                        None => prop_assert!(*wait <= config.throttle_max_delay.max(config.max_delay)),
                    }
                }
                Decision::RefreshThenRetry => prop_assert_eq!(error.kind(), ErrorKind::Unauthenticated),
                _ => {}
            }
        }
        let refreshes = decisions.iter().filter(|(.., d)| *d == Decision::RefreshThenRetry).count();
        prop_assert!(refreshes <= 1);
        let again: Vec<_> = play().0.iter().map(|(.., decision)| *decision).collect();
        prop_assert_eq!(decisions.iter().map(|(.., decision)| *decision).collect::<Vec<_>>(), again);
    }

    /// What retries cost over any history is at most the start and what successes brought.
    #[test]
    fn a_budget_is_not_overdrawn(capacity in 0_u32..600, plays in prop::collection::vec((any::<bool>(), any::<bool>()), 0..400)) {
        let config = BudgetConfig { capacity, ..BudgetConfig::default() };
        let mut budget = Budget::new(config.clone());
        let (mut spent, mut earned) = (0_u64, 0_u64);
        for (succeeds, throttled) in plays {
            if succeeds {
                budget.deposit(0);
                earned += u64::from(config.success);
            } else if let Some(cost) = budget.pay(throttled) {
                spent += u64::from(cost);
            }
            prop_assert!(budget.left() <= capacity);
            prop_assert!(spent <= u64::from(capacity) + earned);
        }
    }
}

fn error(kind: ErrorKind, retry_after: Option<Duration>) -> InferenceError {
    match kind {
        ErrorKind::Transport => {
            InferenceError::Transport { at: Box::default(), kind: TransportKind::Closed, source: None }
        }
        kind => InferenceError::reported(kind, Box::<Origin>::default(), retry_after),
    }
}

#[test]
fn three_failures_open_it_and_three_caller_errors_do_not() {
    let now = Instant::now();
    for (effect, state) in [
        (BreakerEffect::Failure, BreakerState::Open),
        (BreakerEffect::Success, BreakerState::Closed),
        (BreakerEffect::Neutral, BreakerState::Closed),
    ] {
        let mut breaker = Breaker::new(config(1, 1));
        for _ in 0..3 {
            let ticket = breaker.admit(now).unwrap();
            breaker.settle(ticket, Some(effect), now, 0.0);
        }
        assert_eq!(breaker.state(now), state, "{effect:?}");
    }
}

#[test]
fn half_of_many_calls_failing_opens_it_and_old_failures_are_forgotten() {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(BreakerConfig { consecutive_failures: 100, min_calls: 6, ..config(1, 1) });
    let play = |breaker: &mut Breaker, now: Instant, failed: bool| {
        let effect = if failed { BreakerEffect::Failure } else { BreakerEffect::Success };
        let ticket = breaker.admit(now).unwrap();
        breaker.settle(ticket, Some(effect), now, 0.0);
    };
    for failed in [true, false, true, false] {
        play(&mut breaker, now, failed);
    }
    now += Duration::from_secs(40);
    for failed in [false, true, false, true] {
        play(&mut breaker, now, failed);
    }
    assert_eq!(breaker.state(now), BreakerState::Closed, "four calls are too few, and four are forgotten");
    play(&mut breaker, now, false);
    play(&mut breaker, now, true);
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn long_answers_under_way_outweigh_a_few_quick_failures_until_they_break_too() {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(BreakerConfig { consecutive_failures: 10, min_calls: 20, ..config(1, 1) });
    let mut running = Vec::new();
    for call in 0..400 {
        now += Duration::from_millis(10);
        let mut ticket = breaker.admit(now).unwrap();
        if call % 20 == 0 {
            breaker.settle(ticket, Some(BreakerEffect::Failure), now, 0.0);
        } else {
            breaker.begun(&mut ticket, now);
            running.push(ticket);
        }
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
    let mut broken = 0;
    for ticket in running {
        if breaker.state(now) == BreakerState::Closed {
            breaker.settle(ticket, Some(BreakerEffect::Failure), now, 0.0);
            broken += 1;
        }
    }
    assert_eq!(broken, 10, "ten in a row, since no answer has begun meanwhile");
}

#[test]
fn answers_that_begin_and_break_one_after_another_open_it_as_quick_failures_do() {
    let now = Instant::now();
    let mut breaker = Breaker::new(config(1, 1));
    for _ in 0..3 {
        assert_eq!(breaker.state(now), BreakerState::Closed);
        let mut ticket = breaker.admit(now).unwrap();
        breaker.begun(&mut ticket, now);
        breaker.settle(ticket, Some(BreakerEffect::Failure), now, 0.0);
    }
    assert_eq!(breaker.state(now), BreakerState::Open);
}

#[test]
fn the_time_it_stays_open_doubles_to_its_cap_and_begins_anew_after_a_success() {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(config(1, 1));
    for _ in 0..3 {
        let ticket = breaker.admit(now).unwrap();
        breaker.settle(ticket, Some(BreakerEffect::Failure), now, 0.0);
    }
    let mut holds = Vec::new();
    for _ in 0..7 {
        let hold = breaker.peek(now).unwrap_err();
        holds.push(hold.as_secs());
        now += hold;
        let ticket = breaker.admit(now).unwrap();
        breaker.settle(ticket, Some(BreakerEffect::Failure), now, 0.0);
    }
    assert_eq!(holds, [5, 10, 20, 40, 80, 120, 120]);
    now += breaker.peek(now).unwrap_err();
    let ticket = breaker.admit(now).unwrap();
    breaker.settle(ticket, Some(BreakerEffect::Success), now, 0.0);
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn the_three_kinds_of_429_are_told_apart() {
    let config = RetryConfig::default();
    for (kind, retried) in [
        (ErrorKind::RateLimited, true),
        (ErrorKind::QuotaExhausted, false),
        (ErrorKind::RequestTooLarge, false),
    ] {
        let now = Instant::now();
        let mut state = RetryState::new(&config, now, None);
        state.begin();
        let mut budget = Budget::new(BudgetConfig::default());
        let decision = state.decide(&error(kind, None), &mut budget, 0.5, now);
        assert_eq!(matches!(decision, Decision::RetryAfter(_)), retried, "{kind:?}");
    }
}

#[test]
fn a_hint_beyond_the_limit_stops_with_an_error_that_says_so() {
    let config = RetryConfig::default();
    let now = Instant::now();
    let mut state = RetryState::new(&config, now, None);
    state.begin();
    let mut budget = Budget::new(BudgetConfig::default());
    let day = Duration::from_secs(86_400);
    let decision = state.decide(&error(ErrorKind::RateLimited, Some(day)), &mut budget, 0.5, now);
    let Decision::Stop(reason @ StopReason::HintTooLong { .. }) = decision else {
        unreachable!("{decision:?}")
    };
    assert!(reason.to_string().contains("86400s") && reason.to_string().contains("retry.max_hint"));
}
