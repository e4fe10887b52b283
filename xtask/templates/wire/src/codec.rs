//! Requests out, whole answers in.

use bytes::Bytes;
use infer_core::{
    Choice, Codec, Completion, DecodeKind, EmbedBatch, Embeddings, ErrorBody, ExecuteBatch, InferenceError,
    ListedModel, Wire, WireFault,
};
use serde::Deserialize;

use crate::answer::{Answer, Tokens, read};
use crate::{AcmeDecoder, FORMAT, fault, request};

/// Acme's wire format, seen from a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcmeCodec;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vec<f32>>,
    #[serde(default)]
    tokens: Option<Tokens>,
}

#[derive(Deserialize)]
struct Models {
    models: Vec<String>,
}

impl Codec for AcmeCodec {
    type Decoder = AcmeDecoder;

    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        request::write(batch)
    }

    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault> {
        let answer: Answer = read(body, "body")?;
        if answer.error.is_some() {
            return Err(fault::reported(body));
        }
        let mut choice = Choice::new(0);
        choice.finish = answer.finish();
        let mut whole = Completion::default();
        whole.served = answer.served().unwrap_or_default();
        whole.usage = answer.tokens.map(Tokens::usage);
        let Some(text) = answer.text else {
            return Err(WireFault::malformed(DecodeKind::Empty, "an answer without text"));
        };
        choice.text = text;
        whole.choices.push(choice);
        whole.wire = Some(Wire::new(FORMAT, body.clone()));
        Ok(whole)
    }

    fn decoder(&self) -> AcmeDecoder {
        AcmeDecoder::default()
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        fault::read(body)
    }

    fn encode_embed(&self, batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
        request::write_embed(batch)
    }

    fn decode_embed(&self, body: &Bytes) -> Result<Embeddings, WireFault> {
        let answer: Vectors = read_or_report(body)?;
        let mut found = Embeddings::default();
        found.vectors = answer.vectors;
        found.usage = answer.tokens.map(Tokens::usage);
        Ok(found)
    }

    fn decode_models(&self, body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
        let answer: Models = read_or_report(body)?;
        Ok(answer.models.into_iter().map(ListedModel::new).collect())
    }
}

/// Reads `body`, unless it is an error under a success status.
fn read_or_report<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, WireFault> {
    let answer: Answer = read(body, "body")?;
    if answer.error.is_some() { Err(fault::reported(body)) } else { read(body, "body") }
}
