//! `POST /v1/messages`, in the shape of Anthropic's interface, over any provider.

use bytes::Bytes;
use infer_core::{Completion, InferenceError, TokenChunk};
use wire_messages::server::{EventWriter, read_request, write_message};

use super::generate::{Asked, Dialect};
use crate::denial::Shape;
use crate::events::Format;

/// Anthropic's Messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages;

impl Dialect for Messages {
    const ENDPOINT: &'static str = "messages";
    const SHAPE: Shape = Shape::Anthropic;
    /// The model asked for.
    type How = String;
    type Stream = EventWriter;

    fn read(&self, body: &Bytes) -> Result<Asked<String>, InferenceError> {
        let batch = read_request(body)?.batch;
        let how = batch.model.clone();
        Ok(Asked { batch: Box::new(batch), how })
    }

    fn whole(completion: &Completion, model: &String) -> Bytes {
        write_message(completion, model)
    }

    fn stream(model: String) -> EventWriter {
        EventWriter::new(&model)
    }
}

impl Format for EventWriter {
    fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        EventWriter::write(self, chunk)
    }

    fn done(&mut self) -> Bytes {
        self.end().unwrap_or_default()
    }

    fn error(&mut self, error: &InferenceError) -> Bytes {
        Self::error(error)
    }

    fn keep_alive(&mut self) -> Bytes {
        Self::ping()
    }
}
