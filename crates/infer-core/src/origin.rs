//! Where an error happened, and the one line that says so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{RequestId, Tried};

/// Where an error happened and what the upstream said.
///
/// Holds no secrets, no URL beyond scheme, host and port, and at most 512 bytes of the upstream's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The provider's name in this process.
    pub provider: Option<Arc<str>>,
    /// Scheme, host and port.
    pub endpoint: Option<Arc<str>>,
    /// The model asked for.
    pub model: Option<String>,
    /// Our name for the call.
    pub request_id: Option<RequestId>,
    /// The upstream's name for the attempt.
    pub upstream_request_id: Option<String>,
    /// The HTTP status, or the one an error inside a 200 stands for.
    pub status: Option<u16>,
    /// The upstream's error code.
    pub code: Option<String>,
    /// The upstream's error type.
    pub error_type: Option<String>,
    /// The request member the upstream complains about.
    pub param: Option<String>,
    /// The categories in which a content filter refused the request: `hate`, `jailbreak`.
    pub filtered: Vec<String>,
    /// The upstream's own words, cut to 512 bytes.
    pub message: Option<String>,
    /// How many attempts were made; 0 when none was.
    pub attempts: u32,
    /// Time since the call began.
    pub elapsed: Duration,
    /// Whether the upstream itself says that asking again is worth it (`x-should-retry`).
    pub should_retry: Option<bool>,
    /// Why no further attempt was made, where one could have been.
    pub gave_up: Option<String>,
    /// Targets that were asked before this one, in order; filled in by a router.
    pub tried: Vec<Tried>,
    /// Pieces of output already handed to the caller. Above 0, the call must not be repeated silently.
    pub chunks: u64,
}

/// How many of the targets tried before are named in the line.
const TOLD: usize = 8;

impl Origin {
    /// `provider: what (filtered categories) after n attempts in t: upstream's words (http 429, code c, request r, at host); cure`
    pub(crate) fn line(&self, what: &str, cure: &str) -> String {
        use fmt::Write as _;
        let mut line = String::with_capacity(160);
        if let Some(provider) = &self.provider {
            let _ = write!(line, "{provider}: ");
        }
        line.push_str(what);
        if !self.filtered.is_empty() {
            let _ = write!(line, " ({})", self.filtered.join(", "));
        }
        if self.attempts > 1 {
            let _ = write!(line, " after {} attempts in {}", self.attempts, seconds(self.elapsed));
        }
        if let Some(message) = self.message.as_deref().filter(|message| !message.is_empty()) {
            line.push_str(": ");
            line.push_str(message);
        }
        let mut open = " (";
        let mut note = |name: &str, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                let _ = write!(line, "{open}{name} {value}");
                open = ", ";
            }
        };
        note("http", self.status.as_ref().map(|v| v as _));
        note("code", self.code.as_ref().map(|v| v as _));
        note("model", self.model.as_ref().map(|v| v as _));
        note("at", self.endpoint.as_ref().map(|v| v as _));
        note("request", self.upstream_request_id.as_ref().map(|v| v as _));
        if open != " (" {
            line.push(')');
        }
        for more in [cure, self.gave_up.as_deref().unwrap_or_default()] {
            if !more.is_empty() {
                let _ = write!(line, "; {more}");
            }
        }
        for (nth, tried) in self.tried.iter().take(TOLD).enumerate() {
            let _ = write!(line, "{}{tried}", if nth == 0 { "; tried before: " } else { ", " });
        }
        if let Some(more) = self.tried.len().checked_sub(TOLD).filter(|more| *more > 0) {
            let _ = write!(line, " and {more} more");
        }
        // Upstream words are in it: one line, and nothing that a terminal would obey.
        if line.contains(char::is_control) { line.replace(char::is_control, " ") } else { line }
    }

    /// Cuts `text` to what an error keeps: at most 512 bytes, at a character's end.
    pub fn excerpt(text: &str) -> String {
        const LIMIT: usize = 512;
        if text.len() <= LIMIT {
            return text.to_owned();
        }
        let end = (0..=LIMIT - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        format!("{}…", text.get(..end).unwrap_or_default())
    }
}

/// `12.4s`.
pub(crate) fn seconds(time: Duration) -> String {
    let text = format!("{:.1}", time.as_secs_f64());
    format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_targets_tried_before_and_counts_those_beyond_eight() {
        let mut at = Origin { provider: Some("b".into()), ..Origin::default() };
        let mut tried = Tried::new("a", "m", crate::ErrorKind::RateLimited, Duration::ZERO);
        tried.status = Some(429);
        at.tried.push(tried);
        assert_eq!(
            at.line("upstream failed", ""),
            "b: upstream failed; tried before: a/m rate_limited (http 429)"
        );
        at.tried = vec![at.tried[0].clone(); 10];
        assert!(at.line("upstream failed", "").ends_with(" and 2 more"));
    }

    #[test]
    fn an_excerpt_ends_at_a_character() {
        let long = "é".repeat(400);
        let cut = Origin::excerpt(&long);
        assert!(cut.len() <= 512 && cut.ends_with('…'));
        assert_eq!(Origin::excerpt("short"), "short");
    }
}
