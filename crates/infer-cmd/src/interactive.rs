//! A conversation in a terminal. Line editing is the terminal's own.

use infer_core::{Message, Part};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::answer::{Received, Show, ask};
use crate::args::ChatArgs;
use crate::chat::close;
use crate::failure::Failure;
use crate::output::Printer;
use crate::prompt::message;
use crate::request::Request;
use crate::signals::{Signals, Stop};
use crate::terminal;
use crate::upstream::Upstream;

const HELP: &str = "\
/system TEXT  change the instructions; without a text, remove them
/reset        forget the conversation
/exit         leave; so do Ctrl-D, and Ctrl-C twice
Ctrl-C        stop the answer being written";

/// Talks until the person leaves.
pub(crate) async fn run(
    args: &ChatArgs,
    request: &Request<'_>,
    upstream: &Upstream,
    images: Vec<Part>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    terminal::note(&format!("talking to {}; /help says what can be done", request.model));
    let mut talk =
        Talk { args, request, upstream, images, messages: Vec::new(), system: args.system.clone() };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    // A second Ctrl-C leaves; anything typed in between forgives the first.
    let mut was_stopped = false;
    loop {
        terminal::dim("> ");
        match next(&mut lines, signals).await? {
            Next::Stop(Stop::Interrupt) if !was_stopped => {
                was_stopped = true;
                terminal::plain("\n");
                terminal::note("Ctrl-C again leaves");
            }
            Next::Stop(stop) => {
                terminal::plain("\n");
                return Err(Failure::stopped(stop));
            }
            Next::End => {
                terminal::plain("\n");
                return Ok(());
            }
            Next::Line(line) => match Input::of(&line) {
                Input::Nothing => {}
                Input::Exit => return Ok(()),
                Input::Unknown(word) => terminal::note(&format!("{word} is no command; /help lists them")),
                Input::Help => terminal::plain(&format!("{HELP}\n")),
                Input::Reset => {
                    talk.messages.clear();
                    terminal::note("the conversation is forgotten");
                }
                Input::System(text) => {
                    talk.system = (!text.is_empty()).then(|| text.to_owned());
                    terminal::note(if text.is_empty() { "no instructions" } else { "instructions changed" });
                }
                Input::Say(text) => was_stopped = talk.say(text, signals).await?,
            },
        }
    }
}

struct Talk<'a> {
    args: &'a ChatArgs,
    request: &'a Request<'a>,
    upstream: &'a Upstream,
    /// For the next message.
    images: Vec<Part>,
    messages: Vec<Message>,
    system: Option<String>,
}

impl Talk<'_> {
    /// Asks, shows the answer, and remembers both. Says whether the answer was stopped.
    async fn say(&mut self, text: &str, signals: &mut Signals) -> Result<bool, Failure> {
        let images = std::mem::take(&mut self.images);
        self.messages.push(message(text.to_owned(), images.clone()));
        let batch = self.request.batch(self.system.as_deref(), &self.messages);
        let mut printer = Printer::new();
        let mut show = Show::Pieces(&mut printer);
        let mut received = Received::start();
        let outcome = tokio::select! {
            biased;
            stop = signals.stop() => Err(Failure::stopped(stop)),
            outcome = ask(&self.upstream.runner, batch, &mut show, &mut received) => outcome,
        };
        match outcome {
            Ok(()) => {
                printer.end().await?;
                close(self.args, self.request, self.upstream, &received);
                self.messages.push(Message::assistant(received.whole.text()));
                Ok(false)
            }
            Err(Failure::Stopped { stop: Stop::Interrupt, .. }) => {
                printer.break_off().await;
                terminal::note("stopped; Ctrl-C again leaves");
                self.keep_partial(&received, images);
                Ok(true)
            }
            Err(failure @ Failure::Call { .. }) => {
                printer.break_off().await;
                terminal::note(&failure.line().unwrap_or_default());
                self.forget_last(images);
                Ok(false)
            }
            Err(failure) => {
                printer.break_off().await;
                Err(failure)
            }
        }
    }

    /// What was seen stays part of the conversation.
    fn keep_partial(&mut self, received: &Received, images: Vec<Part>) {
        match received.whole.text() {
            "" => self.forget_last(images),
            text => self.messages.push(Message::assistant(text)),
        }
    }

    /// A question without an answer would be asked again with the next one; its pictures are kept for that.
    fn forget_last(&mut self, images: Vec<Part>) {
        self.messages.pop();
        self.images = images;
    }
}

enum Next {
    Line(String),
    End,
    Stop(Stop),
}

async fn next(lines: &mut Lines<BufReader<Stdin>>, signals: &mut Signals) -> Result<Next, Failure> {
    tokio::select! {
        biased;
        stop = signals.stop() => Ok(Next::Stop(stop)),
        line = lines.next_line() => match line {
            Ok(Some(line)) => Ok(Next::Line(line)),
            Ok(None) => Ok(Next::End),
            Err(error) => Err(Failure::usage(format!("standard input cannot be read: {error}"))),
        },
    }
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
enum Input<'a> {
    Nothing,
    Say(&'a str),
    System(&'a str),
    Reset,
    Help,
    Exit,
    Unknown(&'a str),
}

impl<'a> Input<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.trim();
        if !line.starts_with('/') {
            return if line.is_empty() { Self::Nothing } else { Self::Say(line) };
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "/exit" | "/quit" => Self::Exit,
            "/reset" => Self::Reset,
            "/help" => Self::Help,
            "/system" => Self::System(rest.trim()),
            // A path at the beginning of a question is no command.
            _ if word.get(1..).is_some_and(|name| name.contains('/')) => Self::Say(line),
            _ => Self::Unknown(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_questions() {
        assert_eq!(Input::of("  "), Input::Nothing);
        assert_eq!(Input::of("hello "), Input::Say("hello"));
        assert_eq!(Input::of("/system Be brief."), Input::System("Be brief."));
        assert_eq!(Input::of("/system"), Input::System(""));
        assert_eq!(Input::of("/exti"), Input::Unknown("/exti"));
        assert_eq!(Input::of("/etc/hosts is what?"), Input::Say("/etc/hosts is what?"));
    }
}
