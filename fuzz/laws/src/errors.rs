//! Bodies of responses that are errors.

use infer_core::{Codec, ErrorBody, ErrorKind, InferenceError, Origin};
use wire_chat::ChatCodec;
use wire_messages::MessagesCodec;

/// The most bytes of one text that is kept of an error.
const LONGEST: usize = 512;

/// The body of an error is read as far as it goes: texts are short, a status is one of a failure, and what is printed of it is
/// one short line.
///
/// # Panics
/// When that does not hold.
pub fn error_bodies(input: &[u8]) {
    holds(&ChatCodec::default().error_body(input), input);
    holds(&MessagesCodec::default().error_body(input), input);
}

fn holds(error: &ErrorBody, input: &[u8]) {
    let texts = [&error.message, &error.code, &error.error_type, &error.param];
    for text in texts.into_iter().flatten() {
        assert!(text.len() <= LONGEST, "a text of {} bytes", text.len());
    }
    assert!(error.filtered.len() <= 16, "{} reasons of a filter", error.filtered.len());
    assert!(error.filtered.iter().all(|reason| reason.chars().count() <= 40), "{:?}", error.filtered);
    assert!(error.status.is_none_or(|status| (400..600).contains(&status)), "status {:?}", error.status);
    assert!(error.retry_after.is_none_or(|wait| wait.as_secs() <= 3600), "a wait of {:?}", error.retry_after);
    let said_something =
        String::from_utf8_lossy(input).split_whitespace().any(|word| word.starts_with(char::is_alphanumeric));
    let has_read = texts.into_iter().flatten().any(|text| !text.is_empty());
    assert!(
        has_read || !said_something || input.trim_ascii().starts_with(b"<"),
        "nothing is quoted of what was said"
    );
    let mut at = Origin::default();
    at.message.clone_from(&error.message);
    at.code.clone_from(&error.code);
    at.error_type.clone_from(&error.error_type);
    at.param.clone_from(&error.param);
    at.filtered.clone_from(&error.filtered);
    let kind = error.meaning.unwrap_or(ErrorKind::Upstream);
    let line = InferenceError::reported(kind, Box::new(at), error.retry_after).to_string();
    assert!(line.lines().count() == 1, "{line:?} is not one line");
    assert!(line.len() <= 8 * LONGEST, "a line of {} bytes", line.len());
}
