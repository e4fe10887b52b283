//! The machine and the model walk through the same random histories and must agree after every step.

use std::time::Duration;

use infer_core::{Priority, RateLimits};
use proptest::prelude::*;
use remote_core::limit::{RateLimitConfig, Refused};

use super::driver::Driver;
use super::model::Model;
use super::{MILLI, SECOND};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Call { tokens: u64, priority: Priority, deadline: Option<u64> },
    Pass(u64),
    Settle(usize, u64),
    Release(usize),
    Leave(usize),
    Throttled(u64),
    Pause(u64),
    Learn(Option<u64>, Option<u64>),
}

pub(crate) fn priority() -> impl Strategy<Value = Priority> {
    let all = vec![Priority::Normal, Priority::Background, Priority::High, Priority::Critical];
    prop::sample::select(all)
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), 0..MILLI, 0..SECOND, 0..20 * SECOND]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let tokens = prop_oneof![3 => 0..30_u64, 1 => 0..300_u64];
    prop_oneof![
        8 => (tokens, priority(), prop::option::weighted(0.2, span()))
            .prop_map(|(tokens, priority, deadline)| Step::Call { tokens, priority, deadline }),
        4 => span().prop_map(Step::Pass),
        2 => (any::<usize>(), 0..60_u64).prop_map(|(which, actual)| Step::Settle(which, actual)),
        1 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Leave),
        1 => span().prop_map(Step::Throttled),
        1 => span().prop_map(Step::Pause),
        1 => (prop::option::of(0..12_u64), prop::option::of(0..100_u64))
            .prop_map(|(requests, tokens)| Step::Learn(requests, tokens)),
    ]
}

pub(crate) fn config() -> impl Strategy<Value = RateLimitConfig> {
    let rate = |most: u32, burst: u32| prop::option::weighted(0.7, (1..most, 1..burst));
    (rate(600, 10), rate(6000, 100), prop::option::of(1..6_u32), 0..60_u64, 0..12_u32).prop_map(
        |(requests, tokens, max_in_flight, max_wait, max_queue)| RateLimitConfig {
            requests_per_minute: requests.map(|(rate, _)| rate),
            requests_burst: requests.map(|(_, burst)| burst),
            tokens_per_minute: tokens.map(|(rate, _)| rate),
            tokens_burst: tokens.map(|(_, burst)| burst),
            max_in_flight,
            max_wait: Duration::from_secs(max_wait),
            max_queue,
            ..RateLimitConfig::default()
        },
    )
}

struct Pair {
    config: RateLimitConfig,
    driver: Driver,
    model: Model,
}

impl Pair {
    fn walk(&mut self, step: &Step) {
        let (driver, model) = (&mut self.driver, &mut self.model);
        let pick = |keys: Vec<usize>, which: usize| keys.get(which % keys.len().max(1)).copied();
        match *step {
            Step::Call { tokens, priority, deadline } => self.call(tokens, priority, deadline),
            Step::Pass(span) => {
                driver.advance(span);
                model.advance(span);
            }
            Step::Settle(which, actual) => {
                let Some(id) = pick(driver.running.keys().copied().collect(), which) else { return };
                model.end(id, Some(actual));
                driver.settle(id, actual);
            }
            Step::Release(which) => {
                let Some(id) = pick(driver.running.keys().copied().collect(), which) else { return };
                model.end(id, None);
                driver.release(id);
            }
            Step::Leave(which) => {
                let Some(id) = pick(driver.waiting.keys().copied().collect(), which) else { return };
                model.leave(id);
                driver.leave(id);
            }
            Step::Throttled(pause) => {
                model.throttled(pause);
                driver.limiter.throttled(driver.now, Some(Duration::from_nanos(pause)));
                driver.wake();
            }
            Step::Pause(span) => {
                model.paused_until = model.paused_until.max(model.now + span);
                driver.limiter.pause_until(driver.now + span);
                driver.wake();
            }
            Step::Learn(requests, tokens) => {
                model.learn(requests, tokens);
                let mut limits = RateLimits::default();
                limits.remaining_requests = requests;
                limits.remaining_tokens = tokens;
                driver.limiter.learn(driver.now, &limits);
                driver.wake();
            }
        }
    }

    fn call(&mut self, tokens: u64, priority: Priority, deadline: Option<u64>) {
        let (driver, model) = (&mut self.driver, &mut self.model);
        let refused = driver.refused.len();
        let deadline = deadline.map(|span| driver.now + span);
        let wait = model.wait(tokens, priority);
        let longest = u64::try_from(self.config.max_wait.as_nanos()).unwrap();
        let allowed = longest.min(deadline.map_or(u64::MAX, |time| (time - driver.now).saturating_sub(1)));
        let full = model.waiting() >= self.config.max_queue as usize || longest == 0;
        let waiting = model.waiting();
        let id = driver.call(tokens, priority, deadline);
        let was_refused = driver.refused.get(refused).is_some_and(|(last, ..)| *last == id);
        if was_refused {
            let (.., refused) = driver.refused[refused];
            // Law: nobody is refused at once who could have waited, as far as rates and pauses tell.
            assert!(
                wait > allowed || full || deadline == Some(driver.now),
                "{refused:?} with a wait of {wait}"
            );
            if let Refused::QueueFull { wait: told } = refused {
                let one_rate = model.requests.is_none() || model.tokens.is_none();
                let told = u64::try_from(told.as_nanos()).unwrap();
                let slots_free = self.config.max_in_flight.is_none();
                // Law: the wait it is told is the one it would have had, but for the nanosecond to which each start before
                // it is rounded up; with two rates it is never too long.
                assert!(!slots_free || told <= wait, "told {told}, found {wait}");
                assert!(!one_rate || told + waiting as u64 >= wait, "told {told}, found {wait}");
            }
            model.refused.push((id, model.now));
        } else {
            model.join(id, tokens, priority, deadline);
            model.step();
            let one_rate = model.requests.is_none() || model.tokens.is_none();
            // Law: nobody waits who could only be refused later.
            assert!(!one_rate || wait <= allowed + waiting as u64, "queued for {wait} of {allowed}");
            assert!(!full || model.waiting() <= waiting, "queued in a full queue");
        }
    }

    fn agree(&mut self) {
        let (driver, model) = (&self.driver, &mut self.model);
        model.step();
        let sorted = |list: &[(usize, u64)]| {
            let mut list = list.to_vec();
            list.sort_unstable_by_key(|(id, time)| (*time, *id));
            list
        };
        assert_eq!(driver.started, model.started, "who started when");
        let refused: Vec<_> = driver.refused.iter().map(|(id, time, _)| (*id, *time)).collect();
        assert_eq!(sorted(&refused), sorted(&model.refused), "who was refused when");
        let state = driver.limiter.state(driver.now);
        assert_eq!(state.in_flight as usize, model.running.len());
        assert_eq!(state.waiting as usize, model.waiting());
        assert_eq!(driver.waiting.len(), model.waiting());
        assert_eq!(i128::from(state.sixteenths), model.share);
        assert_eq!(state.paused_for, Duration::from_nanos(model.paused_until.saturating_sub(model.now)));
        assert_eq!(state.requests_left, model.requests.as_ref().map(|rate| rate.left(model.now)));
        assert_eq!(state.tokens_left, model.tokens.as_ref().map(|rate| rate.left(model.now)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 512 } else { 20_000 }))]

    /// Law: who starts when, who is refused when, and what is left is what the obvious model says, whatever arrives, ends,
    /// leaves, and whatever the upstream says. This includes: first come, first served within a class; requests, tokens and
    /// slots all or none; refunds never exceed the burst; nobody waits longer than allowed.
    #[test]
    fn the_machine_agrees_with_the_model(config in config(), steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair { driver: Driver::new(&config), model: Model::new(&config), config };
        for step in &steps {
            pair.walk(step);
            pair.agree();
        }
        // Law: once all permits are gone and time has passed, nothing is left of anything.
        let driver = &mut pair.driver;
        while !(driver.running.is_empty() && driver.waiting.is_empty()) {
            if let Some(&id) = driver.running.keys().next() {
                driver.release(id);
            } else {
                driver.advance(SECOND);
            }
        }
        let state = driver.limiter.state(driver.now);
        prop_assert_eq!((state.in_flight, state.waiting), (0, 0));
        // Law: every call ended exactly once.
        let started = driver.started.iter().map(|(id, _)| *id);
        let mut ended: Vec<_> = started.chain(driver.refused.iter().map(|(id, ..)| *id)).collect();
        ended.extend(&driver.left);
        ended.sort_unstable();
        prop_assert_eq!(ended, (0..driver.calls).collect::<Vec<_>>());
    }
}
