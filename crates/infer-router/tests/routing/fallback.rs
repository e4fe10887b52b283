//! From a target that fails to the next one, as the table of errors says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::{EmbedBatch, ErrorKind, ModelRunner as _, Routing};
use infer_router::{FactsOf, ModelFacts, Provider, Router};

use super::scripted::{Act, fails, says};
use super::{ask, assert_nothing_in_flight, config, in_order, ms, registry, run, who};

#[tokio::test(start_paused = true)]
async fn another_target_is_asked_exactly_where_the_table_says_so() {
    for kind in ErrorKind::ALL {
        let (first, second) = (fails("first", kind), says("second", []));
        let router = in_order(&[first.clone(), second.clone()], "");
        let result = run(&router, ask("r")).await;
        assert_eq!(result.is_ok(), kind.policy().fails_over, "{kind:?}");
        assert_eq!((first.calls(), second.calls()), (1, usize::from(kind.policy().fails_over)), "{kind:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), kind);
        }
        assert_nothing_in_flight(&router);
    }
}

#[tokio::test]
async fn the_last_error_names_those_asked_before_it() {
    let kinds = [ErrorKind::RateLimited, ErrorKind::Overloaded, ErrorKind::PermissionDenied];
    let runners: Vec<_> =
        ["a", "b", "c"].into_iter().zip(kinds).map(|(name, kind)| fails(name, kind)).collect();
    let router = in_order(&runners, "");
    let error = run(&router, ask("r")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.to_string(), "c: not permitted; tried before: a/m0 rate_limited, b/m1 overloaded");
    let at = error.origin().unwrap();
    let tried: Vec<_> =
        at.tried.iter().map(|tried| (&*tried.provider, tried.model.as_str(), tried.kind)).collect();
    assert_eq!(tried, [("a", "m0", kinds[0]), ("b", "m1", kinds[1])]);
    assert!(at.request_id.is_some());
    let wrong = in_order(&[runners[0].clone(), fails("d", ErrorKind::Config)], "");
    let line = run(&wrong, ask("r")).await.unwrap_err().to_string();
    assert_eq!(line, "wrong; tried before: a/m0 rate_limited");
}

#[tokio::test]
async fn the_route_falls_back_to_other_routes_in_order_and_each_target_has_one_turn() {
    let runners = ["a", "b", "c", "d"].map(|name| fails(name, ErrorKind::Upstream));
    let router = super::router(
        &runners,
        r#"{"routes": {
            "r": {"targets": [{"provider": "a", "model": "m"}], "fallback": ["s", "t"]},
            "s": {"targets": [{"provider": "b", "model": "m"}, {"provider": "a", "model": "m", "priority": 2}], "fallback": ["u"]},
            "t": {"targets": [{"provider": "c", "model": "m"}]},
            "u": {"targets": [{"provider": "d", "model": "m"}, {"provider": "a", "model": "other", "priority": 2}], "fallback": ["t"]}
        }}"#,
    );
    let error = run(&router, ask("r")).await.unwrap_err();
    let mut order: Vec<_> = error
        .origin()
        .unwrap()
        .tried
        .iter()
        .map(|tried| format!("{}/{}", tried.provider, tried.model))
        .collect();
    order.push(error.origin().unwrap().provider.as_ref().unwrap().to_string());
    assert_eq!(order, ["a/m", "b/m", "d/m", "a/other", "c"]);
}

#[tokio::test]
async fn once_text_was_handed_over_nothing_is_sent_elsewhere() {
    let (first, second) = (says("first", [Act::Break("half a", ErrorKind::Upstream)]), says("second", []));
    let router = in_order(&[first, second.clone()], "");
    let run = router.execute(ask("r").streaming()).await.unwrap();
    let pieces: Vec<_> = run.into_stream().collect().await;
    assert_eq!(pieces[0].as_ref().unwrap().text, "half a");
    assert_eq!(pieces[1].as_ref().unwrap_err().kind(), ErrorKind::Upstream);
    assert_eq!((pieces.len(), second.calls()), (2, 0));
    assert_nothing_in_flight(&router);
}

#[tokio::test(start_paused = true)]
async fn one_call_can_do_without_failover() {
    let slow = Act::Fail(ErrorKind::Overloaded, ms(500));
    let (first, second) = (says("first", [slow]), says("second", []));
    let router = in_order(&[first, second.clone()], r#", "hold_back": "1ms""#);
    let error = run(&router, ask("r").with_routing(Routing::default().without_failover())).await.unwrap_err();
    assert_eq!((error.kind(), second.calls()), (ErrorKind::Overloaded, 0));
}

#[tokio::test]
async fn a_call_too_long_for_one_context_goes_on_to_those_known_to_be_larger() {
    let small = fails("small", ErrorKind::ContextLengthExceeded);
    let runners = [small.clone(), says("same", []), says("unknown", []), says("large", [])];
    let facts: FactsOf = Arc::new(|model: &str| match model {
        "m0" | "m1" => ModelFacts::UNKNOWN.with_context_window(8_000),
        "m3" => ModelFacts::UNKNOWN.with_context_window(128_000),
        _ => ModelFacts::UNKNOWN,
    });
    let known = registry(&[]);
    let known = runners.iter().fold(known, |known, runner| {
        let provider = Provider::new(Arc::clone(&runner.info.name), Arc::clone(runner) as _);
        known.with(provider.with_facts(Arc::clone(&facts)))
    });
    let targets: Vec<_> = (0..4)
        .map(|nth| {
            format!(r#"{{"provider": "{}", "model": "m{nth}", "priority": {nth}}}"#, runners[nth].info.name)
        })
        .collect();
    let table = format!(r#"{{"routes": {{"r": {{"targets": [{}]}}}}}}"#, targets.join(","));
    let router = Router::new(known, &config(&table)).unwrap();
    assert_eq!(who(&router, ask("r")).await, "large");
    assert_eq!((runners[1].calls(), runners[2].calls()), (0, 0));
    // What is seen to be too long is not even tried there, and too long for all is said so at once.
    let calls = small.calls();
    assert_eq!(who(&router, ask("r").with_system("word ".repeat(20_000))).await, "unknown");
    assert_eq!(small.calls(), calls);
    let alone = Router::new(
        registry(std::slice::from_ref(&small)),
        &config(r#"{"routes": {"r": {"targets": [{"provider": "small", "max_context_tokens": 1000}]}}}"#),
    );
    let error = run(&alone.unwrap(), ask("r").with_max_output_tokens(2_000)).await.unwrap_err();
    assert_eq!((error.kind(), small.calls()), (ErrorKind::ContextLengthExceeded, calls));
    assert!(error.to_string().contains("small/r: takes 1000 tokens"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn every_target_gets_what_is_left_of_the_deadline_and_the_call_ends_with_it() {
    let slow = says("slow", [Act::Fail(ErrorKind::Overloaded, ms(400))]);
    let (stuck, third) = (says("stuck", [Act::Hang]), says("third", []));
    let router = in_order(&[slow.clone(), stuck.clone(), third.clone()], "");
    let begun = tokio::time::Instant::now();
    let error = run(&router, ask("r").with_deadline(ms(1_000))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.to_string().ends_with("deadline of 1s; tried before: slow/m0 overloaded"), "{error}");
    assert_eq!(begun.elapsed(), ms(1_000));
    assert_eq!(slow.seen()[0].deadline, Some(ms(1_000)));
    assert_eq!(stuck.seen()[0].deadline, Some(ms(600)));
    assert_eq!((third.calls(), stuck.open()), (0, 0));
    let error = run(&router, ask("r").with_deadline(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.kind(), slow.calls()), (ErrorKind::DeadlineExceeded, 1));
    assert_eq!(who(&router, ask("r").with_deadline(Duration::MAX)).await, "slow");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stalls_ends_at_the_deadline() {
    let stalls = says("stalls", [Act::Stall("half a")]);
    let router = in_order(&[stalls.clone(), says("second", [])], "");
    let run = router.execute(ask("r").streaming().with_deadline(ms(700))).await.unwrap();
    let mut stream = run.into_stream();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half a");
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().chunks), (ErrorKind::DeadlineExceeded, 1));
    assert!(stream.next().await.is_none());
    assert_eq!(stalls.open(), 0);
    assert_nothing_in_flight(&router);
}

#[tokio::test]
async fn an_answer_that_is_left_in_the_middle_is_no_longer_in_flight() {
    let stalls = says("stalls", [Act::Stall("half a")]);
    let router = in_order(std::slice::from_ref(&stalls), "");
    let mut stream = router.execute(ask("r").streaming()).await.unwrap().into_stream();
    stream.next().await.unwrap().unwrap();
    assert_eq!((router.targets()[0].in_flight, stalls.open()), (1, 1));
    drop(stream);
    assert_eq!(stalls.open(), 0);
    assert_nothing_in_flight(&router);
}

#[tokio::test]
async fn vectors_fall_back_like_answers() {
    let (first, second) = (fails("first", ErrorKind::Overloaded), says("second", []));
    let router = in_order(&[first.clone(), second.clone()], "");
    let vectors = router.embed(EmbedBatch::new("r", ["one", "two"])).await.unwrap();
    assert_eq!((vectors.vectors.len(), vectors.model.as_deref()), (2, Some("second")));
    assert_eq!((first.seen()[0].model.as_str(), second.seen()[0].model.as_str()), ("m0", "m1"));
    let wrong = in_order(&[fails("first", ErrorKind::InvalidRequest), second.clone()], "");
    wrong.embed(EmbedBatch::new("r", ["one"])).await.unwrap_err();
    assert_eq!(second.calls(), 1);
    assert_nothing_in_flight(&router);
}
