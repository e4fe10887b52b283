//! `cargo xtask api` on a small workspace: what is a change of the public API, and what is not.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The Rust that this workspace, and so the small one, is written for.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
const LIBRARY: &str = "\
//! A library.

/// A point.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Point {
    /// To the right.
    pub x: u32,
    /// Up.
    pub y: u32,
}

impl Point {
    /// The one at `x`.
    pub fn at(x: u32) -> Self {
        Self { x, y: hidden::zero() }
    }
}

/// Known only where it is asked for.
#[cfg(feature = \"more\")]
pub const MORE: u8 = 1;

mod hidden {
    pub(crate) fn zero() -> u32 {
        0
    }
}
";

/// A workspace of one library `tiny`; none where its text would be another, which is then said.
fn workspace() -> Option<TempDir> {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    if !version.starts_with(&format!("rustc {RUST}.")) {
        eprintln!("not tried: the texts are those of Rust {RUST}, and this is {version}");
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n");
    for name in ["tiny", "private"] {
        let publish = name != "private";
        let package = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"{RUST}\"\n\
             publish = {publish}\n\n[features]\nmore = []\n"
        );
        write(&format!("crates/{name}/Cargo.toml"), &package);
        write(&format!("crates/{name}/src/lib.rs"), LIBRARY);
    }
    let blessed = api(root.path(), &["--bless"]);
    assert!(blessed.status.success(), "{}", told(&blessed));
    Some(root)
}

fn api(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("api").args(arguments).env("CARGO_MANIFEST_DIR", root.join("xtask")).current_dir(root);
    command.env("CARGO_TARGET_DIR", root.join("target")).env("CARGO_NET_OFFLINE", "true");
    command.env_remove("RUSTDOCFLAGS").output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the API is what was written down once the library is `source`, and what is said of that.
fn with(root: &Path, source: &str) -> (bool, String) {
    fs::write(root.join("crates/tiny/src/lib.rs"), source).unwrap();
    let output = api(root, &[]);
    (output.status.success(), told(&output))
}

fn text(root: &Path) -> String {
    fs::read_to_string(root.join("docs/api/tiny.txt")).unwrap()
}

#[test]
fn the_text_has_one_line_for_each_public_item_and_none_for_others() {
    let Some(root) = workspace() else { return };
    let expected = "\
# The public API of tiny, with all features. `cargo xtask tidy --bless` writes this file.
pub mod tiny
#[non_exhaustive] pub struct tiny::Point
pub tiny::Point::x: u32
pub tiny::Point::y: u32
pub fn tiny::Point::at(x: u32) -> Self
impl Clone + Debug for tiny::Point
pub const tiny::MORE: u8
";
    assert_eq!(text(root.path()), expected);
    assert!(!root.path().join("docs/api/private.txt").exists(), "what is not published promises nothing");
}

#[test]
fn a_second_run_finds_the_same_and_so_does_one_after_a_change_in_words() {
    let Some(root) = workspace() else { return };
    let first = text(root.path());
    fs::write(root.path().join("docs/api/gone.txt"), "left over").unwrap();
    let reworded = LIBRARY.replace("/// To the right.", "/// To the right, in other words.");
    assert_ne!(reworded, LIBRARY);
    let (is_well, told) = with(root.path(), &reworded);
    assert!(is_well, "{told}");
    assert!(told.contains("1 library is what docs/api says"), "{told}");
    fs::remove_dir_all(root.path().join("target")).unwrap();
    assert!(api(root.path(), &["--bless"]).status.success());
    assert_eq!(text(root.path()), first);
    assert!(!root.path().join("docs/api/gone.txt").exists(), "a text of no library stayed");
}

#[test]
fn what_comes_goes_or_changes_is_shown_with_the_way_to_accept_it() {
    let Some(root) = workspace() else { return };
    let changes = [
        ("mod hidden", "/// New.\npub fn added() {}\nmod hidden"),
        ("at(x: u32)", "at(x: u32, _by: u8)"),
        ("pub y: u32", "y: u32"),
        ("#[non_exhaustive]\n", ""),
        ("Debug, Clone", "Debug"),
        ("MORE: u8", "MORE: u16"),
    ];
    let mut source = LIBRARY.to_owned();
    for (old, new) in changes {
        assert!(source.contains(old), "{old}");
        source = source.replace(old, new);
    }
    let (is_well, told) = with(root.path(), &source);
    assert!(!is_well, "{told}");
    let lines = [
        "docs/api/tiny.txt: 5 came, 5 went",
        "- #[non_exhaustive] pub struct tiny::Point",
        "+ pub struct tiny::Point",
        "- impl Clone + Debug for tiny::Point",
        "+ impl Debug for tiny::Point",
        "- pub const tiny::MORE: u8",
        "+ pub const tiny::MORE: u16",
        "- pub fn tiny::Point::at(x: u32) -> Self",
        "+ pub fn tiny::Point::at(x: u32, _by: u8) -> Self",
        "+ pub fn tiny::added()",
        "- pub tiny::Point::y: u32",
    ];
    for line in lines {
        assert!(told.lines().any(|shown| shown.trim() == line), "{line} is not in {told}");
    }
    for part in ["cargo xtask tidy --bless", "CHANGELOG.md"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let (is_well, told) = with(root.path(), LIBRARY);
    assert!(is_well, "the first state is not accepted any more: {told}");
}

#[test]
fn lost_json_is_written_again() {
    let Some(root) = workspace() else { return };
    fs::remove_file(root.path().join("target/doc/tiny.json")).unwrap();
    let output = api(root.path(), &[]);
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn another_toolchain_is_named_and_nothing_is_compared() {
    let Some(root) = workspace() else { return };
    for name in ["tiny", "private"] {
        let file = root.path().join(format!("crates/{name}/Cargo.toml"));
        let manifest = fs::read_to_string(&file).unwrap().replace(RUST, "1.90");
        fs::write(file, manifest).unwrap();
    }
    fs::write(root.path().join("docs/api/tiny.txt"), "wrong").unwrap();
    let output = api(root.path(), &["--bless"]);
    assert!(output.status.success());
    let told = told(&output);
    assert!(
        told.contains("not compared: the texts are those of Rust 1.90, and this is rustc 1.95."),
        "{told}"
    );
    assert_eq!(text(root.path()), "wrong");
}
