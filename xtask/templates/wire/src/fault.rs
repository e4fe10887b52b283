//! What Acme says about errors, in a response, in a stream and under a success.

use infer_core::{ErrorBody, ErrorKind, WireFault};
use serde::Deserialize;

/// The most bytes quoted from a body that is not Acme's.
const QUOTE: usize = 512;

#[derive(Deserialize)]
struct Body {
    error: Error,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

/// Reads it as well as it can; what cannot be read is quoted.
pub(crate) fn read(body: &[u8]) -> ErrorBody {
    let mut read = ErrorBody::default();
    if let Ok(Body { error }) = serde_json::from_slice(body) {
        read.meaning = error.code.as_deref().and_then(meaning);
        read.code = error.code;
        read.message = error.message;
    } else {
        let quote = String::from_utf8_lossy(body.get(..QUOTE).unwrap_or(body)).trim().to_owned();
        read.message = (!quote.is_empty()).then_some(quote);
    }
    read
}

pub(crate) fn reported(body: &[u8]) -> WireFault {
    WireFault::Reported(Box::new(read(body)))
}

/// Acme's codes (its API reference, read 2000-01-01). A code that says no more than the status does needs no row, unless
/// it also comes inside a success, where there is no status to go by.
fn meaning(code: &str) -> Option<ErrorKind> {
    match code {
        "prompt_too_long" => Some(ErrorKind::ContextLengthExceeded),
        "filtered" => Some(ErrorKind::ContentFiltered),
        "no_credit" => Some(ErrorKind::QuotaExhausted),
        "request_too_large" => Some(ErrorKind::RequestTooLarge),
        "overloaded" => Some(ErrorKind::Overloaded),
        "internal" => Some(ErrorKind::Upstream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_error_of_acmes_is_quoted_and_cut() {
        for (body, expect) in [
            (&b"<html>Bad Gateway</html>"[..], Some("<html>Bad Gateway</html>")),
            (b" \n", None),
            (br#"{"detail":"x"}"#, Some(r#"{"detail":"x"}"#)),
            (b"\xff", Some("\u{fffd}")),
        ] {
            let read = read(body);
            assert_eq!((read.meaning, read.message.as_deref()), (None, expect));
        }
        assert_eq!(read(&[b'x'; 9000]).message.map(|quote| quote.len()), Some(QUOTE));
    }

    #[test]
    fn an_unknown_code_is_kept_and_means_nothing() {
        let read = read(br#"{"error":{"code":"new_one","message":"m","more":[]}}"#);
        assert_eq!((read.meaning, read.code.as_deref()), (None, Some("new_one")));
    }
}
