//! The law of the whole: whatever the upstream, the network, the callers and the operator do, at the end
//!
//! - no permit is held, no request is open, no task is left, and a call is let through again and answered;
//! - every call ended exactly once, with an answer or with one typed error, by its deadline, or was left by its caller;
//! - the upstream saw exactly the requests that are on record;
//! - costs are those of the usage the upstream told, to the pico-dollar, and calls add up to their attempts;
//! - nobody was handed the text of two answers, or of one twice, or one that is not whole for a whole one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "chaos/plan.rs"]
mod plan;
#[path = "common/rig.rs"]
mod rig;
#[path = "common/script.rs"]
mod script;
#[path = "common/toy.rs"]
mod toy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use infer_core::{ErrorKind, ExecuteBatch, InferenceError, ModelRunner as _, RequestId, Usage, Usd};
use proptest::prelude::*;
use remote_core::breaker::BreakerState;
use remote_core::meter::{Outcome, RunRecord, Scope};
use remote_core::session::{Credential, CredentialSource, RemoteSessionActor, rotate};
use remote_core::{Operation, RemoteRunner};
use tokio::time::{Instant, sleep, timeout};

use crate::plan::{Caller, Event, Plan, Reply, millis};
use crate::rig::Rig;
use crate::toy::{Toy, streaming};

/// What became of one call, as its caller saw it.
#[derive(Debug, Default)]
struct Fate {
    began: Option<Instant>,
    /// When it ended or its caller left.
    over: Option<Instant>,
    text: String,
    /// The error's kind and how many attempts it speaks of.
    end: Option<Result<(), (ErrorKind, u32)>>,
    /// What was promised and not kept.
    broken: Option<String>,
}

/// Another key each time, or now and then none.
#[derive(Debug)]
struct Keys {
    given: AtomicU32,
    takes: Duration,
    fails_every: u32,
}

#[async_trait]
impl CredentialSource for Keys {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            return Ok(Credential::new("key-0"));
        }
        sleep(self.takes).await;
        if number.is_multiple_of(self.fails_every) {
            return Err(InferenceError::config("keys: none left"));
        }
        Ok(Credential::new(format!("key-{number}")))
    }
}

/// Makes one call, reads its answer, and leaves when the plan says so.
async fn call(
    runner: RemoteRunner<Toy>,
    caller: Caller,
    batch: ExecuteBatch,
    due: Option<Duration>,
    fate: Arc<Mutex<Fate>>,
) {
    sleep(millis(caller.begins)).await;
    let work = async {
        fate.lock().unwrap().began = Some(Instant::now());
        let due = due.map(|due| Instant::now() + due);
        // Only waiting for us counts: who comes late to read is told late.
        let on_time = |asked: Instant| {
            if due.is_some_and(|due| Instant::now() > due.max(asked)) {
                fate.lock().unwrap().broken = Some(format!("{:?} after {due:?}", Instant::now()));
            }
        };
        let asked = Instant::now();
        let run = runner.execute(batch).await;
        on_time(asked);
        let mut stream = run?.into_stream();
        let mut read = 0;
        loop {
            sleep(millis(caller.reads_slowly)).await;
            let asked = Instant::now();
            let piece = stream.next().await;
            on_time(asked);
            let Some(piece) = piece.transpose()? else { break };
            fate.lock().unwrap().text.push_str(&piece.text);
            read += 1;
            if caller.stops_after == Some(read) {
                return Ok(false);
            }
        }
        if stream.next().await.is_some() {
            fate.lock().unwrap().broken = Some("something came after the end".to_owned());
        }
        Ok::<_, InferenceError>(true)
    };
    let result = match caller.leaves {
        Some(leaves) => timeout(millis(leaves), work).await.unwrap_or(Ok(false)),
        None => work.await,
    };
    let mut fate = fate.lock().unwrap();
    fate.over = Some(Instant::now());
    match result {
        Ok(true) => fate.end = Some(Ok(())),
        Ok(false) => {}
        Err(error) => {
            let attempts = error.origin().map_or(0, |at| at.attempts);
            fate.end = Some(Err((error.kind(), attempts)));
        }
    }
}

/// Plays `plan` to its end and checks the law.
async fn play(plan: Plan) -> Result<(), TestCaseError> {
    let keys = Keys {
        given: AtomicU32::new(0),
        takes: millis(plan.fetch_takes),
        fails_every: plan.fetch_fails_every,
    };
    let session =
        RemoteSessionActor::bootstrap_with_seed(Arc::new(keys) as Arc<dyn CredentialSource>, plan.seed);
    let session = session.await.unwrap();
    let well = Arc::new(AtomicBool::new(false));
    let rig = {
        let (replies, well) = (plan.replies.clone(), Arc::clone(&well));
        Rig::new(plan.config.clone(), session, plan.seed, move |nth, _| {
            reply(&replies, nth, well.load(Ordering::Relaxed)).script(nth)
        })
    };

    let mut fates = Vec::new();
    let mut tasks = Vec::new();
    for caller in &plan.callers {
        let id = RequestId::generate();
        let mut batch = if caller.streams { streaming() } else { ExecuteBatch::new("toy-model", "hi") };
        batch = batch.with_request_id(id.clone()).with_priority(caller.priority);
        batch.deadline = caller.deadline.map(millis);
        batch.max_output_tokens = caller.tokens;
        let due = batch.deadline.into_iter().chain(plan.config.timeouts.total).min();
        let fate = Arc::new(Mutex::new(Fate::default()));
        fates.push((id, Arc::clone(&fate)));
        tasks.push(tokio::spawn(call(rig.runner.clone(), caller.clone(), batch, due, fate)));
    }
    let runner = rig.runner.clone();
    let events = plan.events.clone();
    tasks.push(tokio::spawn(async move {
        for (nth, (after, event)) in events.into_iter().enumerate() {
            sleep(millis(after)).await;
            match event {
                Event::Rotate => {
                    rotate(runner.session(), Some(format!("rotated-{nth}").into())).unwrap();
                }
                Event::ForceOpen(time) => runner.force_open(Operation::Generate, Some(millis(time))),
                Event::ForceClosed => runner.force_closed(Operation::Generate),
                Event::Reset => runner.reset_breaker(Operation::Generate),
            }
        }
    }));
    for task in tasks {
        let ended = timeout(Duration::from_secs(100_000), task).await;
        prop_assert!(matches!(ended, Ok(Ok(()))), "a call did not end, or panicked");
    }

    let state = rig.runner.limit_state("toy-model");
    prop_assert_eq!((state.in_flight, state.waiting, rig.upstream.open()), (0, 0, 0), "something is held");
    check_records(&rig, &fates, &plan)?;
    well.store(true, Ordering::Relaxed);
    check_recovery(&rig, &plan).await?;

    drop(rig);
    sleep(millis(1)).await;
    prop_assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "a task is left");
    Ok(())
}

fn reply(replies: &[Reply], nth: usize, well: bool) -> Reply {
    if well { Reply::fine() } else { replies[nth % replies.len()].clone() }
}

fn price(usage: &Usage) -> u128 {
    u128::from(usage.input_tokens) * 1_000_000 + u128::from(usage.output_tokens) * 2_000_000
}

fn picos(records: &[RunRecord]) -> Usd {
    records.iter().filter_map(|record| Some(record.cost.known()?.total())).sum()
}

fn check_records(
    rig: &Rig,
    fates: &[(RequestId, Arc<Mutex<Fate>>)],
    plan: &Plan,
) -> Result<(), TestCaseError> {
    let (attempts, calls) = (rig.log.attempts(), rig.log.calls());
    prop_assert_eq!(attempts.len(), rig.upstream.seen().len(), "requests and records differ");
    let by_id = |records: &[RunRecord]| {
        let mut map = BTreeMap::<String, Vec<RunRecord>>::new();
        for record in records {
            map.entry(record.subject.request_id.as_str().to_owned()).or_default().push(record.clone());
        }
        map
    };
    let (attempts_of, calls_of) = (by_id(&attempts), by_id(&calls));
    let mut answers = BTreeSet::new();
    let mut sent = Vec::new();
    for (id, fate) in fates {
        let fate = fate.lock().unwrap();
        let context =
            || format!("{fate:?}\n{:?}\n{:?}", calls_of.get(id.as_str()), attempts_of.get(id.as_str()));
        prop_assert!(fate.broken.is_none(), "{}", context());
        let attempts = attempts_of.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        let call = match calls_of.get(id.as_str()).map_or(&[][..], Vec::as_slice) {
            [] => {
                prop_assert!(fate.began.is_none() && attempts.is_empty(), "no record: {}", context());
                continue;
            }
            [call] => call,
            _ => return Err(TestCaseError::fail(format!("several ends: {}", context()))),
        };
        // It ended as its caller saw it.
        let agrees = match fate.end {
            Some(Ok(())) => call.outcome == Outcome::Completed,
            Some(Err((kind, attempts))) => call.outcome == Outcome::Failed(kind) && call.attempts == attempts,
            None => !matches!(call.outcome, Outcome::Retried(_)),
        };
        prop_assert!(agrees, "{}", context());
        // Its attempts are all there, and only failed ones were repeated.
        let scopes: Vec<Scope> = attempts.iter().map(|record| record.scope).collect();
        let numbers: Vec<Scope> = (1..=call.attempts).map(|number| Scope::Attempt { number }).collect();
        prop_assert_eq!(scopes, numbers, "{}", context());
        prop_assert!(call.attempts <= plan.config.retry.attempts);
        if let Some((_, before)) = attempts.split_last() {
            prop_assert!(
                before.iter().all(|record| matches!(record.outcome, Outcome::Retried(_))),
                "{}",
                context()
            );
        }
        let begun = attempts.iter().filter_map(|record| Some(fate.began? + record.timing.after));
        sent.extend(begun.clone());
        prop_assert!(begun.max() <= fate.over, "sent although nobody waited: {}", context());
        check_costs(call, attempts, &fate, plan)?;
        // What it was handed is the beginning of what its last attempt said, and of nothing else.
        if !fate.text.is_empty() {
            let Some(nth) = attempts.last().and_then(answered_by) else {
                return Err(TestCaseError::fail(format!("text without an answer: {}", context())));
            };
            let said = plan.replies[nth % plan.replies.len()].text(nth);
            prop_assert!(said.starts_with(&fate.text), "{said} was said: {}", context());
            prop_assert!(fate.end != Some(Ok(())) || said == fate.text, "{said} was said: {}", context());
            prop_assert!(answers.insert(nth), "an answer went to two callers: {}", context());
        }
    }
    sent.sort();
    let seen = rig.upstream.seen();
    prop_assert_eq!(
        seen.iter().map(|seen| seen.at).collect::<Vec<_>>(),
        sent,
        "sent at other times than recorded"
    );
    prop_assert!(seen.iter().all(|seen| seen.bearer.starts_with("Bearer ")));
    let whole = |seen: &rig::Seen| seen.method == "POST" && seen.body == "{\"model\":\"toy-model\"}";
    prop_assert!(seen.iter().all(whole), "a request was sent without what was asked");
    prop_assert_eq!(picos(&calls), picos(&attempts), "calls do not add up to their attempts");
    Ok(())
}

/// Which request it was, from 0.
fn answered_by(attempt: &RunRecord) -> Option<usize> {
    attempt.upstream_request_id.as_ref()?.parse().ok()
}

fn check_costs(
    call: &RunRecord,
    attempts: &[RunRecord],
    fate: &Fate,
    plan: &Plan,
) -> Result<(), TestCaseError> {
    let mut sum = 0;
    for attempt in attempts {
        let cost = attempt.cost.known().map(|cost| cost.total().picos());
        prop_assert_eq!(cost, attempt.usage.as_ref().map(price), "{:?}", attempt);
        sum += cost.unwrap_or(0);
        let told = answered_by(attempt).and_then(|nth| plan.replies[nth % plan.replies.len()].usage());
        if attempt.usage.is_some() && !attempt.estimated {
            prop_assert_eq!(attempt.usage, told, "{:?}", attempt);
        }
        // A caller who read to the end pays for what the upstream told, no less.
        if attempt.outcome == Outcome::Completed && fate.end == Some(Ok(())) {
            prop_assert_eq!((attempt.usage, attempt.estimated), (told, false), "{:?}", attempt);
        }
    }
    let usage = attempts.iter().filter_map(|attempt| attempt.usage).reduce(Usage::saturating_add);
    prop_assert_eq!(call.usage, usage, "{:?}", call);
    prop_assert_eq!(call.estimated, attempts.iter().any(|attempt| attempt.estimated), "{:?}", call);
    let cost = call.cost.known().map_or(0, |cost| cost.total().picos());
    prop_assert_eq!(cost, sum, "{:?}", call);
    Ok(())
}

/// Once the upstream is well and time has passed, calls go through again: no probe's place and no slot is lost.
async fn check_recovery(rig: &Rig, plan: &Plan) -> Result<(), TestCaseError> {
    for nth in 0..plan.config.circuit_breaker.successes_to_close {
        sleep(Duration::from_secs(1000)).await;
        let seen = rig.upstream.seen().len();
        let result = rig.runner.execute(streaming()).await;
        let state = rig.runner.breaker_state(Operation::Generate);
        prop_assert!(result.is_ok(), "call {nth} after the storm: {result:?}, {state:?}");
        let answer = result.unwrap().collect().await;
        prop_assert!(answer.is_ok(), "call {nth} after the storm: {answer:?}");
        prop_assert_eq!(rig.upstream.seen().len(), seen + 1);
    }
    let (state, wait) = rig.runner.breaker_state(Operation::Generate);
    prop_assert!(matches!(state, BreakerState::Closed | BreakerState::ForcedClosed), "{state:?}");
    prop_assert_eq!(wait, None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn whatever_happens_nothing_leaks_and_everything_is_accounted_for(plan in plan::plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(play(plan))?;
    }
}
