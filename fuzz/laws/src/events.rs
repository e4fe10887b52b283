//! Streams: bytes to pieces of an answer.

use std::collections::BTreeSet;

use infer_core::{Completion, EventDecoder, Step, TokenChunk, Wire, WireFault};
use remote_core::sse::Event;
use wire_chat::ChatDecoder;
use wire_chat::server::{ChunkWriter, TextChunkWriter};
use wire_messages::MessagesDecoder;
use wire_messages::server::EventWriter;

use crate::cuts::{WAYS, Way};
use crate::sse::framed;

/// More than any input here.
const LIMIT: usize = 1 << 20;

/// A stream of Chat Completions gives the same pieces however it is cut, keeps the promises of a stream, and is understood in
/// the words that a server finds for it.
///
/// # Panics
/// When that does not hold.
pub fn chat_events(input: &[u8]) {
    let stream = streamed::<ChatDecoder>(input);
    let mut passed_on = ChunkWriter::new("m", true);
    let mut text = TextChunkWriter::new("m", true, Some("echo".to_owned()));
    let mut anew = ChunkWriter::new("m", true);
    let mut bytes = Vec::new();
    for chunk in &stream.chunks {
        passed_on.write(chunk);
        text.write(&unwired(chunk));
        bytes.extend(anew.write(&unwired(chunk)));
    }
    written_again::<ChatDecoder>(&stream, &bytes.concat());
}

/// The same for the Messages format.
///
/// # Panics
/// When that does not hold.
pub fn messages_events(input: &[u8]) {
    let stream = streamed::<MessagesDecoder>(input);
    let mut writer = EventWriter::new("m");
    let mut bytes: Vec<_> = stream.chunks.iter().filter_map(|chunk| writer.write(&unwired(chunk))).collect();
    bytes.extend(writer.end());
    // Blocks that go on after the next one began cannot be written; the writer says so, and a server ends with an error.
    if writer.is_finished() {
        written_again::<MessagesDecoder>(&stream, &bytes.concat());
    }
}

/// What came of a stream.
struct Stream {
    chunks: Vec<TokenChunk>,
    end: Result<(), WireFault>,
}

/// Reads `input` in every way, and holds what comes of it to the promises of [`EventDecoder`].
fn streamed<D: EventDecoder + Default>(input: &[u8]) -> Stream {
    let (events, _) = framed(input, Way::Whole, LIMIT);
    let stream = decoded::<D>(&events);
    for way in WAYS {
        let other = decoded::<D>(&framed(input, way, LIMIT).0);
        assert_eq!((&other.chunks, &other.end), (&stream.chunks, &stream.end), "cut {way:?}");
    }
    // White space means nothing, but keeps a decoder from taking an event for one like the last.
    let spaced: Vec<_> = (0..).zip(&events).map(|(place, event)| spaced(event, place)).collect();
    let other = decoded::<D>(&spaced);
    let unwired = |chunks: &[TokenChunk]| chunks.iter().map(unwired).collect::<Vec<_>>();
    assert_eq!(unwired(&other.chunks), unwired(&stream.chunks), "white space changed what was read");
    assert_eq!(other.end.is_ok(), stream.end.is_ok(), "white space changed how it ended");
    stream
}

fn spaced(event: &Event, place: usize) -> Event {
    let spaces = b"\t \t".get(..place % 4).unwrap_or_default();
    // A byte-order mark is one only where nothing stands before it.
    let before = if event.data.starts_with(b"\xef\xbb\xbf") { b"" } else { spaces };
    Event { name: event.name.clone(), data: [before, &event.data, spaces].concat().into() }
}

fn decoded<D: EventDecoder + Default>(events: &[Event]) -> Stream {
    let mut decoder = D::default();
    let mut chunks: Vec<TokenChunk> = Vec::new();
    let (mut seen, mut finished) = (BTreeSet::new(), BTreeSet::new());
    let mut over: Option<Result<(), WireFault>> = None;
    for event in events {
        let mut out = Vec::new();
        let step = decoder.event(&event.name, &event.data, &mut out);
        match &over {
            Some(Ok(())) => assert!(step == Ok(Step::Done) && out.is_empty(), "went on after its end"),
            Some(Err(_)) => assert!(step.is_err() && out.is_empty(), "forgot an error"),
            None => {}
        }
        for chunk in &out {
            assert!(!(chunk.is_content() && finished.contains(&chunk.index)), "content after the finish");
            assert!(chunk.finish.is_none() || !finished.contains(&chunk.index), "finished twice");
            if chunk.is_content() {
                seen.insert(chunk.index);
            }
            if chunk.finish.is_some() {
                finished.insert(chunk.index);
            }
            let is_of_event = |wire: &Wire| wire.bytes().is_empty() || *wire.bytes() == event.data;
            assert!(chunk.wire.as_ref().is_some_and(is_of_event), "a piece without its event");
        }
        let passed_on =
            out.iter().filter(|chunk| chunk.wire.as_ref().is_some_and(|wire| !wire.bytes().is_empty()));
        assert!(passed_on.count() <= 1, "an event is passed on twice");
        chunks.append(&mut out);
        over = over.or(match step {
            Ok(Step::More) => None,
            Ok(Step::Done) => Some(Ok(())),
            Err(fault) => Some(Err(fault)),
        });
    }
    let end = decoder.finish();
    match over {
        Some(Ok(())) => assert_eq!(end, Ok(()), "done, and yet cut"),
        Some(Err(_)) => assert!(end.is_err(), "an error became a success"),
        None => {}
    }
    assert!(
        end.is_err() || (!finished.is_empty() && finished.is_superset(&seen)),
        "complete without a finish"
    );
    Stream { chunks, end: over.and_then(Result::err).map_or(end, Err) }
}

/// Reads the bytes that a server wrote of `stream`: what was said has to be said in them, and a complete one stays complete.
fn written_again<D: EventDecoder + Default>(stream: &Stream, bytes: &[u8]) {
    // What is said of the whole answer is written as said by its first choice, so there has to be one.
    let has_first = stream.chunks.iter().any(|chunk| chunk.index == 0 && chunk.finish.is_some());
    if stream.end.is_err() || !has_first {
        return;
    }
    let (events, end) = framed(bytes, Way::Whole, usize::MAX);
    assert_eq!(end, Ok(()), "what was written is no stream");
    let again = decoded::<D>(&events);
    assert_eq!(again.end, Ok(()), "what was written is cut");
    let (said, again) = (folded(&stream.chunks), folded(&again.chunks));
    for (said, again) in said.choices.iter().zip(&again.choices) {
        assert_eq!(said.text, again.text);
    }
}

fn folded(chunks: &[TokenChunk]) -> Completion {
    let mut whole = Completion::default();
    chunks.iter().cloned().for_each(|chunk| whole.push(chunk));
    whole
}

fn unwired(chunk: &TokenChunk) -> TokenChunk {
    let mut chunk = chunk.clone();
    chunk.wire = None;
    chunk
}
