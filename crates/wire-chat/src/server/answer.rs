//! A whole answer as a server writes it.

use bytes::Bytes;
use infer_core::{
    Audio, Choice, Completion, FinishReason, Logprobs, RequestId, Served, TokenLogprob, WireFormat,
};

use crate::message::write_call;
use crate::usage;
use crate::write::{self, Object};

/// Writes a whole answer; one that came in this wire format is passed on untouched.
///
/// The answer's own model name stands before `model`, which is what was asked for. An answer without an id gets one of
/// ours; one without a time says 0, since nothing here reads a clock.
pub fn write_completion(completion: &Completion, model: &str) -> Bytes {
    if let Some(wire) = completion.wire_in(WireFormat::CHAT_COMPLETIONS) {
        return wire.clone();
    }
    let text: usize =
        completion.choices.iter().map(|choice| 256 + choice.text.len() + choice.reasoning.len()).sum();
    let mut out = Vec::with_capacity(768 + text + text / 16);
    let mut object = Object::begin(&mut out);
    head(&mut object, &completion.served, &answer_id(&completion.served), "chat.completion", model);
    write::list(object.key("choices"), &completion.choices, choice);
    if let Some(counts) = &completion.usage {
        usage::write(object.key("usage"), counts);
    }
    object.end();
    out.into()
}

/// The answer's name, or a new one.
pub(super) fn answer_id(served: &Served) -> String {
    served.id.clone().unwrap_or_else(|| format!("chatcmpl-{}", RequestId::generate()))
}

/// Why an answer ended. The upstream's word stands, unless it is one of Anthropic's, which no client of this format
/// expects (its page on stop reasons, read 2026-11-21).
pub(super) fn finish_word(finish: &FinishReason) -> &str {
    match finish.as_str() {
        "end_turn"
        | "stop_sequence"
        | "max_tokens"
        | "model_context_window_exceeded"
        | "tool_use"
        | "refusal" => finish.kind().as_str(),
        word => word,
    }
}

/// The members every answer and every event begins with.
pub(super) fn head(object: &mut Object<'_>, served: &Served, id: &str, kind: &str, model: &str) {
    object.value("id", id);
    object.value("object", kind);
    object.value("created", &served.created.unwrap_or(0));
    object.value("model", served.model.as_deref().unwrap_or(model));
    object.some("service_tier", served.service_tier.as_ref());
    object.some("system_fingerprint", served.fingerprint.as_ref());
}

fn choice(out: &mut Vec<u8>, choice: &Choice) {
    let mut object = Object::begin(out);
    object.value("index", &choice.index);
    let mut message = Object::begin(object.key("message"));
    message.value("role", "assistant");
    let says_text = !choice.text.is_empty() || (choice.tool_calls.is_empty() && choice.refusal.is_empty());
    message.value("content", &says_text.then_some(&choice.text));
    message.value("refusal", &Some(&choice.refusal).filter(|refusal| !refusal.is_empty()));
    if !choice.reasoning.is_empty() {
        message.value("reasoning_content", &choice.reasoning);
    }
    if !choice.tool_calls.is_empty() {
        write::list(message.key("tool_calls"), &choice.tool_calls, write_call);
    }
    if let Some(sound) = &choice.audio {
        audio(message.key("audio"), sound);
    }
    message.end();
    match &choice.logprobs {
        Some(known) => logprobs(object.key("logprobs"), known),
        None => object.raw("logprobs", b"null"),
    }
    object.value("finish_reason", &choice.finish.as_ref().map(finish_word));
    object.end();
}

pub(super) fn audio(out: &mut Vec<u8>, audio: &Audio) {
    let mut object = Object::begin(out);
    object.some("id", audio.id.as_ref());
    object.some("expires_at", audio.expires_at.as_ref());
    object.value("data", &audio.data);
    object.value("transcript", &audio.transcript);
    object.end();
}

pub(super) fn logprobs(out: &mut Vec<u8>, logprobs: &Logprobs) {
    let mut object = Object::begin(out);
    for (name, tokens) in [("content", &logprobs.content), ("refusal", &logprobs.refusal)] {
        if tokens.is_empty() {
            object.raw(name, b"null");
        } else {
            write::list(object.key(name), tokens, token);
        }
    }
    object.end();
}

/// OpenAI's clients want the alternatives on every token, even when there are none.
fn token(out: &mut Vec<u8>, token: &TokenLogprob) {
    let mut object = alternative(out, token);
    write::list(object.key("top_logprobs"), &token.top_logprobs, |out, token| alternative(out, token).end());
    object.end();
}

fn alternative<'a>(out: &'a mut Vec<u8>, token: &TokenLogprob) -> Object<'a> {
    let mut object = Object::begin(out);
    object.value("token", &token.token);
    object.value("logprob", &token.logprob);
    object.value("bytes", &token.bytes);
    object
}

#[cfg(test)]
mod tests {
    use infer_core::{FinishKind, ToolCall};

    use super::*;

    #[test]
    fn an_answer_in_this_format_is_passed_on_untouched() {
        let mut completion = Completion::default();
        completion.wire = Some(infer_core::Wire::new(WireFormat::CHAT_COMPLETIONS, "{ \"odd\":1.0 }"));
        assert_eq!(write_completion(&completion, "m"), &b"{ \"odd\":1.0 }"[..]);
    }

    #[test]
    fn an_answer_in_another_format_is_written_anew_and_in_this_ones_words() {
        let mut said = Choice::new(0);
        said.finish = Some(FinishReason::new(FinishKind::Stop, "end_turn"));
        let mut completion = Completion::default();
        completion.choices = vec![said];
        completion.wire = Some(infer_core::Wire::new(WireFormat::MESSAGES, "{\"type\":\"message\"}"));
        let json: serde_json::Value = serde_json::from_slice(&write_completion(&completion, "m")).unwrap();
        assert_eq!(json["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn an_answer_has_every_member_clients_rely_on() {
        let mut said = Choice::new(0);
        said.tool_calls = vec![ToolCall::function("c", "f", "{}")];
        said.finish = Some(FinishKind::ToolCalls.into());
        let mut completion = Completion::default();
        completion.choices = vec![said];
        let json: serde_json::Value = serde_json::from_slice(&write_completion(&completion, "m")).unwrap();
        assert!(json["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert_eq!((&json["object"], &json["model"]), (&"chat.completion".into(), &"m".into()));
        let choice = &json["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert!(choice["message"]["content"].is_null() && choice["message"].get("refusal").is_some());
        assert_eq!(choice["message"]["tool_calls"][0]["type"], "function");
    }
}
