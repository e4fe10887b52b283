//! Requests that are passed on: to whom, under which name, and what is held for them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use infer_core::{ErrorKind, ModelRunner as _, RelayMethod, RelayRequest, Routing};
use infer_router::gate::{Gate, Permit, Plea, Request, Spent, Verdict};
use infer_router::{Router, RouterConfig};

use super::scripted::{Act, Scripted, does, fails, says};
use super::{config, in_order, ms, registry, router};

const BODY: &str = r#"{ "input": 1.00, "model": "r" }"#;

fn posted() -> RelayRequest {
    RelayRequest::new(RelayMethod::Post, "/responses").with_json(BODY)
}

fn form(model: &str) -> RelayRequest {
    let request = RelayRequest::new(RelayMethod::Post, "/audio/transcriptions");
    request.with_body("multipart/form-data; boundary=x", "--x--").with_model(model)
}

fn bodies(runner: &Scripted) -> Vec<String> {
    let relayed = runner.relayed.lock().unwrap();
    relayed.iter().map(|request| String::from_utf8(request.body.to_vec()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_target_is_asked_for_the_model_by_its_own_name() {
    let runners = [fails("a", ErrorKind::RateLimited), says("b", [])];
    let router = in_order(&runners, "");
    let answer = router.relay(posted()).await.unwrap();
    assert_eq!((&*answer.meta.provider, answer.status), ("b", 200));
    assert_eq!(answer.collect().await.unwrap(), "fine");
    assert_eq!(bodies(&runners[0]), [r#"{ "input": 1.00, "model": "m0" }"#]);
    assert_eq!(bodies(&runners[1]), [r#"{ "input": 1.00, "model": "m1" }"#]);
    let seen = runners[1].relayed.lock().unwrap()[0].clone();
    assert_eq!((seen.model.as_deref(), seen.routing.route.as_deref()), (Some("m1"), Some("r")));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_others_would_give_too_and_one_after_the_first_piece_stay_where_they_are() {
    let runners = [does("a", Act::Fail(ErrorKind::InvalidRequest, ms(0))), says("b", [])];
    assert_eq!(in_order(&runners, "").relay(posted()).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let runners = [does("a", Act::Break("text", ErrorKind::StreamInterrupted)), says("b", [])];
    let error = in_order(&runners, "").relay(posted()).await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
    assert!(runners[1].relayed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_form_goes_only_where_the_model_has_the_name_it_says() {
    let runners = [says("a", []), says("b", [])];
    let json = r#"{"routes": {"whisper-1": {"targets": [
        {"provider": "a", "model": "whisper-eu"}, {"provider": "b", "model": "whisper-1", "priority": 2}]}}}"#;
    let router = router(&runners, json);
    router.relay(form("whisper-1")).await.unwrap();
    assert_eq!((runners[0].relayed.lock().unwrap().len(), bodies(&runners[1]).len()), (0, 1));
    let error = router.relay(form("a/whisper-1")).await.unwrap_err().to_string();
    assert!(error.contains("has another name for the model"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_a_model_it_goes_where_something_says() {
    let nameless = || RelayRequest::new(RelayMethod::Get, "/files");
    let pinned = || nameless().with_routing(Routing::default().pinned_to("b"));
    let routes = r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "m"}, {"provider": "b", "model": "m", "priority": 2}]}}"#;
    for (json, names, request, to) in [
        ("{}".to_owned(), vec!["a"], nameless(), Some("a")),
        ("{}".to_owned(), vec!["a", "b"], nameless(), None),
        ("{}".to_owned(), vec!["a", "b"], pinned(), Some("b")),
        (format!(r#"{routes}, "default_route": "r"}}"#), vec!["a", "b"], nameless(), Some("a")),
        (
            format!(r#"{routes}, "default_route": "r", "direct": false}}"#),
            vec!["a", "b"],
            pinned(),
            Some("b"),
        ),
        (format!(r#"{routes}, "direct": false}}"#), vec!["a", "b"], pinned(), None),
    ] {
        let runners: Vec<_> = names.into_iter().map(|name| says(name, [])).collect();
        match (router(&runners, &json).relay(request.clone()).await, to) {
            (Ok(answer), Some(to)) => {
                assert_eq!(&*answer.meta.provider, to, "{json}");
                let runner = runners.iter().find(|runner| &*runner.info.name == to).unwrap();
                let seen = runner.relayed.lock().unwrap()[0].clone();
                assert_eq!((seen.path, seen.model), (request.path, None));
            }
            (Err(error), None) => {
                let text = error.to_string();
                assert!(text.contains("a, b") && text.contains("default_route"), "{text}");
            }
            (found, _) => panic!("{json}: {found:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_two_at_a_time_or_of_a_shadow() {
    let runners = [does("a", Act::Say("late", ms(5000))), says("b", [])];
    let more = r#", "hold_back": "100ms", "shadow": {"provider": "b", "rate": 1.0}"#;
    let answer = in_order(&runners, more).relay(posted()).await.unwrap();
    assert_eq!(answer.collect().await.unwrap(), "late");
    assert!(runners[1].relayed.lock().unwrap().is_empty() && runners[1].calls() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_to_the_last_piece_and_leaving_lets_go() {
    let runners = [does("a", Act::Stall("text"))];
    let router = in_order(&runners, "");
    let mut answer = router.relay(posted().with_deadline(ms(200))).await.unwrap();
    for piece in ["t", "ext"] {
        assert_eq!(answer.body.next().await.unwrap().unwrap(), piece);
    }
    let error = answer.body.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().chunks), (ErrorKind::DeadlineExceeded, 2));
    assert!(answer.body.next().await.is_none());
    let held = router.relay(posted()).await.unwrap();
    assert_eq!((runners[0].open(), router.targets()[0].in_flight), (1, 1));
    drop(held);
    assert_eq!((runners[0].open(), router.targets()[0].in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_with_two_names_is_sent_to_nobody() {
    let runners = [says("a", [])];
    let twice = posted().with_json(r#"{"model": "r", "model": "other"}"#);
    let error = in_order(&runners, "").relay(twice).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(runners[0].relayed.lock().unwrap().is_empty());
}

/// Denies the first target, and notes how the others went.
#[derive(Debug, Default)]
struct Guard(Arc<Mutex<Vec<String>>>);

#[derive(Debug)]
struct Note(Arc<Mutex<Vec<String>>>);

impl Permit for Note {
    fn settle(self: Box<Self>, spent: Spent) {
        self.0.lock().unwrap().push(format!("{:?}", spent.end));
    }
}

#[async_trait]
impl Gate for Guard {
    async fn ask(&self, plea: &Plea<'_>) -> Verdict {
        let Request::Relay(request) = plea.request else { panic!("{plea:?}") };
        assert_eq!((request.model.as_deref(), plea.estimate()), (Some(plea.model), None));
        match plea.model {
            "m0" => Verdict::Deny("no".to_owned()),
            _ => Verdict::Permit(Box::new(Note(Arc::clone(&self.0)))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_asked_before_every_try_and_told_how_it_went() {
    let runners = [says("a", []), says("b", [Act::Break("text", ErrorKind::StreamInterrupted)])];
    let asked: RouterConfig = config(
        r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "m0"}, {"provider": "b", "model": "m1", "priority": 2}]}}}"#,
    );
    let guard = Guard::default();
    let log = Arc::clone(&guard.0);
    let router = Router::builder(registry(&runners), asked).with_gate(Arc::new(guard)).build().unwrap();
    router.relay(posted()).await.unwrap().collect().await.unwrap_err();
    router.relay(posted()).await.unwrap().collect().await.unwrap();
    drop(router.relay(posted()).await.unwrap());
    assert_eq!(*log.lock().unwrap(), ["Failed(StreamInterrupted)", "Whole", "Left"]);
    assert!(runners[0].relayed.lock().unwrap().is_empty());
}
