//! Where the question comes from: arguments, standard input, or both.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::time::Duration;

use infer_core::{Message, Part};
use tokio::sync::oneshot;

use crate::args::ChatArgs;
use crate::failure::Failure;
use crate::{image, terminal};

/// Above any model's context, and below what would fill a machine's memory.
const MAX_STDIN_BYTES: u64 = 64 << 20;

/// How long an open standard input may stay silent. Programs that start others often leave a pipe open and never write.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the person wants.
#[derive(Debug)]
pub(crate) enum Prompt {
    /// One answer to this.
    Ask(Message),
    /// A conversation; the pictures go with its first message.
    Talk(Vec<Part>),
}

/// Reads arguments, pictures, and standard input when that is not a terminal.
pub(crate) async fn read(args: &ChatArgs) -> Result<Prompt, Failure> {
    let images = args.image.iter().map(|path| image::read(path)).collect::<Result<Vec<_>, _>>()?;
    let written = args.prompt.join(" ");
    let is_terminal = io::stdin().is_terminal();
    if is_terminal && args.prompt.is_empty() {
        if args.json {
            return Err(Failure::usage(
                "--json needs a prompt: give one as an argument or on standard input",
            ));
        }
        return Ok(Prompt::Talk(images));
    }
    let piped = if is_terminal { String::new() } else { stdin(&written).await? };
    let text = join(written, &piped);
    if text.trim().is_empty() && images.is_empty() {
        return Err(Failure::usage("the prompt is empty: give one as an argument or on standard input"));
    }
    Ok(Prompt::Ask(message(text, images)))
}

/// Text and the pictures that go with it.
pub(crate) fn message(text: String, images: Vec<Part>) -> Message {
    if images.is_empty() {
        return Message::user(text);
    }
    let text = (!text.trim().is_empty()).then(|| Part::text(text));
    Message::user(text.into_iter().chain(images).collect::<Vec<_>>())
}

/// The arguments, and standard input below them.
fn join(written: String, piped: &str) -> String {
    let piped = piped.trim_end_matches(['\n', '\r']);
    match (written.trim().is_empty(), piped.trim().is_empty()) {
        (_, true) => written,
        (true, false) => piped.to_owned(),
        (false, false) => format!("{written}\n\n{piped}"),
    }
}

/// Reads standard input to its end. Where the arguments already ask something and nothing comes for a while, it is left
/// out, and the person is told.
async fn stdin(written: &str) -> Result<String, Failure> {
    let (begun, first) = oneshot::channel();
    // On a thread of its own, so that Ctrl-C is heard while it waits.
    let read = tokio::task::spawn_blocking(|| {
        let mut stdin = io::stdin().lock();
        let first = stdin.fill_buf().map(<[u8]>::len);
        // Nobody listens any more when it came too late.
        _ = begun.send(());
        first?;
        let mut bytes = Vec::new();
        stdin.take(MAX_STDIN_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    if tokio::time::timeout(PATIENCE, first).await.is_err() {
        if !written.trim().is_empty() {
            terminal::note("standard input is open but nothing comes: asking without it");
            return Ok(String::new());
        }
        terminal::note("reading the prompt from standard input");
    }
    let read = read.await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(Failure::usage(format!("standard input cannot be read: {error}"))),
        Err(_) => return Err(Failure::usage("standard input cannot be read")),
    };
    if bytes.len() as u64 > MAX_STDIN_BYTES {
        return Err(Failure::usage("standard input is larger than 64 MiB: send less"));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage("standard input is not UTF-8 text: send pictures with --image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_follows_the_arguments() {
        assert_eq!(join("Explain".into(), "fn main() {}\n"), "Explain\n\nfn main() {}");
        assert_eq!(join(String::new(), "  indented\n"), "  indented");
        assert_eq!(join("Hi".into(), "\n"), "Hi");
    }

    #[test]
    fn pictures_come_after_the_text_they_go_with() {
        let message = message("What?".into(), vec![Part::image_base64("image/png", "AA==")]);
        assert_eq!(message.content.text(), "What?");
        assert!(matches!(&message.content, infer_core::Content::Parts(parts) if parts.len() == 2));
    }
}
