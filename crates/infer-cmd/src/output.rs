//! The answer as a person or a pipe sees it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use infer_core::{Completion, FinishKind, TokenChunk};
use tokio::io::{AsyncWriteExt as _, Stdout};

use crate::terminal;

/// How long to wait for a reader that has stopped reading, when the command is to end.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// Prints an answer as it comes: text to standard output, reasoning to standard error.
#[derive(Debug)]
pub(crate) struct Printer {
    // Written through Tokio, so that a reader that does not read leaves the command able to hear Ctrl-C.
    stdout: Stdout,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    at: At,
}

/// Where the cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing is written yet.
    Start,
    /// In a line of reasoning.
    Reasoning,
    /// In a line of the answer.
    Line,
    /// After a line of the answer.
    LineEnd,
}

impl Printer {
    pub(crate) fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            at: At::Start,
        }
    }

    /// Prints what the piece adds, at once.
    pub(crate) async fn piece(&mut self, chunk: &TokenChunk) -> io::Result<()> {
        if chunk.index != 0 {
            return Ok(());
        }
        if self.stderr_is_terminal && !chunk.reasoning.is_empty() {
            terminal::dim(&chunk.reasoning);
            self.at = At::Reasoning;
        }
        for text in [&chunk.text, &chunk.refusal] {
            self.text(text).await?;
        }
        Ok(())
    }

    /// Prints a line of its own.
    pub(crate) async fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n")).await
    }

    /// Prints a text of its own; on a terminal without what that would obey.
    pub(crate) async fn document(&mut self, text: &str) -> io::Result<()> {
        self.text(text).await?;
        self.end().await
    }

    /// Ends a whole answer: its last line ends too.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.end_reasoning();
        if self.at == At::Line {
            self.write("\n").await?;
        }
        self.at = At::Start;
        Ok(())
    }

    /// Ends an answer that broke off. On a terminal the next line must not be glued to it; a pipe gets what arrived
    /// and not a byte more.
    pub(crate) async fn break_off(&mut self) {
        self.end_reasoning();
        let end = if self.at == At::Line && self.stdout_is_terminal { "\n" } else { "" };
        // A reader that is gone or does not read must not keep the command from ending.
        _ = tokio::time::timeout(LAST_FLUSH, self.write(end)).await;
        self.at = At::Start;
    }

    async fn text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.end_reasoning();
        self.at = if text.ends_with('\n') { At::LineEnd } else { At::Line };
        if self.stdout_is_terminal {
            let text = terminal::clean(text);
            self.write(&text).await
        } else {
            self.write(text).await
        }
    }

    fn end_reasoning(&mut self) {
        if self.at == At::Reasoning {
            terminal::plain("\n\n");
            self.at = At::Start;
        }
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes()).await?;
        self.stdout.flush().await
    }
}

/// What a person should know about how an answer ended.
pub(crate) fn remark(answer: &Completion, limit: Option<u32>) -> Option<String> {
    let choice = answer.choices.first();
    let finish = answer.finish();
    let said = choice.is_some_and(|choice| !choice.text.is_empty() || !choice.refusal.is_empty());
    match finish.map(infer_core::FinishReason::kind) {
        Some(FinishKind::Length) => Some(match (limit, said) {
            (Some(_), true) => "the answer was cut at the token limit: raise --max-tokens".to_owned(),
            (Some(_), false) => {
                "the token limit was used up before any answer: raise --max-tokens".to_owned()
            }
            (None, _) => "the answer was cut at the model's own token limit".to_owned(),
        }),
        Some(FinishKind::ContentFilter) => {
            Some("the answer was cut by the upstream's content filter".to_owned())
        }
        Some(FinishKind::Error) => Some("the upstream could not finish the answer: ask again".to_owned()),
        Some(FinishKind::Other) => Some(format!(
            "the answer ended with the reason \"{}\"",
            finish.map_or("", |finish| finish.as_str())
        )),
        Some(FinishKind::ToolCalls) => {
            let names: Vec<_> = choice?.tool_calls.iter().map(|call| call.name.as_str()).collect();
            Some(format!(
                "the model asks for tools to be called: {}; --json shows the calls",
                names.join(", ")
            ))
        }
        _ if !said => Some("the answer is empty".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use infer_core::{Choice, FinishReason};

    use super::*;

    fn ended(kind: FinishKind, word: &str, text: &str) -> Completion {
        let mut choice = Choice::new(0);
        choice.finish = Some(FinishReason::new(kind, word));
        text.clone_into(&mut choice.text);
        let mut answer = Completion::default();
        answer.choices.push(choice);
        answer
    }

    #[test]
    fn an_answer_that_is_not_whole_is_remarked_on() {
        assert_eq!(remark(&ended(FinishKind::Stop, "stop", "Hi."), None), None);
        let remark = |kind, word, limit| remark(&ended(kind, word, "Hi"), limit).unwrap_or_default();
        assert!(remark(FinishKind::Length, "length", Some(5)).contains("raise --max-tokens"));
        assert!(!remark(FinishKind::Length, "length", None).contains("--max-tokens"));
        assert!(remark(FinishKind::ContentFilter, "content_filter", None).contains("content filter"));
        assert!(remark(FinishKind::Other, "load", None).contains("\"load\""));
    }

    #[test]
    fn an_empty_answer_is_remarked_on() {
        let answer = ended(FinishKind::Stop, "stop", "");
        assert_eq!(super::remark(&answer, None).as_deref(), Some("the answer is empty"));
    }
}
