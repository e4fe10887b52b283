//! What a request needs of a model, and what a model is known to lack.

use std::fmt;

use infer_core::{Capabilities, Content, ExecuteBatch, Part, ReasoningEffort, ResponseFormat};

/// A set of abilities.
///
/// ```
/// use infer_router::Needs;
/// let needs = Needs::VISION | Needs::TOOLS;
/// assert!(needs.contains(Needs::TOOLS) && !needs.contains(Needs::AUDIO));
/// assert_eq!(needs.to_string(), "vision and tools");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs(u8);

impl Needs {
    /// None.
    pub const NONE: Self = Self(0);
    /// Pictures in the conversation.
    pub const VISION: Self = Self(1);
    /// Tools.
    pub const TOOLS: Self = Self(1 << 1);
    /// An answer that fits a schema.
    pub const JSON_SCHEMA: Self = Self(1 << 2);
    /// A reasoning effort.
    pub const REASONING: Self = Self(1 << 3);
    /// Sound in the conversation or in the answer.
    pub const AUDIO: Self = Self(1 << 4);
    /// An answer as it is written.
    pub const STREAMING: Self = Self(1 << 5);
    /// Vectors.
    pub const EMBEDDINGS: Self = Self(1 << 6);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::VISION, "vision"),
        (Self::TOOLS, "tools"),
        (Self::JSON_SCHEMA, "json_schema"),
        (Self::REASONING, "reasoning"),
        (Self::AUDIO, "audio"),
        (Self::STREAMING, "streaming"),
        (Self::EMBEDDINGS, "embeddings"),
    ];

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What a runner says it cannot pass on.
    pub fn lacking(capabilities: Capabilities) -> Self {
        [
            (capabilities.vision, Self::VISION),
            (capabilities.tools, Self::TOOLS),
            (capabilities.json_schema, Self::JSON_SCHEMA),
            (capabilities.reasoning, Self::REASONING),
            (capabilities.streaming, Self::STREAMING),
            (capabilities.embeddings, Self::EMBEDDINGS),
        ]
        .into_iter()
        .filter_map(|(can, need)| (!can).then_some(need))
        .fold(Self::NONE, |all, need| all | need)
    }

    /// What `batch` needs, of those in `among`.
    ///
    /// Messages are looked at only if pictures or sound are among them, so that raw ones are not read without need; such
    /// that cannot be read need nothing.
    pub fn of(batch: &ExecuteBatch, among: Self) -> Self {
        let effort = batch.reasoning_effort.as_ref();
        let mut needs = Self::NONE;
        for (is_needed, need) in [
            (!batch.tools.is_empty(), Self::TOOLS),
            (matches!(batch.response_format, Some(ResponseFormat::JsonSchema(_))), Self::JSON_SCHEMA),
            (effort.is_some_and(|effort| *effort != ReasoningEffort::None), Self::REASONING),
            (batch.modalities.iter().any(|kind| kind == "audio"), Self::AUDIO),
            (batch.is_streaming(), Self::STREAMING),
        ] {
            if is_needed {
                needs = needs | need;
            }
        }
        if !among.both(Self::VISION | Self::AUDIO).is_empty() {
            for message in batch.messages.typed().unwrap_or_default() {
                let Content::Parts(parts) = &message.content else { continue };
                for part in parts {
                    needs = needs
                        | match part {
                            Part::Image { .. } => Self::VISION,
                            Part::Audio { .. } => Self::AUDIO,
                            _ => Self::NONE,
                        };
                }
            }
        }
        needs.both(among)
    }
}

impl std::ops::BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Self::NAMES.iter().filter(|(need, _)| self.contains(*need)).map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "nothing" } else { "" })?;
        f.write_str(&names.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use infer_core::{JsonSchema, Message, RawJson, ToolSpec};

    use super::*;

    const ALL: Needs = Needs(0x7f);

    #[test]
    fn every_need_is_seen_in_the_request_that_has_it() {
        let plain = || ExecuteBatch::new("m", "hello");
        assert_eq!(Needs::of(&plain(), ALL), Needs::NONE);
        assert_eq!(Needs::of(&plain().streaming(), ALL), Needs::STREAMING);
        assert_eq!(Needs::of(&plain().with_reasoning_effort("high"), ALL), Needs::REASONING);
        assert_eq!(Needs::of(&plain().with_reasoning_effort("none"), ALL), Needs::NONE);
        assert_eq!(Needs::of(&plain().with_modalities(["text", "audio"]), ALL), Needs::AUDIO);
        let schema = JsonSchema::new("s", RawJson::parse("{}").unwrap());
        assert_eq!(Needs::of(&plain().with_response_format(schema), ALL), Needs::JSON_SCHEMA);
        let tool = ToolSpec::function("t", "does", RawJson::parse("{}").unwrap());
        assert_eq!(Needs::of(&plain().with_tools([tool]), ALL), Needs::TOOLS);
        let seen = Message::user([Part::text("what?"), Part::image_url("https://example.com/a.png")]);
        let heard = Message::user([Part::audio("wav", "AAAA")]);
        let batch = ExecuteBatch::new("m", [seen, heard]);
        assert_eq!(Needs::of(&batch, ALL), Needs::VISION | Needs::AUDIO);
        assert_eq!(Needs::of(&batch, Needs::TOOLS), Needs::NONE);
    }

    #[test]
    fn a_runner_that_can_do_everything_lacks_nothing() {
        assert_eq!(Needs::lacking(Capabilities::ALL), Needs::NONE);
        let mut some = Capabilities::ALL;
        some.vision = false;
        assert_eq!(Needs::lacking(some), Needs::VISION);
    }
}
