//! Reads a stream of events into pieces, and says whether it was complete.

use bytes::Bytes;
use infer_core::{EventDecoder, Served, Step, TokenChunk, WireFault};

use crate::MESSAGES;
use crate::dto::{Answer, Delta, Event, is_truthy, object, reported, utf8};
use crate::finish::{explanation, finish};
use crate::json::{count, filled};
use crate::open::{OpenBlocks, excess};
use crate::usage::Tally;

/// Reads the events of one stream.
///
/// - Every event gives one piece, `ping`, `message_stop` and events of unknown names included, so whoever passes a
///   stream on loses nothing. An event goes by the `type` in its data; the name beside it counts where there is none.
/// - The answer is complete when a `stop_reason` was seen. `message_stop` says no more than that nothing follows:
///   without a reason the answer was cut. A body that ends without `message_stop` is complete by the same rule.
/// - A block that starts or goes on after the `stop_reason` is malformed.
/// - After an error nothing counts, `message_stop` included.
#[derive(Debug, Default)]
pub struct MessagesDecoder {
    blocks: OpenBlocks,
    tally: Tally,
    /// Known once the message has started.
    served: Option<Served>,
    is_finished: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Done,
    Failed,
}

/// The events that mean something (Anthropic's page on streaming messages, read 2026-11-21).
const KNOWN: [&str; 8] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
];

impl EventDecoder for MessagesDecoder {
    fn event(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        match self.state {
            State::Done => return Ok(Step::Done),
            State::Failed => return Err(WireFault::Truncated),
            State::Open => {}
        }
        let step = self.read(name, data, out);
        match step {
            Ok(Step::More) => {}
            Ok(Step::Done) => self.state = State::Done,
            Err(_) => self.state = State::Failed,
        }
        step
    }

    fn finish(&mut self) -> Result<(), WireFault> {
        match self.state {
            State::Done => Ok(()),
            State::Open if self.is_finished => Ok(()),
            _ => Err(WireFault::Truncated),
        }
    }
}

impl MessagesDecoder {
    fn read(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        let text = utf8(data, "event")?;
        if name == "error" {
            return Err(reported(text));
        }
        if text.is_empty() {
            return Ok(Step::More);
        }
        // Not of this format; a proxy may end every stream of its own like this.
        if text.starts_with("[DONE]") {
            return self.end();
        }
        let mut chunk = TokenChunk::default();
        let is_unknown = !name.is_empty() && !KNOWN.contains(&name);
        let step = match object::<Event<'_>>(text, "event") {
            Ok(event) => self.take(name, &event, text, &mut chunk)?,
            Err(_) if is_unknown || name == "ping" => Step::More,
            Err(fault) => return Err(fault),
        };
        chunk.wire = Some(data.clone());
        chunk.wire_format = Some(MESSAGES);
        out.push(chunk);
        Ok(step)
    }

    fn take(
        &mut self,
        name: &str,
        event: &Event<'_>,
        text: &str,
        chunk: &mut TokenChunk,
    ) -> Result<Step, WireFault> {
        let kind = filled(event.r#type).unwrap_or(name.into());
        let index = count(event.index).unwrap_or(0);
        match &*kind {
            "message_start" => self.begin(event, chunk)?,
            "content_block_start" => {
                self.go_on()?;
                self.blocks.start(index, event.content_block, chunk)?;
            }
            "content_block_delta" => {
                self.go_on()?;
                if let Some(raw) = event.delta {
                    let delta: Delta<'_> = object(raw.get(), "delta")?;
                    self.blocks.delta(index, &delta, chunk)?;
                }
            }
            "content_block_stop" => self.blocks.stop(index, chunk),
            "message_delta" => self.settle(event, chunk)?,
            "message_stop" => return self.end(),
            "error" => return Err(reported(text)),
            known if KNOWN.contains(&known) => {}
            _ if event.error.is_some_and(is_truthy) => return Err(reported(text)),
            _ => {}
        }
        Ok(Step::More)
    }

    /// `message_start`: who answers, and what the input costs already.
    fn begin(&mut self, event: &Event<'_>, chunk: &mut TokenChunk) -> Result<(), WireFault> {
        if self.served.is_some() {
            return Err(excess("a second message_start"));
        }
        let answer: Answer<'_> = match event.message {
            Some(raw) => object(raw.get(), "message")?,
            None => Answer::default(),
        };
        chunk.usage = self.tally.learn(answer.usage);
        let mut served = answer.served();
        served.service_tier.clone_from(&self.tally.service_tier);
        chunk.served = (served != Served::default()).then(|| Box::new(served.clone()));
        self.served = Some(served);
        Ok(())
    }

    /// `message_delta`: why the answer ended, and what it cost.
    fn settle(&mut self, event: &Event<'_>, chunk: &mut TokenChunk) -> Result<(), WireFault> {
        chunk.usage = self.tally.learn(event.usage);
        if let Some(served) =
            self.served.as_mut().filter(|served| served.service_tier != self.tally.service_tier)
        {
            served.service_tier.clone_from(&self.tally.service_tier);
            chunk.served = Some(Box::new(served.clone()));
        }
        let Some(raw) = event.delta else { return Ok(()) };
        let delta: Delta<'_> = object(raw.get(), "delta")?;
        // The first reason stands.
        if let (Some(reason), false) = (finish(delta.stop_reason), self.is_finished) {
            self.blocks.stop_all(chunk);
            chunk.refusal = explanation(Some(&reason), delta.stop_details);
            chunk.finish = Some(reason);
            self.is_finished = true;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), WireFault> {
        if self.is_finished { Err(excess("content after the stop_reason")) } else { Ok(()) }
    }

    fn end(&self) -> Result<Step, WireFault> {
        if self.is_finished { Ok(Step::Done) } else { Err(WireFault::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::{Completion, DecodeKind};

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#;
    const END: &str =
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
    const STOP: &str = r#"{"type":"message_stop"}"#;

    fn named(
        decoder: &mut MessagesDecoder,
        name: &str,
        data: &str,
    ) -> Result<(Step, Vec<TokenChunk>), WireFault> {
        let mut out = Vec::new();
        let step = decoder.event(name, &Bytes::copy_from_slice(data.as_bytes()), &mut out)?;
        Ok((step, out))
    }

    fn event(decoder: &mut MessagesDecoder, data: &str) -> Result<(Step, Vec<TokenChunk>), WireFault> {
        named(decoder, "", data)
    }

    fn start(index: u32, block: &str) -> String {
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
    }

    fn delta(index: u32, delta: &str) -> String {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
    }

    fn stop(index: u32) -> String {
        format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
    }

    fn fold(events: &[String]) -> Completion {
        let mut decoder = MessagesDecoder::default();
        let mut whole = Completion::default();
        for data in events {
            event(&mut decoder, data).unwrap().1.into_iter().for_each(|chunk| whole.push(chunk));
        }
        decoder.finish().unwrap();
        whole
    }

    #[test]
    fn every_event_gives_one_piece_that_carries_it() {
        let mut decoder = MessagesDecoder::default();
        let odd = [
            ("ping", r#"{"type":"ping"}"#),
            ("ping", "not json"),
            ("", r#"{"type":"ping"}"#),
            ("novelty", r#"{"type":"novelty","index":[]}"#),
            ("novelty", "not json"),
            ("", "{}"),
            ("content_block_stop", r#"{"index":99}"#),
            ("content_block_delta", r#"{"delta":{"type":"novel_delta","text":5}}"#),
        ];
        for (name, data) in odd.into_iter().chain([("", START), ("", END), ("", STOP)]) {
            let (_, out) = named(&mut decoder, name, data).unwrap();
            assert_eq!(out.len(), 1, "{data}");
            assert_eq!(out[0].wire.as_deref(), Some(data.as_bytes()));
        }
    }

    #[test]
    fn the_type_in_the_data_counts_and_the_name_stands_in_for_it() {
        let text = r#"{"index":0,"delta":{"type":"text_delta","text":"a"}}"#;
        let (_, out) = named(&mut MessagesDecoder::default(), "content_block_delta", text).unwrap();
        assert_eq!(out[0].text, "a");
        let typed = delta(0, r#"{"type":"text_delta","text":"a"}"#);
        for name in ["", "message", "ping"] {
            assert_eq!(
                named(&mut MessagesDecoder::default(), name, &typed).unwrap().1[0].text,
                "a",
                "{name}"
            );
        }
    }

    #[test]
    fn a_stop_without_a_reason_is_a_cut() {
        for last in [STOP, "[DONE]"] {
            let mut decoder = MessagesDecoder::default();
            event(&mut decoder, START).unwrap();
            event(&mut decoder, r#"{"type":"message_delta","delta":{"stop_reason":null}}"#).unwrap();
            assert_eq!(decoder.finish(), Err(WireFault::Truncated));
            assert_eq!(event(&mut decoder, last), Err(WireFault::Truncated));
            assert_eq!(decoder.finish(), Err(WireFault::Truncated));
        }
    }

    #[test]
    fn a_reason_completes_the_answer_with_and_without_a_stop() {
        let mut decoder = MessagesDecoder::default();
        let (_, out) = event(&mut decoder, END).unwrap();
        assert_eq!(out[0].finish.as_ref().unwrap().as_str(), "end_turn");
        assert_eq!(decoder.finish(), Ok(()));
        assert_eq!(event(&mut decoder, STOP).unwrap().0, Step::Done);
        assert_eq!(event(&mut decoder, START).unwrap(), (Step::Done, vec![]));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn content_after_the_reason_is_malformed_and_a_second_reason_is_ignored() {
        let mut decoder = MessagesDecoder::default();
        event(&mut decoder, END).unwrap();
        let (_, out) = event(&mut decoder, &END.replace("end_turn", "max_tokens")).unwrap();
        assert_eq!((out[0].finish.is_none(), out[0].usage.is_some()), (true, true));
        event(&mut decoder, &stop(0)).unwrap();
        let fault = event(&mut decoder, &start(0, r#"{"type":"text","text":""}"#)).unwrap_err();
        assert!(matches!(fault, WireFault::Malformed { kind: DecodeKind::Excess, .. }), "{fault:?}");
        assert_eq!(event(&mut decoder, STOP), Err(WireFault::Truncated));
    }

    #[test]
    fn errors_are_seen_by_name_by_type_and_by_member() {
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        for (name, data) in [
            ("error", overloaded),
            ("", overloaded),
            ("x", r#"{"error":{"message":"y"}}"#),
            ("error", "oops"),
        ] {
            let mut decoder = MessagesDecoder::default();
            event(&mut decoder, START).unwrap();
            assert!(matches!(named(&mut decoder, name, data), Err(WireFault::Reported(_))), "{name} {data}");
            assert_eq!(event(&mut decoder, END), Err(WireFault::Truncated));
            assert_eq!(decoder.finish(), Err(WireFault::Truncated));
        }
    }

    #[test]
    fn calls_are_numbered_without_gaps_and_always_have_arguments() {
        let call = |id: &str, input: &str| {
            format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{input}}}"#)
        };
        let piece = |json: &str| format!(r#"{{"type":"input_json_delta","partial_json":{json}}}"#);
        let whole = fold(&[
            start(0, r#"{"type":"text","text":""}"#),
            stop(0),
            start(3, &call("a", "{}")),
            delta(3, &piece(r#""""#)),
            delta(3, &piece(r#""{\"x\": ""#)),
            delta(3, &piece(r#""1}""#)),
            stop(3),
            start(5, &call("b", r#"{"y": 2}"#)),
            stop(5),
            start(6, r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#),
            delta(6, &piece(r#""{\"query\":1}""#)),
            stop(6),
            start(7, &call("c", "{}")),
            END.to_owned(),
        ]);
        let calls: Vec<_> = whole.choices[0]
            .tool_calls
            .iter()
            .map(|call| (call.id.as_deref(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [(Some("a"), r#"{"x": 1}"#), (Some("b"), r#"{"y": 2}"#), (Some("c"), "{}")]);
    }

    #[test]
    fn a_block_that_starts_in_the_place_of_an_open_one_ends_it() {
        let call =
            |id: &str| start(0, &format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{{}}}}"#));
        let whole = fold(&[call("a"), call("b"), END.to_owned()]);
        let calls: Vec<_> = whole.choices[0].tool_calls.iter().map(|call| call.arguments.as_str()).collect();
        assert_eq!(calls, ["{}", "{}"]);
    }

    #[test]
    fn a_block_of_reasoning_is_handed_over_whole_when_it_stops() {
        let mut decoder = MessagesDecoder::default();
        let begin = r#"{"type":"thinking","thinking":"","signature":"","extra":1.0}"#;
        event(&mut decoder, &start(0, begin)).unwrap();
        for (kind, text) in [("thinking", "a\\n"), ("thinking", "é"), ("signature", "sig")] {
            let data = delta(0, &format!(r#"{{"type":"{kind}_delta","{kind}":"{text}"}}"#));
            assert!(event(&mut decoder, &data).unwrap().1[0].reasoning_blocks.is_empty());
        }
        let (_, out) = event(&mut decoder, &stop(0)).unwrap();
        let expect = r#"{"type":"thinking","thinking":"a\né","signature":"sig","extra":1.0}"#;
        assert_eq!(out[0].reasoning_blocks[0].get(), expect);
        let redacted = r#"{"type":"redacted_thinking", "data":"x"}"#;
        event(&mut decoder, &start(1, redacted)).unwrap();
        let (_, out) = event(&mut decoder, END).unwrap();
        assert_eq!(out[0].reasoning_blocks[0].get(), redacted);
    }

    #[test]
    fn a_second_message_is_not_added_to_the_first() {
        let mut decoder = MessagesDecoder::default();
        event(&mut decoder, START).unwrap();
        assert!(matches!(event(&mut decoder, START), Err(WireFault::Malformed { .. })));
    }

    #[test]
    fn memory_is_bounded_however_many_blocks_and_whatever_their_size() {
        let mut decoder = MessagesDecoder::default();
        let refused =
            (0..2000).find_map(|index| event(&mut decoder, &start(index, r#"{"type":"text"}"#)).err());
        assert!(matches!(refused, Some(WireFault::Malformed { kind: DecodeKind::Excess, .. })));

        let mut decoder = MessagesDecoder::default();
        let bare = r#"{"type":"thinking_delta","thinking":""}"#;
        assert_eq!((0..2000).position(|index| event(&mut decoder, &delta(index, bare)).is_err()), Some(1024));

        let mut decoder = MessagesDecoder::default();
        let full = format!(r#"{{"type":"tool_use","name":"f","input":{{"a":"{}"}}}}"#, "x".repeat(1 << 20));
        assert_eq!((0..40).position(|index| event(&mut decoder, &start(index, &full)).is_err()), Some(15));

        let mut decoder = MessagesDecoder::default();
        let call = r#"{"type":"tool_use","name":"f"}"#;
        let refused = (0..2000).position(|_| event(&mut decoder, &start(0, call)).is_err());
        assert_eq!(refused, Some(1024));

        let mut decoder = MessagesDecoder::default();
        let large = format!(r#"{{"type":"thinking_delta","thinking":"{}"}}"#, "x".repeat(1 << 20));
        let refused = (0..40).position(|_| event(&mut decoder, &delta(0, &large)).is_err());
        assert_eq!(refused, Some(16));
    }

    #[test]
    fn a_piece_that_cannot_be_read_ends_the_stream() {
        let broken = [
            "{".to_owned(),
            "[]".to_owned(),
            delta(0, r#"{"type":"text_delta","text":5}"#),
            delta(0, r#"{"type":"input_json_delta","partial_json":"{}"}"#),
            delta(0, "7"),
            r#"{"type":"content_block_start","index":0}"#.to_owned(),
        ];
        for data in broken {
            let fault = event(&mut MessagesDecoder::default(), &data).unwrap_err();
            assert!(matches!(fault, WireFault::Malformed { .. }), "{data}: {fault:?}");
        }
    }
}
