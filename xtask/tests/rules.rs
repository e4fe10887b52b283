//! `cargo xtask tidy` and `cargo xtask floors` on a small workspace that breaks every rule: each is found, all at once.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A checkout with these files, and a manifest for the workspace.
fn checkout(files: &[(&str, String)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n".to_owned();
    for (file, text) in files.iter().chain([&("Cargo.toml", workspace)]) {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    assert!(
        Command::new("git").args(["init", "--quiet"]).current_dir(root.path()).status().unwrap().success()
    );
    root
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{rest}")
}

/// Whether the command was content, and what it said.
fn run(root: &Path, command: &str) -> (bool, String) {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.arg(command).env("CARGO_MANIFEST_DIR", root.join("xtask")).current_dir(root);
    let output = xtask.env("CARGO_NET_OFFLINE", "true").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_told(told: &str, expected: &[&str]) {
    for part in expected {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn tidy_finds_each_broken_rule_and_all_of_them_at_once() {
    let (todo, beside) = ("// TO".to_owned() + "DO later\n", "see ..".to_owned() + "/shared\n");
    let long = "//! Long.\n".repeat(401);
    let root = checkout(&[
        ("README.md", format!("| crate |\n|---|\n{beside}")),
        ("crates/runtime-a/Cargo.toml", manifest("runtime-a", "[dev-dependencies]\nruntime-b = \"1\"\n")),
        ("crates/runtime-a/src/lib.rs", "//! A.\npub fn a() {\n    unimplemented!()\n}\n".to_owned()),
        ("crates/runtime-a/src/b.rs", format!("{todo}pub fn b() {{\n    todo!()\n}}\n")),
        ("crates/runtime-a/src/c.rs", "//! C.\npub fn c() {\n    Some(1).unwrap();\n}\n".to_owned()),
        ("crates/runtime-a/src/long.rs", long),
        ("crates/runtime-b/Cargo.toml", manifest("runtime-b", "[dependencies]\nhttp = \"1\"\n")),
        ("crates/runtime-b/src/lib.rs", "//! B.\n".to_owned()),
        ("docs/api/runtime-b.txt", String::new()),
        ("docs/api/runtime-gone.txt", String::new()),
    ]);
    let (is_well, told) = run(root.path(), "tidy");
    assert!(!is_well, "{told}");
    let expected = [
        "14 findings",
        "README.md:3: names a folder outside the repository",
        "README.md: the table of crates has no row for `runtime-a`",
        "README.md: the table of crates has no row for `runtime-b`",
        "crates/runtime-a/Cargo.toml: dev-dependencies: `runtime-b` carries a version",
        "crates/runtime-a/src: 413 lines without tests, limit below 300",
        "crates/runtime-a/src/b.rs:1: `TODO` without an issue",
        "crates/runtime-a/src/b.rs:1: open with `//!`",
        "crates/runtime-a/src/b.rs:3: `todo!` outside tests",
        "crates/runtime-a/src/c.rs:3: `.unwrap()` outside tests",
        "crates/runtime-a/src/lib.rs:3: `unimplemented!` outside tests",
        "crates/runtime-a/src/long.rs: 401 lines without tests, limit 400",
        "crates/runtime-b/Cargo.toml: dependencies: `http` brings its own version",
        "docs/api/runtime-a.txt: is missing",
        "docs/api/runtime-gone.txt: is of no library",
    ];
    assert_told(&told, &expected);
}

#[test]
fn tidy_is_content_with_a_workspace_that_keeps_the_rules() {
    let root = checkout(&[
        ("README.md", "| crate |\n|---|\n| `a` |\n".to_owned()),
        ("crates/a/Cargo.toml", manifest("a", "")),
        ("crates/a/src/lib.rs", "//! A.\n".to_owned()),
        ("docs/api/a.txt", String::new()),
    ]);
    let (is_well, told) = run(root.path(), "tidy");
    assert!(is_well && told.contains("tidy: 5 files are in order"), "{told}");
}

/// The manifest and the source of a crate that uses others of this workspace, all of them always.
fn using(folder: &str, name: &str, used: &[&str]) -> [(String, String); 2] {
    let lines = used.iter().map(|path| {
        let name = path.rsplit('/').next().unwrap();
        format!("{name} = {{ path = \"../../{path}\" }}\n")
    });
    let dependencies = format!("[dependencies]\n{}", lines.collect::<Vec<_>>().concat());
    [
        (format!("{folder}/{name}/Cargo.toml"), manifest(name, &dependencies)),
        (format!("{folder}/{name}/src/lib.rs"), "//! A.\n".to_owned()),
    ]
}

#[test]
fn floors_finds_each_broken_law_with_the_path_that_breaks_it() {
    let crates = [
        using("crates", "unheard-of", &[]),
        using("crates", "wire-chat", &["crates/remote-core"]),
        using("crates", "remote-core", &[]),
        using("crates", "remote-entra", &[]),
        using("crates", "runtime-azure", &["crates/remote-entra"]),
        using("crates", "infer-core", &["others/between"]),
        using("crates", "infer-store", &["others/redis"]),
        using("others", "between", &["others/http"]),
        using("others", "http", &[]),
        using("others", "redis", &[]),
    ];
    let crates = crates.concat();
    let files: Vec<(&str, String)> =
        crates.iter().map(|(file, text)| (file.as_str(), text.clone())).collect();
    let root = checkout(&files);
    let (is_well, told) = run(root.path(), "floors");
    assert!(!is_well, "{told}");
    let expected = [
        "unheard-of: has no row in xtask/src/floors/laws.rs",
        "wire-chat -> remote-core: not among the crates it may use",
        "wire-chat -> remote-core: a wire format is pure",
        "runtime-azure -> remote-entra: must be optional",
        "infer-core -> http: the trait layer does no I/O and knows no HTTP: infer-core -> between -> http",
        "infer-store without features -> redis: Redis is behind the feature",
    ];
    assert_told(&told, &expected);
}

#[test]
fn floors_is_content_where_dependencies_point_down() {
    let crates =
        [using("crates", "infer-core", &[]), using("crates", "wire-chat", &["crates/infer-core"])].concat();
    let files: Vec<(&str, String)> =
        crates.iter().map(|(file, text)| (file.as_str(), text.clone())).collect();
    let root = checkout(&files);
    let (is_well, told) = run(root.path(), "floors");
    assert!(is_well && told.contains("floors: 2 crates are held to their laws"), "{told}");
}
