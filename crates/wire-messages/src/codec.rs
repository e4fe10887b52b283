//! The codec: requests out, answers in.

use bytes::Bytes;
use infer_core::{Codec, Completion, ErrorBody, ExecuteBatch, InferenceError, ListedModel, WireFault};

use crate::request::write_request;
use crate::{MessagesDecoder, MessagesDialect, answer, fault, models};

/// The Messages format, seen from a client.
///
/// ```
/// use infer_core::{Codec, ExecuteBatch};
/// use wire_messages::MessagesCodec;
///
/// let body = MessagesCodec::default().encode(&ExecuteBatch::new("claude-sonnet-5", "Hi"))?;
/// assert_eq!(body, r#"{"model":"claude-sonnet-5","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]}"#);
/// # Ok::<(), infer_core::InferenceError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MessagesCodec {
    /// What the upstream accepts.
    pub dialect: MessagesDialect,
}

impl MessagesCodec {
    /// A codec for an upstream that accepts `dialect`.
    pub fn new(dialect: MessagesDialect) -> Self {
        Self { dialect }
    }
}

impl Codec for MessagesCodec {
    type Decoder = MessagesDecoder;

    /// Members of `extra` come last. One that the batch itself has a value for is left out, whatever it says; members
    /// of `output_config` are merged with ours. Messages received in [`MESSAGES`](crate::MESSAGES) are copied unread,
    /// and their instructions have to be `system` in `extra`.
    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        write_request(batch, &self.dialect)
    }

    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault> {
        answer::read(body)
    }

    fn decoder(&self) -> MessagesDecoder {
        MessagesDecoder::default()
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        fault::read(body)
    }

    /// A page of the list is read as the list. A page holds up to 1000 models where that is asked for (Anthropic's API
    /// reference, read 2026-11-21), many times what there are.
    fn decode_models(&self, body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
        models::read(body)
    }

    fn decode_health(&self, body: &Bytes) -> Result<(), WireFault> {
        models::read_error(body)
    }
}
