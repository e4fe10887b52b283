//! Reads a stream of events into pieces, and says whether it was complete.

use bytes::Bytes;
use infer_core::{DecodeKind, EventDecoder, Step, TokenChunk, Wire, WireFault};

use crate::answer::{Answer, Tokens, read};
use crate::{FORMAT, fault};

/// Reads the events of one stream.
///
/// The answer is complete when its `end` has come; `last` says no more than that nothing follows. A body that breaks off
/// before the end, and one that says `last` without it, was cut. After an error nothing counts.
#[derive(Debug, Default)]
pub struct AcmeDecoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The end has come; usage may follow it, text may not.
    Ended,
    Failed,
}

impl EventDecoder for AcmeDecoder {
    fn event(&mut self, _name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        let step = self.read(data, out);
        if step.is_err() {
            self.state = State::Failed;
        }
        step
    }

    fn finish(&mut self) -> Result<(), WireFault> {
        if self.state == State::Ended { Ok(()) } else { Err(WireFault::Truncated) }
    }
}

impl AcmeDecoder {
    fn read(&mut self, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        if self.state == State::Failed {
            return Err(WireFault::Truncated);
        }
        let answer: Answer = read(data, "event")?;
        if answer.error.is_some() {
            return Err(fault::reported(data));
        }
        let has_text = answer.text.as_ref().is_some_and(|text| !text.is_empty());
        if has_text && self.state == State::Ended {
            return Err(WireFault::malformed(DecodeKind::Excess, "text after the end"));
        }
        // Made even when it carries nothing a reader would notice: a gateway passes its `wire` on.
        let mut chunk = TokenChunk::default();
        chunk.wire = Some(Wire::new(FORMAT, data.clone()));
        chunk.served = answer.served().map(Box::new);
        chunk.usage = answer.tokens.map(Tokens::usage);
        // An answer ends once; a second reason changes nothing.
        chunk.finish = answer.finish().filter(|_| self.state == State::Open);
        if chunk.finish.is_some() {
            self.state = State::Ended;
        }
        chunk.text = answer.text.unwrap_or_default();
        match (answer.last, self.state) {
            (Some(true), State::Ended) => {
                out.push(chunk);
                Ok(Step::Done)
            }
            (Some(true), _) => Err(WireFault::Truncated),
            _ => {
                out.push(chunk);
                Ok(Step::More)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(decoder: &mut AcmeDecoder, data: &str) -> Result<(Step, TokenChunk), WireFault> {
        let mut out = Vec::new();
        let step = decoder.event("", &Bytes::copy_from_slice(data.as_bytes()), &mut out)?;
        assert_eq!(out.len(), 1, "{data}");
        Ok((step, out.remove(0)))
    }

    #[test]
    fn every_event_gives_a_piece_that_carries_it() {
        for data in ["{}", r#"{"text":null}"#, r#"{"ping":1}"#, r#"{"tokens":{"input":1}}"#] {
            let (step, chunk) = event(&mut AcmeDecoder::default(), data).unwrap();
            let wire = chunk.wire.as_ref().map(|wire| &wire.bytes()[..]);
            assert_eq!((step, wire), (Step::More, Some(data.as_bytes())));
            assert!(!chunk.is_content(), "{data}");
        }
    }

    #[test]
    fn an_answer_ends_once_and_usage_may_follow() {
        let mut decoder = AcmeDecoder::default();
        assert_eq!(event(&mut decoder, r#"{"text":"Hi"}"#).unwrap().1.text, "Hi");
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
        let ended = event(&mut decoder, r#"{"end":"max_tokens"}"#).unwrap().1.finish.unwrap();
        assert_eq!((ended.kind(), ended.as_str()), (infer_core::FinishKind::Length, "max_tokens"));
        assert_eq!(event(&mut decoder, r#"{"end":"stop"}"#).unwrap().1.finish, None);
        let usage = event(&mut decoder, r#"{"tokens":{"input":3,"output":2}}"#).unwrap().1.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.total_tokens), (3, 5));
        assert_eq!(event(&mut decoder, r#"{"last":true}"#).unwrap().0, Step::Done);
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn last_without_an_end_is_a_cut() {
        let mut decoder = AcmeDecoder::default();
        event(&mut decoder, r#"{"text":"Hi"}"#).unwrap();
        assert_eq!(event(&mut decoder, r#"{"last":true}"#), Err(WireFault::Truncated));
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
    }

    #[test]
    fn text_after_the_end_is_a_fault_and_nothing_counts_after_a_fault() {
        let mut decoder = AcmeDecoder::default();
        event(&mut decoder, r#"{"text":"Hi","end":"stop"}"#).unwrap();
        let fault = event(&mut decoder, r#"{"text":"late"}"#).unwrap_err();
        assert!(matches!(fault, WireFault::Malformed { kind: DecodeKind::Excess, .. }), "{fault:?}");
        assert_eq!(event(&mut decoder, "{}"), Err(WireFault::Truncated));
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
    }

    #[test]
    fn an_error_event_is_reported_with_its_meaning() {
        let data = r#"{"error":{"code":"overloaded","message":"later"}}"#;
        let fault = event(&mut AcmeDecoder::default(), data).unwrap_err();
        let WireFault::Reported(body) = fault else { panic!("{fault:?}") };
        assert_eq!(body.meaning, Some(infer_core::ErrorKind::Overloaded));
        assert_eq!(body.message.as_deref(), Some("later"));
    }
}
