//! Lists of models, in every shape they come in, and signs of life.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use infer_core::raw::trim;
use infer_core::{DecodeKind, ListedModel, WireFault};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::client::{body_text, reported};
use crate::dto::{Answer, wrong_type};
use crate::json::{Count, Text};

/// The most models that are read of one list. OpenRouter, which has more than most, lists some hundred.
const MAX_MODELS: usize = 1 << 16;

/// Reads a list: in `data`, or a bare one as Together sends it (its documents, read 2026-11-21).
pub(crate) fn read(body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
    let text = body_text(body)?;
    let entries = if text.starts_with('[') {
        serde_json::from_str::<Entries<'_>>(text).map_err(|error| WireFault::unreadable("body", &error))?
    } else {
        if Answer::read(text, "body")?.is_error() {
            return Err(reported(text));
        }
        let list: List<'_> =
            serde_json::from_str(text).map_err(|error| WireFault::unreadable("body", &error))?;
        list.data.ok_or_else(|| WireFault::malformed(DecodeKind::Empty, "no list of models"))?
    };
    if entries.is_cut {
        let detail = format!("more than {MAX_MODELS} models");
        return Err(WireFault::malformed(DecodeKind::Json, detail));
    }
    entries.list.into_iter().map(model).collect()
}

/// Anything that is no error will do: Ollama answers in a plain sentence, vLLM with nothing.
pub(crate) fn read_health(body: &Bytes) -> Result<(), WireFault> {
    let text = String::from_utf8_lossy(body);
    let text = trim(&text);
    if Answer::read(text, "body").is_ok_and(|answer| answer.is_error()) {
        Err(reported(text))
    } else {
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct List<'a> {
    #[serde(borrow)]
    data: Option<Entries<'a>>,
}

/// The entries of a list, unread.
#[derive(Default)]
struct Entries<'a> {
    list: Vec<&'a RawValue>,
    is_cut: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for EntriesVisitor<'a> {
    type Value = Entries<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Entries::default();
        while let Some(entry) = seq.next_element::<&RawValue>()? {
            if entries.list.len() < MAX_MODELS {
                entries.list.push(entry);
            } else {
                entries.is_cut = true;
            }
        }
        Ok(entries)
    }
}

/// One model, under all the names its members go by (the vendors' documents, clients and servers, read 2026-11-21).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created: Count,
    /// Azure, in its older form.
    created_at: Count,
    #[serde(borrow)]
    owned_by: Text<'a>,
    /// Together.
    #[serde(borrow)]
    organization: Text<'a>,
    /// Groq.
    context_window: Count,
    /// OpenRouter, Together.
    context_length: Count,
    /// Mistral, LM Studio.
    max_context_length: Count,
    /// vLLM.
    max_model_len: Count,
    /// Groq.
    max_completion_tokens: Count,
    /// OpenRouter.
    #[serde(borrow)]
    top_provider: Option<&'a RawValue>,
    /// llama.cpp.
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    /// OpenAI.
    #[serde(borrow)]
    shutdown_date: Text<'a>,
    /// OpenRouter.
    #[serde(borrow)]
    expiration_date: Text<'a>,
    /// Mistral a date, Azure an object.
    #[serde(borrow)]
    deprecation: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Nested<'a> {
    max_completion_tokens: Count,
    n_ctx_train: Count,
    #[serde(borrow)]
    inference: Text<'a>,
}

fn model(raw: &RawValue) -> Result<ListedModel, WireFault> {
    if !raw.get().starts_with('{') {
        return Err(wrong_type("an entry of the list", "an object"));
    }
    let entry: Entry<'_> =
        serde_json::from_str(raw.get()).map_err(|error| WireFault::unreadable("an entry", &error))?;
    let Some(id) = entry.id.filled() else {
        return Err(WireFault::malformed(DecodeKind::Json, "an entry of the list has no id"));
    };
    let own = |text: &Text<'_>| text.filled().map(str::to_owned);
    let counts = |counts: &[Count]| counts.iter().find_map(|count| count.0.filter(|count| *count > 0));
    let (meta, provider) = (nested(entry.meta), nested(entry.top_provider));
    let mut model = ListedModel::new(id);
    model.created = counts(&[entry.created, entry.created_at]);
    model.owned_by = own(&entry.owned_by).or_else(|| own(&entry.organization));
    model.context_window = counts(&[
        entry.context_window,
        entry.context_length,
        entry.max_context_length,
        entry.max_model_len,
        meta.n_ctx_train,
    ]);
    model.max_output_tokens = counts(&[entry.max_completion_tokens, provider.max_completion_tokens]);
    let deprecation: Text<'_> =
        entry.deprecation.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let dates =
        [&entry.shutdown_date, &entry.expiration_date, &deprecation, &nested(entry.deprecation).inference];
    model.shutdown = dates.into_iter().find_map(own);
    model.wire = Some(raw.into());
    Ok(model)
}

fn nested(raw: Option<&RawValue>) -> Nested<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use infer_core::ErrorKind;

    use super::*;

    fn list(body: &str) -> Result<Vec<ListedModel>, WireFault> {
        read(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn an_empty_list_is_a_list_and_anything_else_is_none() {
        assert_eq!(list(r#"{"object":"list","data":[]}"#), Ok(vec![]));
        assert_eq!(list("[]"), Ok(vec![]));
        for (body, expect) in [
            ("", DecodeKind::Empty),
            ("{}", DecodeKind::Empty),
            (r#"{"data":null}"#, DecodeKind::Empty),
            ("<html>", DecodeKind::ContentType),
            (r#"{"data":{}}"#, DecodeKind::Json),
            (r#"{"data":["gpt"]}"#, DecodeKind::Json),
            (r#"{"data":[{"object":"model"}]}"#, DecodeKind::Json),
            (r#"{"data":[{"id":""}]}"#, DecodeKind::Json),
            (r#"{"data":[{"id":"a"},{"id":null}]}"#, DecodeKind::Json),
            (r#"{"data":[{"id":"a"}"#, DecodeKind::Json),
            ("5", DecodeKind::Json),
        ] {
            assert!(matches!(list(body), Err(WireFault::Malformed { kind, .. }) if kind == expect), "{body}");
        }
    }

    #[test]
    fn members_of_an_odd_type_count_as_absent() {
        let odd = r#"[{"id":"a","created":"soon","owned_by":{},"context_length":"4096","top_provider":[],"meta":5,
            "deprecation":{"inference":{}},"shutdown_date":null,"max_completion_tokens":-1}]"#;
        let models = list(odd).unwrap();
        let mut expect = ListedModel::new("a");
        expect.context_window = Some(4096);
        expect.wire.clone_from(&models[0].wire);
        assert_eq!(models, [expect]);
    }

    #[test]
    fn an_error_under_a_success_is_reported_as_one() {
        for body in [
            r#"{"error":{"message":"no","type":"authentication_error"}}"#,
            r#"{"data":[],"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}"#,
        ] {
            for fault in [list(body).unwrap_err(), read_health(&Bytes::from(body)).unwrap_err()] {
                let WireFault::Reported(error) = fault else { panic!("{body}: {fault:?}") };
                assert_eq!(error.meaning, Some(ErrorKind::Unauthenticated), "{body}");
            }
        }
    }

    #[test]
    fn whatever_is_no_error_is_a_sign_of_life() {
        let bodies: [&[u8]; 7] = [
            b"",
            b"Ollama is running",
            b"\"I'm alive!\"",
            b"{\"status\":\"ok\"}",
            b"[1",
            b"\xff\xfe",
            b"<html>",
        ];
        for body in bodies {
            assert_eq!(read_health(&Bytes::from_static(body)), Ok(()), "{body:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_not_kept() {
        let entries = vec![r#"{"id":"a"}"#; MAX_MODELS + 1].join(",");
        let fault = list(&format!("[{entries}]")).unwrap_err();
        assert!(matches!(fault, WireFault::Malformed { detail, .. } if detail.contains("65536")));
    }
}
