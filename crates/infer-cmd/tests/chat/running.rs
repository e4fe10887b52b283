//! Running the command.

use std::io::Read;
use std::process::{Child, Command as StdCommand, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use upstream_sim::Sim;

pub(crate) const KEY: &str = "sk-test-0123456789abcdef0123456789";
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_infer");

/// What one run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one object on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The command in an environment of its own.
pub(crate) fn infer(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    // NO_PROXY: a proxy of whoever runs the tests must not come between.
    command.env_clear().env("NO_PROXY", "*").timeout(DEADLINE).args(args);
    command
}

/// `infer chat` against `sim`, with a key.
pub(crate) fn chat(sim: &Sim, args: &[&str]) -> Command {
    let mut command = infer(&["chat", "--base-url", &sim.base_url()]);
    command.env("OPENAI_API_KEY", KEY).args(args);
    command
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().expect("killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs all at once, since most of their time is waiting; what each left behind, in the same order.
pub(crate) fn run_together(commands: impl IntoIterator<Item = Command>) -> Vec<Ran> {
    thread::scope(|scope| {
        let started: Vec<_> =
            commands.into_iter().map(|mut command| scope.spawn(move || run(&mut command))).collect();
        started.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

/// A run that is still going on, to be looked at and stopped.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn start(args: &[&str], base_url: Option<&str>) -> Self {
        Self::start_with(args, base_url, Stdio::null())
    }

    pub(crate) fn start_with(args: &[&str], base_url: Option<&str>, stdin: Stdio) -> Self {
        let mut command = StdCommand::new(PROGRAM);
        command.env_clear().env("NO_PROXY", "*").args(args);
        if let Some(url) = base_url {
            command.env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", KEY);
        }
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: command.spawn().unwrap() }
    }

    /// Reads standard output until it holds `text`.
    pub(crate) fn read_until(&mut self, text: &str) -> String {
        let mut stdout = self.child.stdout.take().unwrap();
        let wanted = text.to_owned();
        let (sender, receiver) = mpsc::channel();
        // On a thread, so that a command that says nothing fails the test instead of hanging it.
        std::thread::spawn(move || {
            let (mut seen, mut buffer) = (String::new(), [0; 256]);
            while !seen.contains(&wanted) {
                let length = stdout.read(&mut buffer).unwrap();
                assert!(length > 0, "ended after {seen:?}");
                seen.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            }
            sender.send((seen, stdout)).unwrap();
        });
        let (seen, stdout) = receiver.recv_timeout(DEADLINE).expect("nothing in time");
        self.child.stdout = Some(stdout);
        seen
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = StdCommand::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end: the exit code and what was printed since.
    pub(crate) fn end(mut self) -> Ran {
        let (sender, receiver) = mpsc::channel();
        let id = self.child.id();
        std::thread::spawn(move || {
            let (mut stdout, mut stderr) = (String::new(), String::new());
            if let Some(mut pipe) = self.child.stdout.take() {
                pipe.read_to_string(&mut stdout).unwrap();
            }
            self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            let code = self.child.wait().unwrap().code().expect("killed by the signal instead of ending");
            // Nobody listens once the deadline has passed.
            _ = sender.send(Ran { code, stdout, stderr });
        });
        receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            _ = StdCommand::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("did not end in time")
        })
    }
}

pub(crate) async fn sim() -> Sim {
    Sim::builder().seed(7).start().await.unwrap()
}

/// The body of the only request.
pub(crate) fn sent(sim: &Sim) -> Value {
    let requests = sim.requests();
    assert_eq!(requests.len(), 1);
    serde_json::from_slice(&requests[0].body).unwrap()
}
