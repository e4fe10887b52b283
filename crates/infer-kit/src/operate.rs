//! What an operator sees of an [`Inference`] at work, and does to it.

use std::sync::Arc;

use infer_core::InferenceError;
use infer_store::BudgetConfig;
use infer_store::budget::{Balance, BudgetRule, Payer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drill::{Drill, DrillReport};
use crate::inference::Inference;

/// What accounts of budgets hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balances {
    /// The accounts.
    pub accounts: Vec<Balance>,
    /// Whether other processes spend from them and did not say how much: Redis is away, and these are what this process
    /// counted.
    pub is_partial: bool,
}

impl Inference {
    /// The Redis in force, for whatever else of the process is to be shared; none where the configuration has none.
    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Option<infer_store::shared::Redis> {
        self.inner.plan.stores.books.shared.redis()
    }

    /// What every account of the budgets in force holds now by what this process counted: nearly all there is to know, unless
    /// budgets are shared through Redis. [`Inference::shared_balances`] asks there.
    pub fn balances(&self) -> Vec<Balance> {
        self.inner.plan.stores.books.budgets.balances()
    }

    /// What the accounts hold that calls of `payer` are counted in, also those of which nothing is used yet; as for
    /// [`Inference::balances`].
    pub fn balances_of(&self, payer: &Payer) -> Vec<Balance> {
        self.inner.plan.stores.books.budgets.balances_of(payer)
    }

    /// What every account of the budgets in force holds now, over all processes that share them. Redis is waited for half a
    /// second; then it is what this process counted.
    pub async fn shared_balances(&self) -> Balances {
        self.seen(None).await
    }

    /// What the accounts hold that calls of `payer` are counted in, as for [`Inference::shared_balances`].
    pub async fn shared_balances_of(&self, payer: &Payer) -> Balances {
        self.seen(Some(payer)).await
    }

    async fn seen(&self, payer: Option<&Payer>) -> Balances {
        let here = || payer.map_or_else(|| self.balances(), |payer| self.balances_of(payer));
        match self.inner.plan.stores.books.shared.balances(payer).await {
            None => Balances { accounts: here(), is_partial: false },
            Some(Ok(accounts)) => Balances { accounts, is_partial: false },
            Some(Err(error)) => {
                tracing::debug!(%error, "balances are those of this process");
                Balances { accounts: here(), is_partial: true }
            }
        }
    }

    /// The budgets in force: those of the configuration and those that came with keys.
    pub fn budget_rules(&self) -> Vec<BudgetRule> {
        with_rules(&self.inner.current.load().config.budgets, &self.inner.key_rules.load()).limits
    }

    /// Puts the budgets of keys in force beside those of the configuration, in place of those set before. What is spent and
    /// reserved stays where a budget counts as before; one that is new begins with what the ledger says.
    ///
    /// Without effect where [`InferenceBuilder::with_gate`](crate::InferenceBuilder::with_gate) names somebody else for budgets.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for rules that are wrong or have a name of the configuration's; why the ledger cannot be
    /// read. What was in force stays.
    pub async fn set_key_rules(&self, rules: Vec<BudgetRule>) -> Result<(), InferenceError> {
        let inner = &self.inner;
        let _alone = inner.reloading.lock().await;
        if inner.plan.own_gate || **inner.key_rules.load() == rules {
            return Ok(());
        }
        let budgets = inner.current.load().config.budgets.clone();
        let budgets = with_rules(&budgets, &rules);
        inner.plan.stores.replace_budgets(&budgets).await?;
        inner.plan.stores.books.shared.replace_budgets(&budgets)?;
        inner.key_rules.store(Arc::new(rules));
        Ok(())
    }

    /// A number that changes whenever another configuration is in force.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.inner.reloads.subscribe()
    }

    /// Makes calls of a provider fail on purpose, or no longer: see [`Drill`]. Calls under way are not touched.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when there is no such provider, or for values that do not fit.
    pub fn drill(&self, provider: &str, drill: Option<Drill>) -> Result<(), InferenceError> {
        if let Some(drill) = &drill {
            drill.validate()?;
        }
        if self.provider(provider).is_none() {
            let shown: String = provider.chars().take(64).collect();
            return Err(InferenceError::config(format!("there is no provider {shown:?}")));
        }
        if let Some(Drill { fault, share, time, .. }) = &drill {
            tracing::warn!(
                provider,
                fault = fault.name(),
                share,
                ?time,
                "drill begins: calls fail on purpose"
            );
        } else {
            tracing::info!(provider, "drill ended");
        }
        self.inner.plan.drills.of(provider).turn(drill, Instant::now());
        Ok(())
    }

    /// Drills that are on, by provider.
    pub fn drills(&self) -> Vec<DrillReport> {
        self.inner.plan.drills.on()
    }
}

/// The budgets of a configuration with those of keys.
pub(crate) fn with_rules(budgets: &BudgetConfig, rules: &[BudgetRule]) -> BudgetConfig {
    let mut budgets = budgets.clone();
    budgets.limits.extend_from_slice(rules);
    budgets
}
