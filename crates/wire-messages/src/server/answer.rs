//! A whole answer as a server writes it.

use std::borrow::Cow;

use bytes::Bytes;
use infer_core::{Choice, Completion, FinishKind, FinishReason, RawJson, RequestId, Served, ToolCall, Usage};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::MESSAGES;
use crate::json::string;

/// Writes a whole answer; one that came in this wire format is passed on untouched.
///
/// Of several answers the first is written: the format has one. The answer's own model name stands before `model`, which
/// is what was asked for. Ids of the answer and its calls are made here where they are missing. Sound and probabilities
/// have no place in this format; a refusal in words becomes the explanation of the stop reason `refusal`.
pub fn write_message(completion: &Completion, model: &str) -> Bytes {
    if let Some(wire) = completion.wire_in(MESSAGES) {
        return wire.clone();
    }
    let none = Choice::new(0);
    let choice = completion.choices.first().unwrap_or(&none);
    let mut content = reasoning(choice);
    content.extend((!choice.text.is_empty()).then_some(Block::Text { text: &choice.text }));
    content.extend(choice.tool_calls.iter().map(tool_use));
    let said = |finish| stop_reason(finish, !choice.tool_calls.is_empty(), !choice.refusal.is_empty());
    let message = Message {
        stop_reason: choice.finish.as_ref().map(said),
        stop_details: StopDetails::of(&choice.refusal),
        content,
        ..Message::head(&completion.served, &answer_id(&completion.served), model, completion.usage.as_ref())
    };
    serde_json::to_vec(&message).unwrap_or_default().into()
}

/// A whole answer, or how one starts.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'a str>,
    /// Which text ended the answer, where that is known; it never is here.
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<StopDetails<'a>>,
    usage: Counts<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    #[serde(untagged)]
    Raw(&'a RawJson),
}

/// Why an answer was refused.
#[derive(Serialize)]
pub(super) struct StopDetails<'a> {
    r#type: &'static str,
    category: Option<&'a str>,
    explanation: &'a str,
}

/// Token counts. The whole input is what is fresh and what was read from and written to the cache together.
#[derive(Serialize)]
pub(super) struct Counts<'a> {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<Ages>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
}

#[derive(Serialize)]
struct Ages {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl<'a> Message<'a> {
    /// An answer that has said nothing yet.
    pub(super) fn head(served: &'a Served, id: &str, model: &'a str, usage: Option<&Usage>) -> Self {
        Self {
            id: id.to_owned().into(),
            r#type: "message",
            role: "assistant",
            model: served.model.as_deref().unwrap_or(model),
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            stop_details: None,
            usage: Counts::of(usage, served),
        }
    }
}

impl<'a> StopDetails<'a> {
    pub(super) fn of(refusal: &'a str) -> Option<Self> {
        (!refusal.is_empty()).then_some(Self { r#type: "refusal", category: None, explanation: refusal })
    }
}

impl<'a> Counts<'a> {
    /// Clients want the counts in every answer: those that the upstream did not give are 0.
    pub(super) fn of(usage: Option<&Usage>, served: &'a Served) -> Self {
        let usage = usage.copied().unwrap_or_default();
        let (read, written, hour) =
            (usage.cached_input_tokens, usage.cache_write_tokens, usage.long_cache_write_tokens);
        Self {
            input_tokens: usage.input_tokens.saturating_sub(read).saturating_sub(written),
            cache_creation_input_tokens: written,
            cache_read_input_tokens: read,
            cache_creation: (hour > 0).then(|| Ages {
                ephemeral_5m_input_tokens: written.saturating_sub(hour),
                ephemeral_1h_input_tokens: hour,
            }),
            output_tokens: usage.output_tokens,
            output_tokens_details: (usage.reasoning_tokens > 0)
                .then_some(OutputDetails { thinking_tokens: usage.reasoning_tokens }),
            service_tier: served.service_tier.as_deref().map(|tier| match tier {
                "default" => "standard",
                tier => tier,
            }),
        }
    }
}

/// The answer's name, or a new one.
pub(super) fn answer_id(served: &Served) -> String {
    served.id.clone().unwrap_or_else(|| format!("msg_{}", RequestId::generate()))
}

/// The id of a call, or a new one: its result has to refer to it.
pub(super) fn call_id(id: Option<&str>) -> Cow<'_, str> {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => Cow::Borrowed(id),
        None => Cow::Owned(format!("toolu_{}", RequestId::generate())),
    }
}

/// Whether a block of reasoning is one of this format's, and not of an upstream that has its own.
pub(super) fn is_reasoning_block(raw: &RawJson) -> bool {
    let kind = thought(raw).kind;
    matches!(kind.as_deref(), Some("thinking" | "redacted_thinking"))
}

/// What a block of reasoning says.
#[derive(Default)]
pub(super) struct Thought<'a> {
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) text: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
}

pub(super) fn thought(raw: &RawJson) -> Thought<'_> {
    let members: crate::json::Members<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut thought = Thought::default();
    for (name, raw) in members.0 {
        match &*name {
            "type" => thought.kind = string(raw),
            "thinking" => thought.text = string(raw).unwrap_or_default(),
            "signature" => thought.signature = string(raw).unwrap_or_default(),
            _ => {}
        }
    }
    thought
}

/// Blocks of this format as they are; else the reasoning in plain words, which nobody signed.
fn reasoning(choice: &Choice) -> Vec<Block<'_>> {
    let blocks: Vec<_> =
        choice.reasoning_blocks.iter().filter(|raw| is_reasoning_block(raw)).map(Block::Raw).collect();
    if blocks.is_empty() && !choice.reasoning.is_empty() {
        return vec![Block::Thinking { thinking: &choice.reasoning, signature: "" }];
    }
    blocks
}

/// Arguments that are no JSON object are written as text: an object would have to be made up.
fn tool_use(call: &ToolCall) -> Block<'_> {
    let arguments = match call.arguments.trim_ascii() {
        "" => "{}",
        text => text,
    };
    let object: Option<&RawValue> = serde_json::from_str(arguments).ok();
    let input = match object.filter(|raw| raw.get().starts_with('{')) {
        Some(object) => Cow::Borrowed(object),
        None => Cow::Owned(
            serde_json::value::to_raw_value(arguments).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        ),
    };
    Block::ToolUse { id: call_id(call.id.as_deref()), name: &call.name, input }
}

/// Why the answer ended, in this format's words (Anthropic's page on stop reasons, read 2026-11-21). An end for which it
/// has none keeps the upstream's.
pub(super) fn stop_reason(finish: &FinishReason, has_calls: bool, is_refused: bool) -> &str {
    let own = [
        "end_turn",
        "stop_sequence",
        "max_tokens",
        "model_context_window_exceeded",
        "tool_use",
        "refusal",
        "pause_turn",
    ];
    match finish.kind() {
        _ if own.contains(&finish.as_str()) => finish.as_str(),
        _ if is_refused => "refusal",
        // Some servers of other formats say that the model was done although it wants tools called.
        FinishKind::Stop if has_calls => "tool_use",
        FinishKind::Stop => "end_turn",
        FinishKind::Length => "max_tokens",
        FinishKind::ToolCalls => "tool_use",
        FinishKind::ContentFilter => "refusal",
        _ => finish.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::WireFormat;
    use serde_json::{Value, json};

    fn written(choice: Choice) -> Value {
        let mut completion = Completion::default();
        completion.choices = vec![choice];
        serde_json::from_slice(&write_message(&completion, "m")).unwrap()
    }

    #[test]
    fn an_answer_in_this_format_is_passed_on_untouched_and_another_written_anew() {
        let mut completion = Completion::default();
        completion.wire = Some(infer_core::Wire::new(MESSAGES, "{ \"odd\":1.0 }"));
        assert_eq!(write_message(&completion, "m"), &b"{ \"odd\":1.0 }"[..]);
        completion.wire = Some(infer_core::Wire::new(WireFormat::CHAT_COMPLETIONS, "{ \"odd\":1.0 }"));
        let json: Value = serde_json::from_slice(&write_message(&completion, "m")).unwrap();
        assert_eq!((&json["type"], &json["model"]), (&"message".into(), &"m".into()));
        assert_eq!(json["usage"]["input_tokens"], 0);
    }

    #[test]
    fn an_end_in_another_formats_words_is_told_in_this_ones() {
        let ends = [
            (FinishReason::from(FinishKind::Stop), "end_turn"),
            (FinishKind::Length.into(), "max_tokens"),
            (FinishKind::ToolCalls.into(), "tool_use"),
            (FinishKind::ContentFilter.into(), "refusal"),
            (FinishKind::Error.into(), "error"),
            (FinishReason::new(FinishKind::Stop, "stop_sequence"), "stop_sequence"),
            (FinishReason::new(FinishKind::Other, "pause_turn"), "pause_turn"),
        ];
        for (finish, expect) in ends {
            assert_eq!(stop_reason(&finish, false, false), expect);
        }
        assert_eq!(stop_reason(&FinishKind::Stop.into(), true, false), "tool_use");
        let mut refused = Choice::new(0);
        refused.refusal = "no".into();
        refused.finish = Some(FinishKind::Stop.into());
        let json = written(refused);
        assert_eq!(json["stop_reason"], "refusal");
        assert_eq!(json["stop_details"]["explanation"], "no");
        assert!(written(Choice::new(0))["stop_reason"].is_null(), "an end is never made up");
    }

    #[test]
    fn arguments_that_are_no_object_are_told_as_text() {
        let mut choice = Choice::new(0);
        choice.tool_calls = ["{\"a\": 1.0}", "", "{\"a\":", "[1]"]
            .map(|arguments| ToolCall::function("t", "f", arguments))
            .into();
        choice.tool_calls[1].id = None;
        let content = &written(choice)["content"];
        let inputs: Vec<_> = (0..4).map(|place| content[place]["input"].clone()).collect();
        assert_eq!(inputs, [json!({"a": 1.0}), json!({}), json!("{\"a\":"), json!("[1]")]);
        assert!(content[1]["id"].as_str().unwrap().starts_with("toolu_"));
    }

    #[test]
    fn reasoning_that_nobody_signed_is_a_block_without_a_signature() {
        let mut choice = Choice::new(0);
        choice.reasoning = "hm".into();
        choice.reasoning_blocks = vec![RawJson::from(json!({"type": "reasoning.text", "text": "hm"}))];
        let expect = json!([{"type": "thinking", "thinking": "hm", "signature": ""}]);
        assert_eq!(written(choice)["content"], expect);
    }
}
