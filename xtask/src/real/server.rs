//! The model's server as a child process that cannot outlive its guard.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::python::Python;
use crate::steps::now;

const SCRIPT: &str = include_str!("real_server.py");
/// Tokens one conversation may have. Small, so that overrunning it is quick to check.
pub(super) const CONTEXT_TOKENS: u32 = 2048;
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Held open: the script ends when it closes, so a killed xtask leaves no server behind.
    stdin: Option<ChildStdin>,
    address: Address,
    pub(super) started_in: Duration,
}

/// Where the server said it listens.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    chat: String,
    embeddings: String,
}

impl Server {
    /// Starts the server and waits until it says that it is healthy.
    pub(super) fn start(python: &Python, home: &Path) -> Result<Self> {
        let start = now();
        let script = home.join("real_server.py");
        fs::write(&script, SCRIPT)?;
        let log = home.join("server.log");
        let mut command = Command::new(&python.interpreter);
        command.arg(&script).arg(&python.model).arg(CONTEXT_TOKENS.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn().context("the server cannot be started")?;
        let stdin = child.stdin.take();
        let address = Address { chat: String::new(), embeddings: String::new() };
        // From here on the guard owns the process, so that any error below stops it.
        let mut server = Self { child, stdin, address, started_in: Duration::ZERO };
        server.address = server.read_address(&log)?;
        while !is_healthy(&server.address.chat) {
            if start.elapsed() > START_TIMEOUT {
                bail!("{}/health did not say ok within {START_TIMEOUT:?}{}", server.address.chat, tail(&log));
            }
            thread::sleep(Duration::from_millis(50));
        }
        server.started_in = start.elapsed();
        Ok(server)
    }

    /// Waits for the one line the script prints; a script that dies instead closes its output.
    fn read_address(&mut self, log: &Path) -> Result<Address> {
        let stdout = self.child.stdout.take().context("the server has no output")?;
        let (sender, addresses) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            for address in lines.filter_map(|line| parse_ready(&line)) {
                _ = sender.send(address);
            }
        });
        let address = addresses.recv_timeout(START_TIMEOUT).ok();
        address.with_context(|| {
            format!("the server ended or stayed silent while loading the model{}", tail(log))
        })
    }

    /// Without `/v1`.
    pub(super) fn base_url(&self) -> &str {
        &self.address.chat
    }

    /// Without `/v1`; the same as [`Self::base_url`] when one instance does both.
    pub(super) fn embeddings_url(&self) -> &str {
        &self.address.embeddings
    }

    /// Resident memory now and at its highest, in words.
    pub(super) fn memory(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        match (mebibytes(&status, "VmRSS:"), mebibytes(&status, "VmHWM:")) {
            (Some(current), Some(peak)) => format!("{current} MiB resident (peak {peak} MiB)"),
            _ => "memory unknown on this platform".to_owned(),
        }
    }

    /// Waits until the process ends by itself.
    pub(super) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `READY <base url> [<embeddings base url>]`; other lines are the library talking.
fn parse_ready(line: &str) -> Option<Address> {
    let mut words = line.strip_prefix("READY ")?.split_whitespace().map(str::to_owned);
    let chat = words.next()?;
    let embeddings = words.next().unwrap_or_else(|| chat.clone());
    Some(Address { chat, embeddings })
}

fn is_healthy(base_url: &str) -> bool {
    let Some(address) = base_url.strip_prefix("http://").and_then(|a| a.parse::<SocketAddr>().ok()) else {
        return false;
    };
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
}

fn mebibytes(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// The end of the log, as part of a message.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(8);
    lines.get(last..).map(|end| format!(": its log ends in\n{}", end.join("\n"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_serves_both_purposes_and_a_second_one_is_for_embeddings() {
        let one = parse_ready("READY http://127.0.0.1:1").unwrap();
        assert_eq!(
            (one.chat.as_str(), one.embeddings.as_str()),
            ("http://127.0.0.1:1", "http://127.0.0.1:1")
        );
        let two = parse_ready("READY http://127.0.0.1:1 http://127.0.0.1:2").unwrap();
        assert_eq!(two.embeddings, "http://127.0.0.1:2");
        assert_eq!(parse_ready("loading model"), None);
    }

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let status = "Name:\tpython\nVmHWM:\t  408940 kB\nVmRSS:\t  316424 kB\n";
        assert_eq!(mebibytes(status, "VmHWM:"), Some(399));
        assert_eq!(mebibytes(status, "VmRSS:"), Some(309));
        assert_eq!(mebibytes("", "VmRSS:"), None);
    }

    #[test]
    fn nothing_listening_is_not_healthy() {
        assert!(!is_healthy("http://127.0.0.1:1"));
        assert!(!is_healthy("not a url"));
    }
}
