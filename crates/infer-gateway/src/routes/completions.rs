//! `POST /v1/completions`, OpenAI's older interface, answered by chat models.

use bytes::Bytes;
use infer_core::{Completion, InferenceError, TokenChunk};
use wire_chat::server::{
    TextChunkWriter, read_completion_request, read_completion_request_for, write_text_completion,
};

use super::generate::{Asked, Dialect};
use crate::denial::Shape;
use crate::events::Format;

/// A prompt as one message, its answer as text; the model is what the path says, where it says one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    pub(crate) deployment: Option<String>,
}

/// What an answer needs of its request.
#[derive(Debug)]
pub(crate) struct How {
    model: String,
    include_usage: bool,
    echo: Option<String>,
}

impl Dialect for Texts {
    const ENDPOINT: &'static str = "completions";
    const SHAPE: Shape = Shape::OpenAi;
    type How = How;
    type Stream = TextChunkWriter;

    fn read(&self, body: &Bytes) -> Result<Asked<How>, InferenceError> {
        let request = match &self.deployment {
            Some(deployment) => read_completion_request_for(body, deployment)?,
            None => read_completion_request(body)?,
        };
        let model = request.batch.model.clone();
        let how = How { model, include_usage: request.include_usage, echo: request.echo };
        Ok(Asked { batch: Box::new(request.batch), how })
    }

    fn whole(completion: &Completion, how: &How) -> Bytes {
        write_text_completion(completion, &how.model, how.echo.as_deref())
    }

    fn stream(how: How) -> TextChunkWriter {
        TextChunkWriter::new(&how.model, how.include_usage, how.echo)
    }
}

impl Format for TextChunkWriter {
    fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        TextChunkWriter::write(self, chunk)
    }

    fn done(&mut self) -> Bytes {
        Bytes::from_static(Self::DONE.as_bytes())
    }

    fn error(&mut self, error: &InferenceError) -> Bytes {
        Self::error(error)
    }
}
