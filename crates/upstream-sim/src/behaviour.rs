//! What a model of the simulator does, and which name stands for what.

use std::time::Duration;

use bytes::Bytes;

/// What a model does when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers, as the crate's documentation says.
    Answer,
    /// Answers with this text.
    Text(String),
    /// Answers with delays of its own.
    Slow {
        /// Before the head of the response.
        first: Duration,
        /// Before every event but the first.
        each: Duration,
    },
    /// Reasons before it answers.
    Reasoning,
    /// Refuses.
    Refusal,
    /// Answers with this many words.
    Long(usize),
    /// Answers and gives this word as finish reason.
    Finish(String),
    /// Answers with a status and the body OpenAI uses for it.
    Status {
        /// From 400 to 599.
        status: u16,
        /// The `Retry-After` header, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// 429 for a quota that is used up.
    Quota,
    /// 400 for a conversation that is too long.
    Context,
    /// 400 for a prompt that a filter refuses.
    Filter,
    /// 200 with a web page.
    Html,
    /// 200 with an error in the body.
    ErrorIn200,
    /// Closes the connection in the middle of an event, after some text.
    Cut,
    /// Ends the stream without the closing `[DONE]`.
    NoDone,
    /// Reports an error in the stream, after some text.
    ErrorMidway,
    /// Reports an error in the stream, before any text.
    ErrorFirst,
    /// Sends an event that is not UTF-8, after some text.
    Utf8,
    /// Sends one event of this many bytes, made as it is sent.
    Huge(u64),
    /// Takes the request and never sends a byte.
    Silent,
    /// Stops after some text and keeps the connection open.
    Stall,
    /// 307 to another host and path.
    Redirect,
    /// 401 whose message repeats the `Authorization` header.
    EchoKey,
    /// Answers with exactly this.
    Raw {
        /// The status.
        status: u16,
        /// The `Content-Type`.
        content_type: String,
        /// The body.
        body: Bytes,
    },
    /// Does one after the other, a call each, and stays with the last. Does not nest: an inner one counts as
    /// [`Behaviour::Answer`].
    Sequence(Vec<Behaviour>),
}

const HUGE_BYTES: u64 = 64 << 20;

/// Names of the model list, with what they stand for.
pub(crate) const MODELS: [(&str, &str); 25] = [
    ("gpt-4o-mini", "answers; so does any name that is not in this list"),
    ("gpt-4o", "answers"),
    ("gpt-5-mini", "answers"),
    ("text-embedding-3-small", "gives vectors of length 1536"),
    ("sim-slow", "waits two seconds, then writes a word every 100 ms"),
    ("sim-reasoning", "reasons before it answers"),
    ("sim-refusal", "refuses"),
    ("sim-long", "answers with 5,000 words"),
    ("sim-finish-length", "gives the word after sim-finish- as finish reason"),
    ("sim-error-429", "answers with the status after sim-error-"),
    ("sim-quota", "429 for a quota that is used up"),
    ("sim-context", "400 for a conversation that is too long"),
    ("sim-filter", "400 for a prompt that a filter refuses"),
    ("sim-html", "200 with a web page"),
    ("sim-200-error", "200 with an error in the body"),
    ("sim-cut", "closes the connection in the middle of an event"),
    ("sim-no-done", "ends the stream without [DONE]"),
    ("sim-error-midway", "reports an error in the stream, after some text"),
    ("sim-error-first", "reports an error in the stream, before any text"),
    ("sim-utf8", "sends an event that is not UTF-8"),
    ("sim-huge", "sends one event of 64 MiB"),
    ("sim-silent", "takes the request and never sends a byte"),
    ("sim-stall", "stops after some text and keeps the connection open"),
    ("sim-redirect", "307 to another host and path"),
    ("sim-echo-key", "401 whose message repeats the Authorization header"),
];

impl Behaviour {
    /// A status with the `Retry-After` that OpenAI would send: one second for 429, none for others.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: (status == 429).then_some(Duration::from_secs(1)) }
    }

    /// What a model's name stands for; `None` for a `sim-` name that stands for nothing.
    pub fn of_model(model: &str) -> Option<Self> {
        let Some(name) = model.strip_prefix("sim-") else { return Some(Self::Answer) };
        if let Some(status) = name.strip_prefix("error-").and_then(|status| status.parse().ok()) {
            return (400..600).contains(&status).then(|| Self::status(status));
        }
        if let Some(word) = name.strip_prefix("finish-") {
            return Some(Self::Finish(word.to_owned()));
        }
        Some(match name {
            "slow" => Self::Slow { first: Duration::from_secs(2), each: Duration::from_millis(100) },
            "reasoning" => Self::Reasoning,
            "refusal" => Self::Refusal,
            "long" => Self::Long(5_000),
            "quota" => Self::Quota,
            "context" => Self::Context,
            "filter" => Self::Filter,
            "html" => Self::Html,
            "200-error" => Self::ErrorIn200,
            "cut" => Self::Cut,
            "no-done" => Self::NoDone,
            "error-midway" => Self::ErrorMidway,
            "error-first" => Self::ErrorFirst,
            "utf8" => Self::Utf8,
            "huge" => Self::Huge(HUGE_BYTES),
            "silent" => Self::Silent,
            "stall" => Self::Stall,
            "redirect" => Self::Redirect,
            "echo-key" => Self::EchoKey,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_stands_for_something_and_is_documented() {
        let docs = include_str!("lib.rs");
        for (name, _) in MODELS {
            assert!(Behaviour::of_model(name).is_some(), "{name}");
            let family =
                name.replace("error-429", "error-<status>").replace("finish-length", "finish-<word>");
            assert!(!name.starts_with("sim-") || docs.contains(&format!("//! | `{family}` |")), "{name}");
        }
    }

    #[test]
    fn a_misspelt_name_stands_for_nothing() {
        for name in ["sim-", "sim-slwo", "sim-error-", "sim-error-200", "sim-error-first-class"] {
            assert_eq!(Behaviour::of_model(name), None, "{name}");
        }
    }
}
