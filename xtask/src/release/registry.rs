//! A registry, as cargo sees it: what it has, and how something gets there.
//!
//! Cargo is asked and not the index itself, so that every kind of registry, its login and a mirror in front of it work
//! as the user has set them up.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::Package;
use xshell::Shell;

use crate::steps::is_watched;
use crate::workspace::{Workspace, cargo};

/// What cargo says about a version that the index has, and a registry about one whose index is behind.
const THERE: [&str; 2] = ["already exists", "already uploaded"];
/// How many lines of what cargo says are kept to be read; it says the cause last.
const KEPT: usize = 200;

/// Where packages go: cargo's default, or the registry of this name.
#[derive(Debug)]
pub(super) struct Registry<'a> {
    workspace: &'a Workspace,
    name: Option<&'a str>,
}

/// How a version came to be in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    Now,
    Before,
}

impl<'a> Registry<'a> {
    pub(super) const fn of(workspace: &'a Workspace, name: Option<&'a str>) -> Self {
        Self { workspace, name }
    }

    /// As in `to the registry local`.
    pub(super) fn words(&self) -> String {
        self.name.map_or("cargo's default registry".to_owned(), |name| format!("the registry `{name}`"))
    }

    /// Whether the index has this version of `package`.
    ///
    /// # Errors
    /// When the index cannot be asked, or has it from another project.
    pub(super) fn has(&self, package: &Package) -> Result<bool> {
        // Elsewhere, since inside the workspace cargo would answer with what lies here.
        let elsewhere = tempfile::tempdir()?;
        let shell = Shell::new()?;
        shell.change_dir(elsewhere.path());
        let asked = format!("{}@{}", package.name, package.version);
        let mut command =
            cargo(&shell).args(["info", "--quiet", "--color", "never", &asked]).args(self.arguments());
        let settings = self.workspace.root.join(".cargo/config.toml");
        if settings.is_file() {
            command = command.arg("--config").arg(settings);
        }
        let output = command.quiet().ignore_status().output().context("cargo cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let is_unknown = said.contains(&format!("could not find `{asked}`"));
            ensure!(is_unknown, "{} cannot be asked for {asked}: {}", self.words(), cause(&said));
            return Ok(false);
        }
        let known = String::from_utf8_lossy(&output.stdout);
        let theirs = known.lines().find_map(|line| line.strip_prefix("repository: ")).map(str::trim);
        let ours = package.repository.as_deref();
        if ours.is_some() && theirs != ours {
            let (theirs, ours) = (theirs.unwrap_or("which names no repository"), ours.unwrap_or_default());
            let whose = format!("{} has {asked} of another project, {theirs}", self.words());
            bail!("{whose}: this one is {ours}, so take another name");
        }
        Ok(true)
    }

    /// Packs, builds and uploads `package`, and waits until the index has it.
    ///
    /// A version that is there already, by the index or by the answer to the upload, is as good as uploaded.
    ///
    /// # Errors
    /// When cargo fails for another reason; it has said which.
    pub(super) fn publish(&self, package: &Package) -> Result<Published> {
        let shell = self.workspace.shell()?;
        let command = cargo(&shell).args(["publish", "-p", package.name.as_str()]).args(self.arguments());
        anstream::eprintln!("$ {command}");
        let (is_done, said) = heard(command.into())?;
        if is_done {
            return Ok(Published::Now);
        }
        let cause = cause(&said);
        ensure!(THERE.iter().any(|words| cause.contains(words)), cause);
        Ok(Published::Before)
    }

    fn arguments(&self) -> Vec<&str> {
        self.name.into_iter().flat_map(|name| ["--registry", name]).collect()
    }
}

/// Cargo's last error and the innermost reason it gives, in one line.
fn cause(said: &str) -> String {
    let at = said.rfind("error: ").unwrap_or(0);
    let error = said.get(at..).unwrap_or_default();
    let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let reason = error.rsplit_once("Caused by:\n").and_then(|(_, reason)| reason.lines().next());
    [Some(first), reason].into_iter().flatten().map(str::trim).collect::<Vec<_>>().join(": ")
}

/// Runs `command` and passes on what it says as it says it; whether it succeeded, and the end of what it said.
fn heard(mut command: Command) -> Result<(bool, String)> {
    if is_watched() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stderr(Stdio::piped()).spawn().context("cargo cannot be started")?;
    let mut said = VecDeque::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        anstream::eprintln!("{line}");
        said.push_back(anstream::adapter::strip_str(&line).to_string());
        if said.len() > KEPT {
            said.pop_front();
        }
    }
    let said: Vec<String> = said.into();
    Ok((child.wait()?.success(), said.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_last_error_with_its_innermost_reason() {
        for (said, expected) in [
            (
                "    Updating index\nerror: crate a@0.1.0 already exists on `local` index\n",
                "crate a@0.1.0 already exists on `local` index",
            ),
            (
                "error: failed to publish\n\nCaused by:\n  download failed\n\nCaused by:\n  [7] no connection\n  more\n",
                "failed to publish: [7] no connection",
            ),
            ("error: one\nerror: two", "two"),
            ("nothing of the kind\nat all", "nothing of the kind"),
            ("", ""),
        ] {
            assert_eq!(cause(said), expected);
        }
    }
}
