//! The server's side: requests in, answers out.
//!
//! A request is read one level deep. Its messages and instructions stay as the bytes received until somebody needs them
//! typed, and a member without a field here travels in `extra`, so a gateway to the same wire format passes all of them on
//! unread. An answer that came in this format is passed on the same way; any other is written anew.
//!
//! ```
//! use bytes::Bytes;
//! use infer_core::{FinishKind, TokenChunk};
//! use wire_messages::server::{EventWriter, read_request};
//!
//! let body = Bytes::from_static(
//!     br#"{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Hi"}],"top_k":3}"#,
//! );
//! let batch = read_request(&body).unwrap().batch;
//! assert_eq!(batch.messages.typed().unwrap().len(), 2);
//! assert_eq!(batch.extra.get("top_k").unwrap().get(), "3");
//!
//! let mut writer = EventWriter::new(&batch.model);
//! let events = writer.write(&TokenChunk::text(0, "Hello")).unwrap();
//! assert!(events.starts_with(b"event: message_start\ndata: {"));
//! assert!(!writer.is_finished());
//! writer.write(&TokenChunk::finish(0, FinishKind::Stop));
//! assert!(writer.is_finished());
//! assert!(writer.end().unwrap().ends_with(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
//! ```

mod answer;
mod calls;
mod conversation;
mod error;
mod events;
mod known;
mod members;
mod request;

pub use answer::write_message;
pub use error::write_error;
pub use events::EventWriter;
pub use request::{MessagesRequest, read_request};
