//! `release publish` against a registry that may fail.

use crate::registry::{Fault, Registry};
use crate::scene::{ORDER, Scene};

const DRY: [&str; 3] = ["publish", "--registry", "local"];
const EXECUTE: [&str; 4] = ["publish", "--registry", "local", "--execute"];

fn known(names: &[&str]) -> Vec<String> {
    let mut known: Vec<String> = names.iter().map(|name| format!("{name} 0.2.0")).collect();
    known.sort();
    known
}

#[test]
fn a_dry_run_shows_the_order_and_sends_nothing() {
    let registry = Registry::start();
    let scene = Scene::released(&registry.index());
    let shown = scene.release(&DRY);
    assert!(shown.is_well, "{}", shown.err);
    let rows: Vec<Vec<&str>> = shown
        .out
        .lines()
        .filter(|line| line.starts_with("   "))
        .map(|row| row.split_whitespace().collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(names, ORDER, "{}", shown.out);
    assert!(
        rows.iter().all(|row| row[2] == "0.2.0" && row[3..].join(" ") == "to be uploaded"),
        "{}",
        shown.out
    );
    assert!(shown.out.ends_with("Nothing is sent. With --execute it is.\n"), "{}", shown.out);
    assert!(registry.uploads().is_empty());
}

#[test]
fn a_dry_run_works_where_the_registry_is_out_of_reach() {
    let gone = Registry::start().index();
    let shown = Scene::released(&gone).release(&DRY);
    assert!(shown.is_well, "{}", shown.err);
    assert!(shown.out.contains("not known") && shown.out.contains("not asked"), "{}", shown.out);
    assert!(shown.err.contains("note: the registry `local` cannot be asked"), "{}", shown.err);
}

#[test]
fn crates_are_uploaded_each_after_those_it_needs() {
    let registry = Registry::start();
    let scene = Scene::released(&registry.index());
    let done = scene.release(&EXECUTE);
    assert!(done.is_well, "{}", done.err);
    assert_eq!(registry.uploads(), ORDER);
    assert_eq!(registry.known(), known(&ORDER));
    assert_eq!(registry.tokens(), ["a-key"; 4]);
    assert!(done.out.ends_with("the registry `local` has all 4 crates now.\n"), "{}", done.out);
    assert!(!done.err.contains("a-key") && !done.out.contains("a-key"));
    assert_eq!(scene.status(), "");

    let again = scene.release(&EXECUTE);
    assert!(again.is_well, "{}", again.err);
    assert_eq!(again.out, "the registry `local` has all 4 crates already.\n");
    assert!(registry.uploads().is_empty());
}

#[test]
fn after_a_failure_halfway_only_the_rest_is_uploaded() {
    for fault in [Fault::Broken, Fault::Closes] {
        let registry = Registry::start();
        let scene = Scene::released(&registry.index());
        registry.fail("iron-kit", fault);
        let failed = scene.release(&EXECUTE);
        assert!(
            failed.error().starts_with("error: step `iron-kit` failed after "),
            "{fault:?}: {}",
            failed.err
        );
        assert!(
            failed.error().contains(": failed to publish iron-kit v0.2.0 to registry"),
            "{fault:?}: {}",
            failed.err
        );
        assert!(failed.err.trim_end().ends_with("it goes on with this crate."), "{fault:?}: {}", failed.err);
        assert_eq!(registry.known(), known(&ORDER[..2]), "{fault:?}");
        let asked = registry.uploads();
        assert!(!asked.contains(&"alloy".to_owned()), "{fault:?}: {asked:?}");

        let shown = scene.release(&DRY);
        assert_eq!(shown.out.matches("is there already").count(), 2, "{fault:?}: {}", shown.out);

        registry.heal();
        let done = scene.release(&EXECUTE);
        assert!(done.is_well, "{fault:?}: {}", done.err);
        assert_eq!(registry.uploads(), ORDER[2..], "{fault:?}");
        assert_eq!(registry.known(), known(&ORDER), "{fault:?}");
        assert!(
            done.out.contains("which has 2 of 4 crates. To be uploaded, in this order: iron-kit, alloy"),
            "{fault:?}: {}",
            done.out
        );
    }
}

#[test]
fn an_upload_that_the_index_did_not_show_yet_counts_as_done() {
    let registry = Registry::start();
    let scene = Scene::released(&registry.index());
    registry.fail("tin-wire", Fault::AlreadyUploaded);
    let done = scene.release(&EXECUTE);
    assert!(done.is_well, "{}", done.err);
    assert_eq!(registry.uploads(), ORDER);
    assert!(done.out.contains("tin-wire 0.2.0 was there already."), "{}", done.out);
    assert!(!done.out.contains("iron-kit 0.2.0 was there already."), "{}", done.out);
}

#[test]
fn the_same_version_of_another_project_is_not_taken_for_ours() {
    let registry = Registry::start();
    let theirs = Scene::new(&registry.index());
    theirs.replace("Cargo.toml", "example.invalid/alloy", "example.invalid/other");
    theirs.commit("another project");
    assert!(theirs.release(&["bump", "minor", "--execute", "--tag"]).is_well);
    assert!(theirs.release(&EXECUTE).is_well);
    registry.uploads();

    let refused = Scene::released(&registry.index()).release(&EXECUTE);
    assert!(
        refused.error().contains("has zinc-core@0.2.0 of another project, https://example.invalid/other")
    );
    assert!(registry.uploads().is_empty());
}

#[test]
fn what_is_not_committed_tagged_or_in_the_changelog_is_refused_with_one_error() {
    let registry = Registry::start();
    let scene = Scene::new(&registry.index());
    scene.program("git", &["tag", "-a", "v0.1.0", "-m", "early"]);
    expect_refusal(&scene, "CHANGELOG.md has no dated section for 0.1.0: ");

    assert!(scene.release(&["bump", "minor", "--execute"]).is_well);
    expect_refusal(&scene, "the tag v0.2.0 is missing: ");

    scene.program("git", &["tag", "-a", "v0.2.0", "-m", "v0.2.0", "HEAD~1"]);
    expect_refusal(&scene, "the tag v0.2.0 names another commit: ");

    scene.program("git", &["tag", "--force", "-a", "v0.2.0", "-m", "v0.2.0"]);
    assert!(scene.release(&DRY).is_well);
    scene.write("crates/alloy/src/new.rs", "//! Not committed.\n");
    expect_refusal(&scene, "the tree is dirty, 1 file (`?? crates/alloy/src/new.rs`): ");
    assert!(registry.uploads().is_empty());
}

/// Both ways are refused, and the dry run still shows what it is about.
fn expect_refusal(scene: &Scene, reason: &str) {
    let refused = scene.release(&EXECUTE);
    assert!(refused.error().starts_with(&format!("error: {reason}")), "{}", refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    assert_eq!(refused.out, "");
    let shown = scene.release(&DRY);
    assert!(shown.error().contains(&format!("but not now: {reason}")), "{}", shown.err);
    assert!(shown.out.contains("  zinc-core"), "{}", shown.out);
}
