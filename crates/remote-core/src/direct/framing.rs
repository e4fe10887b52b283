//! Where a response's body ends (RFC 9112, sections 6 and 7, read 2026-11-21).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::fault::Fault;
use super::head::words;

/// The most bytes of chunk extensions and trailers, which are read and thrown away.
const SPARE: u32 = 16 << 10;
/// The most digits of a chunk's length.
const DIGITS: u8 = 16;

/// What of the body is still to come, and how its end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked(Chunks),
    /// Everything until the connection is closed.
    Close,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    /// Of the current chunk.
    left: u64,
    digits: u8,
    spare: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl Framing {
    pub(super) const CHUNKED: Self =
        Self::Chunked(Chunks { place: Place::Size, left: 0, digits: 0, spare: 0 });

    /// How the body of a response to `method` ends.
    ///
    /// # Errors
    /// Lengths that contradict each other or are none; an encoding that the version does not have.
    pub(super) fn of(
        method: &Method,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Self, Fault> {
        if *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Self::Length(0));
        }
        if let Some(last) = words(headers, TRANSFER_ENCODING).filter(|word| !word.is_empty()).last() {
            if version == Version::HTTP_10 {
                return Err(Fault::Invalid("transfer-encoding in HTTP/1.0"));
            }
            return Ok(if last.eq_ignore_ascii_case(b"chunked") { Self::CHUNKED } else { Self::Close });
        }
        let mut length = None;
        for word in words(headers, CONTENT_LENGTH) {
            let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
            let told = str::from_utf8(word).ok().filter(|_| is_number).and_then(|word| word.parse().ok());
            let told: u64 = told.ok_or(Fault::Invalid("content-length is no length"))?;
            if length.is_some_and(|length| length != told) {
                return Err(Fault::Invalid("more than one content-length"));
            }
            length = Some(told);
        }
        Ok(length.map_or(Self::Close, Self::Length))
    }

    /// Whether nothing can follow.
    pub(super) fn is_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.place == Place::End,
            Self::Close => false,
        }
    }

    /// Appends to `body` what `input` has of it, and tells how much of `input` was read: all of it, unless the body ended.
    ///
    /// # Errors
    /// What is no chunked coding.
    pub(super) fn feed(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Fault> {
        match self {
            Self::Length(left) => {
                let taken = take(input, *left, body);
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.feed(input, body),
            Self::Close => {
                body.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }
}

impl Chunks {
    fn feed(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut read = 0;
        while let Some(rest) = input.get(read..).filter(|rest| !rest.is_empty()) {
            match self.place {
                Place::End => break,
                Place::Data => {
                    let taken = take(rest, self.left, body);
                    self.left -= taken as u64;
                    read += taken;
                    if self.left == 0 {
                        self.place = Place::DataCr;
                    }
                }
                _ => {
                    self.step(rest.first().copied().unwrap_or_default())?;
                    read += 1;
                }
            }
        }
        Ok(read)
    }

    /// One byte outside of a chunk's data.
    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        self.place = match (self.place, byte) {
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeLf,
            (Place::Size, b';' | b' ' | b'\t') if self.digits > 0 => Place::Extension,
            (Place::Size, _) => return self.digit(byte),
            (Place::Extension, b'\r') => Place::SizeLf,
            (Place::SizeLf, b'\n') if self.left == 0 => Place::Line,
            (Place::SizeLf, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.digits = 0;
                Place::Size
            }
            (Place::Line, b'\r') => Place::EndLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::TrailerLf, b'\n') => Place::Line,
            (Place::EndLf, b'\n') => Place::End,
            (Place::Extension | Place::Line | Place::Trailer, b'\n') => {
                return Err(Fault::Invalid("a line within a chunked body ends too early"));
            }
            (Place::Extension, _) => self.spared(Place::Extension)?,
            (Place::Line | Place::Trailer, _) => self.spared(Place::Trailer)?,
            _ => return Err(Fault::Invalid("a chunk does not end where it should")),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Fault> {
        let digit = char::from(byte).to_digit(16).ok_or(Fault::Invalid("a chunk has no length"))?;
        // Sixteen digits are what the number can hold.
        self.left = self.left << 4 | u64::from(digit);
        self.digits += 1;
        if self.digits > DIGITS { Err(Fault::Invalid("a chunk is too long")) } else { Ok(()) }
    }

    fn spared(&mut self, place: Place) -> Result<Place, Fault> {
        self.spare += 1;
        if self.spare > SPARE {
            return Err(Fault::Invalid("too much beside the chunks of a body"));
        }
        Ok(place)
    }
}

/// Moves up to `left` bytes.
fn take(input: &[u8], left: u64, body: &mut Vec<u8>) -> usize {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    body.extend_from_slice(input.get(..taken).unwrap_or_default());
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of `wire` cut at `cuts`: the body, and whether it ended; `rest` bytes were left over.
    fn fed(mut framing: Framing, wire: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, bool, usize), Fault> {
        let mut body = Vec::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let mut read = 0;
        for pair in cuts.windows(2) {
            let part = &wire[pair[0]..pair[1]];
            let taken = framing.feed(part, &mut body)?;
            read += taken;
            if taken < part.len() {
                assert!(framing.is_ended(), "something was left although more is to come");
                break;
            }
        }
        Ok((body, framing.is_ended(), wire.len() - read))
    }

    fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let data = prop::collection::vec(any::<u8>(), 1..300);
        let extension = prop_oneof![Just(""), Just(";a=b"), Just(" ; q=\"x;y\""), Just("\t")];
        let chunks = prop::collection::vec((data, extension, any::<bool>()), 0..8);
        let trailers = prop_oneof![Just(""), Just("a: b\r\n"), Just("a: b\r\nc: d\r\n")];
        (chunks, trailers).prop_map(|(chunks, trailers)| {
            let (mut wire, mut body) = (Vec::new(), Vec::new());
            for (data, extension, upper) in chunks {
                let size = if upper { format!("{:X}", data.len()) } else { format!("00{:x}", data.len()) };
                wire.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                wire.extend_from_slice(&data);
                wire.extend_from_slice(b"\r\n");
                body.extend_from_slice(&data);
            }
            wire.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
            (wire, body)
        })
    }

    proptest! {
        /// Law: chunks are the body they were made of, wherever reads are cut, and what follows is not touched.
        #[test]
        fn chunks_are_their_body(
            (wire, body) in chunked(),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            after in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let all = [wire.as_slice(), &after].concat();
            let (read, ended, left) = fed(Framing::CHUNKED, &all, &cuts).unwrap();
            prop_assert_eq!((read, ended, left), (body, true, after.len()));
        }

        /// Law: a chunked body that is cut anywhere has not ended.
        #[test]
        fn a_part_of_a_chunked_body_is_no_whole((wire, body) in chunked(), cut in any::<usize>()) {
            let (read, ended, left) = fed(Framing::CHUNKED, &wire[..cut % wire.len()], &[]).unwrap();
            prop_assert!(!ended && left == 0 && body.starts_with(&read));
        }

        /// Law: whatever comes is survived, and gives no more than came.
        #[test]
        fn any_bytes_are_survived(
            wire in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                prop::collection::vec(prop::sample::select(b"0aF;\r\n x".as_slice()), 0..200),
            ],
            cuts in prop::collection::vec(any::<usize>(), 0..6),
            length in any::<u64>(),
        ) {
            for framing in [Framing::CHUNKED, Framing::Length(length), Framing::Close] {
                if let Ok((body, ..)) = fed(framing, &wire, &cuts) {
                    prop_assert!(body.len() <= wire.len());
                }
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wire in [
            "\r\n",
            ";\r\n",
            "x\r\n",
            "-1\r\n",
            "0x5\r\n",
            "5\nhello",
            "5\r\nhello0\r\n",
            "5\r\nhello\n",
            "5\rx",
            "5;a\nhello",
            "00000000000000005\r\n",
            "fffffffffffffffff\r\n",
            "0\r\na: b\n",
            "0\r\n\n",
        ] {
            assert!(fed(Framing::CHUNKED, wire.as_bytes(), &[]).is_err(), "{wire:?}");
        }
        let long = format!("5;{}\r\n", "x".repeat(SPARE as usize + 1));
        assert!(fed(Framing::CHUNKED, long.as_bytes(), &[]).is_err());
        // Not in one chunk, but in all together.
        let many = format!("1;{}\r\na\r\n", "x".repeat(600)).repeat(40);
        assert!(fed(Framing::CHUNKED, many.as_bytes(), &[]).is_err());
    }
}
