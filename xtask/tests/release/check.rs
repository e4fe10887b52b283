//! `release check`: a sound workspace passes, and each planted fault is found.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::registry::{Registry, sha256};
use crate::scene::{Ended, ORDER, Scene};

const CHECK: [&str; 3] = ["check", "--registry", "local"];

fn check(scene: &Scene, args: &[&str]) -> Ended {
    scene.release(&[&CHECK, args].concat())
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}\n{}", ended.out, ended.err))
}

/// `(crate, rule)` of every finding.
fn findings(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| (finding["crate"].as_str().unwrap(), finding["rule"].as_str().unwrap())).collect()
}

#[test]
fn sound_crates_are_built_from_their_packages_and_listed() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    let passed = check(&scene, &["--list"]);
    assert!(passed.is_well, "{}", passed.err);
    for krate in ORDER {
        let row = passed.out.lines().find(|line| line.trim_start().starts_with(krate)).unwrap();
        assert!(row.contains(" KiB packed") && row.ends_with(" files"), "{row}");
        // The folder a package is unpacked to, not the one it was packed from.
        assert!(
            passed.err.contains(&format!("package/{krate}-0.1.0)")),
            "{krate} was not built: {}",
            passed.err
        );
    }
    assert!(passed.out.lines().any(|line| line.trim() == "src/lib.rs"), "{}", passed.out);
    assert!(passed.out.contains("not checked: interfaces: no release is tagged"), "{}", passed.out);
    assert_eq!(scene.status(), "");
    assert!(registry.uploads().is_empty());
}

#[test]
fn a_package_that_lacks_a_file_it_is_built_from_is_found_by_building_it() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    scene.write("crates/tin-wire/facts.txt", "facts\n");
    scene.write(
        "crates/tin-wire/src/lib.rs",
        "//! Facts.\n\n/// How many.\npub const PARTS: usize = include_str!(\"../facts.txt\").len();\n",
    );
    scene.replace("crates/tin-wire/Cargo.toml", "[package]\n", "[package]\nexclude = [\"facts.txt\"]\n");
    scene.commit("facts");
    let failed = check(&scene, &[]);
    assert!(failed.error().starts_with("error: step `packing and building` failed"), "{}", failed.err);
    assert!(failed.err.contains("facts.txt"), "{}", failed.err);
}

#[test]
fn each_planted_fault_is_found_by_its_rule_and_in_its_crate() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    let noise: String = (0..1000_u32).map(|n| sha256(&n.to_le_bytes())).collect();
    scene.write("crates/zinc-core/noise.txt", &noise);
    scene.remove("crates/tin-wire/README.md");
    scene.replace("crates/iron-kit/Cargo.toml", "license.workspace = true\n", "");
    scene.remove("crates/iron-kit/LICENSE-MIT");
    scene.write("crates/alloy/LICENSE-MIT", "../../LICENSE-MIT");
    scene.replace("crates/alloy/Cargo.toml", "keywords = [\"metal\"]\n", "");
    scene.commit("faults");
    let failed = check(&scene, &["--no-build", "--max-size", "16", "--json"]);
    let report = json(&failed);
    let mut found = findings(&report);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("alloy", "licence"),
            ("alloy", "metadata"),
            ("iron-kit", "licence"),
            ("iron-kit", "licence"),
            ("tin-wire", "readme"),
            ("zinc-core", "size"),
        ],
        "{report}"
    );
    assert_eq!(report["ok"], false);
    assert_eq!(failed.error(), "error: 6 findings:");
    assert!(failed.err.contains("KiB packed, limit 16.0 KiB: `exclude` in its Cargo.toml"), "{}", failed.err);

    let larger = check(&scene, &["--no-build", "--max-size", "100", "--json"]);
    assert!(findings(&json(&larger)).iter().all(|(_, rule)| *rule != "size"), "{}", larger.out);
}

#[test]
fn a_path_without_a_version_is_found_before_cargo_trips_over_it() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    scene.replace(
        "crates/tin-wire/Cargo.toml",
        "zinc-core.workspace = true",
        "zinc-core = { path = \"../zinc-core\" }",
    );
    let failed = check(&scene, &["--json"]);
    let report = json(&failed);
    assert_eq!(findings(&report), [("tin-wire", "dependency")]);
    assert!(report["findings"][0]["text"].as_str().unwrap().starts_with("needs zinc-core without a version"));
    assert_eq!(report["skipped"][0]["check"], "packages");
    assert_eq!(failed.error(), "error: 1 finding:");
}

#[test]
fn what_is_skipped_for_want_of_a_tool_fails_only_if_strict() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    let strict = check(&scene, &["--no-build", "--strict", "--json"]);
    assert!(strict.error().contains("--strict wants what was skipped"), "{}", strict.err);
    let report = json(&strict);
    assert_eq!(findings(&report), []);
    let skipped: Vec<&str> =
        report["skipped"].as_array().unwrap().iter().map(|s| s["check"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["building", "interfaces"]);
    assert!(check(&scene, &["--no-build"]).is_well);
    // A first release has nothing to be compared with, on no machine.
    let built = check(&scene, &["--strict"]);
    assert!(built.is_well, "{}", built.err);
}

/// A program in place of `cargo-semver-checks`, and the folder it is in.
#[cfg(unix)]
fn tool(scene: &Scene, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = scene.beside("bin");
    let tool = folder.join("cargo-semver-checks");
    fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[cfg(unix)]
#[test]
fn interfaces_are_compared_with_the_last_tag_crate_by_crate() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    scene.program("git", &["tag", "v0.1.0"]);
    let calls = scene.beside("bin").join("calls");
    // Notes how it is called, and finds fault with one crate.
    let script = "[ \"$2\" = --version ] && exit 0\necho \"$@\" >> CALLS\n[ \"$3\" != tin-wire ]";
    let tools = tool(&scene, &script.replace("CALLS", &calls.display().to_string()));
    let failed = scene.release_with(&tools, &[&CHECK[..], &["--no-build", "--json"]].concat());
    let report = json(&failed);
    assert_eq!(findings(&report), [("tin-wire", "semver")], "{report}");
    assert_eq!(report["compared"].as_array().unwrap().len(), 4);
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(calls.lines().count(), 4, "{calls}");
    assert!(
        calls.lines().any(|call| call == "semver-checks --package zinc-core --baseline-rev v0.1.0"),
        "{calls}"
    );
}

#[cfg(unix)]
#[test]
fn a_missing_tool_is_named_with_the_crates_it_was_wanted_for() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    scene.program("git", &["tag", "v0.1.0"]);
    let tools = tool(&scene, "exit 1");
    let passed = scene.release_with(&tools, &[&CHECK[..], &["--no-build"]].concat());
    assert!(passed.is_well, "{}", passed.err);
    let names = "alloy, iron-kit, tin-wire, zinc-core";
    let line = format!("not checked: interfaces: cargo-semver-checks is not installed: {names}");
    assert!(passed.out.lines().any(|shown| shown == line), "{}", passed.out);
    let strict = scene.release_with(&tools, &[&CHECK[..], &["--no-build", "--strict"]].concat());
    assert!(strict.error().contains("--strict wants what was skipped"), "{}", strict.err);
}
