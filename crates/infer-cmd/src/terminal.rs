//! Writing to standard output and standard error without ever failing loudly, and without obeying an upstream.

use std::borrow::Cow;
use std::io::{self, Write as _};

use anstyle::{Effects, Style};

/// Side remarks.
pub(crate) const DIM: Style = Style::new().effects(Effects::DIMMED);

/// A line on standard error, under the command's name.
pub(crate) fn note(text: &str) {
    // Where standard error is closed there is nobody to tell.
    _ = writeln!(anstream::stderr(), "infer: {}", clean(text));
}

/// A side remark on standard error, dim on a terminal; without a line break of its own.
pub(crate) fn dim(text: &str) {
    let mut stderr = anstream::stderr();
    _ = write!(stderr, "{DIM}{}{DIM:#}", clean(text));
    _ = stderr.flush();
}

/// Text on standard error as it is.
pub(crate) fn plain(text: &str) {
    let mut stderr = anstream::stderr();
    _ = stderr.write_all(text.as_bytes());
    _ = stderr.flush();
}

/// A line on standard output for a command that is ending anyway: where it cannot be written there is nobody to tell.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout();
    _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// `text` without the characters a terminal would obey; line breaks and tabs stay.
///
/// A model can be made to write them by whoever wrote what it reads: they could move the cursor, change the title of
/// the window or hide text.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let is_obeyed = |char: char| char.is_control() && char != '\n' && char != '\t';
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    text.replace("\r\n", "\n").replace(is_obeyed, "\u{fffd}").into()
}

/// `text` as one cell of a table: whoever chose it must not be able to make rows.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        let cleaned = clean("a\u{1b}[2J\u{9b}31m\u{7}\u{8}\u{7f}\rb\r\n\tc");
        assert_eq!(cleaned, "a\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\n\tc");
        assert!(matches!(clean("héllo\n\t日本"), Cow::Borrowed(_)));
    }
}
