//! Laws that hold whatever is received: nothing panics, and no stream breaks its promises.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use infer_core::{Codec, EventDecoder, Step, TokenChunk, Wire};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire_chat::server::{self, ChunkWriter};
use wire_chat::{ChatCodec, ChatDecoder, fault};

/// Every body and every event of the examples, to be damaged.
fn examples() -> &'static [Vec<u8>] {
    static EXAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let mut examples = Vec::new();
        for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).unwrap() {
            let Ok(files) = std::fs::read_dir(folder.unwrap().path()) else { continue };
            for file in files {
                let file = std::fs::read(file.unwrap().path()).unwrap();
                if file.len() > 10_000 {
                    continue;
                }
                let lines = file.split(|byte| *byte == b'\n');
                examples.extend(lines.filter_map(|line| line.strip_prefix(b"data: ")).map(<[u8]>::to_vec));
                examples.push(file);
            }
        }
        examples
    })
}

/// An example with some of it cut out, doubled or overwritten.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let scraps =
        ["null", "[", "{", "}", "\"", "1e999", "-1", "\\ud800", "{\"error\":1}", "\u{feff}", "", "[]", "{}"];
    let damage = (any::<Index>(), 0..12_usize, select(scraps.to_vec()));
    (any::<Index>(), vec(damage, 0..3)).prop_map(|(which, damages)| {
        let examples = examples();
        let mut bytes = examples[which.index(examples.len())].clone();
        for (place, length, scrap) in damages {
            let start = place.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, scrap.bytes());
        }
        bytes
    })
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => vec(any::<u8>(), 0..64), 4 => damaged()]
}

fn events() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = prop_oneof![9 => Just(""), 1 => Just("error"), 1 => Just("ping")];
    let data = prop_oneof![8 => damaged(), 1 => Just(b"[DONE]".to_vec()), 1 => vec(any::<u8>(), 0..16)];
    vec((name, data), 0..12)
}

proptest! {
    #[test]
    fn no_stream_finishes_a_choice_twice_or_goes_on_after_its_end(events in events()) {
        let mut decoder = ChatDecoder::default();
        let mut writer = ChunkWriter::new("m", false);
        let (mut finished, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let (mut is_over, mut has_failed) = (false, false);
        for (name, data) in events {
            let data = Bytes::from(data);
            let mut out = Vec::new();
            let step = decoder.event(name, &data, &mut out);
            prop_assert!(!is_over || out.is_empty(), "something came after the end");
            prop_assert!(!has_failed || step.is_err(), "an error was forgotten");
            has_failed |= step.is_err();
            is_over |= has_failed || step == Ok(Step::Done);
            for chunk in &out {
                prop_assert!(chunk.is_content() <= !finished.contains(&chunk.index), "content after the finish");
                if chunk.is_content() {
                    seen.insert(chunk.index);
                }
                if chunk.finish.is_some() {
                    finished.insert(chunk.index);
                }
                let from_event = |wire: &Wire| wire.bytes().is_empty() || *wire.bytes() == data;
                prop_assert!(chunk.wire.as_ref().is_some_and(from_event), "a piece without its event");
                writer.write(chunk);
            }
            if step == Ok(Step::Done) {
                prop_assert!(!finished.is_empty() && finished.is_superset(&seen), "done without being finished");
            }
        }
        let is_complete = decoder.finish().is_ok();
        prop_assert!(!(is_complete && has_failed), "an error became a success");
        prop_assert!(!is_complete || (!finished.is_empty() && finished.is_superset(&seen)));
    }

    #[test]
    fn no_body_is_too_strange_to_be_read_or_refused(body in anything()) {
        let body = Bytes::from(body);
        let codec = ChatCodec::default();
        if let Ok(whole) = codec.decode_full(&body) {
            prop_assert!(!whole.choices.is_empty());
            prop_assert_eq!(server::write_completion(&whole, "m"), body.clone());
        }
        let _ = codec.decode_embed(&body);
        let _ = codec.decode_health(&body);
        if let Ok(models) = codec.decode_models(&body) {
            prop_assert!(models.iter().all(|model| !model.id.is_empty()));
        }
    }

    #[test]
    fn no_error_body_is_too_strange_to_be_quoted(body in anything()) {
        let error = fault::read(&body);
        let texts = [error.message, error.code, error.error_type, error.param];
        prop_assert!(texts.into_iter().flatten().all(|text| text.len() <= 512));
        prop_assert!(error.status.is_none_or(|status| (400..600).contains(&status)));
    }

    #[test]
    fn no_request_is_too_strange_to_be_read_or_refused(
        body in anything(),
        name in "[a-z_]{1,20}|messages|tools|stop|logit_bias|stream_options|response_format|prediction",
    ) {
        let value = String::from_utf8_lossy(&body);
        let member = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"stream":true,"{name}":{value}}}"#);
        for body in [Bytes::from(member), Bytes::from(body)] {
            if let Ok(request) = server::read_request(&body) {
                let _ = request.batch.messages.typed();
                let _ = ChatCodec::default().encode(&request.batch);
            }
            let _ = server::read_embed_request(&body);
        }
    }
}

/// Pieces that only an upstream of another wire format makes: the writer has to find its way.
#[test]
fn an_empty_piece_of_another_format_is_written_as_a_role() {
    let event = ChunkWriter::new("m", false).write(&TokenChunk::default()).unwrap();
    assert!(event.windows(9).any(|nine| nine == b"assistant"));
}

#[test]
fn every_text_of_an_error_is_an_excerpt() {
    let long = "x".repeat(4000);
    let inner = format!(r#"{{"type":"{long}","code":"{long}","param":"{long}","message":"{long}"}}"#);
    for body in [format!(r#"{{"error":{inner}}}"#), inner] {
        let error = fault::read(body.as_bytes());
        for text in [error.error_type, error.code, error.param, error.message] {
            assert_eq!(text.unwrap().len(), 512);
        }
    }
}
