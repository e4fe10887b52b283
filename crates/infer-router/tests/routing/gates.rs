//! Somebody else's word on whether a target may be asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use infer_core::{ErrorKind, InferenceError, ModelRunner as _, Routing, Usage};
use infer_router::gate::{Gate, Permit, Plea, Request, Spent, Verdict};
use infer_router::{Router, RouterConfig};

use super::scripted::{Act, Scripted, costs, fails, says};
use super::{ask, config, ms, registry, run, who};

type Log = Arc<Mutex<Vec<String>>>;

/// Denies the models that begin with `no`, sends those that begin with `down` to route `cheap`, and notes everything.
#[derive(Debug, Default)]
struct Guard(Log);

#[derive(Debug)]
struct Note(String, Log);

impl Permit for Note {
    fn settle(self: Box<Self>, spent: Spent) {
        let usage = spent.usage.map_or(0, |usage: Usage| usage.output_tokens);
        self.1.lock().unwrap().push(format!("{} {:?} {usage}", self.0, spent.end));
    }
}

#[async_trait]
impl Gate for Guard {
    async fn ask(&self, plea: &Plea<'_>) -> Verdict {
        let Request::Answer(batch) = plea.request else { return Verdict::Allow };
        assert_eq!(batch.model, plea.model);
        let estimate = plea.estimate().map(|cost| cost.total().to_string());
        let line = format!("{} {}/{} {estimate:?}", plea.route, plea.provider, plea.model);
        self.0.lock().unwrap().push(line);
        match plea.model {
            model if model.starts_with("no") => Verdict::Deny("budget \"team\" is used up".to_owned()),
            model if model.starts_with("down") => Verdict::Downgrade {
                route: "cheap".to_owned(),
                reason: "budget is nearly used up".to_owned(),
            },
            model => Verdict::Permit(Box::new(Note(model.to_owned(), Arc::clone(&self.0)))),
        }
    }
}

fn guarded(runners: &[Arc<Scripted>], config: RouterConfig) -> (Router, Log) {
    let guard = Guard::default();
    let log = Arc::clone(&guard.0);
    (Router::builder(registry(runners), config).with_gate(Arc::new(guard)).build().unwrap(), log)
}

fn routes() -> RouterConfig {
    config(
        r#"{"routes": {
            "denied": {"targets": [{"provider": "a", "model": "no1"}, {"provider": "b", "model": "no2", "priority": 2}]},
            "half": {"targets": [{"provider": "a", "model": "no"}, {"provider": "b", "model": "yes", "priority": 2}]},
            "dear": {"targets": [{"provider": "a", "model": "down"}]},
            "cheap": {"targets": [{"provider": "a", "model": "down"}, {"provider": "b", "model": "small", "priority": 2}]}
        }}"#,
    )
}

#[tokio::test]
async fn what_is_denied_is_not_asked_and_if_all_is_denied_the_reason_is_the_error() {
    let (a, b) = (costs("a", 1.0, 1.0), says("b", []));
    let (router, log) = guarded(&[a.clone(), b.clone()], routes());
    let error = run(&router, ask("denied")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExhausted);
    assert!(error.to_string().contains("budget \"team\" is used up"), "{error}");
    assert_eq!((a.calls(), b.calls()), (0, 0));
    assert_eq!(*log.lock().unwrap(), ["denied a/no1 Some(\"$0.000002\")", "denied b/no2 None"]);
    assert_eq!(who(&router, ask("half")).await, "b");
    assert_eq!((a.calls(), b.calls()), (0, 1));
}

#[tokio::test]
async fn a_downgraded_call_goes_by_the_other_route_and_not_in_a_circle() {
    let (a, b) = (says("a", []), says("b", []));
    let (router, log) = guarded(&[a.clone(), b.clone()], routes());
    assert_eq!(who(&router, ask("dear")).await, "b");
    assert_eq!((a.calls(), b.seen()[0].model.as_str()), (0, "small"));
    assert_eq!(b.seen()[0].routing.route.as_deref(), Some("cheap"));
    let told = log.lock().unwrap().clone();
    assert_eq!(told, ["dear a/down None", "cheap a/down None", "cheap b/small None", "small Whole 2"]);
}

#[tokio::test]
async fn a_downgraded_call_is_held_to_what_the_other_routes_targets_can_do() {
    let table = config(
        r#"{"routes": {
            "dear": {"targets": [{"provider": "a", "model": "down"}]},
            "cheap": {"targets": [{"provider": "b", "model": "tiny", "max_context_tokens": 50},
                {"provider": "a", "model": "small", "priority": 2}]}
        }}"#,
    );
    let (a, b) = (says("a", []), says("b", []));
    let (router, _) = guarded(&[a.clone(), b.clone()], table);
    assert_eq!(who(&router, ask("dear").with_system("word ".repeat(60))).await, "a");
    assert_eq!((a.seen()[0].model.as_str(), b.calls()), ("small", 0));
    assert_eq!(who(&router, ask("dear")).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_failover_does_without_also_under_a_gate() {
    let (a, b) = (says("a", [Act::Fail(ErrorKind::Overloaded, ms(500))]), says("b", []));
    let table = config(
        r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "x"}, {"provider": "b", "model": "y", "priority": 2}],
            "hold_back": "100ms"}}}"#,
    );
    let (router, _) = guarded(&[a, b.clone()], table);
    let batch = ask("r").with_routing(Routing::default().without_failover());
    assert_eq!(run(&router, batch).await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(b.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_hears_how_it_went_once() {
    let acts =
        [Act::Say("fine", ms(0)), Act::Break("half a", ErrorKind::Upstream), Act::Stall("half a"), Act::Hang];
    let (a, b) = (fails("a", ErrorKind::Overloaded), says("b", acts));
    let table = config(
        r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "x"}, {"provider": "b", "model": "y", "priority": 2}]}}}"#,
    );
    let (router, log) = guarded(&[a, b], table);
    let heard = || -> Vec<String> {
        let lines = std::mem::take(&mut *log.lock().unwrap());
        lines.into_iter().filter(|line| !line.starts_with("r ")).collect()
    };
    run(&router, ask("r").streaming()).await.unwrap();
    assert_eq!(heard(), ["x Failed(Overloaded) 0", "y Whole 2"]);
    run(&router, ask("r").streaming()).await.unwrap_err();
    assert_eq!(heard(), ["x Failed(Overloaded) 0", "y Failed(Upstream) 0"]);
    drop(router.execute(ask("r").streaming()).await.unwrap());
    assert_eq!(heard(), ["x Failed(Overloaded) 0", "y Left 0"]);
    run(&router, ask("r").with_deadline(ms(10))).await.unwrap_err();
    assert_eq!(heard(), ["x Failed(Overloaded) 0"]);
}

/// Refuses every target for as many seconds as its model's name ends in, none for those that end in 0, after a while that
/// is longer than a hold-back.
#[derive(Debug, Default)]
struct Busy(Arc<Mutex<Vec<Option<Duration>>>>);

#[async_trait]
impl Gate for Busy {
    async fn ask(&self, plea: &Plea<'_>) -> Verdict {
        self.0.lock().unwrap().push(plea.patience);
        tokio::time::sleep(ms(300)).await;
        let seconds = plea.model.rsplit('-').next().unwrap().parse().unwrap();
        if seconds == 0 {
            return Verdict::Allow;
        }
        let retry_after = Duration::from_secs(seconds);
        Verdict::Refuse(Box::new(InferenceError::QueueFull { at: Box::default(), retry_after }))
    }
}

fn busy(runners: &[Arc<Scripted>], targets: &str, more: &str) -> (Router, Arc<Mutex<Vec<Option<Duration>>>>) {
    let busy = Busy::default();
    let asked = Arc::clone(&busy.0);
    let config = config(&format!(r#"{{"routes": {{"r": {{"targets": [{targets}] {more}}}}}}}"#));
    (Router::builder(registry(runners), config).with_gate(Arc::new(busy)).build().unwrap(), asked)
}

#[tokio::test(start_paused = true)]
async fn a_target_refused_for_now_is_passed_over_and_if_all_are_the_shortest_wait_is_the_error() {
    let (a, b) = (says("a", []), says("b", []));
    let both = |one: &str, other: &str| {
        format!(
            r#"{{"provider": "a", "model": "{one}"}}, {{"provider": "b", "model": "{other}", "priority": 2}}"#
        )
    };
    let (router, _) = busy(&[a.clone(), b.clone()], &both("m-9", "m-0"), "");
    assert_eq!(who(&router, ask("r")).await, "b");
    let (router, asked) = busy(&[a.clone(), b.clone()], &both("m-7", "m-9"), "");
    let error = run(&router, ask("r").with_deadline(ms(5_000))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::QueueFull, Some(ms(7_000))));
    assert!(error.origin().unwrap().request_id.is_some());
    assert_eq!((a.calls(), b.calls()), (0, 1));
    assert_eq!(*asked.lock().unwrap(), [Some(ms(5_000)), Some(ms(4_700))]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_a_gate_that_is_asked_about_another_target() {
    let a = says("a", [Act::Say("fine", ms(200))]);
    let targets = r#"{"provider": "a", "model": "m-0"}, {"provider": "b", "model": "m-0", "priority": 2}"#;
    let (router, asked) = busy(&[a, says("b", [])], targets, r#", "hold_back": "100ms""#);
    let begun = tokio::time::Instant::now();
    assert_eq!(who(&router, ask("r")).await, "a");
    assert_eq!(begun.elapsed(), ms(500));
    assert_eq!(*asked.lock().unwrap(), [None, Some(Duration::ZERO)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_a_gate_is_asked_about_the_next_target_does_not_lose_the_call() {
    let a = says("a", [Act::Fail(ErrorKind::Overloaded, ms(200))]);
    let targets = r#"{"provider": "a", "model": "m-0"}, {"provider": "b", "model": "m-0", "priority": 2}"#;
    let (router, _) = busy(&[a, says("b", [])], targets, r#", "hold_back": "100ms""#);
    assert_eq!(who(&router, ask("r")).await, "b");
}
