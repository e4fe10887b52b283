//! A program that prints a key.
//!
//! The program runs under `std` on a blocking thread and not under tokio: it lives in real time whatever clock the
//! runtime has, and needs no signal handler of ours.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use infer_core::{InferenceError, Origin};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::keeper::FETCH_LIMIT;
use super::{Credential, CredentialSource, Secret};

/// What is kept of each output. 64 KiB: tokens are a few.
const OUTPUT_LIMIT: usize = 64 << 10;

/// How often a program that closed its outputs is asked whether it ended.
const EXIT_POLL: Duration = Duration::from_millis(2);

/// Runs a program and takes what it prints as the key.
///
/// Its output is the key, or `{"secret": "...", "expires_in": SECONDS}`; white space around it does not count. It is run
/// without a shell and with an empty input. When it fails, the error holds an excerpt of what it wrote to its standard
/// error, never what it wrote to its output. Dropping a fetch kills it; programs that it started itself are not killed.
#[derive(Clone, Debug)]
pub struct CommandSource {
    program: String,
    args: Vec<String>,
    limit: Duration,
}

impl CommandSource {
    /// `program`, looked up in `PATH`, with `args`. Other users of the machine can see the arguments, so they must hold no
    /// secrets. It has 30 s to finish.
    pub fn new(program: impl Into<String>, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program: program.into(), args, limit: Duration::from_secs(30) }
    }

    /// Kills the program after `limit`, at most 60 s.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.limit = limit.min(FETCH_LIMIT);
        self
    }

    /// Runs the program to its end. Blocks.
    pub(super) fn run(&self) -> Result<Credential, InferenceError> {
        let (events, inbox) = channel();
        self.run_until_told(&events, &inbox)
    }

    /// Runs the program to its end or until [`Event::Stop`] comes.
    fn run_until_told(
        &self,
        events: &Sender<Event>,
        inbox: &Receiver<Event>,
    ) -> Result<Credential, InferenceError> {
        let place = format!("credential command {}", self.program);
        let failed = |what: String| InferenceError::config(format!("{place}: {what}"));
        let ended = self.watch(events, inbox).map_err(|end| {
            failed(match end {
                Unfinished::TimedOut => {
                    format!("did not finish within {:?}: run it by hand to see why", self.limit)
                }
                Unfinished::Stopped => "was stopped".to_owned(),
                Unfinished::Broken(error) => format!("cannot be run: {error}"),
            })
        })?;
        let printed = std::str::from_utf8(&ended.output).unwrap_or_default();
        if !ended.status.success() {
            let said = excerpt(&ended.errors, printed);
            let colon = if said.is_empty() { "" } else { ": " };
            return Err(failed(format!("{}{colon}{said}", ended.status)));
        }
        if ended.output.len() > OUTPUT_LIMIT {
            return Err(failed(format!(
                "printed more than {OUTPUT_LIMIT} bytes: it must print the key alone"
            )));
        }
        read(&format!("output of {place}"), printed)
    }

    fn watch(&self, events: &Sender<Event>, inbox: &Receiver<Event>) -> Result<Ended, Unfinished> {
        if let Ok(Event::Stop) = inbox.try_recv() {
            return Err(Unfinished::Stopped);
        }
        let deadline = now() + self.limit;
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn()?);
        collect(running.0.stdout.take(), Event::Output, events.clone())?;
        collect(running.0.stderr.take(), Event::Errors, events.clone())?;
        let (mut output, mut errors) = (None, None);
        loop {
            let left = deadline.saturating_duration_since(now());
            let silent = output.is_some() && errors.is_some();
            match inbox.recv_timeout(if silent { left.min(EXIT_POLL) } else { left }) {
                Ok(Event::Output(bytes)) => output = Some(bytes),
                Ok(Event::Errors(bytes)) => errors = Some(bytes),
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Unfinished::Stopped),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Unfinished::TimedOut),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if output.is_some()
                && errors.is_some()
                && let Some(status) = running.0.try_wait()?
            {
                let (output, errors) = (output.unwrap_or_default(), errors.unwrap_or_default());
                return Ok(Ended { status, output, errors });
            }
        }
    }
}

#[async_trait]
impl CredentialSource for CommandSource {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let (events, inbox) = channel();
        let _stop_on_drop = StopOnDrop(events.clone());
        let this = self.clone();
        let run = tokio::task::spawn_blocking(move || this.run_until_told(&events, &inbox));
        run.await.map_err(|_| InferenceError::config("running the credential command was interrupted"))?
    }
}

impl From<CommandSource> for Arc<dyn CredentialSource> {
    fn from(source: CommandSource) -> Self {
        Arc::new(source)
    }
}

/// What the thread that watches a program waits for.
enum Event {
    Output(Zeroizing<Vec<u8>>),
    Errors(Zeroizing<Vec<u8>>),
    Stop,
}

struct Ended {
    status: ExitStatus,
    output: Zeroizing<Vec<u8>>,
    errors: Zeroizing<Vec<u8>>,
}

enum Unfinished {
    TimedOut,
    Stopped,
    Broken(io::Error),
}

impl From<io::Error> for Unfinished {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

struct StopOnDrop(Sender<Event>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Stop);
    }
}

/// Leaves no process behind, however the watching ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a program lives in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Reads `pipe` to its end on a thread of its own, since a program may fill one pipe while the other is read. What is over
/// the limit is read and dropped, all but one byte that shows it.
fn collect<R: Read + Send + 'static>(
    pipe: Option<R>,
    event: fn(Zeroizing<Vec<u8>>) -> Event,
    events: Sender<Event>,
) -> io::Result<()> {
    let read = move || {
        // Never grows, so no copy of a key is left behind unwiped.
        let mut kept = Zeroizing::new(Vec::with_capacity(OUTPUT_LIMIT + 1));
        if let Some(mut pipe) = pipe {
            let mut piece = Zeroizing::new([0; 4096]);
            while let Ok(count @ 1..) = pipe.read(piece.as_mut_slice()) {
                let room = (OUTPUT_LIMIT + 1).saturating_sub(kept.len());
                kept.extend_from_slice(piece.get(..count.min(room)).unwrap_or_default());
            }
        }
        let _ = events.send(event(kept));
    };
    thread::Builder::new().name("credential-command".to_owned()).spawn(read).map(drop)
}

/// What the program complained, in one line, without anything it printed as its output.
fn excerpt(errors: &[u8], printed: &str) -> String {
    let mut said = String::from_utf8_lossy(errors).into_owned();
    for word in printed.split(|c: char| c.is_whitespace() || c == '"') {
        Secret::new(word).scrub(&mut said);
    }
    let words: Vec<_> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    Origin::excerpt(words.join(" ").trim())
}

fn read(place: &str, printed: &str) -> Result<Credential, InferenceError> {
    #[derive(Deserialize)]
    struct Printed {
        secret: Secret,
        expires_in: Option<u64>,
    }
    let printed = printed.trim();
    if !printed.starts_with('{') {
        return Secret::checked(place, printed).map(Credential::new);
    }
    // The parser's own words may quote the key.
    let printed: Printed = serde_json::from_str(printed).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        InferenceError::config(format!(
            "{place}: line {line} column {column}: is not {{\"secret\": \"...\", \"expires_in\": SECONDS}}"
        ))
    })?;
    let credential = Credential::new(Secret::checked(place, printed.secret.expose())?);
    Ok(match printed.expires_in {
        Some(seconds) => credential.with_lifetime(Duration::from_secs(seconds)),
        None => credential,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        for printed in [
            "{\"secret\": 7, \"key\": \"sk-very-secret\"}",
            "{\"secret\": \"sk-very-secret\"",
            "{\"secret\": \"sk-1\", \"expires_in\": \"sk-2\"}",
            "sk-\u{1}",
        ] {
            let error = read("output", printed).unwrap_err().to_string();
            assert!(error.starts_with("output: ") && !error.contains("sk-"), "{error}");
        }
    }

    #[test]
    fn a_complaint_is_one_line_without_the_key() {
        let printed = "{\"secret\":\"sk-very-secret\"}";
        let said = excerpt(b"+ echo sk-very-secret\n\x1b[31mno\n", printed);
        assert_eq!(said, "+ echo [redacted]  [31mno");
        assert!(excerpt(&[b'x'; 9000], "").len() <= 512);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod programs {
    use infer_core::ErrorKind;
    use tokio::time::sleep;

    use super::*;
    use crate::session::file::tests::{KeyFile, held};
    use crate::session::{RemoteSessionActor, SecretRef};

    fn shell(script: &str) -> CommandSource {
        CommandSource::new("sh", ["-c", script])
    }

    /// A program that writes its number to `pid` and then takes for ever.
    fn slow(pid: &KeyFile) -> CommandSource {
        let script = "echo $$ > \"$0\"; echo sk-very-secret; exec sleep 1000";
        CommandSource::new("sh", ["-c", script, pid.0.to_str().unwrap()])
    }

    fn is_running(pid: &KeyFile) -> bool {
        let pid = std::fs::read_to_string(&pid.0).unwrap();
        Command::new("kill").args(["-0", pid.trim()]).output().unwrap().status.success()
    }

    async fn failure(source: CommandSource) -> String {
        let error = source.fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("sk-"), "{text}");
        text
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_program_prints_is_the_key() {
        let place = SecretRef::command("sh", ["-c", "echo warning >&2; echo '  sk-printed '"]);
        assert_eq!(place.resolve().unwrap().unwrap().expose(), "sk-printed");
        let session = RemoteSessionActor::bootstrap(place).await.unwrap();
        assert_eq!(held(&session), (0, "sk-printed".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_may_print_json_with_a_lifetime_and_is_run_again_before_its_end() {
        let file = KeyFile::new("command", "sk-one");
        let script = "printf '{\"secret\": \"%s\", \"expires_in\": 3600}\\n' \"$(cat \"$0\")\"";
        let source = CommandSource::new("sh", ["-c", script, file.0.to_str().unwrap()]);
        let session = RemoteSessionActor::bootstrap(source).await.unwrap();
        std::fs::write(&file.0, "sk-two").unwrap();
        sleep(Duration::from_secs(3290)).await;
        assert_eq!(held(&session), (0, "sk-one".to_owned()));
        sleep(Duration::from_secs(75)).await;
        assert_eq!(held(&session), (1, "sk-two".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_program_is_quoted_from_its_errors_and_never_from_its_output() {
        for (script, expect) in [
            ("echo sk-very-secret; exit 3", "credential command sh: exit status: 3"),
            ("echo sk-very-secret; set -x; echo sk-very-secret >&2; exit 3", "[redacted]"),
            ("echo no such vault >&2; exit 1", "exit status: 1: no such vault"),
            ("true", "is empty"),
            ("echo sk-one; echo sk-two", "line break"),
            ("head -c 300000 /dev/zero", "more than 65536 bytes"),
        ] {
            let text = failure(shell(script)).await;
            assert!(text.contains(expect), "{text}");
        }
        let text = failure(CommandSource::new("/no/such/program", ["sk-argument"])).await;
        assert!(text.contains("cannot be run"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed() {
        let pid = KeyFile::new("slow", "");
        let text = failure(slow(&pid).with_timeout(Duration::from_millis(500))).await;
        assert!(text.contains("did not finish within 500ms"), "{text}");
        assert!(!is_running(&pid));
    }

    #[tokio::test]
    async fn a_program_is_killed_when_nobody_waits_for_it() {
        let pid = KeyFile::new("left", "");
        let source = slow(&pid);
        let fetch = tokio::spawn(async move { source.fetch().await });
        while std::fs::read_to_string(&pid.0).unwrap().trim().is_empty() {
            tokio::task::yield_now().await;
        }
        fetch.abort();
        assert!(fetch.await.unwrap_err().is_cancelled());
        let death = async {
            while is_running(&pid) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), death).await.unwrap();
    }
}
