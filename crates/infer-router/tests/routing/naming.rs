//! Which route a name leads to, and what the upstream is asked for.

use infer_core::{ErrorKind, ModelRunner as _, Routing};

use super::scripted::{Act, does, fails, says};
use super::{ask, in_order, ms, router, run, who};

#[tokio::test]
async fn the_most_exact_name_wins_and_the_star_is_passed_on() {
    let (openai, azure) = (says("openai", []), says("azure", []));
    let router = router(
        &[openai.clone(), azure.clone()],
        r#"{
            "routes": {
                "fast": {"targets": [{"provider": "azure", "model": "mini-eu"}]},
                "gpt-*": {"targets": [{"provider": "openai", "model": "gpt-*"}]},
                "gpt-4*": {"targets": [{"provider": "azure", "model": "four*-eu"}]},
                "gpt-4o": {"targets": [{"provider": "openai"}]},
                "any/*": {"targets": [{"provider": "azure"}]}
            },
            "aliases": {"quick": "quicker", "quicker": "fast", "old": "openai/gpt-3"},
            "default_route": "fast"
        }"#,
    );
    for (name, provider, model) in [
        ("fast", "azure", "mini-eu"),
        ("quick", "azure", "mini-eu"),
        ("gpt-3.5", "openai", "gpt-3.5"),
        ("gpt-41", "azure", "four1-eu"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("any/thing/at-all", "azure", "thing/at-all"),
        ("openai/o3", "openai", "o3"),
        ("azure/a/b", "azure", "a/b"),
        ("old", "openai", "gpt-3"),
        ("unheard-of", "azure", "mini-eu"),
        ("gpt-", "azure", "mini-eu"),
    ] {
        assert_eq!(who(&router, ask(name)).await, provider, "{name}");
        let asked = if provider == "openai" { &openai } else { &azure };
        assert_eq!(asked.seen().last().unwrap().model, model, "{name}");
    }
}

#[tokio::test]
async fn a_name_that_no_route_takes_is_not_found_and_near_ones_are_named() {
    let router = router(
        &[says("openai", [])],
        r#"{"routes": {"fast": {"targets": [{"provider": "openai"}]}}, "aliases": {"faster": "fast"}, "direct": false}"#,
    );
    let error = run(&router, ask("fastr")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotFound);
    let line = error.to_string();
    assert!(line.contains(r#"no route for model "fastr"; did you mean "faster" or "fast"?"#), "{line}");
    for name in ["openai/gpt-4o", "", "a\nb", &"x".repeat(100_000)] {
        let line = run(&router, ask(name)).await.unwrap_err().to_string();
        assert!(line.len() < 400 && !line.contains('\n'), "{line}");
    }
}

#[tokio::test]
async fn a_target_changes_what_it_was_told_to_change_and_nothing_else() {
    let openai = says("openai", []);
    let router = router(
        std::slice::from_ref(&openai),
        r#"{"routes": {"r": {"targets": [
            {"provider": "openai", "model": "m", "max_output_tokens": 100, "temperature": 1.0}]}}}"#,
    );
    let batch = ask("r").with_temperature(0.2).with_max_output_tokens(500).with_user("ann");
    run(&router, batch.clone()).await.unwrap();
    run(&router, ask("r").with_max_output_tokens(7)).await.unwrap();
    run(&router, ask("r")).await.unwrap();
    let seen = openai.seen();
    let mut expected = batch.with_temperature(1.0).with_max_output_tokens(100);
    expected.model = "m".to_owned();
    expected.routing.route = Some("r".into());
    assert_eq!(seen[0], expected);
    assert_eq!(seen[1].max_output_tokens, Some(7));
    assert_eq!(seen[2].max_output_tokens, Some(100));
}

#[tokio::test]
async fn a_pinned_call_stays_with_its_provider_or_is_told_who_there_is() {
    let (a, b) = (says("a", []), says("b", []));
    let router = in_order(&[a.clone(), b.clone()], "");
    let pinned = |model: &str, pin: &str| ask(model).with_routing(Routing::default().pinned_to(pin));
    assert_eq!(who(&router, pinned("r", "b")).await, "b");
    assert_eq!(who(&router, pinned("any-model", "b")).await, "b");
    assert_eq!(b.seen().last().unwrap().model, "any-model");
    let error = run(&router, pinned("r", "c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let line = error.to_string();
    assert!(line.contains(r#"pinned to "c", and route "r" has targets only at a, b"#), "{line}");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn the_list_has_routes_aliases_and_what_providers_list_under_their_names() {
    let dead = fails("dead", ErrorKind::Transport);
    let router = router(
        &[says("openai", []), dead],
        r#"{"routes": {"fast": {"targets": [{"provider": "openai", "max_context_tokens": 900}]}, "x/*": {"targets": [{"provider": "openai"}]}},
            "aliases": {"quick": "fast"}}"#,
    );
    let listed = router.models().await.unwrap();
    let names: Vec<_> = listed.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(names, ["fast", "quick", "openai/one", "openai/two"]);
    assert_eq!(listed[0].context_window, Some(900));
}

#[tokio::test]
async fn it_is_as_healthy_as_its_quickest_provider() {
    let slow = does("slow", Act::Say("fine", ms(40)));
    let quick = does("quick", Act::Say("fine", ms(20)));
    let dead = fails("dead", ErrorKind::Transport);
    let all = super::router(&[slow.clone(), quick, dead.clone()], "{}");
    assert_eq!(all.health().await.unwrap().latency, ms(20));
    assert_eq!(all.health_of_each().await.len(), 3);
    let one = super::router(&[dead], "{}");
    assert_eq!(one.health().await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(super::router(&[], "{}").health().await.unwrap_err().kind(), ErrorKind::Config);
}
