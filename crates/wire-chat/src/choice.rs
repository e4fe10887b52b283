//! One choice of one event, or of a whole answer, as a piece.

use infer_core::{
    Audio, DecodeKind, FilterFinding, Filters, FinishKind, FinishReason, Logprobs, TokenChunk, TokenLogprob,
    WireFault,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::calls::Calls;
use crate::dto::{RawChoice, Said, wrong_type};
use crate::filter::{self, KnownFindings};
use crate::json::{Count, string};

/// What is known of one choice.
#[derive(Debug, Default)]
pub(crate) struct ChoiceState {
    calls: Calls,
    findings: KnownFindings,
    /// Its finish reason was handed out.
    pub(crate) is_finished: bool,
    /// It said `""` for a finish reason, which means the end only beside tool calls.
    pub(crate) ended_silently: bool,
}

impl ChoiceState {
    /// Reads `said`, which is the choice's delta or message.
    ///
    /// Filter results, usage and log probabilities may follow a finish reason. Content after it would make two answers
    /// of one, and is neither hidden nor passed off as a part: it is a fault.
    pub(crate) fn read(
        &mut self,
        index: u32,
        raw: &RawChoice<'_>,
        said: Option<&Said<'_>>,
    ) -> Result<TokenChunk, WireFault> {
        let mut chunk = TokenChunk::default();
        chunk.index = index;
        match said {
            Some(said) => self.said(said, &mut chunk)?,
            None => {
                if let Some(text) = raw.text {
                    content(text, &mut chunk)?;
                }
            }
        }
        chunk.logprobs = raw.logprobs.and_then(logprobs).map(Box::new);
        if let Some(raw) = raw.content_filter_results {
            chunk.filters = news(self.findings.news(filter::findings(raw)));
        }
        if self.is_finished {
            if chunk.is_content() {
                let detail = format!("choice {index} goes on after its finish reason");
                return Err(WireFault::malformed(DecodeKind::Excess, detail));
            }
            return Ok(chunk);
        }
        match raw.finish_reason.0.as_deref() {
            None => {}
            Some("") => self.ended_silently = true,
            Some(word) => {
                self.is_finished = true;
                chunk.finish = Some(finish_reason(word));
            }
        }
        Ok(chunk)
    }

    /// The finish reason of a choice that said `""`, once nothing more can come.
    ///
    /// xAI ends tool calls so (its clients' source, read 2026-11-21). Beside anything else it says nothing.
    pub(crate) fn silent_finish(&mut self) -> Option<FinishReason> {
        let is_end = self.ended_silently && !self.is_finished && !self.calls.is_empty();
        self.is_finished |= is_end;
        is_end.then(|| FinishReason::new(FinishKind::ToolCalls, ""))
    }

    fn said(&mut self, said: &Said<'_>, chunk: &mut TokenChunk) -> Result<(), WireFault> {
        if let Some(raw) = said.content {
            content(raw, chunk)?;
        }
        // The same reasoning may stand under several names: the first that has any counts.
        let told = [said.reasoning, said.reasoning_content].into_iter().flatten().filter_map(string);
        if let Some(reasoning) = told.into_iter().find(|text| !text.is_empty()) {
            chunk.reasoning = reasoning;
        } else if let (true, Some(raw)) = (chunk.reasoning.is_empty(), said.reasoning_details) {
            chunk.reasoning = details(raw);
        }
        if let Some(refusal) = said.refusal.and_then(string) {
            chunk.refusal.push_str(&refusal);
        }
        if let Some(raw) = said.tool_calls {
            chunk.tool_calls = self.calls.read(raw)?;
        }
        if let (true, Some(raw)) = (chunk.tool_calls.is_empty(), said.function_call) {
            chunk.tool_calls.extend(self.calls.read_legacy(raw)?);
        }
        chunk.audio = said.audio.and_then(audio).map(Box::new);
        Ok(())
    }
}

/// Findings about an answer, if there are any.
fn news(answer: Vec<FilterFinding>) -> Option<Box<Filters>> {
    if answer.is_empty() {
        return None;
    }
    let mut filters = Box::<Filters>::default();
    filters.answer = answer;
    Some(filters)
}

/// The kind behind an upstream's word (the vendors' documents and sources, read 2026-11-21).
fn finish_reason(word: &str) -> FinishReason {
    let kind = match word {
        // eos: Together.
        "stop" | "eos" => FinishKind::Stop,
        // model_length: Mistral.
        "length" | "model_length" => FinishKind::Length,
        // function_call: OpenAI's older word.
        "tool_calls" | "function_call" => FinishKind::ToolCalls,
        "content_filter" => FinishKind::ContentFilter,
        // insufficient_system_resource: DeepSeek.
        "error" | "insufficient_system_resource" => FinishKind::Error,
        // load, unload: Ollama, when there was nothing to answer.
        _ => FinishKind::Other,
    };
    FinishReason::new(kind, word)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    /// Mistral: parts again, or text.
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

/// Reads `content`: text, a list of parts, or nothing.
fn content(raw: &RawValue, chunk: &mut TokenChunk) -> Result<(), WireFault> {
    if let Some(text) = string(raw) {
        chunk.text = text;
        return Ok(());
    }
    match raw.get().as_bytes().first() {
        Some(b'n') => Ok(()),
        Some(b'[') => {
            let parts: Vec<&RawValue> =
                serde_json::from_str(raw.get()).map_err(|error| WireFault::unreadable("content", &error))?;
            for raw in parts {
                if let Some(text) = string(raw) {
                    chunk.text.push_str(&text);
                    continue;
                }
                let part: Part<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
                if let Some(thinking) = part.thinking {
                    chunk.reasoning.push_str(&string(thinking).unwrap_or_else(|| details(thinking)));
                } else if let Some(text) = part.text.and_then(string) {
                    chunk.text.push_str(&text);
                } else if let Some(refusal) = part.refusal.and_then(string) {
                    chunk.refusal.push_str(&refusal);
                }
            }
            Ok(())
        }
        _ => Err(wrong_type("content", "text, a list of parts or null")),
    }
}

/// The `text` members of a list of objects, joined.
fn details(raw: &RawValue) -> String {
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let text = |raw: &RawValue| {
        let part: Part<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
        part.text.and_then(string)
    };
    parts.into_iter().filter_map(text).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAudio<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    transcript: Option<&'a RawValue>,
    expires_at: Count,
}

fn audio(raw: &RawValue) -> Option<Audio> {
    let raw: RawAudio<'_> = serde_json::from_str(raw.get()).ok()?;
    let mut audio = Audio::default();
    audio.id = raw.id.and_then(string).filter(|id| !id.is_empty());
    audio.data = raw.data.and_then(string).unwrap_or_default();
    audio.transcript = raw.transcript.and_then(string).unwrap_or_default();
    audio.expires_at = raw.expires_at.0;
    (audio != Audio::default()).then_some(audio)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLogprobs {
    content: Option<Vec<RawLogprob>>,
    refusal: Option<Vec<RawLogprob>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLogprob {
    token: String,
    logprob: Option<f64>,
    bytes: Option<Vec<u8>>,
    top_logprobs: Option<Vec<RawLogprob>>,
}

/// Stands for "not among the most likely" where an upstream sends none.
const UNLIKELY: f64 = -9999.0;

/// Probabilities in OpenAI's shape; other shapes stay in the event as received.
fn logprobs(raw: &RawValue) -> Option<Logprobs> {
    let raw: RawLogprobs = serde_json::from_str(raw.get()).ok()?;
    let mut logprobs = Logprobs::default();
    logprobs.content = tokens(raw.content);
    logprobs.refusal = tokens(raw.refusal);
    (logprobs != Logprobs::default()).then_some(logprobs)
}

fn tokens(raw: Option<Vec<RawLogprob>>) -> Vec<TokenLogprob> {
    let token = |raw: RawLogprob| {
        let mut token = TokenLogprob::default();
        token.token = raw.token;
        token.logprob = raw.logprob.unwrap_or(UNLIKELY);
        token.bytes = raw.bytes;
        token.top_logprobs = tokens(raw.top_logprobs);
        token
    };
    raw.into_iter().flatten().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> TokenChunk {
        let raw: RawChoice<'_> = serde_json::from_str(json).unwrap();
        ChoiceState::default().read(0, &raw, RawChoice::said(raw.delta).unwrap().as_ref()).unwrap()
    }

    #[test]
    fn reasoning_said_twice_counts_once() {
        let json =
            r#"{"delta":{"reasoning":"a","reasoning_content":"a","reasoning_details":[{"text":"a"}]}}"#;
        assert_eq!(read(json).reasoning, "a");
        assert_eq!(read(r#"{"delta":{"reasoning":"","reasoning_content":"b"}}"#).reasoning, "b");
        assert_eq!(read(r#"{"delta":{"reasoning_details":[{"text":"c"},{"text":"d"}]}}"#).reasoning, "cd");
    }

    #[test]
    fn text_beside_a_delta_is_its_repetition() {
        assert_eq!(read(r#"{"text":"Hi","delta":{"content":"Hi"}}"#).text, "Hi");
        assert_eq!(read(r#"{"text":"Hi"}"#).text, "Hi");
    }

    #[test]
    fn content_that_is_no_text_is_a_fault_and_not_dropped() {
        let raw: RawChoice<'_> = serde_json::from_str(r#"{"delta":{"content":{"a":1}}}"#).unwrap();
        assert!(ChoiceState::default().read(0, &raw, RawChoice::said(raw.delta).unwrap().as_ref()).is_err());
    }

    #[test]
    fn every_known_word_has_a_kind_and_keeps_its_spelling() {
        let kinds = [
            ("eos", FinishKind::Stop),
            ("model_length", FinishKind::Length),
            ("function_call", FinishKind::ToolCalls),
            ("insufficient_system_resource", FinishKind::Error),
            ("load", FinishKind::Other),
            ("whatever", FinishKind::Other),
        ];
        for (word, kind) in kinds {
            let finish = finish_reason(word);
            assert_eq!((finish.kind(), finish.as_str()), (kind, word));
        }
    }

    #[test]
    fn probabilities_in_a_foreign_shape_are_left_alone() {
        assert!(
            read(r#"{"delta":{},"logprobs":{"tokens":["a"],"token_logprobs":[-0.1]}}"#).logprobs.is_none()
        );
        assert!(read(r#"{"delta":{},"logprobs":{"content":[1]}}"#).logprobs.is_none());
        let odd =
            read(r#"{"delta":{},"logprobs":{"content":[{"token":"a","logprob":null,"top_logprobs":null}]}}"#);
        assert_eq!(odd.logprobs.unwrap().content[0].logprob, UNLIKELY);
    }
}
