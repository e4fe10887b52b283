//! Reads what upstreams say about errors.
//!
//! Status, codes and words are kept as they came; `meaning` is only given where it knows better than the HTTP status. A
//! type that says no more than the status does, such as `invalid_request_error`, which also comes with a 413 or 429, is
//! read for its meaning only where there is no status to go by: inside a success.

use infer_core::{ErrorBody, ErrorKind, Origin};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dto::is_truthy;
use crate::json::{count, filled, string, trim};

/// The most bytes of a body looked at, and of it quoted, when it is not JSON.
const LOOK: usize = 4096;
const QUOTE: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, alias = "Message")]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    /// Google's word for the type, where it serves this format.
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
}

/// Types that hold whatever the status is (Anthropic's page on errors and its Python client's types, read 2026-11-21).
const CERTAIN: [(&str, ErrorKind); 7] = [
    ("authentication_error", ErrorKind::Unauthenticated),
    ("permission_error", ErrorKind::PermissionDenied),
    ("not_found_error", ErrorKind::ModelNotFound),
    ("request_too_large", ErrorKind::RequestTooLarge),
    ("rate_limit_error", ErrorKind::RateLimited),
    ("billing_error", ErrorKind::QuotaExhausted),
    ("overloaded_error", ErrorKind::Overloaded),
];

/// Types that come with a status which says the same, or more (the same sources).
const LIKELY: [(&str, ErrorKind); 4] = [
    ("invalid_request_error", ErrorKind::InvalidRequest),
    ("api_error", ErrorKind::Upstream),
    ("timeout_error", ErrorKind::Upstream),
    ("conflict_error", ErrorKind::Upstream),
];

/// What an `invalid_request_error` is really about, for which the format has no type. Texts from reports of users of
/// Anthropic's own tools (the public issues of anthropics/claude-code, docker/docker-agent and others, read 2026-11-21).
const TEXTS: [(&str, ErrorKind); 7] = [
    ("prompt is too long", ErrorKind::ContextLengthExceeded),
    ("exceed context limit", ErrorKind::ContextLengthExceeded),
    ("exceeds the context window", ErrorKind::ContextLengthExceeded),
    ("credit balance is too low", ErrorKind::QuotaExhausted),
    ("you have reached your specified api usage limits", ErrorKind::QuotaExhausted),
    ("you have reached your specified workspace api usage limits", ErrorKind::QuotaExhausted),
    ("blocked by content filtering policy", ErrorKind::ContentFiltered),
];

/// Reads the body of an error response as well as it can. Never fails: what cannot be read is quoted.
pub(crate) fn read(body: &[u8]) -> ErrorBody {
    let (mut error, text) = parse(body);
    error.meaning = by_type(&error, &CERTAIN).or_else(|| by_text(&text));
    error
}

/// Reads an error that came under a success status, in one piece or as an event.
pub(crate) fn read_in_success(body: &[u8]) -> ErrorBody {
    let (mut error, text) = parse(body);
    error.meaning = by_type(&error, &CERTAIN)
        .or_else(|| by_text(&text))
        .or_else(|| by_type(&error, &LIKELY))
        .or_else(|| by_code(error.code.as_deref()?));
    error
}

/// A code that looks like the status of a failure.
fn by_code(code: &str) -> Option<ErrorKind> {
    let status = code.parse().ok().filter(|status| (400..600).contains(status))?;
    ErrorKind::of_status(status)
}

fn by_type(error: &ErrorBody, table: &[(&str, ErrorKind)]) -> Option<ErrorKind> {
    let word = error.error_type.as_deref()?;
    table.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
}

/// The kind that the words of an `invalid_request_error` tell.
pub(crate) fn by_text(text: &str) -> Option<ErrorKind> {
    let text = text.to_lowercase();
    TEXTS.iter().find(|(mark, _)| text.contains(mark)).map(|(_, kind)| *kind)
}

/// The error, and the beginning of its words.
fn parse(body: &[u8]) -> (ErrorBody, String) {
    let text = String::from_utf8_lossy(body);
    let text = trim(&text);
    let mut error = if text.starts_with('{') {
        serde_json::from_str::<Body<'_>>(text).map(Body::read).unwrap_or_default()
    } else {
        ErrorBody::default()
    };
    if error.message.is_none() && error.error_type.is_none() && error.code.is_none() {
        error.message = quote(text);
    }
    let words = error.message.as_deref().unwrap_or_default();
    let words = words.get(..words.floor_char_boundary(LOOK)).unwrap_or_default().to_owned();
    for text in
        [&mut error.message, &mut error.code, &mut error.error_type, &mut error.param].into_iter().flatten()
    {
        *text = Origin::excerpt(text);
    }
    (error, words)
}

impl Body<'_> {
    fn read(self) -> ErrorBody {
        let mut error = ErrorBody::default();
        match self.error.filter(|raw| is_truthy(raw)) {
            Some(raw) if raw.get().starts_with('{') => {
                let inner: Inner<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
                error.error_type = inner.r#type.or(inner.status).and_then(words);
                error.code = inner.code.and_then(words);
                error.param = filled(inner.param).map(Into::into);
                error.message = inner.message.and_then(words).or_else(|| Some(raw.get().to_owned()));
            }
            Some(raw) => error.message = words(raw),
            None => error.message = self.message.or(self.detail).and_then(words),
        }
        error
    }
}

/// A text, or a number as text; anything else as it is written.
fn words(raw: &RawValue) -> Option<String> {
    match string(raw) {
        Some(text) => (!text.is_empty()).then(|| text.into_owned()),
        None => Some(count(Some(raw)).map_or_else(|| raw.get().to_owned(), |number| number.to_string())),
    }
}

/// The beginning of a body that is not an error as we know them, on one line and without tags.
fn quote(body: &str) -> Option<String> {
    let start = body.get(..body.floor_char_boundary(LOOK)).unwrap_or_default();
    let untagged = if start.starts_with('<') {
        let said: Vec<_> = start.split('<').filter_map(|piece| Some(piece.split_once('>')?.1)).collect();
        said.join(" ")
    } else {
        start.to_owned()
    };
    let plain = untagged.replace(char::is_control, " ");
    let one_line: Vec<_> = plain.split_whitespace().collect();
    let quote: String = one_line.join(" ").chars().take(QUOTE).collect();
    (!quote.is_empty()).then_some(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(kind: &str, message: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn a_type_means_more_than_the_status_only_where_it_says_more() {
        for (kind, meaning) in CERTAIN {
            assert_eq!(read(of_type(kind, "x").as_bytes()).meaning, Some(meaning), "{kind}");
        }
        for (kind, meaning) in LIKELY {
            let body = of_type(kind, "x");
            assert_eq!(read(body.as_bytes()).meaning, None, "{kind}");
            assert_eq!(read_in_success(body.as_bytes()).meaning, Some(meaning), "{kind}");
        }
    }

    #[test]
    fn the_words_of_an_invalid_request_tell_what_it_is_about() {
        let cases = [
            ("prompt is too long: 208310 tokens > 200000 maximum", ErrorKind::ContextLengthExceeded),
            (
                "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
                ErrorKind::ContextLengthExceeded,
            ),
            ("Your credit balance is too low to access the API.", ErrorKind::QuotaExhausted),
            ("You have reached your specified API usage limits.", ErrorKind::QuotaExhausted),
            ("Output blocked by content filtering policy", ErrorKind::ContentFiltered),
        ];
        for (message, meaning) in cases {
            let error = read(of_type("invalid_request_error", message).as_bytes());
            assert_eq!(error.meaning, Some(meaning), "{message}");
        }
        let limited = of_type("rate_limit_error", "prompt is too long for this minute");
        assert_eq!(read(limited.as_bytes()).meaning, Some(ErrorKind::RateLimited));
    }

    #[test]
    fn errors_of_other_shapes_are_read_as_far_as_they_go() {
        let message = |body: &str| read(body.as_bytes()).message;
        assert_eq!(message(r#"{"error":"nope"}"#).as_deref(), Some("nope"));
        assert_eq!(message(r#"{"message":"nope"}"#).as_deref(), Some("nope"));
        assert_eq!(message(r#"{"Message":"nope"}"#).as_deref(), Some("nope"));
        assert_eq!(message(r#"{"detail":[{"loc":1}]}"#).as_deref(), Some(r#"[{"loc":1}]"#));
        assert_eq!(message(r#"{"error":{"code":7}}"#).as_deref(), Some(r#"{"code":7}"#));
        let google = read(br#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}"#);
        assert_eq!(google.code.as_deref(), Some("429"));
        assert_eq!(google.error_type.as_deref(), Some("RESOURCE_EXHAUSTED"));
        let in_success = read_in_success(br#"{"error":{"code":429,"message":"Quota"}}"#);
        assert_eq!(in_success.meaning, Some(ErrorKind::RateLimited));
    }

    #[test]
    fn every_text_of_an_error_is_an_excerpt() {
        let long = "x".repeat(4000);
        let body =
            format!(r#"{{"error":{{"type":"{long}","code":"{long}","param":"{long}","message":"{long}"}}}}"#);
        let error = read(body.as_bytes());
        for text in [error.error_type, error.code, error.param, error.message] {
            assert_eq!(text.unwrap().len(), 512);
        }
    }

    #[test]
    fn what_is_no_json_is_quoted_on_one_line_and_without_tags() {
        let page = "<html>\n<head><title>502 Bad Gateway</title></head><body class=\"x\">nginx</body></html>";
        assert_eq!(read(page.as_bytes()).message.as_deref(), Some("502 Bad Gateway nginx"));
        assert_eq!(read(b"upstream\r\nreset \x00 early").message.as_deref(), Some("upstream reset early"));
        assert_eq!(read(b" \n").message, None);
        assert_eq!(read("é".repeat(5000).as_bytes()).message.unwrap().chars().count(), QUOTE);
        assert_eq!(read(br#"{"error":{"mess"#).message.as_deref(), Some(r#"{"error":{"mess"#));
    }
}
