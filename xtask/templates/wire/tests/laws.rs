//! Laws that hold whatever is received.

use bytes::Bytes;
use infer_core::{Codec as _, EventDecoder as _};
use proptest::collection::vec;
use proptest::prelude::*;
use wire_acme::AcmeCodec;

/// Events that are in order, and some that are not.
fn event() -> impl Strategy<Value = String> {
    let known = [
        r#"{"model":"m"}"#,
        r#"{"text":"Hé"}"#,
        r#"{"text":""}"#,
        r#"{"end":"stop"}"#,
        r#"{"end":"new","text":"x"}"#,
        r#"{"tokens":{"input":1,"output":18446744073709551615}}"#,
        r#"{"tokens":{"input":-1}}"#,
        r#"{"last":true}"#,
        r#"{"error":{"code":"internal"}}"#,
        r#"{"error":7}"#,
        r#"{"text":"x"#,
        "[]",
        "",
    ];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,40}"]
}

proptest! {
    /// An answer ends at most once, has no text after it, and is complete exactly when it ended and nothing failed.
    #[test]
    fn a_stream_has_one_honest_end(events in vec(event(), 0..12)) {
        let mut decoder = AcmeCodec.decoder();
        let (mut ends, mut failed) = (0, false);
        for data in &events {
            let mut out = Vec::new();
            let step = decoder.event("", &Bytes::copy_from_slice(data.as_bytes()), &mut out);
            prop_assert!(!failed || step.is_err(), "nothing counts after a fault");
            prop_assert!(step.is_err() || out.len() == 1, "every event gives a piece");
            for chunk in out {
                prop_assert!(ends == 0 || chunk.text.is_empty(), "text after the end");
                ends += usize::from(chunk.finish.is_some());
            }
            failed |= step.is_err();
        }
        prop_assert!(ends <= 1);
        prop_assert_eq!(decoder.finish().is_ok(), ends == 1 && !failed);
    }

    /// No bytes make a body or an error panic, and an error quotes no more than a little of them.
    #[test]
    fn any_bytes_can_be_read_or_refused(bytes in vec(any::<u8>(), 0..2000)) {
        let body = Bytes::from(bytes);
        let _ = (AcmeCodec.decode_full(&body), AcmeCodec.decode_embed(&body), AcmeCodec.decode_models(&body));
        let quote = AcmeCodec.error_body(&body).message.unwrap_or_default();
        prop_assert!(quote.len() <= 3 * 512, "{}", quote.len());
    }
}
