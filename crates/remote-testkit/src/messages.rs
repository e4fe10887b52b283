//! The Messages format as an upstream writes it, in plain JSON text.
//!
//! From Anthropic's public API reference and its pages on streaming and errors (read 2026-11-21). Written apart from any
//! codec, so that both cannot share a mistake.

use bytes::Bytes;
use infer_core::{ErrorKind, Usage};

use crate::json::quoted;
use crate::{Script, Wire};

/// The upstream's side of the Messages format.
///
/// ```
/// use remote_testkit::{MessagesWire, Wire as _};
///
/// let event = MessagesWire::new("claude-sonnet-5").text("Hel");
/// assert!(event.starts_with(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\""));
/// ```
#[derive(Clone, Debug)]
pub struct MessagesWire {
    model: String,
}

impl MessagesWire {
    /// Answers come from `model`, by the upstream's name for it.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into() }
    }
}

impl Wire for MessagesWire {
    fn whole(&self, text: &str, usage: Usage) -> Bytes {
        let (model, text, usage) = (quoted(&self.model), quoted(text), counts(usage));
        Bytes::from(format!(
            "{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{model},\
             \"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"stop_reason\":\"end_turn\",\
             \"stop_sequence\":null,\"usage\":{usage}}}"
        ))
    }

    fn whole_empty(&self) -> Bytes {
        let model = quoted(&self.model);
        Bytes::from(format!(
            "{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{model},\"stop_reason\":null}}"
        ))
    }

    /// The start of the message and of its one block.
    ///
    /// Anthropic reports the input here already; that is left to [`usage`](Wire::usage), since scenarios want answers
    /// without any too.
    fn role(&self) -> Bytes {
        let model = quoted(&self.model);
        let message = format!(
            "\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{model},\
             \"content\":[],\"stop_reason\":null,\"stop_sequence\":null}}"
        );
        let block = "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}";
        [event("message_start", &message), event("content_block_start", block)].concat().into()
    }

    fn text(&self, text: &str) -> Bytes {
        let delta = format!("\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{}}}", quoted(text));
        event("content_block_delta", &delta).into()
    }

    fn finish(&self) -> Bytes {
        let reason = "\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}";
        [event("content_block_stop", "\"index\":0"), event("message_delta", reason)].concat().into()
    }

    /// Running totals, which come with the reason at Anthropic and may come in an event of their own.
    fn usage(&self, usage: Usage) -> Bytes {
        event("message_delta", &format!("\"delta\":{{}},\"usage\":{}", counts(usage))).into()
    }

    fn done(&self) -> Bytes {
        Bytes::from_static(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    }

    fn empty_events(&self) -> Vec<Bytes> {
        // New kinds of events may come at any time.
        let later = "event: x_future\ndata: {\"type\":\"x_future\",\"index\":7}\n\n";
        let events = ["event: ping\ndata: {\"type\":\"ping\"}\n\n", later, ": keep-alive\n\n"];
        events.map(|event| Bytes::from_static(event.as_bytes())).into()
    }

    fn malformed(&self) -> Bytes {
        Bytes::from_static(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
              \"delta\":{\"type\":\"text_delta\",\"text\":\"lo\n\n",
        )
    }

    fn error_event(&self, kind: ErrorKind, message: &str) -> Bytes {
        Bytes::from(format!("event: error\ndata: {}\n\n", error(kind, message)))
    }

    fn refusal(&self, kind: ErrorKind, message: &str) -> Script {
        Script { status: words(kind).0, ..Script::json(error(kind, message)) }.header("request-id", "req_1")
    }

    fn models(&self, ids: &[&str]) -> Option<Bytes> {
        let entry = |id: &&str| {
            format!(
                "{{\"type\":\"model\",\"id\":{},\"display_name\":\"A model\",\"created_at\":\"2026-02-04T00:00:00Z\"}}",
                quoted(id)
            )
        };
        let entries: Vec<_> = ids.iter().map(entry).collect();
        let end = |id: Option<&&str>| id.map_or_else(|| "null".to_owned(), |id| quoted(id));
        let (first, last) = (end(ids.first()), end(ids.last()));
        let body = format!(
            "{{\"data\":[{}],\"has_more\":false,\"first_id\":{first},\"last_id\":{last}}}",
            entries.join(",")
        );
        Some(body.into())
    }

    fn with_unknown(&self, bytes: &Bytes) -> Bytes {
        crate::json::with_unknown(bytes)
    }
}

/// One event: its name, and its data, which begins with the name again.
fn event(name: &str, members: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{members}}}\n\n")
}

/// Anthropic's status, type and, where the type is that of every wrong request, the words that tell it apart: from its
/// page on errors and public reports of users (read 2026-11-21).
fn words(kind: ErrorKind) -> (u16, &'static str, &'static str) {
    match kind {
        ErrorKind::ContextLengthExceeded => {
            (400, "invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum. ")
        }
        ErrorKind::ContentFiltered => {
            (400, "invalid_request_error", "Output blocked by content filtering policy. ")
        }
        ErrorKind::QuotaExhausted => {
            (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. ")
        }
        ErrorKind::ModelNotFound => (404, "not_found_error", ""),
        ErrorKind::Unauthenticated => (401, "authentication_error", ""),
        ErrorKind::PermissionDenied => (403, "permission_error", ""),
        ErrorKind::RateLimited => (429, "rate_limit_error", ""),
        ErrorKind::RequestTooLarge => (413, "request_too_large", ""),
        ErrorKind::Overloaded => (529, "overloaded_error", ""),
        ErrorKind::Upstream => (500, "api_error", ""),
        _ => (400, "invalid_request_error", ""),
    }
}

fn error(kind: ErrorKind, message: &str) -> String {
    let (_, word, start) = words(kind);
    let message = quoted(&format!("{start}{message}"));
    format!(
        "{{\"type\":\"error\",\"error\":{{\"type\":\"{word}\",\"message\":{message}}},\"request_id\":\"req_1\"}}"
    )
}

/// The input is what was neither read from a cache nor written to it.
fn counts(usage: Usage) -> String {
    let (cached, written) = (usage.cached_input_tokens, usage.cache_write_tokens);
    let fresh = usage.input_tokens.saturating_sub(cached).saturating_sub(written);
    let hour = usage.long_cache_write_tokens;
    format!(
        "{{\"input_tokens\":{fresh},\"cache_creation_input_tokens\":{written},\"cache_read_input_tokens\":{cached},\
         \"cache_creation\":{{\"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":{hour}}},\
         \"output_tokens\":{},\"service_tier\":\"standard\"}}",
        written.saturating_sub(hour),
        usage.output_tokens
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_name_and_a_stream_ends_in_finish_usage_and_last_word() {
        let events = MessagesWire::new("m").stream(&["Hel", "lo"], Usage::new(7, 2));
        let text = String::from_utf8(events.concat()).unwrap();
        let places: Vec<_> =
            ["message_start", "\"Hel\"", "\"lo\"", "end_turn", "\"output_tokens\":2", "message_stop"]
                .iter()
                .map(|mark| text.find(mark).unwrap())
                .collect();
        assert!(places.is_sorted(), "{places:?}");
        for block in text.split_terminator("\n\n") {
            let (name, data) = block.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap();
            assert!(data.starts_with(&format!("data: {{\"type\":\"{name}\"")), "{block}");
        }
    }

    #[test]
    fn the_input_is_told_without_its_cached_parts() {
        let mut usage = Usage::new(1000, 20);
        (usage.cached_input_tokens, usage.cache_write_tokens, usage.long_cache_write_tokens) = (200, 50, 30);
        let told = counts(usage);
        for part in ["\"input_tokens\":750", "5m_input_tokens\":20", "1h_input_tokens\":30"] {
            assert!(told.contains(part), "{part} missing in {told}");
        }
    }
}
