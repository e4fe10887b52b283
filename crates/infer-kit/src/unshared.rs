//! What stands where nothing is shared between processes: this process decides alone.

use std::sync::Arc;

use infer_core::{InferenceError, ModelRunner, RequestId};
use infer_router::Provider;
use infer_router::gate::Plea;
use infer_store::budget::{Balance, Payer, Reserve, Spend};
use infer_store::{BudgetConfig, Budgets, CacheConfig, ResponseCache, StoreError};
use remote_core::meter::MetricsSink;

use crate::config::Config;

/// What this process shares with others: nothing.
#[derive(Debug, Default)]
pub(crate) struct Shared;

/// A configuration of it.
#[derive(Debug)]
pub(crate) enum Prepared {}

/// What a call took from a limit.
#[derive(Debug)]
pub(crate) enum Turn {}

/// Who tells others of a provider: nobody.
pub(crate) struct Witness;

#[expect(clippy::unused_self, reason = "as where others are told")]
impl Witness {
    pub(crate) fn watch(self, _: &Arc<dyn ModelRunner>) {}
}

pub(crate) fn is_shared_alike(_: &Config, _: &Config) -> bool {
    true
}

#[expect(
    clippy::unused_self,
    clippy::unused_async,
    clippy::unnecessary_wraps,
    reason = "as where others are asked"
)]
impl Shared {
    pub(crate) fn prepare(
        &self,
        _: &Config,
        _: &BudgetConfig,
        _: &Budgets,
    ) -> Result<Option<Prepared>, InferenceError> {
        Ok(None)
    }

    pub(crate) fn put(&self, _: Option<Prepared>) {}

    pub(crate) fn replace_budgets(&self, _: &BudgetConfig) -> Result<(), StoreError> {
        Ok(())
    }

    pub(crate) fn cache(
        &self,
        _: &CacheConfig,
        _: Option<&Prepared>,
    ) -> Result<Option<ResponseCache>, InferenceError> {
        Ok(None)
    }

    pub(crate) fn is_alone(&self) -> bool {
        true
    }

    pub(crate) async fn reserve(
        &self,
        budgets: &Budgets,
        payer: Payer,
        estimate: Spend,
    ) -> Result<Reserve, Box<InferenceError>> {
        Ok(budgets.try_reserve(payer, estimate))
    }

    pub(crate) fn charge(&self, budgets: &Budgets, payer: &Payer, used: Spend) {
        budgets.charge(payer, used);
    }

    pub(crate) async fn balances(&self, _: Option<&Payer>) -> Option<Result<Vec<Balance>, StoreError>> {
        None
    }

    pub(crate) async fn take(
        &self,
        _: &Plea<'_>,
        _: &RequestId,
        _: u64,
    ) -> Result<Option<Turn>, Box<InferenceError>> {
        Ok(None)
    }

    pub(crate) fn hinted(&self, provider: Provider) -> Provider {
        provider
    }

    pub(crate) fn witness(
        &self,
        _: &Arc<str>,
        also: Option<Arc<dyn MetricsSink>>,
    ) -> (Witness, Option<Arc<dyn MetricsSink>>) {
        (Witness, also)
    }

    pub(crate) async fn flush(&self) {}
}
