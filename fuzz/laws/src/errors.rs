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
    // Of a page, what stands in its tags is left out; of other text, what comes late.
    let is_said = |word: &str| word.starts_with(char::is_alphanumeric);
    let start = input.get(..2048).unwrap_or(input);
    let is_page = input.contains(&b'<');
    let is_silent = texts.into_iter().all(Option::is_none);
    assert!(
        !is_silent || is_page || !String::from_utf8_lossy(start).split_whitespace().any(is_said),
        "nothing is quoted"
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
