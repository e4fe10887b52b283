//! What is known of a key, without its secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::terms::{KeyBudget, KeyLimits, check};
use super::{KeyError, pattern, time};
use crate::budget::{BudgetRule, OnExceed, Scope};

/// A key as everybody may see it: neither its secret nor a hash of it is in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyRecord {
    /// What its calls and their cost are counted under; unique.
    pub name: Arc<str>,
    /// The first characters of its secret, such as `ik-ab12`; empty where only a hash is known.
    pub prefix: String,
    /// Where it stands.
    #[serde(skip, default)]
    pub origin: KeyOrigin,
    /// When it was made; `None` for one of the configuration.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub created: Option<SystemTime>,
    /// From when on it opens nothing.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub expires: Option<SystemTime>,
    /// When it was revoked.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub revoked: Option<SystemTime>,
    /// When it got its present secret, if that is not its first.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub rotated: Option<SystemTime>,
    /// The models and routes it may use, `*` for any text; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// How much at a time.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
    /// How much in all; a call must fit every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<KeyBudget>,
    /// What its calls are marked with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whatever its owner wants to remember of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether it may administer the gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyOrigin {
    /// Where it can be revoked and rotated: in a file or in Redis.
    #[default]
    Stored,
    /// In the configuration.
    Config,
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It does.
    Active,
    /// No longer.
    Expired,
    /// Never again.
    Revoked,
}

impl KeyRecord {
    /// A key by `spec` whose secret begins with `prefix`.
    pub(crate) fn new(spec: KeySpec, prefix: String, origin: KeyOrigin) -> Self {
        let KeySpec { name, expires, routes, limits, budget, tags, metadata, admin } = spec;
        Self {
            name: name.into(),
            prefix,
            origin,
            created: None,
            expires,
            revoked: None,
            rotated: None,
            routes,
            limits,
            budget,
            tags,
            metadata,
            admin,
        }
    }

    /// Whether it opens anything at `now`. A revoked key is revoked even after it expired.
    pub fn state(&self, now: SystemTime) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expires| now >= expires) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }

    /// Whether it may use the model or route called `name`.
    pub fn allows(&self, name: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|pattern| pattern::matches(pattern, name))
    }

    /// What is wrong with it.
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        check::name(&self.name, "", faults);
        check::patterns(&self.routes, "", faults);
        self.limits.faults("", faults);
        check::budgets(&self.budget, "", faults);
        check::labels(&self.tags, &self.metadata, "", faults);
    }

    /// Its budgets as rules for its calls alone.
    pub fn budget_rules(&self) -> impl Iterator<Item = BudgetRule> {
        self.budget.iter().map(|budget| BudgetRule {
            name: format!("key:{}:{}", self.name, budget.kind()),
            per: Scope::Key,
            only: vec![self.name.to_string()],
            every: budget.every,
            usd: budget.usd,
            tokens: budget.tokens,
            zone: "UTC".to_owned(),
            on_exceed: OnExceed::Reject,
        })
    }
}

/// What a new key should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// What its calls are counted under: letters, digits and `-_.@/+`, at most 64.
    pub name: String,
    /// From when on it opens nothing; a day such as `2027-01-01`, or a moment such as `2027-01-01T12:00:00Z`.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub expires: Option<SystemTime>,
    /// The models and routes it may use, `*` for any text; all when empty.
    #[serde(default)]
    pub routes: Vec<String>,
    /// How much at a time.
    #[serde(default)]
    pub limits: KeyLimits,
    /// How much in all; a call must fit every one.
    #[serde(default)]
    pub budget: Vec<KeyBudget>,
    /// What its calls are marked with.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever its owner wants to remember of it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Whether it may administer the gateway.
    #[serde(default)]
    pub admin: bool,
}

impl KeySpec {
    /// A key that may use everything, for ever.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Checks every value and reports all faults at once.
    ///
    /// # Errors
    /// [`KeyError::Invalid`].
    pub fn validate(&self) -> Result<(), KeyError> {
        let mut faults = Vec::new();
        self.faults("", &mut faults);
        if faults.is_empty() { Ok(()) } else { Err(KeyError::Invalid { what: faults.join("; ") }) }
    }

    /// The faults of its values, whose paths begin with `at`.
    pub(super) fn faults(&self, at: &str, faults: &mut Vec<String>) {
        check::name(&self.name, at, faults);
        check::patterns(&self.routes, at, faults);
        self.limits.faults(at, faults);
        check::budgets(&self.budget, at, faults);
        check::labels(&self.tags, &self.metadata, at, faults);
    }
}
