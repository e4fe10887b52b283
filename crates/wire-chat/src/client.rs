//! The client's side.

use bytes::Bytes;
use infer_core::{
    Codec, Completion, EmbedBatch, Embeddings, ErrorBody, ExecuteBatch, InferenceError, WireFault,
};

use crate::{ChatDecoder, ChatDialect, fault};

/// Chat Completions and embeddings, seen from a client.
#[derive(Clone, Debug, Default)]
pub struct ChatCodec {
    /// What the upstream accepts.
    pub dialect: ChatDialect,
}

impl ChatCodec {
    /// A codec for an upstream that accepts `dialect`.
    pub fn new(dialect: ChatDialect) -> Self {
        Self { dialect }
    }
}

impl Codec for ChatCodec {
    type Decoder = ChatDecoder;

    fn encode(&self, _batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        Err(InferenceError::invalid_request("not written yet"))
    }

    fn decode_full(&self, _body: &Bytes) -> Result<Completion, WireFault> {
        Err(WireFault::Truncated)
    }

    fn decoder(&self) -> ChatDecoder {
        ChatDecoder::default()
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        fault::read(body)
    }

    fn encode_embed(&self, _batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
        Err(InferenceError::invalid_request("not written yet"))
    }

    fn decode_embed(&self, _body: &Bytes) -> Result<Embeddings, WireFault> {
        Err(WireFault::Truncated)
    }
}
