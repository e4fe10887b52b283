//! `POST /v1/chat/completions`.

use bytes::Bytes;
use infer_core::{Completion, InferenceError, TokenChunk};
use wire_chat::server::{ChunkWriter, read_request, write_completion};

use super::generate::{Asked, Dialect};
use crate::denial::Shape;
use crate::events::Format;

/// OpenAI's Chat Completions; the model is what the path says, where it says one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chat {
    pub(crate) deployment: Option<String>,
}

/// What an answer needs of its request.
#[derive(Debug)]
pub(crate) struct How {
    model: String,
    include_usage: bool,
}

impl Dialect for Chat {
    const ENDPOINT: &'static str = "chat";
    const SHAPE: Shape = Shape::OpenAi;
    type How = How;
    type Stream = ChunkWriter;

    fn read(&self, body: &Bytes) -> Result<Asked<How>, InferenceError> {
        let request = match &self.deployment {
            Some(deployment) => wire_chat::server::read_request_for(body, deployment)?,
            None => read_request(body)?,
        };
        let include_usage = request.include_usage;
        let model = request.batch.model.clone();
        Ok(Asked { batch: Box::new(request.batch), how: How { model, include_usage } })
    }

    fn whole(completion: &Completion, how: &How) -> Bytes {
        write_completion(completion, &how.model)
    }

    fn stream(how: How) -> ChunkWriter {
        ChunkWriter::new(&how.model, how.include_usage)
    }
}

impl Format for ChunkWriter {
    fn write(&mut self, chunk: &TokenChunk) -> Option<Bytes> {
        ChunkWriter::write(self, chunk)
    }

    fn done(&mut self) -> Bytes {
        Bytes::from_static(Self::DONE.as_bytes())
    }

    fn error(&mut self, error: &InferenceError) -> Bytes {
        Self::error(error)
    }
}
