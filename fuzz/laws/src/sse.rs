//! Framing: bytes to events.

use bytes::Bytes;
use remote_core::sse::{Event, FrameError, Framer};

use crate::cuts::{WAYS, Way};

/// More than any input here, and less than many.
const LIMITS: [usize; 2] = [1 << 20, 48];

/// Bytes of an event stream give the same events however they are cut, those that a plain reading of the standard gives, and
/// no more of them are kept than the limit allows.
///
/// # Panics
/// When that does not hold.
pub fn sse_framing(input: &[u8]) {
    for limit in LIMITS {
        let whole = framed(input, Way::Whole, limit);
        for way in WAYS {
            assert_eq!(framed(input, way, limit), whole, "cut {way:?} with a limit of {limit}");
        }
        for event in &whole.0 {
            assert!(event.name.len() + event.data.len() <= limit, "an event above the limit of {limit}");
        }
    }
    let (events, end) = framed(input, Way::Whole, usize::MAX);
    let (expected, is_text) = plain_reading(input);
    let events: Vec<_> = events.iter().map(|event| (event.name.as_str(), &*event.data)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, data)| (name.as_str(), data.as_bytes())).collect();
    assert_eq!(events, expected, "not as the standard has it");
    assert_eq!(end, if is_text { Ok(()) } else { Err(FrameError::NotUtf8) });
}

/// The events of `bytes` cut in that way, and how they ended.
pub(crate) fn framed(bytes: &[u8], way: Way, limit: usize) -> (Vec<Event>, Result<(), FrameError>) {
    let mut framer = Framer::new(limit);
    let mut events = Vec::new();
    let bytes = Bytes::copy_from_slice(bytes);
    for piece in way.cut(&bytes) {
        framer.push(bytes.slice_ref(piece));
        loop {
            match framer.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    framer.push(Bytes::from_static(b"\n\ndata: late\n\n"));
                    assert_eq!(framer.next_event(), Ok(None), "something came after an error");
                    return (events, Err(error));
                }
            }
        }
        assert!(framer.pending() <= limit, "{} bytes kept, the limit is {limit}", framer.pending());
    }
    (events, Ok(()))
}

/// What the HTML standard's section on server-sent events (read 2026-11-21) says of a stream, and whether all of it is UTF-8.
///
/// A name is empty where none was given or where it is `message`, which means the same.
fn plain_reading(bytes: &[u8]) -> (Vec<(String, String)>, bool) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), String::new());
    let mut is_text = true;
    for line in lines(bytes) {
        // What is not UTF-8 spoils its event, and that shows where the event ends.
        let Ok(line) = std::str::from_utf8(line) else {
            is_text = false;
            continue;
        };
        if line.is_empty() {
            if !is_text {
                return (events, false);
            }
            if let Some(data) = data.strip_suffix('\n') {
                let name = if name == "message" { String::new() } else { name };
                events.push((name, data.to_owned()));
            }
            (name, data) = (String::new(), String::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            _ => {}
        }
    }
    (events, true)
}

/// The lines that have an end, which is CR LF, LF or CR.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (line, tail) = rest.split_at(end);
        lines.push(line);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
    lines
}
