//! What Acme really sends, kept as it came. Made by hand after its API reference, read 2000-01-01: replace it by recorded
//! answers, scrubbed, each with its day.

use bytes::Bytes;
use infer_core::{Codec as _, Completion, EventDecoder as _, Step, Wire};
use wire_acme::AcmeCodec;

const ANSWER: &str = include_str!("data/answer.json");
const EVENTS: &str = include_str!("data/events.jsonl");

#[test]
fn a_whole_answer_has_everything_that_was_sent() {
    let body = Bytes::from_static(ANSWER.as_bytes());
    let whole = AcmeCodec.decode_full(&body).unwrap();
    let usage = whole.usage.unwrap();
    assert_eq!(whole.text(), "Hello there");
    assert_eq!((usage.input_tokens, usage.cached_input_tokens, usage.output_tokens), (12, 4, 3));
    assert_eq!(whole.served.model.as_deref(), Some("acme-large"));
    assert_eq!(whole.wire.as_ref().map(Wire::bytes), Some(&body));
}

#[test]
fn the_pieces_of_a_stream_add_up_to_the_whole_answer_and_carry_every_byte() {
    let mut decoder = AcmeCodec.decoder();
    let mut streamed = Completion::default();
    let mut wire = String::new();
    let mut last = Step::More;
    for line in EVENTS.lines() {
        let mut out = Vec::new();
        last = decoder.event("", &Bytes::from_static(line.as_bytes()), &mut out).unwrap();
        for chunk in out {
            wire += std::str::from_utf8(chunk.wire.as_ref().unwrap().bytes()).unwrap();
            wire.push('\n');
            streamed.push(chunk);
        }
    }
    assert_eq!((last, decoder.finish()), (Step::Done, Ok(())));
    assert_eq!(wire, EVENTS);
    let mut whole = AcmeCodec.decode_full(&Bytes::from_static(ANSWER.as_bytes())).unwrap();
    whole.wire = None;
    assert_eq!(streamed, whole);
}
