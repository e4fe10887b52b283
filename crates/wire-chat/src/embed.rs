//! Embeddings, both ways.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;
use infer_core::{DecodeKind, EmbedBatch, EmbedInput, Embeddings, InferenceError, Usage, WireFault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ChatDialect;
use crate::client::{body_text, reported};
use crate::dto::{Answer, wrong_type};
use crate::json::{Count, Text};
use crate::outline::writes_embed;
use crate::request::refused;
use crate::usage;
use crate::write::{self, Object};

/// Reads base64 with or without the marks at its end.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn write_request(batch: &EmbedBatch, dialect: &ChatDialect) -> Result<Bytes, InferenceError> {
    if !dialect.embeddings.offered {
        let why = "this upstream has no vectors in this wire format: ask another provider for them";
        return Err(InferenceError::invalid_request(why));
    }
    let is_text = |input: &EmbedInput| matches!(input, EmbedInput::Text(_));
    if batch.input.is_empty() {
        return Err(refused("input", "there is nothing to embed; add a text"));
    }
    if batch.input.iter().any(is_text) && !batch.input.iter().all(is_text) {
        return Err(refused("input", "must be all texts or all token lists, not both"));
    }
    let size: usize = batch.input.iter().map(input_size).sum();
    let mut out = Vec::with_capacity(256 + size);
    let mut object = Object::begin(&mut out);
    object.value("model", &batch.model);
    write::list(object.key("input"), &batch.input, |out, input| match input {
        EmbedInput::Tokens(ids) => write::value(out, ids),
        EmbedInput::Text(text) => write::value(out, text),
        _ => write::value(out, ""),
    });
    let mut member = |name: &str, is_said: bool, write: &dyn Fn(&mut Vec<u8>)| {
        if is_said && writes_embed(dialect, name)? {
            let renamed = dialect.embeddings.renamed.get(name).map_or(name, String::as_str);
            write(object.key(renamed));
        }
        Ok::<_, InferenceError>(())
    };
    member("encoding_format", batch.base64, &|out| write::value(out, "base64"))?;
    member("dimensions", batch.dimensions.is_some(), &|out| write::value(out, &batch.dimensions))?;
    member("user", batch.user.is_some(), &|out| write::value(out, &batch.user))?;
    let is_owned = |name: &str| match name {
        "model" | "input" => true,
        "encoding_format" => batch.base64,
        "dimensions" => batch.dimensions.is_some(),
        "user" => batch.user.is_some(),
        _ => false,
    };
    // A member that says under the upstream's name what another one says under ours.
    let is_said_again =
        |name: &str| dialect.embeddings.renamed.iter().any(|(from, to)| to == name && is_owned(from));
    for (name, value) in batch.extra.iter().filter(|(name, _)| !is_owned(name) && !is_said_again(name)) {
        member(name, true, &|out| out.extend_from_slice(value.get().as_bytes()))?;
    }
    object.end();
    Ok(out.into())
}

fn input_size(input: &EmbedInput) -> usize {
    match input {
        EmbedInput::Text(text) => text.len() + text.len() / 16 + 3,
        EmbedInput::Tokens(ids) => ids.len() * 7 + 3,
        _ => 3,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vectors<'a> {
    #[serde(borrow)]
    data: Option<Vec<Vector<'a>>>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vector<'a> {
    index: Count,
    #[serde(borrow)]
    embedding: Option<&'a RawValue>,
}

/// Reads an answer: numbers or base64, whichever was asked for, in the order of `index`.
pub(crate) fn read_answer(body: &Bytes) -> Result<Embeddings, WireFault> {
    let text = body_text(body)?;
    if Answer::read(text, "body").is_ok_and(|answer| answer.is_error()) {
        return Err(reported(text));
    }
    if !text.starts_with('{') {
        return Err(wrong_type("body", "an object"));
    }
    let answer: Vectors<'_> =
        serde_json::from_str(text).map_err(|error| WireFault::unreadable("body", &error))?;
    let data = answer.data.unwrap_or_default();
    if data.is_empty() {
        return Err(WireFault::malformed(DecodeKind::Empty, "no vectors"));
    }
    let mut vectors = (0_u64..)
        .zip(&data)
        .map(|(place, vector)| Ok((vector.index.0.unwrap_or(place), floats(vector.embedding)?)))
        .collect::<Result<Vec<_>, WireFault>>()?;
    vectors.sort_by_key(|(index, _)| *index);
    if (0..).zip(&vectors).any(|(place, (index, _))| place != *index) {
        return Err(WireFault::malformed(DecodeKind::Json, "data[].index has a gap or says a number twice"));
    }
    let mut embeddings = Embeddings::default();
    embeddings.vectors = vectors.into_iter().map(|(_, vector)| vector).collect();
    embeddings.model = answer.model.filled().map(str::to_owned);
    embeddings.usage = answer.usage.and_then(usage::read);
    Ok(embeddings)
}

fn floats(raw: Option<&RawValue>) -> Result<Vec<f32>, WireFault> {
    let wrong = || wrong_type("data[].embedding", "a list of numbers or base64 of 32-bit numbers");
    let raw = raw.ok_or_else(wrong)?.get();
    let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return serde_json::from_str(raw).map_err(|_| wrong());
    };
    // The one character of base64 that JSON may escape.
    let text = if text.contains("\\/") { Cow::Owned(text.replace("\\/", "/")) } else { Cow::Borrowed(text) };
    let bytes = TOLERANT.decode(&*text);
    let bytes = bytes.map_err(|_| wrong())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|four| f32::from_le_bytes(*four)).collect())
    } else {
        Err(wrong())
    }
}

/// Writes vectors. What JSON has no number for, such as NaN, becomes `null` unless base64 is asked for.
pub(crate) fn write_answer(embeddings: &Embeddings, model: &str, base64: bool) -> Bytes {
    let numbers: usize = embeddings.vectors.iter().map(Vec::len).sum();
    let mut out =
        Vec::with_capacity(256 + embeddings.vectors.len() * 64 + numbers * if base64 { 6 } else { 12 });
    let mut object = Object::begin(&mut out);
    object.value("object", "list");
    write::list(object.key("data"), embeddings.vectors.iter().enumerate(), |out, (index, vector)| {
        let mut data = Object::begin(out);
        data.value("object", "embedding");
        data.value("index", &index);
        if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            data.value("embedding", &STANDARD.encode(bytes));
        } else {
            data.value("embedding", vector);
        }
        data.end();
    });
    object.value("model", embeddings.model.as_deref().unwrap_or(model));
    let usage = embeddings.usage.unwrap_or_else(|| Usage::new(0, 0));
    let mut counts = Object::begin(object.key("usage"));
    counts.value("prompt_tokens", &usage.input_tokens);
    counts.value(
        "total_tokens",
        &if usage.total_tokens == 0 { usage.input_tokens } else { usage.total_tokens },
    );
    counts.end();
    object.end();
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Embeddings, WireFault> {
        read_answer(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn vectors_come_in_the_order_of_their_index_or_of_their_place() {
        let by_index = read(r#"{"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":[0]}]}"#).unwrap();
        assert_eq!(by_index.vectors, [[0.0], [1.0]]);
        let by_place = read(r#"{"data":[{"embedding":[1]},{"embedding":[0]}]}"#).unwrap();
        assert_eq!(by_place.vectors, [[1.0], [0.0]]);
    }

    #[test]
    fn a_vector_that_is_missing_or_said_twice_is_malformed() {
        let broken = [
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[0]}]}"#,
            r#"{"data":[{"index":1,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":null}]}"#,
            r#"{"data":[{"index":0,"embedding":"AAA="}]}"#,
            r#"{"data":[{"index":0,"embedding":["x"]}]}"#,
            r#"{"data":[]}"#,
            "{}",
            "[]",
        ];
        for body in broken {
            assert!(matches!(read(body), Err(WireFault::Malformed { .. })), "{body}");
        }
        assert!(matches!(read(r#"{"error":{"message":"x"}}"#), Err(WireFault::Reported(_))));
    }

    #[test]
    fn both_encodings_give_back_what_was_written() {
        let mut embeddings = Embeddings::default();
        embeddings.vectors = vec![vec![0.1, -2.5e-7], vec![1e30, 0.0]];
        embeddings.model = Some("m".to_owned());
        embeddings.usage = Some(Usage::new(3, 0));
        for base64 in [false, true] {
            let body = write_answer(&embeddings, "other", base64);
            assert_eq!(read_answer(&body).unwrap(), embeddings);
        }
    }

    #[test]
    fn inputs_of_two_kinds_or_of_none_are_refused_by_name() {
        let mixed = EmbedBatch::new("m", [EmbedInput::from("a"), EmbedInput::Tokens(vec![1])]);
        for batch in [mixed, EmbedBatch::new("m", Vec::<String>::new())] {
            let error = write_request(&batch, &ChatDialect::default()).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some("input"));
        }
    }
}
