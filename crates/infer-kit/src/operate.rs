//! What an operator sees of an [`Inference`] at work, and does to it.

use std::sync::Arc;

use infer_core::InferenceError;
use infer_store::BudgetConfig;
use infer_store::budget::{Balance, BudgetRule, Payer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drill::{Drill, DrillReport};
use crate::inference::Inference;

impl Inference {
    /// The Redis in force, for whatever else of the process is to be shared; none where the configuration has none.
    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Option<infer_store::shared::Redis> {
        self.inner.plan.stores.books.shared.redis()
    }

    /// What every account of the budgets in force holds now.
    pub fn balances(&self) -> Vec<Balance> {
        self.inner.plan.stores.books.budgets.balances()
    }

    /// What the accounts hold that calls of `payer` are counted in, also those of which nothing is used yet.
    pub fn balances_of(&self, payer: &Payer) -> Vec<Balance> {
        self.inner.plan.stores.books.budgets.balances_of(payer)
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
