//! What an upstream does with one request, as data.

use std::time::Duration;

use bytes::Bytes;
use remote_core::TransportFault;

/// One move of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends these bytes, in one read if the transport allows.
    Bytes(Bytes),
    /// Says nothing for a time.
    Wait(Duration),
    /// Breaks the connection; what follows is not played.
    Break,
    /// Says nothing any more and keeps the connection.
    Hang,
}

impl Act {
    /// Sends `bytes`.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// What an upstream does with one request: a head, then a body.
///
/// ```
/// use remote_testkit::{Act, Script};
/// use std::time::Duration;
///
/// let late = Script::status(200)
///     .after(Duration::from_secs(3))
///     .header("content-type", "text/event-stream")
///     .acts([Act::bytes("data: a\n\n"), Act::Wait(Duration::from_secs(1)), Act::Break]);
/// assert_eq!(late.body_bytes().len(), 9);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub(crate) head: Head,
    pub(crate) after: Duration,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<Act>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Sent,
    Never,
    Fails(TransportFault),
}

impl Script {
    /// Answers at once with `status` and no body.
    pub fn status(status: u16) -> Self {
        Self { head: Head::Sent, after: Duration::ZERO, status, headers: Vec::new(), body: Vec::new() }
    }

    /// Never answers, and keeps the connection.
    pub fn silence() -> Self {
        Self { head: Head::Never, ..Self::status(200) }
    }

    /// Fails before a head. A loopback upstream plays every fault by closing the connection.
    pub fn fault(fault: TransportFault) -> Self {
        Self { head: Head::Fails(fault), ..Self::status(200) }
    }

    /// Answers 200 with one piece of JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::status(200).header("content-type", "application/json").body(body)
    }

    /// Answers 200 with a stream; each piece is sent by itself.
    pub fn events<B: Into<Bytes>>(events: impl IntoIterator<Item = B>) -> Self {
        let acts = events.into_iter().map(|event| Act::Bytes(event.into()));
        Self::status(200).header("content-type", "text/event-stream").acts(acts)
    }

    /// Waits before the head, or before it fails.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// Sends a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends more bytes.
    #[must_use]
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.acts([Act::bytes(bytes)])
    }

    /// Goes on with `acts`.
    #[must_use]
    pub fn acts(mut self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.body.extend(acts);
        self
    }

    /// Goes on with silence.
    #[must_use]
    pub fn hang(self) -> Self {
        self.acts([Act::Hang])
    }

    /// All bytes of the body, without what happens between them.
    pub fn body_bytes(&self) -> Bytes {
        let bytes = self.body.iter().filter_map(|act| match act {
            Act::Bytes(bytes) => Some(bytes.as_ref()),
            _ => None,
        });
        Bytes::from(bytes.collect::<Vec<_>>().concat())
    }

    /// The same reply with its body cut at `places`, which count bytes from its beginning.
    #[must_use]
    pub fn split_at(mut self, places: impl IntoIterator<Item = usize>) -> Self {
        let mut rest = self.body_bytes();
        let mut begin = 0;
        self.body.clear();
        for place in places {
            let length = place.saturating_sub(begin).min(rest.len());
            if length > 0 {
                self.body.push(Act::Bytes(rest.split_to(length)));
                begin += length;
            }
        }
        self.acts([Act::Bytes(rest)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_body_is_the_same_body_in_pieces() {
        let script = Script::events(["abc", "def"]).split_at([1, 1, 4, 99]);
        assert_eq!(script.body_bytes(), "abcdef");
        let lengths: Vec<usize> = script
            .body
            .iter()
            .map(|act| match act {
                Act::Bytes(bytes) => bytes.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(lengths, [1, 3, 2, 0]);
    }
}
