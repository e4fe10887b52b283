//! Who is chosen, by every policy, as seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use infer_core::{
    ErrorKind, ExecuteBatch, JsonSchema, Message, ModelRunner as _, Part, RawJson, Routing, ToolSpec,
};
use infer_router::{FactsOf, ModelFacts, Needs, Provider, Registry, Router};

use super::scripted::{Act, Scripted, costs, does, fails, says};
use super::{ask, config, ms, registry, router, run, who};

const THREE: [&str; 3] = ["a", "b", "c"];

fn three() -> [Arc<Scripted>; 3] {
    THREE.map(|name| says(name, []))
}

fn even(policy: &str) -> String {
    format!(
        r#"{{"routes": {{"r": {{"policy": "{policy}", "targets": [
            {{"provider": "a", "model": "m"}}, {{"provider": "b", "model": "m"}}, {{"provider": "c", "model": "m"}}]}}}}}}"#
    )
}

async fn shares(
    router: &Router,
    calls: usize,
    batch: impl Fn(usize) -> ExecuteBatch,
) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for nth in 0..calls {
        *shares.entry(who(router, batch(nth)).await).or_insert(0) += 1;
    }
    shares
}

#[tokio::test]
async fn shares_are_the_weights_within_the_best_priority() {
    let router = router(
        &[says("a", []), says("b", []), says("c", []), says("d", [])],
        r#"{"routes": {"r": {"policy": "priority", "targets": [
            {"provider": "a", "model": "m", "weight": 0.7}, {"provider": "b", "model": "m", "weight": 0.2},
            {"provider": "c", "model": "m", "weight": 0.1}, {"provider": "d", "model": "m", "weight": 99, "priority": 2}]}}}"#,
    );
    let found = shares(&router, 10_000, |_| ask("r")).await;
    assert_eq!(found.into_values().collect::<Vec<_>>(), [7_000, 2_000, 1_000]);
}

#[test]
fn the_shares_of_a_hundred_thousand_choices_are_the_weights_within_one_percent() {
    let names: Vec<String> = (0..20).map(|nth| format!("p{nth}")).collect();
    let runners: Vec<_> = names.iter().map(|name| says(name, [])).collect();
    let weight = |nth: usize| 0.1 + (nth * nth) as f64;
    let targets: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(nth, name)| format!(r#"{{"provider": "{name}", "model": "m", "weight": {}}}"#, weight(nth)))
        .collect();
    let router =
        router(&runners, &format!(r#"{{"routes": {{"r": {{"targets": [{}]}}}}}}"#, targets.join(",")));
    let mut found = vec![0.0_f64; names.len()];
    let batch = ask("r");
    for _ in 0..100_000 {
        let chosen = router.choose(&batch).unwrap();
        found[names.iter().position(|name| **name == *chosen.provider).unwrap()] += 1.0;
    }
    let all: f64 = (0..names.len()).map(weight).sum();
    for (nth, found) in found.into_iter().enumerate() {
        let due = 100_000.0 * weight(nth) / all;
        assert!((found - due).abs() <= 0.01 * due + 1.0, "{nth}: {found} of {due}");
    }
    assert_eq!(router.choose(&ask("unknown")), None);
}

#[tokio::test]
async fn of_equal_targets_each_has_its_turn_also_while_one_is_out() {
    let runners = three();
    let router = router(&runners, &even("weighted"));
    let mut order = Vec::new();
    for nth in 0..12 {
        if nth == 3 {
            runners[1].cool_down(ms(60_000));
        }
        order.push(who(&router, ask("r")).await);
    }
    // The first c more is what c is owed for the turn that b had paid for.
    assert_eq!(order.join(""), "abcaccacacac");
}

#[tokio::test]
async fn asking_for_an_estimate_takes_nobodys_turn() {
    let runners = [costs("a", 1.0, 1.0), costs("b", 2.0, 2.0), costs("c", 3.0, 3.0)];
    let router = router(&runners, &even("weighted"));
    let batch = ask("r").with_max_output_tokens(1_000_000);
    let mut order = String::new();
    for nth in 0..6 {
        let estimate = router.estimate(&batch).unwrap();
        assert_eq!(Some(estimate), runners[nth % 3].estimate(&batch));
        order.push_str(&who(&router, batch.clone()).await);
    }
    assert_eq!(order, "abcabc");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_out_for_long_has_its_share_again_at_once_and_no_more() {
    let runners = three();
    let router = router(&runners, &even("weighted"));
    runners[1].cool_down(ms(60_000));
    let out = shares(&router, 200, |_| ask("r")).await;
    assert_eq!((out["a"], out.get("b"), out["c"]), (100, None, 100));
    tokio::time::advance(ms(60_000)).await;
    let back = shares(&router, 30, |_| ask("r")).await;
    assert!(back.values().all(|calls| (9..=11).contains(calls)), "{back:?}");
}

#[tokio::test]
async fn calls_go_where_fewest_are_in_flight() {
    let runners = THREE.map(|name| does(name, Act::Stall("half a")));
    let router = router(&runners, &even("least_in_flight"));
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(router.execute(ask("r").streaming()).await.unwrap().into_stream());
    }
    assert!(router.targets().iter().all(|target| target.in_flight == 10), "{:?}", router.targets());
    // Whoever's answers are read or left gets the next calls.
    let kept = held.split_off(15);
    drop(held);
    for _ in 0..15 {
        router.execute(ask("r").streaming()).await.unwrap().into_stream().next().await.unwrap().unwrap();
    }
    drop(kept);
    assert!(router.targets().iter().all(|target| target.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn the_slowest_gets_nothing_and_is_tried_again_when_the_others_are_busy() {
    let runners = [
        does("a", Act::Say("fine", ms(100))),
        does("b", Act::Say("fine", ms(120))),
        does("c", Act::Say("fine", ms(2_000))),
    ];
    let router = router(&runners, &even("lowest_latency"));
    shares(&router, 20, |_| ask("r").streaming()).await;
    let found = shares(&router, 200, |_| ask("r").streaming()).await;
    assert!(found.get("c").copied().unwrap_or(0) < 20, "{found:?}");
    assert!(found["a"] > 60 && found["b"] > 20, "{found:?}");
    let latencies: Vec<_> = router.targets().iter().map(|target| target.latency.is_some()).collect();
    assert_eq!(latencies, [true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_first_content_is_what_was_measured_however_much_fails() {
    let refuses = || Act::Fail(ErrorKind::Upstream, ms(5));
    let well_once = says("a", [Act::Say("fine", ms(100)), refuses(), refuses(), refuses(), refuses()]);
    let router = router(
        &[well_once, fails("b", ErrorKind::Upstream), does("c", Act::Say("fine", ms(7)))],
        &even("weighted"),
    );
    for _ in 0..9 {
        router.execute(ask("r").streaming()).await.unwrap().collect().await.unwrap();
    }
    let of = |name: &str| router.targets().into_iter().find(|target| &*target.provider == name).unwrap();
    assert!(of("a").failures > 0 && of("b").failures > 0, "{:?}", router.targets());
    assert_eq!((of("a").latency, of("b").latency, of("c").latency), (Some(ms(100)), None, Some(ms(7))));
}

#[tokio::test]
async fn the_cheapest_for_the_call_is_chosen_and_the_unpriced_last() {
    let runners = [costs("a", 1.0, 9.0), costs("b", 3.0, 3.0), says("c", [])];
    let router = router(&runners, &even("lowest_cost"));
    let reads = || ask("r").with_system("word ".repeat(4_000)).with_max_output_tokens(10);
    assert_eq!(who(&router, reads()).await, "a");
    assert_eq!(who(&router, ask("r").with_max_output_tokens(4_000)).await, "b");
    let estimate = router.estimate(&ask("r").with_max_output_tokens(4_000)).unwrap();
    assert_eq!(estimate, runners[1].estimate(&ask("m").with_max_output_tokens(4_000)).unwrap());
    runners[0].cool_down(ms(9_000));
    runners[1].cool_down(ms(9_000));
    assert_eq!(who(&router, reads()).await, "c");
}

#[tokio::test]
async fn calls_that_belong_together_go_to_one_place_and_those_of_a_lost_place_spread() {
    let runners = three();
    let router = router(&runners, &even("sticky"));
    let session =
        |nth: usize| ask("r").with_routing(Routing::default().with_sticky_key(format!("session {nth}")));
    let mut before = Vec::new();
    for nth in 0..300 {
        before.push(who(&router, session(nth)).await);
    }
    let found: BTreeSet<_> = before.iter().collect();
    assert_eq!(found.len(), 3);
    runners[1].cool_down(ms(60_000));
    for (nth, was) in before.iter().enumerate() {
        let now = who(&router, session(nth)).await;
        assert!(now == *was || was == "b", "{nth}: {was} then {now}");
    }
    let grown = |turns: usize| {
        let mut said = vec![Message::system("be brief"), Message::user("hello")];
        said.extend((0..turns).map(|_| Message::assistant("hi")));
        ExecuteBatch::new("r", said)
    };
    assert_eq!(who(&router, grown(0)).await, who(&router, grown(9)).await);
}

#[tokio::test]
async fn a_target_that_lacks_what_the_call_needs_is_never_asked() {
    let lacks = [
        ("vision", Needs::VISION),
        ("tools", Needs::TOOLS),
        ("schema", Needs::JSON_SCHEMA),
        ("reasoning", Needs::REASONING),
        ("audio", Needs::AUDIO),
        ("streaming", Needs::STREAMING),
    ];
    let needing = |needs: Needs| match needs {
        Needs::VISION => {
            ExecuteBatch::new("r", [Message::user([Part::image_url("https://example.com/a.png")])])
        }
        Needs::TOOLS => ask("r").with_tools([ToolSpec::function("t", "does", RawJson::parse("{}").unwrap())]),
        Needs::JSON_SCHEMA => {
            ask("r").with_response_format(JsonSchema::new("s", RawJson::parse("{}").unwrap()))
        }
        Needs::REASONING => ask("r").with_reasoning_effort("high"),
        Needs::AUDIO => ExecuteBatch::new("r", [Message::user([Part::audio("wav", "AAAA")])]),
        _ => ask("r").streaming(),
    };
    for (name, needs) in lacks {
        let (without, with) = (fails("without", ErrorKind::Upstream), says("with", []));
        let facts: FactsOf = Arc::new(move |model| match model {
            "m" => ModelFacts::UNKNOWN.without(needs),
            _ => ModelFacts::UNKNOWN,
        });
        let known = Registry::new()
            .with(Provider::new("without", Arc::clone(&without) as _).with_facts(facts))
            .with(Provider::new("with", Arc::clone(&with) as _));
        let table = r#"{"routes": {
            "r": {"targets": [{"provider": "without", "model": "m"}, {"provider": "with", "priority": 2}]},
            "alone": {"targets": [{"provider": "without", "model": "m"}]}, "x/*": {"targets": [{"provider": "without"}]}}}"#;
        let router = Router::new(known, &config(table)).unwrap();
        assert_eq!(who(&router, needing(needs)).await, "with", "{name}");
        for alone in ["alone", "x/m"] {
            let mut batch = needing(needs);
            batch.model = alone.to_owned();
            let error = run(&router, batch).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.to_string().contains(&format!("lacks {needs}")), "{error}");
        }
        assert_eq!(without.calls(), 0);
    }
}

#[tokio::test]
async fn a_count_of_ones_own_decides_what_fits() {
    let runners = [says("small", []), says("large", [])];
    let table = config(
        r#"{"routes": {"r": {"targets": [
            {"provider": "small", "max_context_tokens": 100}, {"provider": "large", "priority": 2}]}}}"#,
    );
    let count = Arc::new(|batch: &ExecuteBatch| if batch.user.is_some() { 101 } else { 100 });
    let router = Router::builder(registry(&runners), table).with_token_count(count).build().unwrap();
    assert_eq!(who(&router, ask("r")).await, "small");
    assert_eq!(who(&router, ask("r").with_user("ann")).await, "large");
    assert_eq!(who(&router, ask("r").with_max_output_tokens(1)).await, "large");
}
