//! Budgets: reserve before a call, settle after it.
//!
//! [`Machine`] decides and takes the time as an argument. [`Budgets`] is the machine behind a lock, filled from the ledger
//! when a process starts. Whoever guards calls asks a [`BudgetGate`], which either this process or Redis stands behind.

mod config;
mod index;
mod machine;
mod terms;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

pub use config::{Amount, BudgetConfig, BudgetRule, Every, OnExceed, Scope};
pub use machine::Machine;
pub use terms::{Balance, Decision, Exceeded, Payer, Spend};

#[cfg(feature = "redis")]
pub(crate) use machine::Rule;

use crate::clock::Clock;
use crate::ledger::{Dimension, Query};
use crate::{Ledger, StoreError};

/// Whoever can say whether a call fits its budgets.
#[async_trait]
pub trait BudgetGate: Send + Sync + fmt::Debug {
    /// Reserves `estimate` for a call of `payer` in every budget that applies, or in none.
    ///
    /// # Errors
    /// Why it cannot be said, where the operator wants that to stop calls.
    async fn reserve(&self, payer: Payer, estimate: Spend) -> Result<Reserve, StoreError>;
}

/// What a gate says to a call.
#[derive(Debug)]
pub enum Reserve {
    /// Go ahead.
    Reserved(BudgetPermit),
    /// Do not; [`Exceeded::action`] says what the operator wants done.
    Exceeded(Exceeded),
}

/// Leave to spend. Dropping it returns what was reserved.
#[must_use = "dropping it returns the reservation"]
pub struct BudgetPermit {
    /// Budgets that are used up and only warn.
    pub warnings: Vec<Exceeded>,
    settle: Option<Settle>,
}

/// Called once: with what was used, or with nothing when the permit was dropped.
type Settle = Box<dyn FnOnce(Option<Spend>) + Send>;

impl BudgetPermit {
    pub(crate) fn new(warnings: Vec<Exceeded>, settle: impl FnOnce(Option<Spend>) + Send + 'static) -> Self {
        Self { warnings, settle: Some(Box::new(settle)) }
    }

    /// Charges what was used instead of what was reserved.
    pub fn settle(mut self, actual: Spend) {
        if let Some(settle) = self.settle.take() {
            settle(Some(actual));
        }
    }
}

impl Drop for BudgetPermit {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle(None);
        }
    }
}

impl fmt::Debug for BudgetPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetPermit").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// The budgets of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budgets {
    machine: Arc<Mutex<Machine>>,
    clock: Clock,
}

impl Budgets {
    /// Budgets that start with what `ledger` says was spent in their windows.
    ///
    /// The ledger counts whole hours of UTC. A window that begins within one, as days do in a few zones, starts with the
    /// whole hour, so a restart may count up to an hour twice and never forgets any. Names that the ledger counts as
    /// `(other)` start anew.
    ///
    /// # Errors
    /// A wrong configuration, or why the ledger cannot be read.
    pub fn open(config: &BudgetConfig, ledger: Option<&Ledger>, clock: Clock) -> Result<Self, StoreError> {
        let mut machine = Machine::new(config)?;
        if let Some(ledger) = ledger {
            restore(&mut machine, ledger, &clock, |_| true)?;
        }
        Ok(Self { machine: Arc::new(Mutex::new(machine)), clock })
    }

    /// Puts other budgets in force. Those that count the same as before under the same name keep what is spent and
    /// reserved, whatever their limit is now; new ones start with what `ledger` says. Calls under way settle in the new.
    ///
    /// # Errors
    /// As for [`Budgets::open`]; what was in force stays.
    pub fn replace(&self, config: &BudgetConfig, ledger: Option<&Ledger>) -> Result<(), StoreError> {
        let mut machine = Machine::new(config)?;
        let known = machine.known_from(self.machine().rules());
        if let Some(ledger) = ledger {
            restore(&mut machine, ledger, &self.clock, |place| matches!(known.get(place), Some(None)))?;
        }
        let mut current = self.machine();
        std::mem::swap(&mut *current, &mut machine);
        current.take_over(machine);
        Ok(())
    }

    /// Whether there is no budget at all, so that nothing that is asked here would be refused.
    pub fn is_empty(&self) -> bool {
        self.machine().rules().is_empty()
    }

    /// What every account holds now.
    pub fn balances(&self) -> Vec<Balance> {
        let now = self.clock.now();
        self.machine().balances(now)
    }

    /// What the accounts hold that calls of `payer` are counted in, also those of which nothing is used yet.
    pub fn balances_of(&self, payer: &Payer) -> Vec<Balance> {
        let now = self.clock.now();
        self.machine().balances_of(now, payer)
    }

    /// The gate's answer, which here needs no waiting.
    pub fn try_reserve(&self, payer: Payer, estimate: Spend) -> Reserve {
        let now = self.clock.now();
        let decision = self.machine().reserve(now, &payer, estimate);
        match decision {
            Decision::Exceeded(exceeded) => Reserve::Exceeded(exceeded),
            Decision::Reserved { ticket, warnings } => {
                let budgets = self.clone();
                Reserve::Reserved(BudgetPermit::new(warnings, move |actual| {
                    let now = budgets.clock.now();
                    match actual {
                        Some(actual) => budgets.machine().settle(now, ticket, &payer, actual),
                        None => budgets.machine().refund(ticket),
                    }
                }))
            }
        }
    }

    /// Counts what a call used that had reserved nothing here.
    pub fn charge(&self, payer: &Payer, actual: Spend) {
        let now = self.clock.now();
        self.machine().settle(now, u64::MAX, payer, actual);
    }

    #[cfg(feature = "redis")]
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BudgetGate for Budgets {
    async fn reserve(&self, payer: Payer, estimate: Spend) -> Result<Reserve, StoreError> {
        Ok(self.try_reserve(payer, estimate))
    }
}

/// What the ledger is asked once, however many budgets want to know it: every key may have its own.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    dimension: Option<Dimension>,
    since: Option<SystemTime>,
}

fn restore(
    machine: &mut Machine,
    ledger: &Ledger,
    clock: &Clock,
    wanted: impl Fn(usize) -> bool,
) -> Result<(), StoreError> {
    let now = clock.now();
    let mut questions: HashMap<Question, Vec<(usize, HashSet<String>)>> = HashMap::new();
    for (place, rule) in machine.rules().iter().enumerate().filter(|(place, _)| wanted(*place)) {
        let dimension = match rule.config.per {
            Scope::All => None,
            Scope::Key => Some(Dimension::Key),
            Scope::User => Some(Dimension::User),
            Scope::Tag => Some(Dimension::Tag),
            Scope::Provider => Some(Dimension::Provider),
        };
        let since = (rule.config.every != Every::Total).then(|| rule.window(now).start);
        let only = rule.config.only.iter().cloned().collect();
        questions.entry(Question { dimension, since }).or_default().push((place, only));
    }
    for (Question { dimension, since }, asking) in questions {
        let query = since.map_or_else(Query::new, |since| Query::new().since(since));
        let query = match dimension {
            None => query,
            Some(dimension) if asking.iter().any(|(_, only)| only.is_empty()) => query.by(dimension),
            Some(dimension) => {
                let names: HashSet<String> = asking.iter().flat_map(|(_, only)| only.clone()).collect();
                query.by(dimension).only(dimension, names)
            }
        };
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, only) in &asking {
            for name in only {
                named.entry(name).or_default().push(*place);
            }
        }
        let open = asking.iter().filter(|(_, only)| only.is_empty()).map(|(place, _)| *place);
        let open: Vec<usize> = open.collect();
        for group in ledger.query(&query)?.groups {
            let name = group.names.into_iter().next().flatten();
            // Calls that named nobody are in no account of a budget for somebody.
            if dimension.is_some() && name.is_none() {
                continue;
            }
            let about = name.as_deref().and_then(|name| named.get(name));
            for place in open.iter().chain(about.into_iter().flatten()) {
                let spend = Spend::new(group.sums.cost, group.sums.tokens());
                machine.restore(now, *place, name.clone(), spend);
            }
        }
    }
    Ok(())
}
