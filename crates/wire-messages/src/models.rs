//! The list of models.
//!
//! Shapes after Anthropic's API reference for listing models, read 2026-11-21.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use infer_core::{DecodeKind, ListedModel, RawJson, WireFault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dto::{is_truthy, object, reported, utf8};
use crate::json::{count, filled};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Page<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    owned_by: Option<&'a RawValue>,
    #[serde(borrow)]
    max_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
}

impl Page<'_> {
    fn is_error(&self) -> bool {
        filled(self.r#type).as_deref() == Some("error") || self.error.is_some_and(is_truthy)
    }
}

/// Reads a list of models. An entry without a name cannot be asked for and is left out.
pub(crate) fn read(body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
    let text = utf8(body, "body")?;
    match text.as_bytes().first() {
        None => return Err(WireFault::malformed(DecodeKind::Empty, "no body")),
        Some(b'<') => return Err(WireFault::malformed(DecodeKind::ContentType, "a web page")),
        Some(_) => {}
    }
    let page: Page<'_> = object(text, "body")?;
    if page.is_error() {
        return Err(reported(text));
    }
    let Some(data) = page.data else {
        return Err(WireFault::malformed(DecodeKind::Empty, "no data"));
    };
    let entries: Vec<&RawValue> = serde_json::from_str(data.get())
        .map_err(|_| WireFault::malformed(DecodeKind::Json, "data is not a list"))?;
    let listed = entries.into_iter().map(|raw| Ok(model(raw, &object(raw.get(), "model")?)));
    listed.filter_map(Result::transpose).collect()
}

/// Passes anything that is no error.
pub(crate) fn read_error(body: &Bytes) -> Result<(), WireFault> {
    let Ok(text) = utf8(body, "body") else { return Ok(()) };
    match object::<Page<'_>>(text, "body") {
        Ok(page) if page.is_error() => Err(reported(text)),
        _ => Ok(()),
    }
}

fn model(raw: &RawValue, entry: &Entry<'_>) -> Option<ListedModel> {
    // Where nothing is known, the reference has counts of 0 and the time 0.
    let known = |count: Option<u64>| count.filter(|count| *count > 0);
    let mut model = ListedModel::new(filled(entry.id)?);
    model.created = known(filled(entry.created_at).as_deref().and_then(seconds));
    model.owned_by = filled(entry.owned_by).map(Cow::into_owned);
    model.context_window = known(count(entry.max_input_tokens));
    model.max_output_tokens = known(count(entry.max_tokens));
    model.wire = Some(RawJson::from(raw));
    Some(model)
}

/// Seconds since 1970 of a time as RFC 3339 has it.
fn seconds(time: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(time).ok()?.duration_since(UNIX_EPOCH);
    since.as_ref().map(Duration::as_secs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<Vec<ListedModel>, WireFault> {
        read(&Bytes::copy_from_slice(body.as_bytes()))
    }

    const PAGE: &str = r#"{"data":[
        {"type":"model","id":"claude-opus-5-5","display_name":"Claude Opus 5.5","created_at":"2026-09-22T00:00:00Z",
         "max_input_tokens":1000000,"max_tokens":128000,"capabilities":{"batch":{"supported":true}}},
        {"type":"model","id":"claude-mystery","created_at":"1970-01-01T00:00:00Z","max_input_tokens":0,"max_tokens":null}
    ],"has_more":false,"first_id":"claude-opus-5-5","last_id":"claude-mystery"}"#;

    #[test]
    fn a_list_keeps_its_order_and_says_what_is_known() {
        let listed = of(PAGE).unwrap();
        let [opus, mystery] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((opus.id.as_str(), opus.created), ("claude-opus-5-5", Some(1_790_035_200)));
        assert_eq!((opus.context_window, opus.max_output_tokens), (Some(1_000_000), Some(128_000)));
        assert!(opus.wire.as_ref().unwrap().get().contains("display_name"));
        assert_eq!((mystery.created, mystery.context_window, mystery.max_output_tokens), (None, None, None));
    }

    #[test]
    fn a_time_that_cannot_be_read_or_a_count_of_another_type_spoils_nothing_else() {
        for odd in ["\"soon\"", "5", "null", "\"1960-01-01T00:00:00Z\"", "\"2026-09-22\""] {
            let body = format!(r#"{{"data":[{{"id":"m","created_at":{odd},"max_tokens":"x"}}]}}"#);
            let listed = of(&body).unwrap();
            assert_eq!((listed[0].id.as_str(), listed[0].created), ("m", None), "{odd}");
        }
        assert_eq!(of(r#"{"data":[{"id":""},{"id":7},{}]}"#).unwrap(), []);
    }

    #[test]
    fn what_is_no_list_says_why() {
        for (body, kind) in [
            ("", DecodeKind::Empty),
            ("<html>", DecodeKind::ContentType),
            ("[]", DecodeKind::Json),
            ("{}", DecodeKind::Empty),
            (r#"{"data":{}}"#, DecodeKind::Json),
            (r#"{"data":["m"]}"#, DecodeKind::Json),
        ] {
            let found = of(body).unwrap_err();
            assert!(
                matches!(&found, WireFault::Malformed { kind: is, .. } if *is == kind),
                "{body}: {found:?}"
            );
        }
    }

    #[test]
    fn an_error_under_a_success_is_reported_and_anything_else_is_healthy() {
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert!(matches!(of(error), Err(WireFault::Reported(_))));
        let health = |body: &'static str| read_error(&Bytes::from_static(body.as_bytes()));
        assert!(matches!(health(error), Err(WireFault::Reported(_))));
        for fine in ["", "ok", "[]", "{}", PAGE] {
            assert_eq!(health(fine), Ok(()), "{fine}");
        }
        assert_eq!(read_error(&Bytes::from_static(b"\xff")), Ok(()));
    }
}
