//! Somebody else's word on whether a target may be asked.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use infer_core::{ErrorKind, ModelRunner as _, Routing, Usage};
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
