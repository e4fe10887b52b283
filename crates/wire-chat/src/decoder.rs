//! Reads a stream of events.

use bytes::Bytes;
use infer_core::{EventDecoder, Step, TokenChunk, WireFault};

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub struct ChatDecoder {}

impl EventDecoder for ChatDecoder {
    fn event(&mut self, _name: &str, _data: &Bytes, _out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        Err(WireFault::Truncated)
    }

    fn finish(&mut self) -> Result<(), WireFault> {
        Err(WireFault::Truncated)
    }
}
