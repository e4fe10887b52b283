//! Which budgets may be about a call, found without looking at all of them: every key may have its own.

use std::collections::HashMap;

use super::config::Scope;
use super::machine::Rule;
use super::terms::Payer;

/// The scopes in which a call has a name.
const NAMED: [Scope; 4] = [Scope::Key, Scope::User, Scope::Tag, Scope::Provider];

/// Places of budgets, by whom they are about.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those about everybody, or about every name.
    open: Vec<usize>,
    /// Those about some names alone.
    named: HashMap<Scope, HashMap<String, Vec<usize>>>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            if rule.config.only.is_empty() || rule.config.per == Scope::All {
                index.open.push(place);
                continue;
            }
            let names = index.named.entry(rule.config.per).or_default();
            for name in &rule.config.only {
                let places = names.entry(name.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// Every budget that may apply to calls of `payer`, in their order; those that do not are few.
    pub(super) fn about(&self, payer: &Payer) -> Vec<usize> {
        let mut places = self.open.clone();
        for scope in NAMED {
            let name = payer.named(scope).and_then(|holder| holder.0);
            let known = name.and_then(|name| self.named.get(&scope)?.get(&*name));
            places.extend(known.into_iter().flatten());
        }
        places.sort_unstable();
        places
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BudgetRule, Every, OnExceed};
    use super::*;

    const SCOPES: [Scope; 5] = [Scope::All, Scope::Key, Scope::User, Scope::Tag, Scope::Provider];

    fn rule(per: usize, only: &[u8]) -> Rule {
        let config = BudgetRule {
            name: "b".to_owned(),
            per: SCOPES[per],
            only: only.iter().map(|name| format!("n{name}")).collect(),
            every: Every::Day,
            usd: None,
            tokens: Some(1),
            zone: "UTC".to_owned(),
            on_exceed: OnExceed::Reject,
        };
        Rule::new(&config)
    }

    fn payer(names: [Option<u8>; 4]) -> Payer {
        let [key, user, tag, provider] = names.map(|name| name.map(|name| format!("n{name}").into()));
        Payer { key, user, tag, provider, route: None }
    }

    proptest! {
        /// What the index finds are the budgets that a look at each of them finds, in the same order.
        #[test]
        fn indexed_is_scanned(
            rules in prop::collection::vec((0_usize..5, prop::collection::vec(0_u8..4, 0..4)), 0..20),
            names in prop::array::uniform4(prop::option::of(0_u8..5)),
        ) {
            let rules: Vec<Rule> = rules.iter().map(|(per, only)| rule(*per, only)).collect();
            let payer = payer(names);
            let applies = |place: &usize| rules[*place].account(&payer).is_some();
            let scanned: Vec<usize> = (0..rules.len()).filter(applies).collect();
            let indexed: Vec<usize> = Index::new(&rules).about(&payer).into_iter().filter(applies).collect();
            prop_assert_eq!(indexed, scanned);
        }
    }

    #[test]
    fn a_key_among_thousands_is_asked_about_its_own_budgets_alone() {
        let rules: Vec<Rule> = (0..5_000_u32)
            .map(|key| {
                let mut rule = rule(1, &[]);
                rule.config.only = vec![format!("key-{key}")];
                rule
            })
            .collect();
        assert_eq!(Index::new(&rules).about(&Payer::key("key-77")), [77]);
    }
}
