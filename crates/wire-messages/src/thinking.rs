//! A wish for reasoning, in the words of this format.

use infer_core::{ExecuteBatch, InferenceError, ReasoningEffort};
use serde::Serialize;

use crate::json::Members;
use crate::refusal::refused;
use crate::{MESSAGES, MessagesDialect};

/// The smallest budget the format allows (Anthropic's API reference, read 2026-11-21).
const LEAST_BUDGET: u32 = 1024;

/// The member `thinking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    /// The model decides.
    Adaptive,
    /// Up to a number of tokens, which count as output.
    Enabled {
        /// From 1024, and less than the limit on output.
        budget_tokens: u32,
    },
    /// Not at all.
    Disabled,
}

/// What is written for one wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish<'a> {
    pub(crate) thinking: Option<Thinking>,
    /// `output_config.effort`.
    pub(crate) effort: Option<&'a str>,
}

/// Reads the wish of `batch`, whose output limit is `max_tokens`.
///
/// A `thinking` the caller wrote into `extra` stands instead of ours, with the effort beside it.
pub(crate) fn wish<'a>(
    batch: &'a ExecuteBatch,
    dialect: &MessagesDialect,
    max_tokens: Option<u32>,
) -> Result<Wish<'a>, InferenceError> {
    let Some(effort) = &batch.reasoning_effort else { return Ok(Wish::default()) };
    let is_written = batch.extra.get("thinking").is_some();
    // Received in this format: the effort says the same for upstreams of other ones.
    if batch.extra.wire() == Some(MESSAGES) && (is_written || has_effort(batch)) {
        return Ok(Wish::default());
    }
    if *effort == ReasoningEffort::None {
        let off = Wish { thinking: Some(Thinking::Disabled), effort: None };
        return if is_written { Err(both("none")) } else { Ok(off) };
    }
    if !dialect.wants_budget(&batch.model) {
        let word = match effort {
            // The format's least word.
            ReasoningEffort::Minimal => "low",
            effort => effort.as_str(),
        };
        return Ok(Wish { thinking: (!is_written).then_some(Thinking::Adaptive), effort: Some(word) });
    }
    if is_written {
        return Err(both(effort.as_str()));
    }
    let budget_tokens = budget(effort, max_tokens.unwrap_or(dialect.default_max_tokens))?;
    Ok(Wish { thinking: Some(Thinking::Enabled { budget_tokens }), effort: None })
}

fn has_effort(batch: &ExecuteBatch) -> bool {
    let members: Option<Members<'_>> =
        batch.extra.get("output_config").and_then(|raw| serde_json::from_str(raw.get()).ok());
    members.is_some_and(|members| members.0.iter().any(|(name, _)| name == "effort"))
}

fn both(word: &str) -> InferenceError {
    refused("reasoning_effort", &format!("give either it, here `{word}`, or `thinking`, not both"))
}

/// A share of the output limit, so that there is always room for the answer. The shares are ours: the format knows
/// tokens only.
fn budget(effort: &ReasoningEffort, max_tokens: u32) -> Result<u32, InferenceError> {
    let eighths = match effort {
        ReasoningEffort::Minimal => 1,
        ReasoningEffort::Low => 2,
        ReasoningEffort::Medium => 4,
        ReasoningEffort::High => 6,
        ReasoningEffort::XHigh | ReasoningEffort::Max => 7,
        other => {
            let word = other.as_str();
            let why =
                format!("this model takes none, minimal, low, medium, high, xhigh or max, got `{word}`");
            return Err(refused("reasoning_effort", &why));
        }
    };
    if max_tokens <= LEAST_BUDGET {
        let why = format!(
            "this model needs more than {LEAST_BUDGET} output tokens to reason, the limit is {max_tokens}; raise it"
        );
        return Err(refused("reasoning_effort", &why));
    }
    Ok((max_tokens / 8 * eighths).max(LEAST_BUDGET))
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::RawJson;

    fn of(
        model: &str,
        effort: &str,
        limit: u32,
    ) -> Result<(Option<Thinking>, Option<String>), InferenceError> {
        let batch = ExecuteBatch::new(model, "hi").with_reasoning_effort(effort);
        let wish = wish(&batch, &MessagesDialect::default(), Some(limit))?;
        Ok((wish.thinking, wish.effort.map(str::to_owned)))
    }

    #[test]
    fn newer_models_are_told_the_effort_and_older_ones_a_budget() {
        let adaptive = |word: &str| (Some(Thinking::Adaptive), Some(word.to_owned()));
        assert_eq!(of("claude-opus-5", "xhigh", 5).unwrap(), adaptive("xhigh"));
        assert_eq!(of("claude-opus-5", "minimal", 5).unwrap(), adaptive("low"));
        assert_eq!(of("claude-opus-5", "ludicrous", 5).unwrap(), adaptive("ludicrous"));
        let budget = |budget_tokens| (Some(Thinking::Enabled { budget_tokens }), None);
        assert_eq!(of("claude-sonnet-4-5", "medium", 16_000).unwrap(), budget(8000));
        assert_eq!(of("claude-sonnet-4-5", "minimal", 2000).unwrap(), budget(1024));
        for model in ["claude-opus-5", "claude-sonnet-4-5"] {
            assert_eq!(of(model, "none", 5).unwrap(), (Some(Thinking::Disabled), None));
        }
    }

    #[test]
    fn a_budget_always_leaves_room_for_the_answer() {
        for limit in [1025, 1026, 1100, 2048, 4096, u32::MAX] {
            for effort in ["minimal", "low", "medium", "high", "xhigh", "max"] {
                match of("claude-sonnet-4-5", effort, limit).unwrap().0 {
                    Some(Thinking::Enabled { budget_tokens }) => {
                        assert!(
                            (1024..limit).contains(&budget_tokens),
                            "{effort} of {limit}: {budget_tokens}"
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(of("claude-sonnet-4-5", "low", 1024).unwrap_err().to_string().contains("1024"));
        assert!(of("claude-sonnet-4-5", "ludicrous", 9000).is_err());
    }

    #[test]
    fn thinking_written_by_the_caller_stands_and_is_never_overruled_in_silence() {
        let written = RawJson::parse(r#"{"type":"adaptive","display":"summarized"}"#).unwrap();
        let of = |model: &str, effort: &str| {
            let batch = ExecuteBatch::new(model, "hi").with_reasoning_effort(effort);
            let batch = batch.with_extra("thinking", written.clone());
            let wish = wish(&batch, &MessagesDialect::default(), None)?;
            Ok::<_, InferenceError>((wish.thinking, wish.effort.map(str::to_owned)))
        };
        assert_eq!(of("claude-opus-5", "low").unwrap(), (None, Some("low".to_owned())));
        assert!(of("claude-opus-5", "none").is_err());
        assert!(of("claude-sonnet-4-5", "low").is_err());
    }
}
