//! Reads a stream of events into pieces, and says whether it was complete.

use bytes::Bytes;
use infer_core::raw::{trim, utf8};
use infer_core::{
    DecodeKind, EventDecoder, FilterFinding, Served, Step, TokenChunk, Wire, WireFault, WireFormat,
};
use serde_json::value::RawValue;

use crate::choice::ChoiceState;
use crate::dto::{Answer, MAX_CHOICES, RawChoice, as_error};
use crate::fault;
use crate::filter::{self, KnownFindings};
use crate::json::{Few, is_truthy};
use crate::template::Template;
use crate::usage;

/// Reads the events of one stream.
///
/// - Every event that is JSON gives at least one piece, so whoever passes a stream on loses nothing.
/// - The answer is complete when every choice that appeared has its finish reason. `[DONE]` says no more than that
///   nothing follows: without the finish reasons the answer was cut. A body that ends without `[DONE]` is complete by
///   the same rule.
/// - A choice that goes on with content after its finish reason is malformed.
/// - After an error nothing counts, `[DONE]` included.
/// - What content filters found comes once; findings repeated in later events are not handed out again.
///
/// An ordinary piece costs one allocation, for its text.
#[derive(Debug, Default)]
pub struct ChatDecoder {
    /// By index.
    choices: Vec<Option<ChoiceState>>,
    served: Served,
    /// What filters found in the request.
    prompt: KnownFindings,
    state: State,
    /// The last event, if nothing in it mattered but its text.
    pub(crate) template: Option<Template>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Done,
    Failed,
}

/// Bytes of this format.
fn wire(bytes: Bytes) -> Wire {
    Wire::new(WireFormat::CHAT_COMPLETIONS, bytes)
}

impl EventDecoder for ChatDecoder {
    fn event(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        match self.state {
            State::Done => return Ok(Step::Done),
            State::Failed => return Err(WireFault::Truncated),
            State::Open => {}
        }
        if let Some(chunk) =
            self.template.as_ref().filter(|_| name != "error").and_then(|last| last.read(data))
        {
            out.push(chunk);
            return Ok(Step::More);
        }
        // Whatever comes now may change what is known, so the template has to be made anew.
        self.template = None;
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
            State::Open if self.is_complete() => Ok(()),
            _ => Err(WireFault::Truncated),
        }
    }
}

impl ChatDecoder {
    fn read(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        let text = trim(utf8(data, "event")?);
        if name == "error" {
            return Err(reported(text));
        }
        if text.is_empty() {
            return Ok(Step::More);
        }
        if text.starts_with("[DONE]") {
            return self.done(out);
        }
        let mut answer = Answer::read(text, "event")?;
        if answer.is_error() {
            return Err(reported(text));
        }
        let begin = out.len();
        let content = match self.choices(std::mem::take(&mut answer.choices), out) {
            Ok(content) => content,
            Err(fault) => {
                out.truncate(begin);
                return Err(fault);
            }
        };
        let prompt = answer.prompt_filter_results.map(filter::prompt_findings).unwrap_or_default();
        let prompt = self.prompt.news(prompt);
        if !prompt.is_empty() {
            Self::add_prompt(prompt, begin, out);
        }
        if out.len() == begin {
            out.push(TokenChunk::default());
        }
        let mut pieces = out.iter_mut().skip(begin);
        if let Some(first) = pieces.next() {
            first.wire = Some(wire(data.clone()));
            first.usage = answer.usage().and_then(usage::read);
            first.served = answer.news(&self.served);
            if let Some(news) = &first.served {
                self.served.learn(news);
            }
            self.template =
                content.and_then(|content| Template::of(data, first, content, answer.obfuscation));
        }
        pieces.for_each(passed_on);
        Ok(Step::More)
    }

    /// Puts what filters found in the request into the event's piece of the first answer, where it belongs.
    fn add_prompt(prompt: Vec<FilterFinding>, begin: usize, out: &mut Vec<TokenChunk>) {
        let place = out.iter().skip(begin).position(|piece| piece.index == 0);
        let place = place.map_or(out.len(), |place| begin + place);
        if place == out.len() {
            out.push(TokenChunk::default());
        }
        if let Some(piece) = out.get_mut(place) {
            piece.filters.get_or_insert_default().prompt = prompt;
        }
    }

    /// Gives the place of the text if there is one choice.
    fn choices<'a>(
        &mut self,
        choices: Few<RawChoice<'a>, MAX_CHOICES>,
        out: &mut Vec<TokenChunk>,
    ) -> Result<Option<&'a RawValue>, WireFault> {
        match choices {
            Few::None => Ok(None),
            Few::One(choice) => self.choice(0, &choice, out),
            Few::Many(choices) => {
                for (place, choice) in (0..).zip(&choices) {
                    self.choice(place, choice, out)?;
                }
                Ok(None)
            }
            Few::Excess => Err(too_many()),
        }
    }

    fn choice<'a>(
        &mut self,
        place: u64,
        choice: &RawChoice<'a>,
        out: &mut Vec<TokenChunk>,
    ) -> Result<Option<&'a RawValue>, WireFault> {
        if let Some(error) = choice.error.filter(|error| is_truthy(error)) {
            return Err(reported(&as_error(error)));
        }
        let index = choice.index.0.unwrap_or(place);
        let Some(index) = u32::try_from(index).ok().filter(|index| (*index as usize) < MAX_CHOICES) else {
            return Err(too_many());
        };
        if self.choices.len() <= index as usize {
            self.choices.resize_with(index as usize + 1, || None);
        }
        let Some(state) = self.choices.get_mut(index as usize) else { return Ok(None) };
        let said = RawChoice::said(choice.delta)?;
        out.push(state.get_or_insert_default().read(index, choice, said.as_ref())?);
        Ok(said.and_then(|said| said.content))
    }

    fn done(&mut self, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        for (index, choice) in (0..).zip(&mut self.choices) {
            if let Some(finish) = choice.as_mut().and_then(ChoiceState::silent_finish) {
                let mut chunk = TokenChunk::finish(index, finish);
                // Whoever passes events on has already passed on the one that said it.
                passed_on(&mut chunk);
                out.push(chunk);
            }
        }
        if self.is_complete() { Ok(Step::Done) } else { Err(WireFault::Truncated) }
    }

    /// Takes the template, so that the next event is parsed.
    #[cfg(test)]
    pub(crate) fn template(&mut self) -> Option<Template> {
        self.template.take()
    }

    fn is_complete(&self) -> bool {
        let mut seen = self.choices.iter().flatten().peekable();
        seen.peek().is_some() && seen.all(|choice| choice.is_finished)
    }
}

fn reported(event: &str) -> WireFault {
    WireFault::Reported(Box::new(fault::read_in_stream(event.as_bytes())))
}

pub(crate) fn too_many() -> WireFault {
    WireFault::malformed(DecodeKind::Excess, format!("more than {MAX_CHOICES} choices"))
}

/// Marks a piece of an event that another piece has whole.
fn passed_on(further: &mut TokenChunk) {
    further.wire = Some(wire(Bytes::new()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(decoder: &mut ChatDecoder, data: &str) -> Result<(Step, Vec<TokenChunk>), WireFault> {
        let mut out = Vec::new();
        let step = decoder.event("", &Bytes::copy_from_slice(data.as_bytes()), &mut out)?;
        Ok((step, out))
    }

    fn finish(index: u32) -> String {
        format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#)
    }

    #[test]
    fn every_event_gives_a_piece_that_carries_it() {
        let mut decoder = ChatDecoder::default();
        for data in ["{}", r#"{"choices":[]}"#, r#"{"choices":null}"#, r#"{"choices":[{"index":0}]}"#] {
            let (step, out) = event(&mut decoder, data).unwrap();
            assert_eq!((step, out.len()), (Step::More, 1), "{data}");
            assert_eq!(out[0].wire.as_ref().map(|wire| &wire.bytes()[..]), Some(data.as_bytes()));
            assert!(!out[0].is_content());
        }
    }

    #[test]
    fn several_choices_of_one_event_share_it() {
        let data = r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#;
        let (_, out) = event(&mut ChatDecoder::default(), data).unwrap();
        assert_eq!((out[0].index, out[0].text.as_str()), (1, "b"));
        assert_eq!(out[0].wire.as_ref().map(|wire| &wire.bytes()[..]), Some(data.as_bytes()));
        assert_eq!(out[1].wire.as_ref().map(|wire| &wire.bytes()[..]), Some(&b""[..]));
    }

    #[test]
    fn a_stream_is_complete_when_every_choice_that_appeared_has_finished() {
        let mut decoder = ChatDecoder::default();
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
        event(&mut decoder, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#).unwrap();
        event(&mut decoder, &finish(0)).unwrap();
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
        event(&mut decoder, &finish(1)).unwrap();
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn done_without_a_finish_reason_is_a_cut() {
        let mut decoder = ChatDecoder::default();
        event(&mut decoder, r#"{"choices":[{"index":0,"delta":{"content":"x"}}]}"#).unwrap();
        assert_eq!(event(&mut decoder, "[DONE]"), Err(WireFault::Truncated));
        assert_eq!(event(&mut ChatDecoder::default(), "[DONE]"), Err(WireFault::Truncated));
    }

    #[test]
    fn nothing_counts_after_done_or_after_an_error() {
        let mut decoder = ChatDecoder::default();
        event(&mut decoder, &finish(0)).unwrap();
        assert_eq!(event(&mut decoder, "[DONE] "), Ok((Step::Done, vec![])));
        assert_eq!(event(&mut decoder, r#"{"error":"late"}"#), Ok((Step::Done, vec![])));
        assert_eq!(decoder.finish(), Ok(()));

        let mut decoder = ChatDecoder::default();
        event(&mut decoder, &finish(0)).unwrap();
        assert!(matches!(event(&mut decoder, r#"{"error":{"message":"x"}}"#), Err(WireFault::Reported(_))));
        assert_eq!(event(&mut decoder, "[DONE]"), Err(WireFault::Truncated));
        assert_eq!(decoder.finish(), Err(WireFault::Truncated));
    }

    #[test]
    fn content_after_the_finish_reason_is_malformed_and_a_second_reason_is_ignored() {
        let mut decoder = ChatDecoder::default();
        event(&mut decoder, &finish(0)).unwrap();
        let again =
            r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"length"}],"usage":null}"#;
        assert_eq!(event(&mut decoder, again).unwrap().1[0].finish, None);
        let late = r#"{"choices":[{"index":0,"delta":{"content":"late"}}]}"#;
        let fault = event(&mut decoder, late).unwrap_err();
        assert!(matches!(fault, WireFault::Malformed { kind: DecodeKind::Excess, .. }), "{fault:?}");
    }

    #[test]
    fn an_empty_finish_reason_ends_tool_calls_and_nothing_else() {
        let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":""}]}"#;
        let mut decoder = ChatDecoder::default();
        assert_eq!(event(&mut decoder, call).unwrap().1[0].finish, None);
        let (step, out) = event(&mut decoder, "[DONE]").unwrap();
        assert_eq!(step, Step::Done);
        assert_eq!(out[0].finish.as_ref().unwrap().as_str(), "");
        assert_eq!(out[0].finish.as_ref().unwrap().kind(), infer_core::FinishKind::ToolCalls);

        let mut decoder = ChatDecoder::default();
        event(&mut decoder, r#"{"choices":[{"delta":{"content":"x"},"finish_reason":""}]}"#).unwrap();
        assert_eq!(event(&mut decoder, "[DONE]"), Err(WireFault::Truncated));
    }

    #[test]
    fn who_answers_is_said_when_it_becomes_known_and_not_again() {
        let mut decoder = ChatDecoder::default();
        let unknown = r#"{"id":"","model":"","created":0,"choices":[]}"#;
        assert_eq!(event(&mut decoder, unknown).unwrap().1[0].served, None);
        let known = r#"{"id":"a","model":"m","created":7,"service_tier":"auto","choices":[]}"#;
        let served = event(&mut decoder, known).unwrap().1.remove(0).served.unwrap();
        assert_eq!((served.id.as_deref(), served.created), (Some("a"), Some(7)));
        assert_eq!(event(&mut decoder, known).unwrap().1[0].served, None);
        let tier = known.replace("auto", "flex");
        let served = event(&mut decoder, &tier).unwrap().1.remove(0).served.unwrap();
        assert_eq!(served.service_tier.as_deref(), Some("flex"));
    }

    #[test]
    fn a_choice_number_beyond_the_limit_reserves_no_memory() {
        for index in ["128", "4294967295", "18446744073709551615"] {
            let data = format!(r#"{{"choices":[{{"index":{index},"delta":{{}}}}]}}"#);
            assert!(event(&mut ChatDecoder::default(), &data).is_err(), "{index}");
        }
        let many = format!(r#"{{"choices":[{}]}}"#, vec!["{}"; MAX_CHOICES + 1].join(","));
        assert!(event(&mut ChatDecoder::default(), &many).is_err());
    }

    #[test]
    fn errors_are_seen_wherever_they_stand_and_empty_ones_are_none() {
        let errors = [
            r#"{"error":"x"}"#,
            r#"{"x_groq":{"error":"x"}}"#,
            r#"{"base_resp":{"status_code":1000,"status_msg":"x"}}"#,
            r#"{"status_code":500}"#,
            r#"{"choices":[{"error":{"message":"x"}}]}"#,
        ];
        for data in errors {
            let fault = event(&mut ChatDecoder::default(), data).unwrap_err();
            assert!(matches!(fault, WireFault::Reported(_)), "{data}");
        }
        let none = [
            r#"{"error":null}"#,
            r#"{"error":""}"#,
            r#"{"base_resp":{"status_code":0,"status_msg":""}}"#,
            r#"{"choices":[{"index":0,"content_filter_results":{"error":{"code":"content_filter_error"}}}]}"#,
        ];
        for data in none {
            assert!(event(&mut ChatDecoder::default(), data).is_ok(), "{data}");
        }
        let named = ChatDecoder::default().event("error", &Bytes::from_static(b"oops"), &mut Vec::new());
        assert!(matches!(named, Err(WireFault::Reported(body)) if body.message.as_deref() == Some("oops")));
    }
}
