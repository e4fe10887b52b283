//! Why an answer ended.

use std::borrow::Cow;

use infer_core::{FinishKind, FinishReason};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::filled;

/// The kinds of Anthropic's `stop_reason`s (its page on stop reasons and its Python client's types, read 2026-11-21).
///
/// `pause_turn` and words added later are complete answers of no known kind.
pub(crate) fn finish(stop_reason: Option<&RawValue>) -> Option<FinishReason> {
    let word = filled(stop_reason)?;
    let kind = match &*word {
        "end_turn" | "stop_sequence" => FinishKind::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishKind::Length,
        "tool_use" => FinishKind::ToolCalls,
        "refusal" => FinishKind::ContentFilter,
        _ => FinishKind::Other,
    };
    Some(FinishReason::new(kind, &word))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    explanation: Option<&'a RawValue>,
}

/// What the upstream says about a refusal; empty when it says nothing, or the answer ended otherwise.
pub(crate) fn explanation(finish: Option<&FinishReason>, stop_details: Option<&RawValue>) -> String {
    if finish.is_none_or(|finish| *finish != FinishKind::ContentFilter) {
        return String::new();
    }
    let details: Details<'_> =
        stop_details.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    filled(details.explanation).map(Cow::into_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstreams_word_survives_beside_its_kind() {
        let kinds = [
            ("end_turn", FinishKind::Stop),
            ("stop_sequence", FinishKind::Stop),
            ("max_tokens", FinishKind::Length),
            ("model_context_window_exceeded", FinishKind::Length),
            ("tool_use", FinishKind::ToolCalls),
            ("refusal", FinishKind::ContentFilter),
            ("pause_turn", FinishKind::Other),
            ("compaction", FinishKind::Other),
        ];
        for (word, kind) in kinds {
            let json = format!("\"{word}\"");
            let finish = finish(serde_json::from_str(&json).ok()).unwrap();
            assert_eq!((finish.kind(), finish.as_str()), (kind, word));
        }
    }

    #[test]
    fn only_a_refusal_is_explained() {
        let details: &RawValue = serde_json::from_str(r#"{"type":"refusal","explanation":"why"}"#).unwrap();
        let explained = |kind: FinishKind| explanation(Some(&kind.into()), Some(details));
        assert_eq!(explained(FinishKind::ContentFilter), "why");
        assert_eq!(explained(FinishKind::Stop), "");
        assert_eq!(explanation(Some(&FinishKind::ContentFilter.into()), None), "");
    }

    #[test]
    fn a_reason_is_never_made_up() {
        for none in ["null", "\"\"", "5", "{}"] {
            assert_eq!(finish(serde_json::from_str(none).ok()), None, "{none}");
        }
    }
}
