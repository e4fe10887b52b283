//! Cuts a byte stream into server-sent events.
//!
//! An event is a block of lines that ends with a blank one. The plain case, one `data:` line closed by LF LF, is sliced
//! out of the received bytes without copying. Every other block (CR, comments, event names, several data lines) goes
//! whole to `eventsource-stream`, which must never see raw network bytes: it is quadratic in long lines and long reads,
//! panics on a leading byte-order mark and drops the last event of a stream with lone CRs. What is handed to it has no
//! mark, only LF, only whole lines, and is limited in size.
//!
//! The result does not depend on how the bytes were split on the way.

use bytes::{Buf as _, Bytes};
use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _};
use memchr::memchr2;

/// U+FEFF, with which a stream may begin.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty where none was given.
    pub name: String,
    /// Its data, UTF-8, several lines joined by LF.
    pub data: Bytes,
}

/// Why the bytes are no event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// An event is larger than the limit.
    TooLarge,
    /// An event is not UTF-8.
    NotUtf8,
}

/// Finds events in bytes pushed in pieces of any size.
///
/// Keeps only an unfinished block between pieces. After an error it yields nothing more.
#[derive(Debug)]
pub struct Framer {
    max_event_bytes: usize,
    /// Received and not looked at.
    unread: Bytes,
    /// The beginning of a block whose end has not come.
    tail: Vec<u8>,
    line: Line,
    /// Whether this is still the first block, which may begin with a byte-order mark.
    first: bool,
    /// Whether an error ended the stream.
    failed: bool,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    /// At the start after a CR: an LF now still belongs to the line before.
    AfterCr,
    Inside,
}

impl Framer {
    /// A framer that refuses events larger than `max_event_bytes`.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            unread: Bytes::new(),
            tail: Vec::new(),
            line: Line::Start,
            first: true,
            failed: false,
        }
    }

    /// Takes the next piece. Cheapest once [`Framer::next_event`] has no more; a piece pushed early is joined by copying.
    pub fn push(&mut self, piece: Bytes) {
        if self.unread.is_empty() {
            self.unread = piece;
        } else {
            self.unread = [&*self.unread, &*piece].concat().into();
        }
    }

    /// The next complete event of what was pushed; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`], once; nothing comes after it.
    pub fn next_event(&mut self) -> Result<Option<Event>, FrameError> {
        while !self.failed && !self.unread.is_empty() {
            let Some(end) = self.find_block_end() else {
                self.keep_tail()?;
                return Ok(None);
            };
            let block = self.take_block(end)?;
            match parse_block(&block) {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => return self.fail(error),
            }
        }
        Ok(None)
    }

    /// How many of the bytes pushed belong to no event yet. After an error, 0.
    pub fn pending(&self) -> usize {
        self.tail.len() + self.unread.len()
    }

    /// Where the current block ends in `unread`; remembers how far it looked.
    fn find_block_end(&mut self) -> Option<usize> {
        let bytes: &[u8] = &self.unread;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.line == Line::AfterCr && rest.first() == Some(&b'\n') {
                self.line = Line::Start;
                at += 1;
                continue;
            }
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.line = Line::Inside;
                return None;
            };
            let blank = length == 0 && self.line != Line::Inside;
            self.line = if rest.get(length) == Some(&b'\r') { Line::AfterCr } else { Line::Start };
            at += length + 1;
            if blank {
                return Some(at);
            }
        }
        None
    }

    fn keep_tail(&mut self) -> Result<(), FrameError> {
        let needed = self.tail.len() + self.unread.len();
        if needed > self.max_event_bytes {
            return self.fail(FrameError::TooLarge);
        }
        if needed > self.tail.capacity() {
            // A quarter more each time: linear in all, and a large event takes little more than its size.
            self.tail.reserve_exact(self.unread.len().max(self.tail.len() / 4));
        }
        self.tail.extend_from_slice(&self.unread);
        self.unread.clear();
        Ok(())
    }

    fn take_block(&mut self, end: usize) -> Result<Bytes, FrameError> {
        if self.tail.len() + end > self.max_event_bytes {
            return self.fail(FrameError::TooLarge);
        }
        let mut block = self.unread.split_to(end);
        if !self.tail.is_empty() {
            let mut whole = std::mem::take(&mut self.tail);
            whole.reserve_exact(block.len());
            whole.extend_from_slice(&block);
            block = Bytes::from(whole);
        }
        if std::mem::take(&mut self.first) && block.starts_with(MARK) {
            block.advance(MARK.len());
        }
        Ok(block)
    }

    fn fail<T>(&mut self, error: FrameError) -> Result<T, FrameError> {
        self.failed = true;
        self.unread.clear();
        self.tail = Vec::new();
        Err(error)
    }
}

/// Reads one block, its blank line included. `None` for a block without data.
fn parse_block(block: &Bytes) -> Result<Option<Event>, FrameError> {
    if block.len() <= 2 && block.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
        return Ok(None);
    }
    if std::str::from_utf8(block).is_err() {
        return Err(FrameError::NotUtf8);
    }
    match plain_data(block) {
        Some(data) => Ok(Some(Event { name: String::new(), data: block.slice_ref(data) })),
        None => Ok(parse_lines(block)),
    }
}

/// The data of a block that is one `data:` line closed by LF LF.
fn plain_data(block: &[u8]) -> Option<&[u8]> {
    let data = block.strip_prefix(b"data:")?.strip_suffix(b"\n\n")?;
    let data = data.strip_prefix(b" ").unwrap_or(data);
    memchr2(b'\n', b'\r', data).is_none().then_some(data)
}

/// Reads any other block, by the crate made for it.
fn parse_lines(block: &[u8]) -> Option<Event> {
    let pieces =
        futures_util::stream::iter(polite_pieces(block).into_iter().map(Ok::<_, std::convert::Infallible>));
    // All pieces are there, so the stream never waits.
    let event = pieces.eventsource().next().now_or_never()??.ok()?;
    let name = if event.event == "message" { String::new() } else { event.event };
    Some(Event { name, data: Bytes::from(event.data) })
}

/// The block with LF for every line end, cut into whole lines of 16 KiB together at the most.
fn polite_pieces(block: &[u8]) -> Vec<Vec<u8>> {
    const PIECE: usize = 16 << 10;
    let mut pieces = Vec::new();
    let mut piece = Vec::with_capacity(block.len().min(PIECE));
    // A mark that is not the stream's first is part of a line. The blank line before it keeps the reader from taking it for
    // one, over which it panics.
    if block.starts_with(MARK) {
        piece.push(b'\n');
    }
    let mut rest = block;
    while let Some(end) = memchr2(b'\n', b'\r', rest) {
        let (line, tail) = rest.split_at(end);
        let crlf = tail.starts_with(b"\r\n");
        rest = tail.get(if crlf { 2 } else { 1 }..).unwrap_or_default();
        if !piece.is_empty() && piece.len() + line.len() >= PIECE {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.extend_from_slice(line);
        piece.push(b'\n');
    }
    // A CRLF block is cut after its last CR, so it always ends in a line end and nothing is left over.
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, FrameError> {
        let mut framer = Framer::new(1 << 20);
        let mut found = Vec::new();
        for piece in pieces {
            framer.push(Bytes::copy_from_slice(piece));
            while let Some(event) = framer.next_event()? {
                found.push((event.name, String::from_utf8(event.data.to_vec()).unwrap()));
            }
        }
        Ok(found)
    }

    fn data(pieces: &[&[u8]]) -> Vec<String> {
        events(pieces).unwrap().into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn the_plain_case_is_sliced_without_copying() {
        let piece = Bytes::from_static(b"data: {\"a\":1}\n\ndata:x\n\n");
        let mut framer = Framer::new(100);
        framer.push(piece.clone());
        let first = framer.next_event().unwrap().unwrap();
        assert_eq!(first.data, "{\"a\":1}");
        assert_eq!(first.data.as_ptr(), piece[6..].as_ptr());
        assert_eq!(framer.next_event().unwrap().unwrap().data, "x");
        assert_eq!(framer.next_event().unwrap(), None);
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark_are_understood_at_every_split() {
        for stream in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            for stream in [stream.as_bytes().to_vec(), [b"\xef\xbb\xbf", stream.as_bytes()].concat()] {
                for cut in 0..=stream.len() {
                    let (head, tail) = stream.split_at(cut);
                    assert_eq!(data(&[head, tail]), ["a", "b"], "{stream:?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_byte_order_mark_that_is_not_the_streams_first_is_part_of_its_line() {
        let mark = "\u{feff}";
        for (stream, expect) in [
            (format!("data: a\n\n{mark}event: x\ndata: b\n\n"), [("", "a"), ("", "b")]),
            (format!("data: a\n\n{mark}data: x\ndata: b\n\n"), [("", "a"), ("", "b")]),
            (format!("{mark}{mark}data: x\nevent: e\ndata: a\n\ndata: b\n\n"), [("e", "a"), ("", "b")]),
            (format!("{mark}data: {mark}a\n\n{mark}\ndata: b\n\n"), [("", "\u{feff}a"), ("", "b")]),
        ] {
            let expect = expect.map(|(name, data)| (name.to_owned(), data.to_owned()));
            for cut in 0..=stream.len() {
                let (head, tail) = stream.as_bytes().split_at(cut);
                assert_eq!(events(&[head, tail]).unwrap(), expect, "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn names_comments_and_several_data_lines_are_read() {
        let stream = b": hello\n\nevent: error\ndata: one\ndata: two\nid: 7\nretry: 5\nwhat: ever\n\n";
        assert_eq!(events(&[stream]).unwrap(), [("error".to_owned(), "one\ntwo".to_owned())]);
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_complete() {
        assert!(data(&[b"data: a\n"]).is_empty());
        assert!(data(&[b"data: a"]).is_empty());
    }

    #[test]
    fn an_event_over_the_limit_ends_the_stream_however_it_is_split() {
        let long = [b"data: ".as_slice(), &[b'x'; 100], b"\n\ndata: y\n\n"].concat();
        for size in [1, 7, long.len()] {
            let mut framer = Framer::new(64);
            let mut result = Ok(None);
            for piece in long.chunks(size) {
                framer.push(Bytes::copy_from_slice(piece));
                result = framer.next_event();
                if result.is_err() {
                    break;
                }
            }
            assert_eq!(result, Err(FrameError::TooLarge));
            assert_eq!(framer.next_event(), Ok(None));
        }
    }

    #[test]
    fn broken_utf8_ends_the_stream_after_the_events_before_it() {
        let mut framer = Framer::new(100);
        framer.push(Bytes::from_static(b"data: ok\n\ndata: \xff\n\ndata: lost\n\n"));
        assert_eq!(framer.next_event().unwrap().unwrap().data, "ok");
        assert_eq!(framer.next_event(), Err(FrameError::NotUtf8));
        assert_eq!(framer.next_event(), Ok(None));
    }

    #[test]
    fn line_separators_of_unicode_do_not_end_a_line() {
        assert_eq!(data(&["data: a\u{2028}b\u{85}c\n\n".as_bytes()]), ["a\u{2028}b\u{85}c"]);
    }
}
