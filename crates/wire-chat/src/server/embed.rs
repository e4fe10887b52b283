//! Embedding requests as a server receives them, and the answers.

use bytes::Bytes;
use infer_core::{EmbedBatch, EmbedInput, Embeddings, InferenceError};
use serde_json::value::RawValue;

use super::members::{Fit, integer, members, text};
use crate::embed::write_answer;
use crate::json::string;
use crate::request::refused;

/// Reads an embedding request.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member in `param` and says what is expected.
pub fn read_embed_request(body: &Bytes) -> Result<EmbedBatch, InferenceError> {
    read(body, None)
}

/// The same where the model stands elsewhere, such as in the path: a member `model` is not read.
///
/// # Errors
/// As for [`read_embed_request`].
pub fn read_embed_request_for(body: &Bytes, model: &str) -> Result<EmbedBatch, InferenceError> {
    read(body, Some(model))
}

fn read(body: &Bytes, given: Option<&str>) -> Result<EmbedBatch, InferenceError> {
    let mut batch = EmbedBatch::new(String::new(), Vec::<String>::new());
    let mut model = given.map(str::to_owned);
    for (name, raw) in members(body)?.list {
        match &*name {
            "model" if given.is_some() => {}
            "model" => model = text(&name, raw)?,
            "input" => batch.input = inputs(raw)?,
            "user" => batch.user = text(&name, raw)?,
            "encoding_format" => match text(&name, raw)?.as_deref() {
                None | Some("float") => batch.base64 = false,
                Some("base64") => batch.base64 = true,
                Some(_) => return Err(refused(&name, "must be float or base64")),
            },
            "dimensions" => match integer(&name, raw)? {
                Some(Fit::Typed(dimensions)) => batch.dimensions = Some(dimensions),
                Some(Fit::Other) => batch.extra.set(name, raw.into()),
                None => {}
            },
            _ => batch.extra.set(name, raw.into()),
        }
    }
    batch.model = model.ok_or_else(|| refused("model", "is missing"))?;
    if batch.input.is_empty() {
        return Err(refused("input", "is missing or empty"));
    }
    Ok(batch)
}

/// A text, a list of texts, a list of token ids, or a list of such lists.
fn inputs(raw: &RawValue) -> Result<Vec<EmbedInput>, InferenceError> {
    if let Some(text) = string(raw) {
        return Ok(vec![EmbedInput::Text(text)]);
    }
    let json = raw.get();
    let wrong = || refused("input", "must be text, token ids, or a list of either");
    let inside = json.strip_prefix('[').map(str::trim_start).ok_or_else(wrong)?;
    let inputs = match inside.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str::<Vec<String>>(json).map(|texts| texts.into_iter().map(Into::into).collect())
        }
        Some(b'[') => serde_json::from_str::<Vec<Vec<u32>>>(json)
            .map(|lists| lists.into_iter().map(EmbedInput::Tokens).collect()),
        Some(b']') => Ok(Vec::new()),
        _ => serde_json::from_str(json).map(|ids| vec![EmbedInput::Tokens(ids)]),
    };
    inputs.map_err(|_| wrong())
}

/// Writes vectors, as numbers or as base64. The answer's own model name stands before `model`.
pub fn write_embeddings(embeddings: &Embeddings, model: &str, base64: bool) -> Bytes {
    write_answer(embeddings, model, base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &str) -> Result<EmbedBatch, InferenceError> {
        read_embed_request(&Bytes::from(format!(r#"{{"model":"m",{members}}}"#)))
    }

    #[test]
    fn every_shape_of_input_is_understood() {
        let texts = |texts: &[&str]| texts.iter().map(|text| EmbedInput::from(*text)).collect::<Vec<_>>();
        assert_eq!(read(r#""input":"a""#).unwrap().input, texts(&["a"]));
        assert_eq!(read(r#""input":["a",""]"#).unwrap().input, texts(&["a", ""]));
        assert_eq!(read(r#""input":[1,2]"#).unwrap().input, [EmbedInput::Tokens(vec![1, 2])]);
        let lists = [EmbedInput::Tokens(vec![1]), EmbedInput::Tokens(vec![2, 3])];
        assert_eq!(read(r#""input":[ [1],[2,3] ]"#).unwrap().input, lists);
    }

    #[test]
    fn a_wrong_member_is_named() {
        let faults = [
            (r#""input":[]"#, "input"),
            (r#""input":null"#, "input"),
            (r#""x":1"#, "input"),
            (r#""input":["a",1]"#, "input"),
            (r#""input":[-1]"#, "input"),
            (r#""input":"a","encoding_format":"int8""#, "encoding_format"),
            (r#""input":"a","dimensions":"x""#, "dimensions"),
        ];
        for (members, param) in faults {
            let error = read(members).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param), "{members}");
        }
    }
}
