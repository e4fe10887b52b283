//! The questions put to the real model, and what counts as an answer.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
    let again = "Repeat by hand: `cargo xtask real --keep` prints the line to start from.";
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

/// Text appears on standard output and nothing is said on standard error.
fn streamed(infer: &Infer, prompt: &str) -> Result<String> {
    let start = now();
    let output = infer.chat(&[], prompt)?;
    let text = Infer::text_of(&output)?;
    anstream::println!("> {prompt}\n{text}\n({} in {})", words(&text), seconds(start.elapsed()));
    Ok(text)
}

/// The object has its members, and the text is the one that was streamed: temperature is 0.
fn json(infer: &Infer, prompt: &str, streamed: &str) -> Result<()> {
    let output = infer.chat(&["--json"], prompt)?;
    let printed = Infer::text_of(&output)?;
    let reply: Value =
        serde_json::from_str(&printed).with_context(|| format!("not one JSON object: {printed}"))?;
    anstream::println!("{reply:#}");
    for member in ["text", "finish", "usage", "model", "attempts", "time_to_first_token_ms"] {
        ensure!(!reply.get(member).unwrap_or(&Value::Null).is_null(), "member `{member}` is missing or null");
    }
    same_text(reply.get("text").and_then(Value::as_str).unwrap_or_default(), streamed)
}

fn collected(infer: &Infer, prompt: &str, streamed: &str) -> Result<()> {
    let output = infer.chat(&["--no-stream"], prompt)?;
    same_text(&Infer::text_of(&output)?, streamed)
}

/// The server's refusal arrives as exit code 1 and one line that a person understands.
fn too_long(infer: &Infer) -> Result<()> {
    let prompt = "word ".repeat(CONTEXT_TOKENS as usize + 500);
    let output = infer.chat(&[], &prompt)?;
    let said = String::from_utf8_lossy(&output.stderr);
    anstream::println!("{}", said.trim());
    ensure!(output.status.code() == Some(1), "ended with {}, should be exit code 1: {said}", output.status);
    ensure!(output.stdout.is_empty(), "printed an answer although the call failed");
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
    fn chat(&self, flags: &[&str], prompt: &str) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(["chat", "--base-url", &self.base_url, "--model", MODEL]);
        command.args(["--temperature", "0", "--max-tokens", MAX_TOKENS]).args(flags);
        command.env_remove("OPENAI_API_KEY").env("NO_PROXY", "127.0.0.1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        anstream::eprintln!("$ infer chat --base-url {} --model {MODEL} {}", self.base_url, flags.join(" "));
        let mut child = command.spawn().with_context(|| format!("cannot start {}", shown(&self.program)))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(prompt.as_bytes()).context("infer closed its standard input early")?;
        drop(stdin);
        Ok(child.wait_with_output()?)
    }

    /// What was printed, after checking that the call succeeded.
    fn text_of(output: &Output) -> Result<String> {
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "infer ended with {}: {}", output.status, said.trim());
        let text = String::from_utf8(output.stdout.clone()).context("the answer is not UTF-8")?;
        ensure!(!text.trim().is_empty(), "infer succeeded and printed nothing; it said: {}", said.trim());
        Ok(text.trim().to_owned())
    }
}

fn same_text(text: &str, streamed: &str) -> Result<()> {
    ensure!(text.trim() == streamed, "the text differs from the streamed one:\n{text}\n---\n{streamed}");
    Ok(())
}

fn words(text: &str) -> String {
    format!("{} words", text.split_whitespace().count())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
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
