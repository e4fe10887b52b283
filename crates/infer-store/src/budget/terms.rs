//! The words in which budgets are asked and answer.

use std::sync::Arc;
use std::time::SystemTime;

use infer_core::Usd;

use super::config::{Amount, Every, OnExceed, Scope};

/// Whose call it is. Budgets for what is absent do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payer {
    /// Whose key asks.
    pub key: Option<Arc<str>>,
    /// The end user.
    pub user: Option<Arc<str>>,
    /// A label of the caller's choice.
    pub tag: Option<Arc<str>>,
    /// The provider that will be asked.
    pub provider: Option<Arc<str>>,
    /// The route the call goes to.
    pub route: Option<Arc<str>>,
}

impl Payer {
    /// The holder of a key.
    pub fn key(name: impl Into<Arc<str>>) -> Self {
        Self { key: Some(name.into()), ..Self::default() }
    }

    pub(super) fn named(&self, scope: Scope) -> Option<Holder> {
        let name = match scope {
            Scope::All => return Some(Holder(None)),
            Scope::Key => &self.key,
            Scope::User => &self.user,
            Scope::Tag => &self.tag,
            Scope::Provider => &self.provider,
        };
        name.clone().map(|name| Holder(Some(name)))
    }
}

/// Whose account it is; the one of a budget for all has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) Option<Arc<str>>);

/// What a call is expected to use, or has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Money; what has no price counts as nothing here.
    pub cost: Usd,
    /// Tokens read and written.
    pub tokens: u64,
}

impl Spend {
    /// An amount of money and tokens.
    pub const fn new(cost: Usd, tokens: u64) -> Self {
        Self { cost, tokens }
    }

    pub(super) fn in_unit_of(self, limit: Amount) -> u128 {
        match limit {
            Amount::Usd(_) => self.cost.picos(),
            Amount::Tokens(_) => self.tokens.into(),
        }
    }
}

/// A budget that a call does not fit into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// The budget's name.
    pub budget: Arc<str>,
    /// The account, where the budget has several.
    pub account: Option<Arc<str>>,
    /// The limit.
    pub limit: Amount,
    /// What is spent and reserved of it.
    pub used: Amount,
    /// When it begins anew; `None` for one that never does.
    pub resets_at: Option<SystemTime>,
    /// What the operator wants done.
    pub action: OnExceed,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "budget {}", self.budget)?;
        if let Some(account) = &self.account {
            write!(f, " of {account}")?;
        }
        write!(f, ": {} of {} used", self.used, self.limit)?;
        match self.resets_at.and_then(|at| jiff::Timestamp::try_from(at).ok()) {
            Some(at) => write!(f, "; begins anew at {at}"),
            None => write!(f, "; raise the limit to go on"),
        }
    }
}

/// What the machine says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead under this number; the warnings are budgets that are used up and only warn.
    Reserved {
        /// The reservation.
        ticket: u64,
        /// Budgets used up that let calls pass.
        warnings: Vec<Exceeded>,
    },
    /// Do not go ahead. Nothing is reserved.
    Exceeded(Exceeded),
}

/// What one account holds, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balance {
    /// The budget's name.
    pub budget: Arc<str>,
    /// Whose calls it counts together.
    pub per: Scope,
    /// How often it begins anew.
    pub every: Every,
    /// The account, where the budget has several.
    pub account: Option<Arc<str>>,
    /// The limit.
    pub limit: Amount,
    /// Spent since the window began.
    pub spent: Amount,
    /// Reserved by calls under way.
    pub reserved: Amount,
    /// When it begins anew.
    pub resets_at: Option<SystemTime>,
}
