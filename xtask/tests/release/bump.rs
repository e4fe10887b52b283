//! `release bump`: what it writes, and when it does not.

use crate::scene::Scene;

const DATE: [&str; 2] = ["--date", "2026-11-21"];

fn scene() -> Scene {
    Scene::new("sparse+http://127.0.0.1:9/")
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let scene = scene();
    let shown = scene.release(&[&["bump", "minor"][..], &DATE].concat());
    assert!(shown.is_well, "{}", shown.err);
    for line in [
        "0.1.0 -> 0.2.0, dated 2026-11-21. Changes:",
        "--- Cargo.toml",
        "-version = \"0.1.0\"",
        "+version = \"0.2.0\"",
        "+tin-wire = { path = \"crates/tin-wire\", version = \"0.2.0\", registry = \"local\" }",
        "+## 0.2.0 - 2026-11-21",
        "--- Cargo.lock",
        "+tin-wire = \"0.2\"",
    ] {
        assert!(shown.out.lines().any(|shown| shown == line), "{line} is missing in {}", shown.out);
    }
    assert!(
        shown.out.ends_with("With --execute these files are committed as `release: 0.2.0`.\n"),
        "{}",
        shown.out
    );
    assert_eq!(scene.status(), "");
    assert_eq!(scene.program("git", &["rev-list", "--count", "HEAD"]).trim(), "1");
}

#[test]
fn executed_it_is_one_commit_that_cargo_agrees_with() {
    let scene = scene();
    let done = scene.release(&[&["bump", "minor", "--execute"][..], &DATE].concat());
    assert!(done.is_well, "{}", done.err);
    assert!(done.out.contains("git tag -a v0.2.0 -m v0.2.0"), "{}", done.out);
    assert_eq!(scene.program("git", &["log", "-1", "--format=%s"]).trim(), "release: 0.2.0");
    assert_eq!(scene.program("git", &["rev-list", "--count", "HEAD"]).trim(), "2");
    let files = scene.program("git", &["show", "--name-only", "--format=", "HEAD"]);
    let mut expected = vec!["CHANGELOG.md".to_owned(), "Cargo.lock".to_owned(), "Cargo.toml".to_owned()];
    expected.extend(
        ["alloy", "iron-kit", "tin-wire", "zinc-core"].map(|krate| format!("crates/{krate}/README.md")),
    );
    assert_eq!(files.lines().collect::<Vec<_>>(), expected);
    assert_eq!(scene.status(), "");
    assert_eq!(scene.program("git", &["tag"]), "");
    assert_eq!(
        scene.read("CHANGELOG.md"),
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-21\n\n- added: zinc-core: everything.\n"
    );
    // Fails if Cargo.lock is not what cargo would write.
    let metadata = scene.program("cargo", &["metadata", "--locked", "--offline", "--format-version", "1"]);
    assert_eq!(metadata.matches("\"version\":\"0.2.0\"").count(), 5, "four crates and the tools");
}

#[test]
fn the_first_release_of_all_may_be_the_present_version() {
    let scene = scene();
    let done = scene.release(&[&["bump", "0.1.0", "--execute", "--tag"][..], &DATE].concat());
    assert!(done.is_well, "{}", done.err);
    assert_eq!(
        scene.program("git", &["show", "--name-only", "--format=", "v0.1.0^{commit}"]).trim(),
        "CHANGELOG.md"
    );
    assert!(scene.read("CHANGELOG.md").contains("## 0.1.0 - 2026-11-21"));
}

#[test]
fn the_tag_is_made_where_it_is_asked_for() {
    let scene = scene();
    assert!(scene.release(&["bump", "1.0.0-rc.1", "--execute", "--tag"]).is_well);
    assert_eq!(scene.program("git", &["describe", "--exact-match"]).trim(), "v1.0.0-rc.1");
    assert!(scene.read("Cargo.toml").contains("version = \"1.0.0-rc.1\""));
}

#[test]
fn each_reason_not_to_release_is_one_error_and_changes_nothing() {
    let scene = scene();
    let expect = |args: &[&str], reason: &str| {
        let refused = scene.release(&[&["bump"], args, &["--execute"]].concat());
        assert!(refused.error().starts_with(&format!("error: {reason}")), "{}", refused.err);
        assert_eq!(refused.err.matches("error: ").count(), 1, "{}", refused.err);
        assert_eq!(
            scene.program("git", &["diff", "HEAD", "--name-only", "--", "Cargo.toml", "Cargo.lock"]),
            ""
        );
    };
    expect(&["0.0.9"], "0.0.9 is not above 0.1.0, the present version");
    scene.program("git", &["tag", "v0.0.1"]);
    expect(&["0.1.0"], "0.1.0 is not above 0.1.0, the present version");
    scene.program("git", &["tag", "v0.2.0"]);
    expect(&["minor"], "the tag v0.2.0 is there already");
    scene.write("notes.txt", "mine\n");
    expect(&["patch"], "the tree is dirty, 1 file (`?? notes.txt`)");
    scene.remove("notes.txt");
    scene.replace("CHANGELOG.md", "- added: zinc-core: everything.\n", "");
    scene.commit("nothing to tell");
    expect(&["patch"], "nothing is unreleased");
    scene.replace("crates/alloy/Cargo.toml", "version.workspace = true", "version = \"3.0.0\"");
    scene.replace("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- fixed: alloy: x.\n");
    scene.commit("out of step");
    expect(&["patch"], "alloy has version 3.0.0 and the workspace 0.1.0");
}

#[test]
fn a_commit_that_a_hook_refuses_leaves_the_files_as_they_were() {
    let scene = scene();
    scene.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    if cfg!(unix) {
        scene.program("chmod", &["+x", ".git/hooks/pre-commit"]);
    }
    let failed = scene.release(&["bump", "minor", "--execute"]);
    assert!(
        failed.error().starts_with("error: nothing is committed and all files are as before: "),
        "{}",
        failed.err
    );
    assert_eq!(scene.status(), "");
}

#[test]
fn a_dry_run_on_a_dirty_tree_shows_the_difference_and_fails() {
    let scene = scene();
    scene.write("notes.txt", "mine\n");
    let shown = scene.release(&["bump", "minor"]);
    assert!(shown.error().contains("but not now: the tree is dirty"), "{}", shown.err);
    assert!(shown.out.contains("+version = \"0.2.0\""), "{}", shown.out);
}

#[test]
fn breaking_changes_in_a_compatible_version_are_pointed_out() {
    let scene = scene();
    scene.replace("CHANGELOG.md", "- added: ", "- breaking: ");
    scene.commit("breaks");
    let noted = |level| scene.release(&["bump", level]).err.contains("1 entry tagged `breaking`");
    assert!(noted("patch"));
    assert!(!noted("minor"), "below 1.0 a minor version may break");
}

#[test]
fn a_day_that_is_none_and_an_unknown_level_are_bad_command_lines() {
    let scene = scene();
    for args in
        [&["bump", "minor", "--date", "2026-02-30"][..], &["bump", "huge"], &["bump", "minor", "--tag"]]
    {
        let refused = scene.release(args);
        assert!(refused.error().starts_with("error: "), "{args:?}: {}", refused.err);
        assert!(refused.out.is_empty(), "{args:?}: {}", refused.out);
    }
    assert_eq!(scene.status(), "");
}
