//! What a wire format must be able to do. Pure: bytes in, values out.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Completion, DecodeKind, EmbedBatch, Embeddings, ErrorKind, ExecuteBatch, InferenceError, ListedModel,
    TokenChunk,
};

/// One wire format, seen from a client.
pub trait Codec: Send + Sync + fmt::Debug + 'static {
    /// Reads the events of one stream.
    type Decoder: EventDecoder;

    /// The body of a request.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] when the format cannot say what is asked.
    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError>;

    /// Reads an answer that came in one piece.
    ///
    /// # Errors
    /// [`WireFault::Reported`] for an error under a success status, [`WireFault::Malformed`] for anything else.
    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault>;

    /// A reader for one stream.
    fn decoder(&self) -> Self::Decoder;

    /// Reads the body of an error response as well as it can. Never fails: what cannot be read is quoted.
    fn error_body(&self, body: &[u8]) -> ErrorBody;

    /// The body of an embedding request.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] when the format has no embeddings.
    fn encode_embed(&self, _batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
        Err(InferenceError::invalid_request("this provider has no embeddings"))
    }

    /// Reads an embedding answer.
    ///
    /// # Errors
    /// As for [`Codec::decode_full`].
    fn decode_embed(&self, _body: &Bytes) -> Result<Embeddings, WireFault> {
        Err(WireFault::malformed(DecodeKind::Empty, "this wire format has no embeddings"))
    }

    /// Reads a list of models.
    ///
    /// # Errors
    /// As for [`Codec::decode_full`].
    fn decode_models(&self, _body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
        Err(WireFault::malformed(DecodeKind::Empty, "this wire format has no list of models"))
    }

    /// Reads what a healthy upstream says about itself, which may be anything that is no error.
    ///
    /// # Errors
    /// [`WireFault::Reported`] for an error under a success status.
    fn decode_health(&self, _body: &Bytes) -> Result<(), WireFault> {
        Ok(())
    }
}

/// Reads the events of one stream, in order.
///
/// The result must not depend on how the bytes were split on the way.
pub trait EventDecoder: Send + 'static {
    /// Reads one event: its name, empty where none was given, and its data, which is UTF-8.
    ///
    /// Puts at least one piece into `out` for every event a gateway would pass on, so that nothing the upstream sent
    /// is lost; [`TokenChunk::wire`] slices `data`.
    ///
    /// # Errors
    /// Ends the stream. Pieces already in `out` count as received before it.
    fn event(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault>;

    /// The body ended: was that allowed here?
    ///
    /// # Errors
    /// [`WireFault::Truncated`] when the answer is not complete.
    fn finish(&mut self) -> Result<(), WireFault>;
}

/// Whether more events can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    More,
    /// The format says that this was the last event; nothing after it counts.
    Done,
}

/// Why an answer under a success status is none.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WireFault {
    /// The upstream reported an error in it.
    Reported(Box<ErrorBody>),
    /// It cannot be read.
    Malformed {
        /// Why.
        kind: DecodeKind,
        /// Which part, without upstream text.
        detail: String,
    },
    /// It ended before it was complete.
    Truncated,
}

impl WireFault {
    /// An answer that cannot be read.
    pub fn malformed(kind: DecodeKind, detail: impl Into<String>) -> Self {
        Self::Malformed { kind, detail: detail.into() }
    }
}

/// What an upstream said about an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// What the wire format takes it to mean; `None` leaves it to the status.
    pub meaning: Option<ErrorKind>,
    /// A status given in the body, for errors under a success status.
    pub status: Option<u16>,
    /// The upstream's code, numbers as text.
    pub code: Option<String>,
    /// The upstream's type.
    pub error_type: Option<String>,
    /// The request member it complains about.
    pub param: Option<String>,
    /// Its words.
    pub message: Option<String>,
    /// A wait given in the body.
    pub retry_after: Option<Duration>,
    /// The filter categories that refused the request.
    pub filtered: Vec<String>,
}
