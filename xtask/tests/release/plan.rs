//! `release plan` over a history.

use serde_json::{Value, json};

use crate::scene::{ORDER, Scene};

fn plan(scene: &Scene) -> Value {
    let ended = scene.release(&["plan", "--json"]);
    assert!(ended.is_well, "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

fn changes(plan: &Value) -> Vec<&Value> {
    plan["publish"].as_array().unwrap().iter().map(|krate| &krate["change"]).collect()
}

/// The registry is never asked.
fn scene() -> Scene {
    Scene::new("sparse+http://127.0.0.1:9/")
}

#[test]
fn without_a_tag_everything_is_new_and_in_order() {
    let scene = scene();
    let plan = plan(&scene);
    let names: Vec<&str> =
        plan["publish"].as_array().unwrap().iter().map(|krate| krate["name"].as_str().unwrap()).collect();
    assert_eq!(names, ORDER);
    assert_eq!(plan["publish"][2]["needs"], json!(["tin-wire", "zinc-core"]));
    assert_eq!(plan["last_tag"], Value::Null);
    assert_eq!(plan["not_published"], json!(["tools"]));
    assert!(changes(&plan).iter().all(|change| change["kind"] == "new"), "{plan}");
    let shown = scene.release(&["plan"]).out;
    assert!(shown.contains("no release is tagged, so everything is new"), "{shown}");
    assert!(shown.contains("not published (`publish = false`): tools"), "{shown}");
}

#[test]
fn changes_are_counted_since_the_highest_tag_on_the_way_here() {
    let scene = scene();
    scene.program("git", &["tag", "v0.9.0"]);
    for (number, text) in ["//! One.\n", "//! Two.\n"].iter().enumerate() {
        scene.write("crates/tin-wire/src/lib.rs", text);
        scene.write(&format!("crates/tin-wire/src/{number}.rs"), text);
        scene.commit("a change");
    }
    scene.write("crates/brass/Cargo.toml", "[package]\nname = \"brass\"\nversion.workspace = true\n");
    scene.write("crates/brass/src/lib.rs", "//! New.\n");
    scene.commit("a crate");
    // Neither of these is a release on the way here that is higher.
    scene.program("git", &["tag", "v0.10"]);
    scene.program("git", &["tag", "v0.8.9"]);
    let plan = plan(&scene);
    assert_eq!(plan["last_tag"], "v0.9.0");
    let changes = changes(&plan);
    // brass comes first, by the alphabet.
    assert_eq!(changes[0], &json!({ "kind": "new" }));
    assert_eq!(changes[1], &json!({ "kind": "none" }));
    assert_eq!(changes[2], &json!({ "kind": "changed", "commits": 2, "files": 3 }));
    assert_eq!(changes[3], &json!({ "kind": "through", "crates": ["tin-wire"] }));
    assert_eq!(changes[4], &json!({ "kind": "through", "crates": ["iron-kit"] }));
    let shown = scene.release(&["plan"]).out;
    assert!(shown.contains("changes since v0.9.0"), "{shown}");
    assert!(shown.contains("2 commits, 3 files") && shown.contains("only through tin-wire"), "{shown}");
}

#[test]
fn a_crate_that_needs_an_unpublished_one_has_no_place_in_the_order() {
    let scene = scene();
    scene.replace(
        "crates/alloy/Cargo.toml",
        "[dependencies]\n",
        "[dependencies]\ntools = { path = \"../../tools\" }\n",
    );
    let refused = scene.release(&["plan"]);
    assert_eq!(
        refused.error(),
        "error: alloy needs tools, which is not published: drop the dependency, or publish it as well"
    );
}
