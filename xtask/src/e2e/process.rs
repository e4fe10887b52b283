//! Servers as child processes that cannot outlive their guard.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::real::tail;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that said where it listens. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    /// What it printed on the line that told it is ready.
    pub(super) url: String,
    /// Its standard error.
    pub(super) log: PathBuf,
}

impl Service {
    /// Starts `command` and waits for the first line on its standard output for which `ready` gives an address.
    pub(super) fn start(
        mut command: Command,
        log: &Path,
        ready: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Result<Self> {
        let program = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
        let stdout = child.stdout.take();
        // From here on the guard owns the process, so that any error below stops it.
        let mut service = Self { child, url: String::new(), log: log.to_owned() };
        let stdout = stdout.context("there is no standard output")?;
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that a server which goes on talking is never stopped by a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = ready(&line) {
                    _ = sender.send(url);
                }
            }
        });
        service.url = receiver.recv_timeout(START_TIMEOUT).map_err(|_| {
            anyhow!("{program} ended or did not say within {START_TIMEOUT:?} that it is ready{}", tail(log))
        })?;
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A line that is an address.
pub(super) fn address(line: &str) -> Option<String> {
    line.starts_with("http://").then(|| line.trim().to_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_server_is_ready_when_it_has_printed_its_address() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let service = Service::start(
            shell("echo starting; echo http://x; exec tail -f /dev/null"),
            log.path(),
            address,
        );
        assert_eq!(service.unwrap().url, "http://x");
    }

    #[test]
    fn a_server_that_ends_instead_is_named_with_its_last_words() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let error = Service::start(shell("echo no port left >&2"), log.path(), address).unwrap_err();
        assert!(error.to_string().contains("no port left"), "{error}");
    }
}
