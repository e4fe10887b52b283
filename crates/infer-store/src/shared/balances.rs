//! What the accounts of shared budgets hold, over all processes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use infer_core::Usd;

use super::budget::{Part, RedisBudgets, from_shared};
use super::{Repeat, Script};
use crate::StoreError;
use crate::budget::{Amount, Balance, Payer, Rule, Scope};

/// The most accounts of one budget that are told: beyond it they are no list for people any more.
const MOST: usize = 1_000;

/// Accounts in one question, so that none takes the server long.
const AT_ONCE: usize = 200;

impl RedisBudgets {
    /// What every account holds now, over all processes, where that is anything; of a budget with more than 1000 accounts, 1000 of them and those
    /// of this process.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when it is away.
    pub async fn balances(&self) -> Result<Vec<Balance>, StoreError> {
        let (terms, now) = (self.terms(), self.now());
        let own: BTreeSet<Spot> =
            self.local().balances().into_iter().map(|own| (own.budget, own.account)).collect();
        let mut spots = own.clone();
        let open: Vec<_> = terms.rules().iter().filter(|rule| is_open(rule)).collect();
        for (rule, names) in open.iter().zip(self.names(&open, now).await?) {
            spots.extend(names.into_iter().map(|name| (Arc::clone(&rule.name), Some(name.into()))));
        }
        for rule in terms.rules() {
            if rule.config.per == Scope::All {
                spots.insert((Arc::clone(&rule.name), None));
            }
            spots.extend(rule.config.only.iter().map(|name| (Arc::clone(&rule.name), Some((**name).into()))));
        }
        let rules: HashMap<&str, &Rule> = terms.rules().iter().map(|rule| (&*rule.name, rule)).collect();
        let parts = spots
            .into_iter()
            .filter_map(|(budget, account)| Some(Part { rule: rules.get(&*budget)?, account }));
        let mut balances = self.told(&parts.collect::<Vec<_>>(), now).await?;
        balances.retain(|held| {
            let is_used = [held.spent, held.reserved].iter().any(|amount| !is_nothing(*amount));
            is_used || own.contains(&(Arc::clone(&held.budget), held.account.clone()))
        });
        Ok(balances)
    }

    /// The names of the accounts of each of `rules`.
    async fn names(&self, rules: &[&Rule], now: SystemTime) -> Result<Vec<Vec<String>>, StoreError> {
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let script = Script::new(include_str!("accounts.lua"));
        let mut call = script.call(rules.len());
        for rule in rules {
            call.arg(self.accounts_key(rule, now));
        }
        call.arg(MOST);
        Ok(self.redis().run(&script, &call, Repeat::Once).await?)
    }

    /// What the accounts hold over all processes that calls of `payer` are counted in, also those of which nothing is used
    /// yet.
    ///
    /// # Errors
    /// As for [`RedisBudgets::balances`].
    pub async fn balances_of(&self, payer: &Payer) -> Result<Vec<Balance>, StoreError> {
        self.told(&self.terms().parts(payer), self.now()).await
    }

    async fn told(&self, parts: &[Part<'_>], now: SystemTime) -> Result<Vec<Balance>, StoreError> {
        let script = Script::new(include_str!("balances.lua"));
        let mut balances = Vec::with_capacity(parts.len());
        for parts in parts.chunks(AT_ONCE) {
            let mut call = script.call(3 * parts.len());
            for part in parts {
                call.arg(&self.keys(part, now));
            }
            let amounts: Vec<String> = self.redis().run(&script, &call, Repeat::Once).await?;
            for (part, amounts) in parts.iter().zip(amounts.chunks(2)) {
                let amount = |place: usize| {
                    let told = amounts.get(place).and_then(|amount| amount.parse().ok());
                    from_shared(part.rule, told.unwrap_or_default())
                };
                balances.push(part.rule.standing(part.account.clone(), now, amount(0), amount(1)));
            }
        }
        Ok(balances)
    }
}

/// A budget and one of its accounts.
type Spot = (Arc<str>, Option<Arc<str>>);

/// Whether anybody may have an account in it.
pub(super) fn is_open(rule: &Rule) -> bool {
    rule.config.per != Scope::All && rule.config.only.is_empty()
}

fn is_nothing(amount: Amount) -> bool {
    match amount {
        Amount::Usd(usd) => usd == Usd::ZERO,
        Amount::Tokens(tokens) => tokens == 0,
    }
}
