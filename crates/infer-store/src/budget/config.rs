//! What an operator can set about budgets.

use std::collections::HashSet;
use std::time::Duration;

use infer_core::Usd;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::{StoreError, clock};

/// Settings of all budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// The budgets. A call must fit all that apply to it.
    pub limits: Vec<BudgetRule>,
    /// After how long a reservation that was neither settled nor returned is returned by itself. 1 h: longer than any
    /// call; what a call costs after that is still counted.
    #[serde(with = "clock::text")]
    pub reservation_timeout: Duration,
    /// How many accounts are kept apart at a time. Beyond it new names share one account per budget. 100000.
    pub max_accounts: usize,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { limits: Vec::new(), reservation_timeout: Duration::from_secs(3_600), max_accounts: 100_000 }
    }
}

/// One budget: so much, for whom, in which time, and what happens after.
///
/// ```
/// let rule: infer_store::budget::BudgetRule = serde_json::from_str(
///     r#"{"name": "daily", "per": "key", "every": "day", "usd": 5.0, "on_exceed": {"downgrade": "cheap"}}"#,
/// )?;
/// assert_eq!(rule.zone, "UTC");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRule {
    /// Its name in errors and reports; unique.
    pub name: String,
    /// Whose calls are counted together.
    #[serde(default)]
    pub per: Scope,
    /// Only these names, each with an account of its own; every name when empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// When it begins anew.
    pub every: Every,
    /// The limit in US dollars; either this or `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// The limit in tokens read and written; either this or `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Where days and months begin: an IANA zone such as `Europe/Berlin`. UTC.
    #[serde(default = "utc")]
    pub zone: String,
    /// What happens to a call that does not fit. It is rejected.
    #[serde(default)]
    pub on_exceed: OnExceed,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Whose calls a budget counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// Those of one key.
    Key,
    /// Those of one end user.
    User,
    /// Those with one tag.
    Tag,
    /// Those to one provider.
    Provider,
}

/// When a budget begins anew, by the calendar of its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Every hour.
    Hour,
    /// Every day at midnight.
    Day,
    /// On the first of every month.
    Month,
    /// Never.
    Total,
}

/// What happens to a call that does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnExceed {
    /// It is refused.
    #[default]
    Reject,
    /// It goes ahead, and the caller is told.
    Warn,
    /// It goes to this route instead. There it goes ahead, and the caller is told.
    Downgrade(String),
}

/// An amount in the unit of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Money.
    Usd(Usd),
    /// Tokens read and written.
    Tokens(u128),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usd(usd) => usd.fmt(f),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
        }
    }
}

/// The calendar of a zone; `None` when there is none of that name.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

impl BudgetConfig {
    /// Checks every value and reports all faults at once.
    ///
    /// # Errors
    /// [`StoreError::Config`].
    pub fn validate(&self) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        if self.reservation_timeout < Duration::from_secs(1) {
            let got = humantime::format_duration(self.reservation_timeout);
            faults.push(format!("budgets.reservation_timeout: must be at least 1s, got {got}"));
        }
        if self.max_accounts == 0 {
            faults.push("budgets.max_accounts: must be above 0".to_owned());
        }
        let mut names = HashSet::new();
        for (place, rule) in self.limits.iter().enumerate() {
            let at = format!("budgets.limits[{place}]");
            if !names.insert(rule.name.as_str()) {
                faults.push(format!("{at}.name: {:?} is taken: give every budget its own", rule.name));
            }
            rule.faults(&at, &mut faults);
        }
        StoreError::faults(&faults)
    }
}

impl BudgetRule {
    fn faults(&self, at: &str, faults: &mut Vec<String>) {
        if self.name.is_empty() || self.name.contains(['{', '}']) {
            faults.push(format!("{at}.name: must not be empty or have braces, got {:?}", self.name));
        }
        match (self.usd, self.tokens) {
            (Some(usd), None) if !(usd > 0.0 && usd <= 1e15) => {
                faults.push(format!("{at}.usd: must be above 0 and at most 1e15, got {usd}"));
            }
            (None, Some(0)) => faults.push(format!("{at}.tokens: must be above 0, got 0")),
            (Some(_), None) | (None, Some(_)) => {}
            _ => faults.push(format!("{at}: needs either usd or tokens")),
        }
        if self.per == Scope::All && !self.only.is_empty() {
            faults.push(format!("{at}.only: names nobody without per: say whose names they are"));
        }
        if zone(&self.zone).is_none() {
            faults
                .push(format!("{at}.zone: {:?} is no known zone: try one such as Europe/Berlin", self.zone));
        }
        if matches!(&self.on_exceed, OnExceed::Downgrade(route) if route.is_empty()) {
            faults.push(format!("{at}.on_exceed.downgrade: must name a route"));
        }
    }

    /// The limit in its unit; what [`BudgetConfig::validate`] refuses allows nothing.
    pub(super) fn limit(&self) -> Amount {
        match (self.usd, self.tokens) {
            (Some(usd), _) => Amount::Usd(Usd::from_usd(usd).unwrap_or_default()),
            (None, tokens) => Amount::Tokens(tokens.unwrap_or(0).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_by_place() {
        let config: BudgetConfig = serde_json::from_str(
            r#"{"reservation_timeout": "10ms", "limits": [
                {"name": "a", "every": "day", "usd": -1, "zone": "Mars/Olympus"},
                {"name": "a", "every": "total", "only": ["x"], "on_exceed": {"downgrade": ""}}]}"#,
        )
        .unwrap();
        let line = config.validate().unwrap_err().to_string();
        for words in [
            "budgets.reservation_timeout: must be at least 1s, got 10ms",
            "budgets.limits[0].usd: must be above 0",
            "budgets.limits[0].zone: \"Mars/Olympus\" is no known zone",
            "budgets.limits[1].name: \"a\" is taken",
            "budgets.limits[1]: needs either usd or tokens",
            "budgets.limits[1].only",
            "budgets.limits[1].on_exceed.downgrade",
        ] {
            assert!(line.contains(words), "{words} is not in: {line}");
        }
    }

    #[test]
    fn an_unknown_key_or_word_is_refused() {
        for text in [
            r#"{"name": "a", "every": "week", "usd": 1}"#,
            r#"{"name": "a", "every": "day", "usd": 1, "limit": 2}"#,
            r#"{"name": "a", "every": "day", "usd": 1, "per": "team"}"#,
        ] {
            assert!(serde_json::from_str::<BudgetRule>(text).is_err(), "{text}");
        }
    }
}
