//! How the upstreams that speak this wire format differ in what they accept.
//!
//! Only what changes the bytes of a request is here. What they send back is read tolerantly, without being told.

use serde::{Deserialize, Serialize};

/// What to write for one upstream. The default suits Anthropic's own API and every current model on it.
///
/// ```
/// use wire_messages::{LateSystem, MessagesDialect, ThinkingStyle};
/// let agent = MessagesDialect::default()
///     .with_default_max_tokens(32_000)
///     .with_late_system(LateSystem::InPlace)
///     .with_thinking(ThinkingStyle::Adaptive);
/// assert_ne!(agent, MessagesDialect::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MessagesDialect {
    /// The limit on output tokens for a request that gives none, since the format wants one always.
    ///
    /// 4096 by default: as much as the smallest model of the Claude 3 family writes, so that no model refuses it
    /// (Anthropic's model overview, read 2026-11-21). Long answers need a limit of their own.
    pub default_max_tokens: u32,
    /// How a wish for reasoning is written.
    pub thinking: ThinkingStyle,
    /// What becomes of instructions after the first turn.
    pub late_system: LateSystem,
}

/// How a wish for reasoning is written.
///
/// Claude 4.5 and older take a budget only, 4.6 both, everything later the adaptive form only (Anthropic's pages on
/// extended and adaptive thinking, read 2026-11-21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThinkingStyle {
    /// By the model's name: a budget where it is that of a Claude before 4.6, else adaptive.
    #[default]
    Auto,
    /// `thinking: {"type":"adaptive"}`, and the effort in `output_config`.
    Adaptive,
    /// `thinking: {"type":"enabled"}` with a share of the output limit as its budget.
    Budget,
}

/// What becomes of `system` and `developer` messages that follow a user's or an assistant's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LateSystem {
    /// They join the instructions at the top. Every model takes that; they lose their place, and a prompt cache filled
    /// before they came is missed. Newer accounts refuse reasoning blocks made before the top changed (Anthropic's
    /// page on thinking, read 2026-11-21): a conversation that gives both back wants [`InPlace`](Self::InPlace).
    #[default]
    Hoist,
    /// They stay, as messages of the role `system`, moved behind the user's turn they are next to: anywhere else they
    /// are refused.
    ///
    /// For Claude Opus 4.8 and later models at Anthropic itself; others refuse the role (Anthropic's page on
    /// mid-conversation system messages, read 2026-11-21).
    InPlace,
    /// They stay as part of the user's turn: their place is kept, their authority is not.
    AsUser,
}

impl Default for MessagesDialect {
    fn default() -> Self {
        Self {
            default_max_tokens: 4096,
            thinking: ThinkingStyle::default(),
            late_system: LateSystem::default(),
        }
    }
}

impl MessagesDialect {
    /// The limit on output tokens for a request that gives none.
    #[must_use]
    pub fn with_default_max_tokens(mut self, tokens: u32) -> Self {
        self.default_max_tokens = tokens;
        self
    }

    /// How a wish for reasoning is written.
    #[must_use]
    pub fn with_thinking(mut self, style: ThinkingStyle) -> Self {
        self.thinking = style;
        self
    }

    /// What becomes of instructions after the first turn.
    #[must_use]
    pub fn with_late_system(mut self, late: LateSystem) -> Self {
        self.late_system = late;
        self
    }

    /// Whether `model` takes a budget rather than the adaptive form.
    pub(crate) fn wants_budget(&self, model: &str) -> bool {
        match self.thinking {
            ThinkingStyle::Budget => true,
            ThinkingStyle::Adaptive => false,
            ThinkingStyle::Auto => claude_version(model).is_some_and(|version| version < (4, 6)),
        }
    }
}

/// Whether the name is that of a Claude that thinks before it answers unless told otherwise: version 5 and later, and the
/// preview of Mythos (Anthropic's model pages, read 2026-11-21).
pub fn is_reasoning_model(model: &str) -> bool {
    claude_version(model).map_or(model.contains("claude-mythos"), |version| version >= (5, 0))
}

/// The version in the name of a Claude model: `(4, 5)` of `us.anthropic.claude-opus-4-5-20251101-v1:0`.
///
/// The numbers stand before the family in older names and after it in newer ones; a number of more than two digits is
/// a date.
fn claude_version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.rsplit_once("claude")?;
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut numbers = words.map(|word| word.parse().ok().filter(|_| word.len() <= 2));
    let major = numbers.by_ref().flatten().next()?;
    Some((major, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_wherever_the_name_has_it() {
        let versions = [
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-3-opus-20240229", Some((3, 0))),
            ("claude-2.1", Some((2, 1))),
            ("claude-instant-1.2", Some((1, 2))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-opus-4-1-20250805", Some((4, 1))),
            ("claude-haiku-4-5@20251001", Some((4, 5))),
            ("us.anthropic.claude-opus-4-6-v1", Some((4, 6))),
            ("anthropic/claude-opus-4.8", Some((4, 8))),
            ("claude-sonnet-5", Some((5, 0))),
            ("claude-opus-5-5", Some((5, 5))),
            ("claude-mythos-preview", None),
            ("kimi-k2", None),
            ("claude", None),
            ("", None),
        ];
        for (model, version) in versions {
            assert_eq!(claude_version(model), version, "{model}");
        }
    }

    #[test]
    fn models_that_think_unasked_are_told_by_name() {
        for yes in
            ["claude-opus-5", "claude-haiku-5-5", "anthropic/claude-fable-5.1", "claude-mythos-preview"]
        {
            assert!(is_reasoning_model(yes), "{yes}");
        }
        for no in ["claude-opus-4-8", "claude-haiku-4-5-20251001", "claude-3-5-haiku-latest", "gpt-5", ""] {
            assert!(!is_reasoning_model(no), "{no}");
        }
    }

    #[test]
    fn only_models_known_to_be_older_are_given_a_budget() {
        let auto = MessagesDialect::default();
        assert!(auto.wants_budget("claude-haiku-4-5-20251001"));
        for newer in ["claude-sonnet-4-6", "claude-opus-5", "claude-mythos-preview", "MiniMax-M3"] {
            assert!(!auto.wants_budget(newer), "{newer}");
        }
        assert!(auto.with_thinking(ThinkingStyle::Budget).wants_budget("MiniMax-M3"));
    }

    #[test]
    fn a_dialect_reads_from_configuration_and_refuses_unknown_words() {
        let read = serde_json::from_str::<MessagesDialect>;
        let dialect = read(r#"{"late_system":"in_place","default_max_tokens":9}"#).unwrap();
        assert_eq!((dialect.late_system, dialect.default_max_tokens), (LateSystem::InPlace, 9));
        assert!(read(r#"{"late_systems":"hoist"}"#).is_err());
    }
}
