//! Stands in for rustdoc while cargo documents: pages as ever, and beside them the same in JSON.
//!
//! JSON is unstable, so rustdoc wants `RUSTC_BOOTSTRAP`. Build scripts look at that variable: set for all of cargo, it would
//! have half of the dependencies built again. So cargo is given this program as its rustdoc, and only the second of the two
//! calls made here has it. Cargo counts both as one piece of work, which is why neither undoes the other.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use xshell::Cmd;

use crate::workspace::Workspace;

/// In the environment of a cargo that was given this program as its rustdoc: the real one.
const REAL: &str = "XTASK_STANDS_IN_FOR_RUSTDOC";
/// Tells cargo that pages without JSON, made without this program, are something else.
const MARK: &str = "--cfg=beside_json";

/// Has `command`, a call of `cargo doc`, write JSON as well; `flags` go to rustdoc.
pub(crate) fn with_json<'a>(command: Cmd<'a>, flags: &str) -> Result<Cmd<'a>> {
    let real = env::var_os("RUSTDOC").unwrap_or_else(|| OsString::from("rustdoc"));
    let this = env::current_exe().context("xtask cannot tell where it is")?;
    let command = command.env("RUSTDOC", standing(this)).env(REAL, real);
    Ok(command.env("RUSTDOCFLAGS", format!("{flags} {MARK}")))
}

/// The program at the place of `this`: tests build it anew while it runs, and Linux then says so of the old one, which is gone.
fn standing(this: PathBuf) -> PathBuf {
    match this.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) if !this.exists() => PathBuf::from(path),
        _ => this,
    }
}

/// Does rustdoc's work when cargo called this program for it; otherwise none.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let real = env::var_os(REAL)?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let mut calls = vec![Command::new(&real)];
    if is_library(&arguments) {
        let mut json = Command::new(&real);
        // What there is to complain about, the first call has said.
        json.args(["-Zunstable-options", "--output-format=json", "--cap-lints=allow"]);
        json.env("RUSTC_BOOTSTRAP", "1");
        calls.push(json);
    }
    for mut call in calls {
        match call.args(&arguments).status() {
            Ok(status) if status.success() => {}
            Ok(_) => return Some(ExitCode::FAILURE),
            Err(error) => {
                anstream::eprintln!("error: cannot run {}: {error}", real.display());
                return Some(ExitCode::FAILURE);
            }
        }
    }
    Some(ExitCode::SUCCESS)
}

fn is_library(arguments: &[OsString]) -> bool {
    let lib = [OsStr::new("--crate-type"), OsStr::new("lib")];
    arguments.windows(2).any(|pair| pair == lib)
}

/// Why this machine's rustdoc is not asked, where it is another one than the workspace is written for.
pub(crate) fn other_toolchain(workspace: &Workspace) -> Result<Option<String>> {
    let wanted = workspace.members().into_iter().find_map(|package| package.rust_version.clone());
    let wanted = wanted.context("no package of the workspace says its rust-version")?;
    let shell = workspace.shell()?;
    let here = xshell::cmd!(shell, "rustc --version").quiet().read().context("rustc does not run")?;
    let is_same = here.starts_with(&format!("rustc {}.{}.", wanted.major, wanted.minor));
    let (major, minor) = (wanted.major, wanted.minor);
    Ok((!is_same).then(|| format!("the texts are those of Rust {major}.{minor}, and this is {here}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_anew_while_it_ran_is_found_where_it_stood() {
        let at = |path: &str| standing(PathBuf::from(path));
        assert_eq!(at("/nowhere/debug/xtask (deleted)"), PathBuf::from("/nowhere/debug/xtask"));
        assert_eq!(at("/nowhere/debug/xtask"), PathBuf::from("/nowhere/debug/xtask"));
    }

    #[test]
    fn json_is_asked_of_libraries_only() {
        let given = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(is_library(&given("--edition=2024 --crate-type lib --crate-name a")));
        assert!(!is_library(&given("--edition=2024 --crate-type bin --crate-name lib")));
        assert!(!is_library(&given("-vV")));
    }

    #[test]
    fn the_toolchain_of_the_workspace_is_not_another_one() {
        let workspace = Workspace::load().unwrap();
        let shell = workspace.shell().unwrap();
        let here = xshell::cmd!(shell, "rustc --version").quiet().read().unwrap();
        let is_named = other_toolchain(&workspace).unwrap().is_some_and(|why| why.ends_with(&here));
        assert_eq!(
            is_named,
            !here.starts_with(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), ".")),
            "{here}"
        );
    }
}
