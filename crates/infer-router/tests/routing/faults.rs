//! What cannot be a table of routes, and what is said about it.

use std::sync::Arc;

use infer_core::{ErrorKind, InferenceError};
use infer_router::{Provider, Registry, Router, RouterConfig};

use super::scripted::says;
use super::{config, registry};

fn faults(json: &str) -> Vec<String> {
    let error = Router::new(registry(&[says("openai", []), says("azure", [])]), &config(json)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let InferenceError::Config { what } = error else { panic!("{error}") };
    assert!(!what.contains('\n'), "{what}");
    what.split("; ").map(ToOwned::to_owned).collect()
}

#[test]
fn every_number_out_of_range_is_named_by_its_path() {
    let found = faults(
        r#"{"routes": {"r": {
            "targets": [
                {"provider": "openai", "model": "a", "weight": 0},
                {"provider": "openai", "model": "b", "weight": -0.5, "max_output_tokens": 0},
                {"provider": "azure", "model": "c", "max_context_tokens": 0, "temperature": 2.5}
            ],
            "hold_back": "0s",
            "shadow": {"provider": "azure", "rate": 1.5, "max_in_flight": 0}
        }}}"#,
    );
    assert_eq!(
        found,
        [
            "routes.r.targets[0].weight: must be above 0 and finite, got 0",
            "routes.r.targets[1].weight: must be above 0 and finite, got -0.5",
            "routes.r.targets[1].max_output_tokens: must be at least 1, got 0",
            "routes.r.targets[2].max_context_tokens: must be at least 1, got 0",
            "routes.r.targets[2].temperature: must be from 0 to 2, got 2.5",
            "routes.r.hold_back: must be above 0s",
            "leave it out for never",
            "routes.r.shadow.rate: must be above 0 and at most 1, got 1.5",
            "routes.r.shadow.max_in_flight: must be at least 1, got 0",
        ]
    );
    let mut nan = config(r#"{"routes": {"r": {"targets": [{"provider": "openai"}]}}}"#);
    for weight in [f64::NAN, f64::INFINITY] {
        nan.routes.get_mut("r").unwrap().targets[0].weight = weight;
        let error = Router::new(registry(&[says("openai", [])]), &nan).unwrap_err().to_string();
        assert!(error.contains("routes.r.targets[0].weight: must be above 0 and finite"), "{error}");
    }
}

#[test]
fn a_name_that_leads_nowhere_is_met_with_the_nearest_one() {
    let found = faults(
        r#"{"routes": {"fast": {"targets": [{"provider": "opnai"}, {"model": "x"}], "fallback": ["fats", "f*"]}},
            "aliases": {"quick": "fasd", "fast": "openai/x", "s*": "fast"}, "default_route": "fst"}"#,
    )
    .join("; ");
    for part in [
        r#"routes.fast.targets[0].provider: there is no provider "opnai"; did you mean "openai"?"#,
        "routes.fast.targets[1].provider: is missing: name one of the providers",
        r#"routes.fast.fallback: there is no route "fats"; did you mean "fast"?"#,
        r#"routes.fast.fallback: "f*" has a '*': name a route without one"#,
        r#"aliases.quick: there is no route "fasd"; did you mean "fast"#,
        "aliases.fast: there is a route of this name: remove one of the two",
        "aliases.s*: an alias stands for one name and has no '*'",
        r#"default_route: there is no route "fst"; did you mean "fast"?"#,
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn every_circle_is_told_with_the_way_around_it() {
    let target = r#""targets": [{"provider": "openai", "model": "m"}]"#;
    let found = faults(&format!(
        r#"{{"routes": {{
            "a": {{{target}, "fallback": ["b", "d"]}}, "b": {{{target}, "fallback": ["c"]}},
            "c": {{{target}, "fallback": ["a"]}}, "d": {{{target}, "fallback": ["d"]}}
        }}, "aliases": {{"x": "y", "y": "x"}}}}"#
    ));
    assert_eq!(
        found,
        [
            "aliases.x: goes in a circle: x -> y -> x",
            "routes.a.fallback: goes in a circle: a -> b -> c -> a",
            "routes.d.fallback: goes in a circle: d -> d",
        ]
    );
}

#[test]
fn a_diamond_of_fallbacks_is_no_circle_and_a_long_chain_is_no_burden() {
    let mut table = RouterConfig::default();
    let base =
        config(r#"{"routes": {"r": {"targets": [{"provider": "openai", "model": "m"}]}}}"#).routes["r"]
            .clone();
    for nth in 0..3_000_u32 {
        let mut route = base.clone();
        let next = |step: u32| format!("r{}", nth + step);
        route.fallback = [1, 2].into_iter().filter(|step| nth + step < 3_000).map(next).collect();
        // Only the last ones are walked from: building a route copies the stages behind it.
        if nth < 2_900 {
            route.fallback.truncate(0);
        }
        table.routes.insert(format!("r{nth}"), route);
    }
    Router::new(registry(&[says("openai", [])]), &table).unwrap();
}

#[test]
fn two_of_one_name_and_empty_routes_and_strange_names_are_refused() {
    let two = registry(&[says("openai", []), says("openai", [])]).with(Provider::new("a/b", says("a/b", [])));
    let error = Router::new(two, &RouterConfig::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "providers.openai: there are two providers of this name: rename one; providers.\"a/b\": a name must not be empty or contain '*' or '/'"
    );
    let found = faults(
        r#"{"routes": {"": {"targets": []}, "a*b": {"targets": [
            {"provider": "openai", "model": "x"}, {"provider": "openai", "model": "x", "weight": 2},
            {"provider": "openai", "model": "y*"}, {"provider": "openai", "model": ""}
        ]}}}"#,
    )
    .join("; ");
    for part in [
        "routes.: a name must not be empty",
        "routes..targets: must have at least one target",
        "routes.a*b: a '*' can only stand once and at the end",
        "routes.a*b.targets[1]: the same provider and model stand in this route twice",
        r#"routes.a*b.targets[2].model: "y*": a '*' can stand once"#,
        "routes.a*b.targets[3].model: must not be empty",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn unknown_keys_and_words_are_refused_and_the_rest_survives_a_round_trip() {
    for bad in [
        r#"{"route": {}}"#,
        r#"{"routes": {"r": {"polcy": "sticky"}}}"#,
        r#"{"routes": {"r": {"policy": "random"}}}"#,
        r#"{"routes": {"r": {"targets": [{"prov": "a"}]}}}"#,
        r#"{"max_cooldown_wait": 5}"#,
    ] {
        assert!(serde_json::from_str::<RouterConfig>(bad).is_err(), "{bad}");
    }
    let full = config(
        r#"{"routes": {"r": {"policy": "priority", "hold_back": "800ms", "shadow": {"provider": "azure"},
            "targets": [{"provider": "openai", "temperature": 1.0}]}}, "max_cooldown_wait": "2s", "direct": false}"#,
    );
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<RouterConfig>(&text).unwrap(), full);
    let empty = Router::new(Registry::new(), &config("{}")).unwrap();
    assert!(Arc::new(empty).targets().is_empty());
}
