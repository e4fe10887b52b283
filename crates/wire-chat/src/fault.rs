//! Reads what upstreams say about errors, in whatever shape.
//!
//! Status, codes and words are kept as they came; `meaning` is only given where it knows better
//! than the HTTP status. Codes that say no more than the status does, such as Groq's `rate_limit_exceeded` under a 413,
//! are read for their meaning only where there is no status to go by: inside a success.

mod meaning;

use std::time::Duration;

use infer_core::{ErrorBody, ErrorKind, Origin};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::filter;
use crate::json::{Count, Text, is_truthy, minify, string};
use meaning::Signs;

/// The longest wait taken from the words of a message: 86400 seconds have been seen there.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// The most reasons of a moderation that are kept, and the most characters of each.
const MAX_REASONS: usize = 16;
const MAX_REASON: usize = 40;
/// The most characters quoted from a body that is not JSON.
const QUOTE: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    error_description: Text<'a>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(borrow)]
    param: Text<'a>,
    status_code: Count,
    #[serde(borrow)]
    base_resp: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BaseResp<'a> {
    status_code: Count,
    #[serde(borrow)]
    status_msg: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Groq<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(borrow)]
    param: Text<'a>,
    #[serde(borrow)]
    innererror: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// Azure's filter (its documents, read 2026-11-21), which spell the member both ways.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Filter<'a> {
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(alias = "content_filter_results", borrow)]
    content_filter_result: Option<&'a RawValue>,
}

/// OpenRouter's details (its documents and client's source, read 2026-11-21).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    error_type: Text<'a>,
    #[serde(borrow)]
    reasons: Option<Vec<Text<'a>>>,
}

/// Reads the body of an error response as well as it can. Never fails: what cannot be read is quoted.
///
/// `meaning` is `None` where the HTTP status says as much or more. `status` is one the body itself gives.
pub fn read(body: &[u8]) -> ErrorBody {
    let (mut error, signs) = parse(body);
    error.meaning = error.meaning.or_else(|| signs.certain());
    error
}

/// Reads an error that came under a success status, where weaker signs have to do.
pub(crate) fn read_in_success(body: &[u8]) -> ErrorBody {
    let (mut error, signs) = parse(body);
    error.meaning = error.meaning.or_else(|| signs.certain()).or_else(|| signs.likely());
    error
}

/// Reads an error inside a stream. A code that looks like a status gives the meaning of one, but the response had a
/// status of its own, so none is reported.
pub(crate) fn read_in_stream(event: &[u8]) -> ErrorBody {
    let mut error = read_in_success(event);
    if let (Some(status), Some(code)) = (error.status, &error.code)
        && code.parse() == Ok(status)
    {
        error.meaning = error.meaning.or_else(|| ErrorKind::of_status(status));
        error.status = None;
    }
    error
}

fn parse(body: &[u8]) -> (ErrorBody, Signs) {
    let text = String::from_utf8_lossy(body);
    let text = infer_core::raw::trim(&text);
    let read = if text.starts_with('{') { serde_json::from_str::<Body<'_>>(text).ok() } else { None };
    let (mut error, mut signs) = read.map_or_else(Default::default, Body::read);
    if error.message.is_none() && error.code.is_none() && error.error_type.is_none() {
        error.message = quote(text);
    }
    error.retry_after = error.message.as_deref().and_then(wait);
    signs.look_at(&error);
    for text in
        [&mut error.message, &mut error.code, &mut error.error_type, &mut error.param].into_iter().flatten()
    {
        *text = Origin::excerpt(text);
    }
    (error, signs)
}

impl Body<'_> {
    fn read(self) -> (ErrorBody, Signs) {
        let mut error = ErrorBody::default();
        let mut signs = Signs::default();
        error.status = self.status_code.0.and_then(http_error);
        let base: BaseResp<'_> = lenient(self.base_resp);
        if let Some(code) = base.status_code.0.filter(|code| *code != 0) {
            error.meaning = Some(meaning::of_minimax(code));
            error.code = Some(code.to_string());
            error.message = base.status_msg.into_string();
            return (error, signs);
        }
        let said = [self.error, lenient::<Groq<'_>>(self.x_groq).error];
        match said.into_iter().flatten().find(|raw| is_truthy(raw)) {
            Some(raw) if raw.get().starts_with('{') => {
                let inner: Inner<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
                inner.read(&mut error, &mut signs);
                error.message = error.message.or_else(|| Some(minify(raw.get())));
            }
            Some(raw) => {
                let said = string(raw).unwrap_or_else(|| minify(raw.get()));
                if let Some(description) = self.error_description.into_string() {
                    error.meaning = meaning::of_oauth(&said);
                    error.code = Some(said);
                    error.message = Some(description);
                } else {
                    error.code = self.code.into_string();
                    error.message = Some(said);
                }
            }
            None => {
                error.code = self.code.into_string();
                error.error_type = self.r#type.into_string();
                error.param = self.param.into_string();
                error.message = self.message.or(self.detail).and_then(words);
            }
        }
        error.status = error.status.or_else(|| error.code.as_ref()?.parse().ok().and_then(http_error));
        (error, signs)
    }
}

impl Inner<'_> {
    fn read(self, error: &mut ErrorBody, signs: &mut Signs) {
        error.code = self.code.into_string();
        error.error_type = self.r#type.into_string();
        error.param = self.param.into_string();
        error.message = self.message.and_then(words);
        let inner: Filter<'_> = lenient(self.innererror);
        signs.inner_code = inner.code.into_string();
        let findings = inner.content_filter_result.map(filter::findings).unwrap_or_default();
        let filtered = findings.into_iter().filter(|finding| finding.filtered);
        error.filtered = filtered.map(|finding| finding.category).collect();
        let metadata: Metadata<'_> = lenient(self.metadata);
        signs.stable_type = metadata.error_type.into_string();
        error.filtered.extend(metadata.reasons.into_iter().flatten().filter_map(Text::into_string));
        error.filtered.truncate(MAX_REASONS);
        error.filtered.iter_mut().for_each(|reason| *reason = reason.chars().take(MAX_REASON).collect());
        signs.is_moderated = !error.filtered.is_empty();
    }
}

/// What of a member can be read; nothing of it when it has another shape.
fn lenient<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn http_error(status: u64) -> Option<u16> {
    u16::try_from(status).ok().filter(|status| (400..600).contains(status))
}

/// A message; Mistral sends an object for one (its API description, read 2026-11-21).
fn words(raw: &RawValue) -> Option<String> {
    match raw.get() {
        "null" => None,
        text => Some(string(raw).unwrap_or_else(|| minify(text))),
    }
}

/// The beginning of a body that is not an error as we know them, without tags.
fn quote(body: &str) -> Option<String> {
    let mut is_tag = false;
    let tagless = |c: char| {
        let keep = match c {
            '<' => {
                is_tag = true;
                return Some(' ');
            }
            '>' if is_tag => {
                is_tag = false;
                return None;
            }
            _ => !is_tag,
        };
        keep.then_some(if c.is_control() { ' ' } else { c })
    };
    let start = body.char_indices().nth(4096).map_or(body, |(end, _)| body.get(..end).unwrap_or(body));
    let plain: String =
        if body.starts_with('<') { start.chars().filter_map(tagless).collect() } else { start.into() };
    let mut quote = String::new();
    for word in plain.split_whitespace() {
        if !quote.is_empty() {
            quote.push(' ');
        }
        quote.extend(word.chars().take(QUOTE));
        if quote.len() >= QUOTE {
            break;
        }
    }
    let quote: String = quote.chars().take(QUOTE).collect();
    (!quote.is_empty()).then_some(quote)
}

/// The wait in "retry after 60 seconds".
fn wait(message: &str) -> Option<Duration> {
    let (_, after) = message.split_once("retry after ")?;
    let (number, rest) = after.split_once(' ')?;
    let wait = Duration::from_secs(number.parse().ok()?);
    rest.starts_with("second").then_some(wait.min(MAX_WAIT))
}
