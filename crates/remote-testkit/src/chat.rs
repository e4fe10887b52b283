//! Chat Completions as an upstream writes it, in plain JSON text.
//!
//! From the public API reference and recorded answers (read 2026-11-21). Written apart from any codec, so that both
//! cannot share a mistake.

use std::collections::BTreeMap;

use bytes::Bytes;
use infer_core::{ErrorKind, Usage};

use crate::json::{quoted, with_unknown};
use crate::{Script, Wire};

/// The upstream's side of Chat Completions.
///
/// ```
/// use infer_core::ErrorKind;
/// use remote_testkit::{ChatWire, Script, Wire as _};
///
/// // An upstream with words of its own for one error.
/// let refusal = Script::status(400).body(r#"{"error":{"code":"too_long"}}"#);
/// let wire = ChatWire::new("my-model").with_refusal(ErrorKind::ContextLengthExceeded, refusal.clone());
/// assert_eq!(wire.refusal(ErrorKind::ContextLengthExceeded, ""), refusal);
/// ```
#[derive(Clone, Debug)]
pub struct ChatWire {
    model: String,
    refusals: BTreeMap<&'static str, Script>,
}

impl ChatWire {
    /// Answers come from `model`, by the upstream's name for it.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), refusals: BTreeMap::new() }
    }

    /// Refuses in other words than OpenAI's; the message of a scenario is left out then.
    #[must_use]
    pub fn with_refusal(mut self, kind: ErrorKind, refusal: Script) -> Self {
        self.refusals.insert(kind.name(), refusal);
        self
    }

    fn event(&self, choices: &str, usage: &str) -> Bytes {
        let model = quoted(&self.model);
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
             \"model\":{model},\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        ))
    }

    fn choice(&self, delta: &str, finish: &str) -> Bytes {
        let choice =
            format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}");
        self.event(&choice, "null")
    }
}

impl Wire for ChatWire {
    fn whole(&self, text: &str, usage: Usage) -> Bytes {
        let (model, text, usage) = (quoted(&self.model), quoted(text), counts(usage));
        Bytes::from(format!(
            "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":{model},\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\"refusal\":null}},\
             \"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{usage}}}"
        ))
    }

    fn whole_empty(&self) -> Bytes {
        let model = quoted(&self.model);
        Bytes::from(format!(
            "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":{model},\"choices\":[]}}"
        ))
    }

    fn role(&self) -> Bytes {
        self.choice("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null")
    }

    fn text(&self, text: &str) -> Bytes {
        self.choice(&format!("{{\"content\":{}}}", quoted(text)), "null")
    }

    fn finish(&self) -> Bytes {
        self.choice("{}", "\"stop\"")
    }

    fn usage(&self, usage: Usage) -> Bytes {
        self.event("", &counts(usage))
    }

    fn done(&self) -> Bytes {
        Bytes::from_static(b"data: [DONE]\n\n")
    }

    fn empty_events(&self) -> Vec<Bytes> {
        let null = self.event("", "null");
        let filter = "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
                      \"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n";
        let rest = ["data: {\"choices\":null}\n\n", "data: {}\n\n", filter, ": keep-alive\n\n"];
        [null].into_iter().chain(rest.map(|event| Bytes::from_static(event.as_bytes()))).collect()
    }

    fn malformed(&self) -> Bytes {
        Bytes::from_static(
            b"data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\n\n",
        )
    }

    fn error_event(&self, kind: ErrorKind, message: &str) -> Bytes {
        let (_, code, word) = words(kind);
        Bytes::from(format!("data: {}\n\n", error(code, word, message)))
    }

    fn refusal(&self, kind: ErrorKind, message: &str) -> Script {
        if let Some(refusal) = self.refusals.get(kind.name()) {
            return refusal.clone();
        }
        let (status, code, word) = words(kind);
        Script { status, ..Script::json(error(code, word, message)) }
    }

    fn models(&self, ids: &[&str]) -> Option<Bytes> {
        let entry =
            |id: &&str| format!("{{\"id\":{},\"object\":\"model\",\"created\":1700000000}}", quoted(id));
        let entries: Vec<_> = ids.iter().map(entry).collect();
        Some(format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(",")).into())
    }

    fn vectors(&self, vectors: &[Vec<f32>], usage: Usage) -> Option<Bytes> {
        let entry = |(index, vector): (usize, &Vec<f32>)| {
            format!("{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{vector:?}}}")
        };
        let entries: Vec<_> = vectors.iter().enumerate().map(entry).rev().collect();
        let (model, tokens) = (quoted(&self.model), usage.input_tokens);
        let body = format!(
            "{{\"object\":\"list\",\"data\":[{}],\"model\":{model},\
             \"usage\":{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}}}",
            entries.join(",")
        );
        Some(body.into())
    }

    fn with_unknown(&self, bytes: &Bytes) -> Bytes {
        with_unknown(bytes)
    }
}

/// OpenAI's status, code and type (its published errors, read 2026-11-21).
fn words(kind: ErrorKind) -> (u16, &'static str, &'static str) {
    match kind {
        ErrorKind::ContextLengthExceeded => (400, "\"context_length_exceeded\"", "invalid_request_error"),
        ErrorKind::ContentFiltered => (400, "\"content_filter\"", "invalid_request_error"),
        ErrorKind::ModelNotFound => (404, "\"model_not_found\"", "invalid_request_error"),
        ErrorKind::Unauthenticated => (401, "\"invalid_api_key\"", "invalid_request_error"),
        ErrorKind::PermissionDenied => (403, "\"insufficient_permissions\"", "invalid_request_error"),
        ErrorKind::RateLimited => (429, "\"rate_limit_exceeded\"", "requests"),
        ErrorKind::QuotaExhausted => (429, "\"insufficient_quota\"", "insufficient_quota"),
        ErrorKind::RequestTooLarge => (429, "\"rate_limit_exceeded\"", "tokens"),
        ErrorKind::Overloaded => (503, "\"server_is_overloaded\"", "server_error"),
        ErrorKind::Upstream => (500, "null", "server_error"),
        _ => (400, "\"invalid_value\"", "invalid_request_error"),
    }
}

fn error(code: &str, word: &str, message: &str) -> String {
    // OpenAI tells a request that is too large from too many requests by its words alone.
    let message = if code.contains("rate_limit") && word == "tokens" {
        format!(
            "Request too large for this model on tokens per min (TPM): Limit 30000, Requested 50000. {message}"
        )
    } else {
        message.to_owned()
    };
    format!(
        "{{\"error\":{{\"message\":{},\"type\":\"{word}\",\"param\":null,\"code\":{code}}}}}",
        quoted(&message)
    )
}

fn counts(usage: Usage) -> String {
    format!(
        "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{}}},\"completion_tokens_details\":{{\"reasoning_tokens\":{}}}}}",
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_in_finish_usage_and_last_word() {
        let events = ChatWire::new("m").stream(&["Hel", "lo"], Usage::new(7, 2));
        let text = String::from_utf8(events.concat()).unwrap();
        let places: Vec<_> = ["\"Hel\"", "\"lo\"", "\"stop\"", "\"prompt_tokens\":7", "[DONE]"]
            .iter()
            .map(|mark| text.find(mark).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn unknown_members_are_put_into_every_object() {
        let wire = ChatWire::new("m");
        let changed = String::from_utf8(wire.with_unknown(&wire.finish()).to_vec()).unwrap();
        assert_eq!(changed.matches("x_future").count(), 3, "{changed}");
        assert!(!changed.contains(",}") && changed.ends_with("}\n\n"), "{changed}");
    }
}
