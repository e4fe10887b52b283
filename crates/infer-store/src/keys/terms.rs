//! What a key may use: limits and budgets, and how they are checked.

use std::fmt;
use std::str::FromStr;

use infer_core::Usd;
use serde::{Deserialize, Serialize};

use crate::budget::Every;

/// How much a key may use at a time; what is absent is without limit. Whoever takes the calls enforces them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Calls in a minute, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens read and written in a minute, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at once, above 0. Where keys are shared by several processes, over all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl KeyLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn faults(&self, at: &str, faults: &mut Vec<String>) {
        let numbers = [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("concurrency", self.concurrency.map(u64::from)),
        ];
        for (name, _) in numbers.iter().filter(|(_, number)| *number == Some(0)) {
            faults.push(format!("{at}limits.{name}: must be above 0, got 0; revoke a key to stop it"));
        }
    }
}

/// How much a key may use in a time. As text `5usd/day` or `200000tokens/month`.
///
/// ```
/// use infer_store::keys::KeyBudget;
///
/// let budget: KeyBudget = "2.5usd/day".parse()?;
/// assert_eq!(budget.usd, Some(2.5));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBudget {
    /// The limit in US dollars; either this or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// The limit in tokens read and written; either this or `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// When it begins anew, by the calendar of UTC.
    pub every: Every,
}

impl KeyBudget {
    /// So many dollars.
    pub fn usd(usd: f64, every: Every) -> Self {
        Self { usd: Some(usd), tokens: None, every }
    }

    /// So many tokens read and written.
    pub fn tokens(tokens: u64, every: Every) -> Self {
        Self { usd: None, tokens: Some(tokens), every }
    }

    /// What it counts in which time: `usd:day`. A key has at most one of each.
    pub(super) fn kind(&self) -> String {
        let unit = if self.usd.is_some() { "usd" } else { "tokens" };
        format!("{unit}:{}", word(self.every))
    }
}

const WORDS: [(&str, Every); 4] =
    [("hour", Every::Hour), ("day", Every::Day), ("month", Every::Month), ("total", Every::Total)];

fn word(every: Every) -> &'static str {
    WORDS.iter().find(|(_, known)| *known == every).map_or("", |(word, _)| word)
}

impl fmt::Display for KeyBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(usd) = self.usd {
            write!(f, "{usd}usd")?;
        }
        if let Some(tokens) = self.tokens {
            write!(f, "{tokens}tokens")?;
        }
        write!(f, "/{}", word(self.every))
    }
}

impl FromStr for KeyBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?}: {what}, as in 5usd/day or 200000tokens/month")
        };
        let (amount, every) =
            text.trim().split_once('/').ok_or_else(|| fault("needs an amount and a time"))?;
        let every = WORDS.iter().find(|(word, _)| *word == every.trim());
        let (_, every) = every.ok_or_else(|| fault("the time must be hour, day, month or total"))?;
        let amount = amount.trim();
        let budget = if let Some(number) = amount.strip_suffix("usd") {
            let usd = number.trim().parse().map_err(|_| fault("the amount must be a number of dollars"))?;
            Self::usd(usd, *every)
        } else if let Some(number) = amount.strip_suffix("tokens") {
            let tokens = number.trim().parse().map_err(|_| fault("the amount must be a whole number"))?;
            Self::tokens(tokens, *every)
        } else {
            return Err(fault("the amount must be in usd or tokens"));
        };
        match check::amount(&budget) {
            Some(what) => Err(fault(&what)),
            None => Ok(budget),
        }
    }
}

/// What must be true of the values of a key.
pub(super) mod check {
    use std::collections::BTreeMap;

    use super::{KeyBudget, Usd};

    /// Of each list; who needs more wants groups, not keys.
    const MOST: usize = 100;

    /// Of each text, in bytes.
    const LONGEST: usize = 256;

    /// In characters.
    const LONGEST_NAME: usize = 64;

    pub(in crate::keys) fn name(name: &str, at: &str, faults: &mut Vec<String>) {
        let is_fine = |char: char| char.is_alphanumeric() || "-_.@/+".contains(char);
        if name.is_empty() || !name.chars().all(is_fine) || name.chars().count() > LONGEST_NAME {
            let shown: String = name.chars().take(LONGEST_NAME).collect();
            faults.push(format!(
                "{at}name: must be 1 to {LONGEST_NAME} letters, digits or -_.@/+, got {shown:?}"
            ));
        }
    }

    pub(in crate::keys) fn patterns(routes: &[String], at: &str, faults: &mut Vec<String>) {
        many("routes", routes.len(), at, faults);
        for (place, _) in routes.iter().enumerate().filter(|(_, route)| !is_word(route)).take(MOST) {
            faults.push(format!("{at}routes[{place}]: must name a model or route, `*` for any text"));
        }
    }

    /// What is wrong with the amount.
    pub(in crate::keys) fn amount(budget: &KeyBudget) -> Option<String> {
        match (budget.usd, budget.tokens) {
            (Some(usd), None) if !(usd > 0.0 && usd <= 1e15 && Usd::from_usd(usd).is_some()) => {
                Some(format!("usd must be above 0 and at most 1e15, got {usd}"))
            }
            (None, Some(0)) => Some("tokens must be above 0, got 0".to_owned()),
            (Some(_), None) | (None, Some(_)) => None,
            _ => Some("needs either usd or tokens".to_owned()),
        }
    }

    pub(in crate::keys) fn budgets(budgets: &[KeyBudget], at: &str, faults: &mut Vec<String>) {
        many("budget", budgets.len(), at, faults);
        for (place, budget) in budgets.iter().enumerate().take(MOST) {
            if let Some(what) = amount(budget) {
                faults.push(format!("{at}budget[{place}]: {what}"));
            } else if budgets.iter().take(place).any(|other| other.kind() == budget.kind()) {
                faults.push(format!("{at}budget[{place}]: {} is limited already", budget.kind()));
            }
        }
    }

    pub(in crate::keys) fn labels(
        tags: &[String],
        metadata: &BTreeMap<String, String>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        many("tags", tags.len(), at, faults);
        many("metadata", metadata.len(), at, faults);
        for (place, _) in tags.iter().enumerate().filter(|(_, tag)| !is_word(tag)).take(MOST) {
            faults
                .push(format!("{at}tags[{place}]: must be 1 to {LONGEST} bytes without control characters"));
        }
        let is_fine = |value: &str| value.len() <= 16 * LONGEST && !value.contains(char::is_control);
        for (name, _) in metadata.iter().filter(|(name, value)| !is_word(name) || !is_fine(value)).take(MOST)
        {
            let shown: String = name.chars().take(40).collect();
            faults.push(format!("{at}metadata: {shown:?}: too long, or has control characters"));
        }
    }

    fn many(what: &str, count: usize, at: &str, faults: &mut Vec<String>) {
        if count > MOST {
            faults.push(format!("{at}{what}: at most {MOST}, got {count}"));
        }
    }

    fn is_word(text: &str) -> bool {
        !text.trim().is_empty() && text.len() <= LONGEST && !text.contains(char::is_control)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A budget is read back from its text.
        #[test]
        fn a_budget_survives_its_text(cents in 1_u32.., tokens in 1_u64.., place in 0..4_usize) {
            let every = WORDS[place].1;
            for budget in [KeyBudget::usd(f64::from(cents) / 100.0, every), KeyBudget::tokens(tokens, every)] {
                prop_assert_eq!(budget.to_string().parse::<KeyBudget>(), Ok(budget));
            }
        }

        /// Whatever a budget is given as, it is read or refused with an example.
        #[test]
        fn other_texts_are_refused_with_an_example(text: String) {
            if let Err(line) = text.parse::<KeyBudget>() {
                prop_assert!(line.contains("5usd/day"), "{}", line);
            }
        }
    }

    #[test]
    fn a_budget_needs_an_amount_a_unit_and_a_time() {
        for (text, words) in [
            ("5usd", "needs an amount and a time"),
            ("5usd/week", "hour, day, month or total"),
            ("5/day", "in usd or tokens"),
            ("fiveusd/day", "number of dollars"),
            ("0.5tokens/day", "whole number"),
            ("0usd/day", "above 0"),
            ("-1usd/day", "above 0"),
            ("NaNusd/day", "above 0"),
            ("0tokens/day", "above 0"),
        ] {
            let line = text.parse::<KeyBudget>().unwrap_err();
            assert!(line.contains(words) && line.contains(text), "{line}");
        }
    }
}
