//! The server's side: requests in, answers out.

use bytes::Bytes;
use infer_core::{Completion, EmbedBatch, Embeddings, ExecuteBatch, InferenceError, TokenChunk};

/// A request as received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChatRequest {
    /// What is asked.
    pub batch: ExecuteBatch,
    /// Whether the caller wants the token counts of a streamed answer.
    pub include_usage: bool,
}

/// Reads a chat request.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member.
pub fn read_request(_body: &Bytes) -> Result<ChatRequest, InferenceError> {
    Err(InferenceError::invalid_request("not written yet"))
}

/// Reads an embedding request.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member.
pub fn read_embed_request(_body: &Bytes) -> Result<EmbedBatch, InferenceError> {
    Err(InferenceError::invalid_request("not written yet"))
}

/// Writes a whole answer; one that came in this wire format is passed on untouched.
pub fn write_completion(_completion: &Completion, _model: &str) -> Bytes {
    Bytes::new()
}

/// Writes the events of one stream.
#[derive(Debug)]
pub struct ChunkWriter {}

impl ChunkWriter {
    /// The event that ends a complete stream.
    pub const DONE: &'static str = "data: [DONE]\n\n";

    /// A writer for one stream.
    pub fn new(_model: &str, _include_usage: bool) -> Self {
        Self {}
    }

    /// The event for one piece; `None` where there is nothing to send.
    pub fn write(&mut self, _chunk: &TokenChunk) -> Option<Bytes> {
        None
    }

    /// The event that ends a broken stream.
    pub fn error(_error: &InferenceError) -> Bytes {
        Bytes::new()
    }
}

/// Writes vectors.
pub fn write_embeddings(_embeddings: &Embeddings, _model: &str, _base64: bool) -> Bytes {
    Bytes::new()
}

/// Writes an error: the status and the body.
pub fn write_error(_error: &InferenceError) -> (u16, Bytes) {
    (500, Bytes::new())
}
