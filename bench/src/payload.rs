//! What the server answers, byte for byte the same in every run.
//!
//! Shaped like OpenAI's own answers: the same headers, and the same members in the same order, which makes an event some
//! 280 bytes long. The text mixes ASCII, accents, Chinese, emoji and JSON escapes.

use std::time::Duration;

use bytes::Bytes;

/// The time between two events of a paced stream: a hundred tokens a second.
pub(crate) const PACE: Duration = Duration::from_millis(10);

/// Text of the events, as JSON writes it, and as it reads.
const WORDS: [(&str, &str); 12] = [
    (" the", " the"),
    (" answer", " answer"),
    (" is", " is"),
    (" caf\u{e9}", " caf\u{e9}"),
    (".\\n\\n", ".\n\n"),
    (" stream", " stream"),
    (" \u{4f60}\u{597d}", " \u{4f60}\u{597d}"),
    (" \\\"quoted\\\"", " \"quoted\""),
    (" of", " of"),
    (" \u{1f642}", " \u{1f642}"),
    (" tokens", " tokens"),
    (",", ","),
];

/// One kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// About 800 bytes in one piece.
    Unary,
    /// 500 events in writes of 16 KiB.
    Batched,
    /// 500 events, each in a write of its own.
    Flushed,
    /// One event of 4 MiB.
    Large,
    /// 100,000 events in writes of 16 KiB.
    Long,
    /// 200 events, each in a write of its own, [`PACE`] after the one before.
    Paced,
    /// A stream that begins and then says nothing more.
    Silent,
}

impl Route {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Unary, Self::Batched, Self::Flushed, Self::Large, Self::Long, Self::Paced, Self::Silent];

    /// The first segment of its path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batched => "batched",
            Self::Flushed => "flushed",
            Self::Large => "large",
            Self::Long => "long",
            Self::Paced => "paced",
            Self::Silent => "silent",
        }
    }

    /// Events of a stream that carry text.
    pub(crate) fn pieces(self) -> usize {
        match self {
            Self::Unary | Self::Large | Self::Silent => 1,
            Self::Batched | Self::Flushed => 497,
            Self::Long => 100_000,
            Self::Paced => 197,
        }
    }

    /// Events of a stream, without `[DONE]`.
    pub(crate) fn events(self) -> usize {
        self.pieces() + 3 // a role, a finish reason, usage
    }

    /// Bytes of text a reader must have seen.
    pub(crate) fn text_bytes(self) -> usize {
        match self {
            Self::Unary => UNARY_TEXT.replace("\\n", "\n").len(),
            Self::Large => large_text().1,
            _ => (0..self.pieces()).map(|at| word(at).1.len()).sum(),
        }
    }

    /// The response, cut as it is to be written.
    pub(crate) fn writes(self) -> Vec<Bytes> {
        if self == Self::Unary {
            return vec![unary().into()];
        }
        let mut events = vec![event("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null")];
        if self == Self::Large {
            events.push(event(&format!("{{\"content\":\"{}\"}}", large_text().0), "null"));
        } else {
            let text = |at| event(&format!("{{\"content\":\"{}\"}}", word(at).0), "null");
            events.extend((0..self.pieces()).map(text));
        }
        events.push(event("{}", "\"stop\""));
        events.push(format!("data: {{{HEAD}\"choices\":[],\"usage\":{USAGE}}}\n\n"));
        events.push("data: [DONE]\n\n".to_owned());
        let bodies: Vec<String> = match self {
            Self::Flushed | Self::Paced | Self::Silent => events,
            _ => split(&events.concat(), 16 << 10),
        };
        let mut writes =
            vec![head("text/event-stream; charset=utf-8", "transfer-encoding: chunked").into_bytes()];
        let bodies = match self {
            Self::Silent => bodies.get(..2).unwrap_or_default(), // no end
            _ => &bodies,
        };
        writes.extend(bodies.iter().map(|body| format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()));
        if self != Self::Silent
            && let Some(last) = writes.last_mut()
        {
            last.extend_from_slice(b"0\r\n\r\n");
        }
        writes.into_iter().map(Bytes::from).collect()
    }
}

const HEAD: &str = "\"id\":\"chatcmpl-CdG7pNq2xB0mYkV9sWzJt4LhRf1Ea\",\"object\":\"chat.completion.chunk\",\
    \"created\":1763683200,\"model\":\"gpt-4o-mini-2024-07-18\",\"system_fingerprint\":\"fp_560af6e559\",";

const USAGE: &str = "{\"prompt_tokens\":27,\"completion_tokens\":498,\"total_tokens\":525,\
    \"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\
    \"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\
    \"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}";

const UNARY_TEXT: &str = "Hello! Streams end in one of two ways: with a finish reason, or with an error.\\n\\n\
    Anything else is a connection that broke, and a reader should say so.";

fn word(at: usize) -> (&'static str, &'static str) {
    WORDS.get(at % WORDS.len()).copied().unwrap_or_default()
}

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{{HEAD}\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\
         \"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
    )
}

/// 4 MiB of text as JSON writes it, and its length as it reads.
fn large_text() -> (String, usize) {
    let (mut written, mut read, mut at) = (String::with_capacity((4 << 20) + 16), 0, 0);
    while written.len() < 4 << 20 {
        let (json, text) = word(at);
        written.push_str(json);
        read += text.len();
        at += 1;
    }
    (written, read)
}

/// Cuts `text` into pieces of at most `size` bytes, between characters.
fn split(text: &str, size: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(size));
        pieces.push(piece.to_owned());
        rest = tail;
    }
    pieces
}

fn unary() -> String {
    let body = unary_body();
    format!("{}{body}", head("application/json", &format!("content-length: {}", body.len())))
}

/// An answer in one piece, without a head.
pub(crate) fn unary_body() -> String {
    format!(
        "{{\n  \"id\": \"chatcmpl-CdG7pNq2xB0mYkV9sWzJt4LhRf1Ea\",\n  \"object\": \"chat.completion\",\n  \
         \"created\": 1763683200,\n  \"model\": \"gpt-4o-mini-2024-07-18\",\n  \"choices\": [\n    {{\n      \
         \"index\": 0,\n      \"message\": {{\n        \"role\": \"assistant\",\n        \
         \"content\": \"{UNARY_TEXT}\",\n        \"refusal\": null,\n        \"annotations\": []\n      }},\n      \
         \"logprobs\": null,\n      \"finish_reason\": \"stop\"\n    }}\n  ],\n  \"usage\": {USAGE},\n  \
         \"service_tier\": \"default\",\n  \"system_fingerprint\": \"fp_560af6e559\"\n}}\n"
    )
}

/// The head of a response with the headers OpenAI sends.
fn head(kind: &str, framing: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ndate: Fri, 21 Nov 2025 00:00:00 GMT\r\ncontent-type: {kind}\r\n{framing}\r\n\
         connection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r\n\
         openai-organization: example\r\nopenai-processing-ms: 412\r\nopenai-version: 2020-10-01\r\n\
         x-envoy-upstream-service-time: 431\r\nx-ratelimit-limit-requests: 10000\r\n\
         x-ratelimit-limit-tokens: 10000000\r\nx-ratelimit-remaining-requests: 9999\r\n\
         x-ratelimit-remaining-tokens: 9999967\r\nx-ratelimit-reset-requests: 6ms\r\n\
         x-ratelimit-reset-tokens: 0s\r\nx-request-id: req_8f3b1c7de5a94f0cb2d7\r\n\
         strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
         x-content-type-options: nosniff\r\nserver: example\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_long_as_they_are_said_to_be() {
        for at in 0..WORDS.len() {
            let length = event(&format!("{{\"content\":\"{}\"}}", word(at).0), "null").len();
            assert!((270..290).contains(&length), "{length}");
        }
    }

    #[test]
    fn every_event_is_json_and_holds_its_text() {
        for at in 0..WORDS.len() {
            let event = event(&format!("{{\"content\":\"{}\"}}", word(at).0), "null");
            let json: serde_json::Value =
                serde_json::from_str(event.trim().trim_start_matches("data: ")).unwrap();
            assert_eq!(json["choices"][0]["delta"]["content"], word(at).1);
        }
    }

    #[test]
    fn the_answer_in_one_piece_has_the_length_its_head_says_and_is_about_800_bytes() {
        let response = unary();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!((700..1000).contains(&body.len()), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
