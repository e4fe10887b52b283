//! The server's side: requests in, answers out.
//!
//! A request is read one level deep. Its messages stay as the bytes received until somebody needs them typed, and a
//! member without a field here travels in `extra`, so a gateway to the same wire format passes both on unread. An answer
//! that came in this format is passed on the same way.
//!
//! ```
//! use bytes::Bytes;
//! use infer_core::TokenChunk;
//! use wire_chat::server::{ChunkWriter, read_request};
//!
//! let body = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"top_k":3}"#);
//! let request = read_request(&body).unwrap();
//! assert!(request.batch.is_streaming());
//! assert_eq!(request.batch.extra.get("top_k").unwrap().get(), "3");
//!
//! let mut writer = ChunkWriter::new(&request.batch.model, request.include_usage);
//! let event = writer.write(&TokenChunk::text(0, "Hello")).unwrap();
//! assert!(event.starts_with(b"data: {") && event.ends_with(b"}\n\n"));
//! ```

mod answer;
mod chunks;
mod completions;
mod embed;
mod error;
mod known;
mod members;
mod request;

pub use answer::write_completion;
pub use chunks::ChunkWriter;
pub use completions::{
    CompletionRequest, TextChunkWriter, read_completion_request, read_completion_request_for,
    write_text_completion,
};
pub use embed::{read_embed_request, read_embed_request_for, write_embeddings};
pub use error::write_error;
pub use request::{ChatRequest, read_request, read_request_for};
