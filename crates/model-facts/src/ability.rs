//! What a model can do, where somebody has published it.

use std::fmt;

use crate::day::glimpse;

macro_rules! abilities {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// One thing a model may be able to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Ability {
            $($(#[$doc])* $name,)*
        }

        impl Ability {
            /// Every ability, in the order tables write them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word tables use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

abilities! {
    /// Reads pictures.
    Vision = "vision",
    /// Calls tools.
    Tools = "tools",
    /// Makes several tool calls in one turn.
    ParallelToolCalls = "parallel_tool_calls",
    /// Is held to a JSON Schema.
    JsonSchema = "json_schema",
    /// Is held to some JSON object.
    JsonObject = "json_object",
    /// Thinks before it answers.
    Reasoning = "reasoning",
    /// Answers as it writes.
    Streaming = "streaming",
    /// Takes system messages.
    SystemMessages = "system_messages",
    /// Is served as Chat Completions.
    ChatCompletions = "chat_completions",
    /// Is served as Responses.
    ResponsesApi = "responses_api",
    /// Makes vectors of a length the caller chooses.
    Dimensions = "dimensions",
}

impl Ability {
    /// The ability with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|ability| ability.as_str() == word)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Which abilities are known, and which of those a model has.
///
/// ```
/// use model_facts::{Abilities, Ability};
/// let abilities = Abilities::UNKNOWN.with(Ability::Tools, true).with(Ability::Vision, false);
/// assert_eq!(abilities.has(Ability::Tools), Some(true));
/// assert_eq!(abilities.has(Ability::Reasoning), None);
/// assert_eq!(abilities.to_string(), "!vision tools");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Abilities {
    known: u16,
    had: u16,
}

impl Abilities {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { known: 0, had: 0 };

    /// Whether the model can, or `None` where nobody says.
    pub const fn has(self, ability: Ability) -> Option<bool> {
        if self.known & ability.bit() == 0 { None } else { Some(self.had & ability.bit() != 0) }
    }

    /// The same, with one ability known.
    #[must_use]
    pub const fn with(mut self, ability: Ability, has: bool) -> Self {
        self.known |= ability.bit();
        if has {
            self.had |= ability.bit();
        } else {
            self.had &= !ability.bit();
        }
        self
    }

    /// Reads words separated by spaces, `!` before what the model cannot do; `-` when nothing is known.
    ///
    /// # Errors
    /// The word that is none, or that is given twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::UNKNOWN);
        }
        let mut abilities = Self::UNKNOWN;
        for word in text.split(' ') {
            let (word, has) = word.strip_prefix('!').map_or((word, true), |word| (word, false));
            let Some(ability) = Ability::from_word(word) else {
                return Err(format!("unknown ability {:?}: use {}", glimpse(word), words().join(", ")));
            };
            if abilities.has(ability).is_some() {
                return Err(format!("ability {word} given twice"));
            }
            abilities = abilities.with(ability, has);
        }
        Ok(abilities)
    }
}

fn words() -> Vec<&'static str> {
    Ability::ALL.iter().map(|ability| ability.as_str()).collect()
}

/// As [`Abilities::parse`] reads it.
impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ability in Ability::ALL {
            if let Some(has) = self.has(*ability) {
                write!(f, "{separator}{}{}", if has { "" } else { "!" }, ability.as_str())?;
                separator = " ";
            }
        }
        if separator.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_ability_is_named_with_those_that_are() {
        let error = Abilities::parse("tools flying").unwrap_err();
        assert!(error.contains("\"flying\"") && error.contains("vision, tools"), "{error}");
        assert!(Abilities::parse("tools !tools").unwrap_err().contains("twice"));
        assert!(Abilities::parse("").is_err() && Abilities::parse("tools  vision").is_err());
    }

    proptest::proptest! {
        /// Law: what is written reads back as it was.
        #[test]
        fn abilities_survive_being_written(known: u16, had: u16) {
            let mut abilities = Abilities::UNKNOWN;
            for ability in Ability::ALL {
                if known & ability.bit() != 0 {
                    abilities = abilities.with(*ability, had & ability.bit() != 0);
                }
            }
            proptest::prop_assert_eq!(Abilities::parse(&abilities.to_string()), Ok(abilities));
        }
    }
}
