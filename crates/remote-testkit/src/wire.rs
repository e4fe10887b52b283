//! What the suite must know of a wire format.

use std::fmt;

use bytes::Bytes;
use infer_core::{ErrorKind, Usage};

use crate::Script;

/// The upstream's side of a wire format, so that scenarios know none.
///
/// An *event* is the bytes of one event of a stream, its framing and blank line included. Answers are for one choice
/// and come from the model of the [`Subject`](crate::Subject).
pub trait Wire: fmt::Debug + Send + Sync {
    /// A whole answer.
    fn whole(&self, text: &str, usage: Usage) -> Bytes;

    /// A whole answer without anything in it, which a client must not take for one.
    fn whole_empty(&self) -> Bytes;

    /// An event that opens an answer and carries nothing a caller would notice.
    fn role(&self) -> Bytes;

    /// An event with text.
    fn text(&self, text: &str) -> Bytes;

    /// The event that says why the answer ended: the model was done.
    fn finish(&self) -> Bytes;

    /// The event that reports usage, after the end.
    fn usage(&self, usage: Usage) -> Bytes;

    /// The event that says that nothing follows; no bytes where there is none.
    fn done(&self) -> Bytes;

    /// Events that are in order and carry nothing, such as an empty list of choices.
    fn empty_events(&self) -> Vec<Bytes>;

    /// An event that cannot be read.
    fn malformed(&self) -> Bytes;

    /// An event that reports an error of `kind` inside a stream: [`ErrorKind::Overloaded`] or [`ErrorKind::Upstream`].
    fn error_event(&self, kind: ErrorKind, message: &str) -> Bytes;

    /// A response that reports an error of `kind`; one for every kind that an upstream can report.
    fn refusal(&self, kind: ErrorKind, message: &str) -> Script;

    /// The same answer or event with members that nobody knows, wherever a new version of the format could add some.
    fn with_unknown(&self, bytes: &Bytes) -> Bytes;

    /// A list of models; `None` where there is none.
    fn models(&self, _ids: &[&str]) -> Option<Bytes> {
        None
    }

    /// Vectors for a request, not in the order of its inputs if the format can say so; `None` where there are none.
    fn vectors(&self, _vectors: &[Vec<f32>], _usage: Usage) -> Option<Bytes> {
        None
    }

    /// The events of a whole stream.
    fn stream(&self, texts: &[&str], usage: Usage) -> Vec<Bytes> {
        let mut events = vec![self.role()];
        events.extend(texts.iter().map(|text| self.text(text)));
        events.extend([self.finish(), self.usage(usage), self.done()]);
        events
    }
}
