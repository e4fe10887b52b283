//! Recognises an event that differs from the last one in nothing but its text, which most events of a stream do.
//!
//! Equal bytes are parsed equally. So when an event begins with the same bytes as the last up to the text, goes on with
//! the same bytes after it, and has a plain JSON string between the two, then it says what the last one said with another
//! text, and comparing has told as much as parsing would. OpenAI's padding, random in every event, is a second gap.

use std::ops::Range;

use bytes::Bytes;
use infer_core::{TokenChunk, WireFormat};
use serde_json::value::RawValue;

use crate::json;

/// A larger event is not kept: it would hold its memory until the next one.
const MAX_KEPT: usize = 16 << 10;

/// An event that was parsed, and where in it the parts that may differ are.
#[derive(Debug)]
pub(crate) struct Template {
    event: Bytes,
    /// Of the choice.
    index: u32,
    /// Between the quotes of the text.
    text: Range<usize>,
    /// Between the quotes of the padding, which comes after the text.
    padding: Option<Range<usize>>,
}

impl Template {
    /// Keeps `event`, which was parsed to `chunk` alone, if nothing in it mattered but its text.
    pub(crate) fn of(
        event: &Bytes,
        chunk: &TokenChunk,
        content: &RawValue,
        padding: Option<&RawValue>,
    ) -> Option<Self> {
        let matters = event.len() > MAX_KEPT
            // A finished choice may still say nothing, but no more than that.
            || chunk.text.is_empty()
            || !chunk.reasoning.is_empty()
            || !chunk.refusal.is_empty()
            || !chunk.tool_calls.is_empty()
            || chunk.audio.is_some()
            || chunk.logprobs.is_some()
            || chunk.filters.is_some()
            || chunk.finish.is_some()
            || chunk.usage.is_some()
            || chunk.served.is_some();
        if matters {
            return None;
        }
        let text = inside(event, content)?;
        let padding =
            padding.and_then(|padding| inside(event, padding)).filter(|padding| padding.start > text.end);
        Some(Self { event: event.clone(), index: chunk.index, text, padding })
    }

    /// The piece in `event`; `None` when it has to be parsed.
    pub(crate) fn read(&self, event: &Bytes) -> Option<TokenChunk> {
        let last = |range: Range<usize>| self.event.get(range);
        let end = self.event.len();
        let (text, rest) = string(event.strip_prefix(last(0..self.text.start)?)?)?;
        let is_same = match &self.padding {
            None => rest == last(self.text.end..end)?,
            Some(padding) => {
                let (_, rest) = string(rest.strip_prefix(last(self.text.end..padding.start)?)?)?;
                rest == last(padding.end..end)?
            }
        };
        if !is_same {
            return None;
        }
        let text = if text.contains(&b'\\') {
            let quoted = event.get(self.text.start.checked_sub(1)?..self.text.start + text.len() + 1)?;
            json::string(serde_json::from_slice(quoted).ok()?)?
        } else {
            std::str::from_utf8(text).ok()?.to_owned()
        };
        let mut chunk = TokenChunk::text(self.index, text);
        chunk.wire = Some(event.clone());
        chunk.wire_format = Some(WireFormat::CHAT_COMPLETIONS);
        Some(chunk)
    }
}

/// Where `raw`, a slice of `event`, has the inside of its quotes.
fn inside(event: &Bytes, raw: &RawValue) -> Option<Range<usize>> {
    let text = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    let start = text.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
    let range = start..start.checked_add(text.len())?;
    (event.get(range.clone())? == text.as_bytes()).then_some(range)
}

/// The inside of a string up to its closing quote, and the rest from that quote on. Escapes are stepped over, not checked.
fn string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = 0;
    loop {
        let rest = json.get(end..)?;
        end += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        match json.get(end)? {
            b'"' => return json.split_at_checked(end),
            b'\\' => end += 2,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use infer_core::EventDecoder;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::ChatDecoder;

    fn event(content: &str, rest: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"id":"a","model":"m","choices":[{{"index":0,"delta":{{"content":{content}}}{rest}"#
        ))
    }

    fn template(event: &Bytes) -> Option<Template> {
        let mut decoder = ChatDecoder::default();
        // Who answers is news the first time.
        decoder.event("", event, &mut Vec::new()).unwrap();
        decoder.event("", event, &mut Vec::new()).unwrap();
        decoder.template()
    }

    #[test]
    fn only_text_and_padding_may_differ() {
        let last = template(&event(r#""one""#, r#"}],"obfuscation":"x"}"#)).unwrap();
        let same = last.read(&event("\"zwei é\"", r#"}],"obfuscation":"yy"}"#)).unwrap();
        assert_eq!(same.text, "zwei é");
        let escaped = last.read(&event(r#""a\n\"\u00e9\\""#, r#"}],"obfuscation":"\\"}"#)).unwrap();
        assert_eq!(escaped.text, "a\n\"é\\");
        let different = [
            event(r#""a""#, r#"}],"obfuscation":"x","usage":{}}"#),
            event(r#""a\q""#, r#"}],"obfuscation":"x"}"#),
            event(r#""a\""#, r#"}],"obfuscation":"x"}"#),
            event("\"a\n\"", r#"}],"obfuscation":"x"}"#),
            event("null", r#"}],"obfuscation":"x"}"#),
            event(r#""a""#, r#","finish_reason":"stop"}],"obfuscation":"x"}"#),
            event(r#""a""#, r#"}],"obfuscation":"x"#),
        ];
        for event in different {
            assert!(last.read(&event).is_none(), "{event:?}");
        }
        let broken =
            [event(r#""a"#, "").as_ref(), b"\xff", &event(r#""b""#, r#"}],"obfuscation":"x"}"#)[..][9..]]
                .concat();
        assert!(last.read(&Bytes::from(broken)).is_none());
    }

    #[test]
    fn findings_that_repeat_cost_nothing_and_new_ones_are_seen() {
        let safe = |text| event(text, r#","content_filter_results":{"hate":{"filtered":false}}}]}"#);
        let mut decoder = ChatDecoder::default();
        let mut read = |event: &Bytes| {
            let mut out = Vec::new();
            decoder.event("", event, &mut out).unwrap();
            (out[0].filters.is_some(), decoder.template.is_some())
        };
        assert_eq!(read(&safe(r#""a""#)), (true, false));
        assert_eq!(read(&safe(r#""b""#)), (false, true));
        assert_eq!(read(&safe(r#""c""#)), (false, true));
        let worse = r#","content_filter_results":{"hate":{"filtered":true}}}]}"#;
        assert_eq!(read(&event(r#""d""#, worse)), (true, false));
    }

    #[test]
    fn an_event_in_which_more_matters_is_no_template() {
        assert!(template(&event(r#""a""#, "}]}")).is_some());
        let rests = [
            r#","logprobs":{"content":[{"token":"a","logprob":0}]}}]}"#,
            r#"}],"usage":{"prompt_tokens":1}}"#,
            r#","finish_reason":"stop"}]}"#,
        ];
        let mut decoder = ChatDecoder::default();
        decoder.event("", &event(r#""a""#, "}]}"), &mut Vec::new()).unwrap();
        assert!(decoder.template().is_none(), "who answers was news");
        for rest in rests {
            decoder.event("", &event(r#""a""#, rest), &mut Vec::new()).unwrap();
            assert!(decoder.template().is_none(), "{rest}");
        }
    }

    #[test]
    fn a_finished_choice_that_says_nothing_is_no_template_for_saying_more() {
        let mut decoder = ChatDecoder::default();
        for event in [event(r#""a""#, r#","finish_reason":"stop"}]}"#), event(r#""""#, "}]}")] {
            decoder.event("", &event, &mut Vec::new()).unwrap();
        }
        assert!(decoder.event("", &event(r#""late""#, "}]}"), &mut Vec::new()).is_err());
    }

    proptest! {
        // A decoder that compares gives what a decoder that parses every event gives.
        #[test]
        fn comparing_gives_what_parsing_gives(events in vec((
            select(vec![r#""a""#, r#""bc""#, r#""a""#, r#""\n""#, r#""\"\ud83d\ude00""#, r#""\ud83d""#, r#""\x""#, r#""\""#, "null", r#""""#, r#"["x"]"#, "\"\u{1}\""]),
            prop_oneof![
                6 => select(vec!["}]}", r#"}],"obfuscation":"q"}"#, r#"}],"obfuscation":"rs"}"#]),
                1 => select(vec![r#"}],"obfuscation":"\""}"#, r#"}],"usage":{"total_tokens":3}}"#, "}]"]),
                1 => select(vec![r#"}],"service_tier":"flex"}"#, r#"}],"service_tier":"auto"}"#]),
                1 => select(vec![r#","finish_reason":"stop"}]}"#, r#"}],"error":"x"}"#]),
                2 => select(vec![
                    r#","content_filter_results":{"hate":{"filtered":false}}}]}"#,
                    r#","content_filter_results":{"hate":{"filtered":true}}}]}"#,
                    r#"}],"prompt_filter_results":[{"content_filter_results":{"hate":{}}}]}"#,
                ]),
            ],
            prop_oneof![20 => Just(""), 1 => Just("error")],
        ), 0..12)) {
            let (mut comparing, mut parsing) = (ChatDecoder::default(), ChatDecoder::default());
            for (content, rest, name) in events {
                let event = event(content, rest);
                let (mut compared, mut parsed) = (Vec::new(), Vec::new());
                let a = comparing.event(name, &event, &mut compared);
                parsing.template();
                let b = parsing.event(name, &event, &mut parsed);
                prop_assert_eq!(a, b);
                prop_assert_eq!(compared, parsed);
            }
            prop_assert_eq!(comparing.finish(), parsing.finish());
        }
    }
}
