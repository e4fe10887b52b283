//! Laws stated one by one, without the model.

use std::collections::BTreeMap;
use std::time::Duration;

use infer_core::{Priority, RateLimits};
use proptest::prelude::*;
use remote_core::limit::{Ask, Limiter, RateLimitConfig, Reserve, Turn};

use super::driver::Driver;
use super::lockstep::{Step, config, priority, step};
use super::{MILLI, SECOND};

/// Calls with the time since the one before, what they cost and what they use.
fn calls() -> impl Strategy<Value = Vec<(u64, u64, u64, Priority)>> {
    let span = prop_oneof![Just(0), 0..MILLI, 0..2 * SECOND];
    prop::collection::vec((span, 0..100_u64, 0..100_u64, priority()), 1..80)
}

/// No waiting call is ever refused.
fn patient(config: &RateLimitConfig) -> RateLimitConfig {
    RateLimitConfig { max_wait: Duration::from_secs(1_000_000), max_queue: u32::MAX, ..config.clone() }
}

fn reserve(limiter: &mut Limiter<()>, now: u64, tokens: u64) -> Reserve {
    limiter.reserve(now, Ask { tokens, priority: Priority::Normal, deadline: None }, ())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Law: in any window of time W, at most burst + rate x W units start, net of refunds.
    #[test]
    fn no_window_sees_more_than_the_burst_and_the_rate(
        calls in calls(), requests in (1..2000_u32, 1..20_u32), tokens in (1..20_000_u32, 100..500_u32),
        throttles in prop::collection::vec(0..80_usize, 0..3),
    ) {
        let mut driver = Driver::new(&patient(&RateLimitConfig {
            requests_per_minute: Some(requests.0),
            requests_burst: Some(requests.1),
            tokens_per_minute: Some(tokens.0),
            tokens_burst: Some(tokens.1),
            ..RateLimitConfig::default()
        }));
        let mut ends = Vec::new();
        for (at, (span, cost, used, priority)) in calls.iter().enumerate() {
            driver.advance(*span);
            driver.call(*cost, *priority, None);
            if throttles.contains(&at) {
                driver.limiter.throttled(driver.now, Some(Duration::from_millis(10)));
            }
            if let Some(&id) = driver.running.keys().next().filter(|_| at % 3 == 0) {
                driver.settle(id, *used);
                ends.push((driver.now, id, *used));
            }
        }
        while !driver.waiting.is_empty() {
            driver.advance(60 * SECOND);
        }
        for (first, (_, from)) in driver.started.iter().enumerate() {
            let mut sum = 0_i128;
            for (count, (id, until)) in driver.started[first..].iter().enumerate() {
                let span = i128::from(until - from);
                let allowed = |(rate, burst): (u32, u32)| {
                    i128::from(burst) * i128::from(60 * SECOND) + i128::from(rate) * span
                };
                prop_assert!((count as i128 + 1) * i128::from(60 * SECOND) <= allowed(requests));
                sum += i128::from(calls[*id].1);
                let back = ends.iter().filter(|(time, ..)| (from..=until).contains(&time));
                let back: i128 =
                    back.map(|(_, id, used)| i128::from(calls[*id].1.saturating_sub(*used))).sum();
                // What was charged on top when a call ended is no start.
                prop_assert!((sum - back) * i128::from(60 * SECOND) <= allowed(tokens));
            }
        }
    }

    /// Law: `At(t)` is strictly after now, waiting until `t` suffices, and nothing earlier does.
    #[test]
    fn waiting_as_told_suffices(
        config in config(), costs in prop::collection::vec(0..200_u64, 1..30), now in 0..100 * SECOND, pause in 0..100 * SECOND,
    ) {
        let config = RateLimitConfig { max_in_flight: None, ..patient(&config) };
        let mut limiter = Limiter::new(&config);
        limiter.pause_until(pause);
        for cost in costs {
            let Reserve::Queued(ticket) = reserve(&mut limiter, now, cost) else { continue };
            let Turn::At(time) = limiter.turn(now, &ticket, &mut ()) else { panic!("queued for nothing") };
            prop_assert!(time > now);
            let Turn::At(again) = limiter.turn(time - 1, &ticket, &mut ()) else { panic!("started early") };
            prop_assert_eq!(again, time);
            prop_assert!(matches!(limiter.turn(time, &ticket, &mut ()), Turn::Ready(_)));
            break;
        }
    }

    /// Law: requests, tokens and slots are taken all or none.
    #[test]
    fn who_does_not_start_takes_nothing(config in config(), costs in prop::collection::vec(0..200_u64, 1..30), now in 0..100 * SECOND) {
        let mut limiter = Limiter::new(&config);
        for cost in costs {
            let before = limiter.state(now);
            let reserved = reserve(&mut limiter, now, cost);
            let mut after = limiter.state(now);
            if let Reserve::Ready(_) = reserved {
                prop_assert_eq!(after.in_flight, before.in_flight + 1);
                prop_assert_eq!(after.requests_left, before.requests_left.map(|left| left - 1));
                prop_assert_eq!(after.tokens_left, before.tokens_left.map(|left| left.saturating_sub(cost)));
            } else {
                after.waiting = before.waiting;
                prop_assert_eq!(after, before);
            }
        }
    }

    /// Law: whatever happens, what is left never exceeds the burst, and a pause never becomes shorter.
    #[test]
    fn refunds_stop_at_the_burst_and_pauses_only_grow(config in config(), steps in prop::collection::vec(step(), 1..60)) {
        let mut driver = Driver::new(&config);
        let mut paused_until = 0;
        for step in steps {
            match step {
                Step::Call { tokens, priority, .. } => drop(driver.call(tokens, priority, None)),
                Step::Pass(span) => driver.advance(span),
                Step::Throttled(span) => driver.limiter.throttled(driver.now, Some(Duration::from_nanos(span))),
                Step::Pause(span) => driver.limiter.pause_until(span),
                _ => if let Some(&id) = driver.running.keys().next() { driver.release(id) },
            }
            let state = driver.limiter.state(driver.now);
            prop_assert!(state.requests_left <= config.requests_burst.map(u64::from));
            prop_assert!(state.tokens_left <= config.tokens_burst.map(u64::from));
            let paused = u64::try_from(state.paused_for.as_nanos()).unwrap();
            prop_assert!(driver.now + paused >= paused_until);
            paused_until = if paused > 0 { driver.now + paused } else { paused_until.min(driver.now) };
        }
    }

    /// Law: equals start in the order of their arrival, and nothing starves: a call is overtaken only by those that arrive
    /// within its class's handicap against theirs.
    #[test]
    fn overtaking_is_bounded(config in config(), calls in calls()) {
        let mut driver = Driver::new(&patient(&config));
        let mut arrived = BTreeMap::new();
        for (span, cost, _, priority) in calls {
            driver.advance(span * 10);
            arrived.insert(driver.call(cost, priority, None), (driver.now, priority));
            if let Some(&id) = driver.running.keys().next().filter(|_| cost % 2 == 0) {
                driver.release(id);
            }
        }
        while driver.started.len() < arrived.len() {
            let running: Vec<_> = driver.running.keys().copied().collect();
            for id in running {
                driver.release(id);
            }
            driver.advance(3600 * SECOND);
        }
        let handicap = |priority| match priority {
            Priority::Critical => 0,
            Priority::High => 10,
            Priority::Normal => 15,
            _ => 35,
        };
        for (at, (first, _)) in driver.started.iter().enumerate() {
            for (second, _) in &driver.started[at + 1..] {
                let ((early, strong), (late, weak)) = (arrived[first], arrived[second]);
                let in_time = early + handicap(strong) * SECOND <= late + handicap(weak) * SECOND;
                prop_assert!(first < second || in_time);
                prop_assert!(strong != weak || first < second);
            }
        }
    }

    /// Law: who leaves the queue leaves no trace. Two limiters, one of which also sees callers who give up, start all others
    /// at the same times.
    #[test]
    fn a_cancelled_waiter_leaves_no_trace(
        config in config(), calls in calls(), ghosts in prop::collection::vec((any::<bool>(), 0..500_u64, priority()), 80),
    ) {
        let config = patient(&config);
        let (mut plain, mut haunted) = (Driver::new(&config), Driver::new(&config));
        let (mut names, mut ghost_ids) = (BTreeMap::new(), Vec::new());
        for driver in [&mut plain, &mut haunted] {
            driver.limiter.pause_until(100_000 * SECOND);
        }
        for ((span, cost, _, priority), (haunts, tokens, class)) in calls.into_iter().zip(ghosts) {
            plain.advance(span);
            haunted.advance(span);
            if haunts {
                ghost_ids.push(haunted.call(tokens, class, None));
            }
            let id = plain.call(cost, priority, None);
            names.insert(haunted.call(cost, priority, None), id);
            if ghost_ids.len() > 3 {
                haunted.leave(ghost_ids.swap_remove(1));
            }
        }
        for id in ghost_ids {
            haunted.leave(id);
        }
        for driver in [&mut plain, &mut haunted] {
            for _ in 0..100 {
                driver.advance(2_000 * SECOND);
                while let Some(&id) = driver.running.keys().next() {
                    driver.release(id);
                }
            }
        }
        let started: Vec<_> = haunted.started.iter().map(|(id, time)| (names[id], *time)).collect();
        prop_assert_eq!(&started, &plain.started);
        prop_assert_eq!(plain.limiter.state(plain.now), haunted.limiter.state(haunted.now));
        prop_assert_eq!(started.len(), names.len());
    }

    /// Law: no number is too large, and no order of times is wrong.
    #[test]
    fn any_numbers_are_survived(
        config in config(), numbers in prop::collection::vec((any::<u64>(), any::<u64>(), priority(), 0..8_u8), 1..60),
    ) {
        let mut limiter = Limiter::new(&config);
        let (mut grants, mut tickets) = (Vec::new(), Vec::new());
        for (now, number, priority, what) in numbers {
            match what {
                0 => limiter.pause_until(number),
                1 => limiter.throttled(now, Some(Duration::from_nanos(number))),
                2 => {
                    let mut limits = RateLimits::default();
                    (limits.remaining_requests, limits.remaining_tokens) = (Some(number), Some(number));
                    limiter.learn(now, &limits);
                }
                3 => if let Some(grant) = grants.pop() { limiter.settle(now, grant, number) },
                4 => {
                    let turn = tickets.pop().map(|ticket| limiter.turn(now, &ticket, &mut 0));
                    if let Some(Turn::Ready(grant)) = turn { grants.push(grant) }
                }
                _ => match limiter.reserve(now, Ask { tokens: number, priority, deadline: None }, 0) {
                    Reserve::Ready(grant) => grants.push(grant),
                    Reserve::Queued(ticket) => tickets.push(ticket),
                    Reserve::Refused(_) => {}
                },
            }
            while limiter.next_wake(now).is_some() {}
        }
    }
}

/// Law: nobody wakes in vain. A thousand waiters ask when they arrive, when they are first, and when they may start.
#[test]
fn there_is_no_herd() {
    let config = RateLimitConfig { requests_per_minute: Some(60), ..RateLimitConfig::default() };
    let mut driver = Driver::new(&patient(&config));
    for _ in 0..1000 {
        driver.call(1, Priority::Normal, None);
    }
    driver.advance(2000 * SECOND);
    assert_eq!(driver.started.len(), 1000);
    assert!(driver.started.is_sorted());
    assert!(driver.turns <= 3 * 1000, "{} turns", driver.turns);
}

/// Law: who is neither polled nor dropped does not hold up the others, and keeps its place.
#[test]
fn a_first_one_that_does_not_come_is_set_aside_and_has_its_place_again_when_it_asks() {
    let config = RateLimitConfig {
        requests_per_minute: Some(60),
        requests_burst: Some(1),
        ..RateLimitConfig::default()
    };
    let mut driver = Driver::new(&config);
    driver.call(1, Priority::Normal, None);
    let Reserve::Queued(idle) =
        driver.limiter.reserve(0, Ask { tokens: 1, priority: Priority::Normal, deadline: None }, 99)
    else {
        panic!("there is room for one only")
    };
    assert!(matches!(driver.limiter.turn(0, &idle, &mut 99), Turn::At(SECOND)));
    let second = driver.call(1, Priority::Normal, None);
    let third = driver.call(1, Priority::Normal, None);
    driver.advance(2500 * MILLI);
    assert_eq!(driver.started[1..], [(second, 2100 * MILLI)]);
    let Turn::At(time) = driver.limiter.turn(driver.now, &idle, &mut 99) else { panic!("nothing is left") };
    assert_eq!(time, 3100 * MILLI);
    assert!(matches!(driver.limiter.turn(time, &idle, &mut 99), Turn::Ready(_)));
    driver.advance(3 * SECOND);
    assert_eq!(driver.started[2..], [(third, 4100 * MILLI)]);
}

/// A wait of exactly `max_wait` is allowed; a start at the very deadline is none.
#[test]
fn the_bounds_of_waiting_are_exact() {
    let config = RateLimitConfig {
        requests_per_minute: Some(60),
        requests_burst: Some(1),
        max_wait: Duration::from_secs(1),
        ..RateLimitConfig::default()
    };
    for (deadline, waits) in [(None, true), (Some(SECOND), false), (Some(SECOND + 1), true)] {
        let mut driver = Driver::new(&config);
        driver.call(1, Priority::Normal, None);
        driver.call(1, Priority::Normal, deadline);
        assert_eq!(driver.waiting.len(), usize::from(waits), "{deadline:?}");
        driver.advance(SECOND);
        assert_eq!(driver.started.len(), 1 + usize::from(waits), "{deadline:?}");
    }
}

/// A full queue in front of slots alone says how long a turn usually takes.
#[test]
fn where_only_slots_are_short_the_wait_told_follows_how_long_calls_run() {
    let config = RateLimitConfig { max_in_flight: Some(2), max_queue: 4, ..RateLimitConfig::default() };
    let mut driver = Driver::new(&config);
    let first = driver.call(1, Priority::Normal, None);
    driver.advance(6 * SECOND);
    driver.settle(first, 1);
    for _ in 0..7 {
        driver.call(1, Priority::Normal, None);
    }
    let (.., refused) = driver.refused[0];
    assert_eq!(refused.to_string(), "too many calls are waiting: a turn would come in 18s");
}
