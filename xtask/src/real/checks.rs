//! The questions put to the real model, and what counts as an answer.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::server::{CONTEXT_TOKENS, Server};
use crate::steps::{Steps, now, seconds};
use crate::test::ensure_some_match;
use crate::workspace::{Workspace, cargo};

/// The name the server gives its model.
pub(super) const MODEL: &str = "smollm2";
const MAX_TOKENS: &str = "48";

/// Builds the command, asks through it, then runs the library's tests.
pub(super) fn run(workspace: &Workspace, steps: &mut Steps, server: &Server, prompt: &str) -> Result<()> {
    let program = steps.run("build infer", "Repeat with `cargo build -p infer-cmd`.", || build(workspace))?;
    let infer = Infer { program, base_url: format!("{}/v1", server.base_url()) };
    let again = "Repeat by hand: `cargo xtask real --keep` prints the lines to start from.";
    let streamed = steps.run("infer chat, streamed", again, || streamed(&infer, prompt))?;
    steps.run("infer chat --json", again, || json(&infer, prompt, &streamed))?;
    steps.run("infer chat --no-stream", again, || collected(&infer, prompt, &streamed))?;
    steps.run("infer chat, prompt too long", again, || too_long(&infer))?;
    steps.run("library tests", again, || library(workspace, server))
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let shell = workspace.shell()?;
    cargo(&shell).args(["build", "-p", "infer-cmd"]).run()?;
    let program = workspace.target().join("debug").join(format!("infer{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "infer-cmd was built, but {} is not there", program.display());
    Ok(program)
}

/// Text appears while it is still being made, not all at once at the end.
fn streamed(infer: &Infer, prompt: &str) -> Result<String> {
    let answer = infer.chat(&[], prompt)?;
    let text = answer.text()?;
    let (first, total, words) = (answer.first_after, answer.took, text.split_whitespace().count());
    anstream::println!("> {prompt}\n{text}");
    anstream::println!(
        "({words} words in {}, the first after {} ms, in {} pieces)",
        seconds(total),
        first.as_millis(),
        answer.pieces
    );
    ensure!(
        answer.pieces > 1,
        "the text came in one piece at the end: is standard output flushed as it streams?"
    );
    Ok(text)
}

/// The object has its members, and the text is the one that was streamed: temperature is 0.
fn json(infer: &Infer, prompt: &str, streamed: &str) -> Result<()> {
    let printed = infer.chat(&["--json"], prompt)?.text()?;
    let reply: Value =
        serde_json::from_str(&printed).with_context(|| format!("not one JSON object: {printed}"))?;
    anstream::println!("{reply:#}");
    for member in ["text", "finish", "usage", "model", "attempts", "time_to_first_token_ms"] {
        ensure!(!reply.get(member).unwrap_or(&Value::Null).is_null(), "member `{member}` is missing or null");
    }
    same_text(reply.get("text").and_then(Value::as_str).unwrap_or_default(), streamed)
}

fn collected(infer: &Infer, prompt: &str, streamed: &str) -> Result<()> {
    same_text(&infer.chat(&["--no-stream"], prompt)?.text()?, streamed)
}

/// The server's refusal arrives as exit code 1 and one line that a person understands.
fn too_long(infer: &Infer) -> Result<()> {
    let prompt = "word ".repeat(CONTEXT_TOKENS as usize + 500);
    let Answer { status, text, said, .. } = infer.chat(&[], &prompt)?;
    anstream::println!("{said}");
    ensure!(status.code() == Some(1), "ended with {status}, should be exit code 1: {said}");
    ensure!(text.is_empty(), "printed an answer although the call failed");
    ensure!(said.to_lowercase().contains("context"), "does not say that the context is too long: {said}");
    Ok(())
}

/// The tests of `runtime-openai` that need a real upstream.
fn library(workspace: &Workspace, server: &Server) -> Result<()> {
    let shell = workspace.shell()?;
    shell.set_var("INFER_REAL_BASE_URL", format!("{}/v1", server.base_url()));
    shell.set_var("INFER_REAL_EMBED_URL", format!("{}/v1", server.embeddings_url()));
    shell.set_var("NO_PROXY", "127.0.0.1");
    let call = ["test", "-p", "runtime-openai", "--test", "real", "--", "--ignored"];
    ensure_some_match(&shell, &call)?;
    cargo(&shell).args(call).arg("--nocapture").run()?;
    Ok(())
}

/// The program under test and the server it is to talk to.
#[derive(Debug)]
struct Infer {
    program: PathBuf,
    base_url: String,
}

impl Infer {
    /// One `infer chat`, the prompt on standard input, without any key from the caller's environment.
    fn chat(&self, flags: &[&str], prompt: &str) -> Result<Answer> {
        let mut args = vec!["chat", "--base-url", &self.base_url, "--model", MODEL];
        args.extend(["--temperature", "0", "--max-tokens", MAX_TOKENS]);
        args.extend(flags);
        anstream::eprintln!("$ infer {}", args.join(" "));
        let mut command = Command::new(&self.program);
        command.args(args).env_remove("OPENAI_API_KEY").env("NO_PROXY", "127.0.0.1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = now();
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that gives up before reading says why on standard error; that is reported.
            _ = stdin.write_all(prompt.as_bytes());
        }
        let mut stdout = child.stdout.take().context("no standard output")?;
        let (mut text, mut pieces, mut first_after) = (Vec::new(), 0, Duration::ZERO);
        let mut buffer = [0; 4096];
        loop {
            let length = stdout.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            if pieces == 0 {
                first_after = start.elapsed();
            }
            pieces += 1;
            text.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(Answer { status: output.status, text, said, pieces, first_after, took: start.elapsed() })
    }
}

/// What one call of the program left behind.
#[derive(Debug)]
struct Answer {
    status: ExitStatus,
    /// Standard output.
    text: Vec<u8>,
    /// Standard error.
    said: String,
    /// Reads it took to drain standard output: 1 means nothing was shown before the end.
    pieces: usize,
    first_after: Duration,
    took: Duration,
}

impl Answer {
    /// What was printed, after checking that the call succeeded.
    fn text(&self) -> Result<String> {
        ensure!(self.status.success(), "infer ended with {}: {}", self.status, self.said);
        let text = std::str::from_utf8(&self.text).context("the answer is not UTF-8")?.trim();
        ensure!(!text.is_empty(), "infer succeeded and printed nothing; it said: {}", self.said);
        Ok(text.to_owned())
    }
}

fn same_text(text: &str, streamed: &str) -> Result<()> {
    ensure!(text.trim() == streamed, "the text differs from the streamed one:\n{text}\n---\n{streamed}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_differs_is_shown_beside_the_streamed_one() {
        assert!(same_text("one\n", "one").is_ok());
        assert!(same_text("one", "two").unwrap_err().to_string().ends_with("one\n---\ntwo"));
    }
}
