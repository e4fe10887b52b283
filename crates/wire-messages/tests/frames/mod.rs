//! Framing of event streams for tests, slowly and as the WHATWG rules say. The real framing is another crate's.

use bytes::Bytes;

/// One event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Bytes,
}

/// The events of a body. A line without an end, and an event without a blank line after it, do not count.
pub(crate) fn frames(body: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut name, mut data): (String, Option<Vec<u8>>) = (String::new(), None);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(value) = line.strip_prefix(b"event: ") {
            name = String::from_utf8_lossy(value).into_owned();
        } else if let Some(value) = line.strip_prefix(b"data: ") {
            data.get_or_insert_default().extend_from_slice(value);
        } else if line.is_empty()
            && let Some(data) = data.take()
        {
            events.push(Event { name: std::mem::take(&mut name), data: data.into() });
        }
    }
    events
}
