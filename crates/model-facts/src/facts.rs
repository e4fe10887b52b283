//! The facts of one model.

use infer_core::Capabilities;

use crate::{Abilities, Ability, Day};

/// What a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelKind {
    /// Answers.
    Chat,
    /// Vectors.
    Embedding,
}

impl ModelKind {
    /// The word tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
        }
    }
}

/// Where a model is in its life, as of the day of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Served, and no end is known.
    Current,
    /// Served, and its end is known.
    Ending,
    /// No longer served.
    Retired,
}

impl Status {
    /// The word tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Ending => "ending",
            Self::Retired => "retired",
        }
    }
}

/// What is publicly known of one model at one provider. `None` is "not published" everywhere, and no number is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Who serves it, such as `openai` or `groq`; empty for a row that holds wherever the name is used.
    pub provider: String,
    /// The provider's name for it.
    pub model: String,
    /// What it makes.
    pub kind: ModelKind,
    /// Tokens of input and output together.
    pub context_window: Option<u64>,
    /// Tokens of input.
    pub max_input_tokens: Option<u64>,
    /// Tokens of output, hidden reasoning included.
    pub max_output_tokens: Option<u64>,
    /// How long its vectors are, unless a call asks for another length.
    pub dimensions: Option<u64>,
    /// What it can do.
    pub abilities: Abilities,
    /// Where it is in its life, as of the day of its table.
    pub status: Option<Status>,
    /// The last day it is served, or the first on which it is not: vendors differ.
    pub shutdown: Option<Day>,
}

impl ModelFacts {
    /// A model of which nothing is known yet.
    pub fn new(provider: impl Into<String>, model: impl Into<String>, kind: ModelKind) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            kind,
            context_window: None,
            max_input_tokens: None,
            max_output_tokens: None,
            dimensions: None,
            abilities: Abilities::UNKNOWN,
            status: None,
            shutdown: None,
        }
    }

    /// Whether the model can, or `None` where nobody says. An embedding model makes no answers, so it can do little.
    pub fn can(&self, ability: Ability) -> Option<bool> {
        self.abilities.has(ability).or(match (self.kind, ability) {
            (ModelKind::Chat, Ability::Dimensions) => Some(false),
            (ModelKind::Chat, _) | (ModelKind::Embedding, Ability::Dimensions) => None,
            (ModelKind::Embedding, _) => Some(false),
        })
    }

    /// The abilities a runner reports, or `None` when one of them is not published.
    pub fn capabilities(&self) -> Option<Capabilities> {
        let mut capabilities = Capabilities::ALL;
        capabilities.streaming = self.can(Ability::Streaming)?;
        capabilities.tools = self.can(Ability::Tools)?;
        capabilities.vision = self.can(Ability::Vision)?;
        capabilities.json_schema = self.can(Ability::JsonSchema)?;
        capabilities.reasoning = self.can(Ability::Reasoning)?;
        capabilities.embeddings = self.kind == ModelKind::Embedding;
        Some(capabilities)
    }

    /// Whether a call of this size fits the model's windows.
    ///
    /// `output_tokens` is what the caller wants to allow; 0 asks about the input alone. `Some(false)` when one published
    /// limit is exceeded, `Some(true)` when published limits admit the whole, else `None`: a router may try.
    pub fn fits(&self, input_tokens: u64, output_tokens: u64) -> Option<bool> {
        let total = input_tokens.saturating_add(output_tokens);
        let exceeds = |limit: Option<u64>, wanted: u64| limit.is_some_and(|limit| wanted > limit);
        if exceeds(self.context_window, total)
            || exceeds(self.max_input_tokens, input_tokens)
            || exceeds(self.max_output_tokens, output_tokens)
        {
            return Some(false);
        }
        // A window is at least as long as its longest input, so what fits that fits the window.
        let whole = self.context_window.or(self.max_input_tokens).is_some_and(|window| total <= window);
        let output = output_tokens == 0 || self.max_output_tokens.is_some();
        (whole && output).then_some(true)
    }

    /// Whether the shutdown day has come on `today`; `None` where no day is published.
    pub fn is_shut_down(&self, today: Day) -> Option<bool> {
        self.shutdown.map(|shutdown| shutdown <= today)
    }

    /// Checks what tables promise of a row.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if self.model.is_empty() || self.model == "-" || self.model.starts_with('#') || !plain(&self.model) {
            return Err("model: needs a name without spaces".into());
        }
        if self.provider == "-"
            || self.provider.starts_with('#')
            || self.provider.contains('/')
            || !plain(&self.provider)
        {
            return Err("provider: needs a name without spaces and `/`".into());
        }
        for (name, limit) in [
            ("context window", self.context_window),
            ("max input", self.max_input_tokens),
            ("max output", self.max_output_tokens),
            ("dimensions", self.dimensions),
        ] {
            if limit == Some(0) {
                return Err(format!("{name}: must be above 0; write - where it is not known"));
            }
        }
        let Some(window) = self.context_window else { return Ok(()) };
        for (name, limit) in [("max input", self.max_input_tokens), ("max output", self.max_output_tokens)] {
            if let Some(limit) = limit.filter(|limit| *limit > window) {
                return Err(format!("{name}: must be at most the context window ({window}), got {limit}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(window: Option<u64>, input: Option<u64>, output: Option<u64>) -> ModelFacts {
        let mut facts = ModelFacts::new("p", "m", ModelKind::Chat);
        (facts.context_window, facts.max_input_tokens, facts.max_output_tokens) = (window, input, output);
        facts
    }

    #[test]
    fn a_call_fits_when_no_limit_is_exceeded_and_enough_of_them_are_known() {
        let facts = chat(Some(100), Some(80), Some(50));
        for (input, output, fits) in [
            (80, 20, Some(true)),
            (50, 50, Some(true)),
            (81, 0, Some(false)),
            (80, 21, Some(false)),
            (1, 51, Some(false)),
            (u64::MAX, u64::MAX, Some(false)),
        ] {
            assert_eq!(facts.fits(input, output), fits, "{input} {output}");
        }
    }

    #[test]
    fn a_limit_that_is_not_known_neither_admits_nor_refuses() {
        assert_eq!(chat(None, None, None).fits(0, 0), None);
        assert_eq!(chat(None, Some(80), Some(50)).fits(40, 40), Some(true));
        assert_eq!(chat(None, Some(80), Some(50)).fits(80, 1), None);
        assert_eq!(chat(Some(80), None, None).fits(40, 0), Some(true));
        assert_eq!(chat(Some(80), None, None).fits(40, 1), None);
        assert_eq!(chat(Some(80), None, None).fits(81, 0), Some(false));
        assert_eq!(chat(None, None, Some(5)).fits(1, 6), Some(false));
    }

    #[test]
    fn capabilities_need_every_ability_to_be_published() {
        let mut facts = chat(None, None, None);
        assert_eq!(facts.capabilities(), None);
        facts.abilities = Abilities::parse("!vision tools json_schema reasoning streaming").unwrap();
        let capabilities = facts.capabilities().unwrap();
        assert!(!capabilities.vision && capabilities.tools && !capabilities.embeddings);
        let embedding = ModelFacts::new("p", "m", ModelKind::Embedding).capabilities().unwrap();
        assert!(embedding.embeddings && !embedding.streaming && !embedding.tools);
    }

    #[test]
    fn a_shutdown_has_come_on_its_own_day() {
        let mut facts = chat(None, None, None);
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert_eq!(facts.is_shut_down(day("2026-11-21")), None);
        facts.shutdown = Some(day("2026-11-21"));
        assert_eq!(facts.is_shut_down(day("2026-11-20")), Some(false));
        assert_eq!(facts.is_shut_down(day("2026-11-21")), Some(true));
    }

    proptest::proptest! {
        /// Law: a smaller call fits whatever a larger one fits.
        #[test]
        fn less_fits_where_more_does(
            window in proptest::option::of(1_u64..200), input in proptest::option::of(1_u64..200),
            output in proptest::option::of(1_u64..200), (a, b) in (0_u64..250, 0_u64..250), (c, d) in (0_u64..250, 0_u64..250),
        ) {
            let facts = chat(window, input, output);
            if facts.fits(a.max(c), b.max(d)) == Some(true) {
                proptest::prop_assert_eq!(facts.fits(a.min(c), b.min(d)), Some(true));
            }
            if facts.fits(a.min(c), b.min(d)) == Some(false) {
                proptest::prop_assert_eq!(facts.fits(a.max(c), b.max(d)), Some(false));
            }
        }
    }
}
