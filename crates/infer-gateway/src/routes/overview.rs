//! What the dashboard shows, for operators.

use axum::body::Body;
use axum::extract::{Query, State as From};
use http::Response;
use infer_core::ModelRunner as _;

use super::Shared;
use super::models::to_json;
use crate::live::{BudgetView, Overview, ProviderView, Since};

pub(super) async fn live(From(state): Shared, Query(since): Query<Since>) -> Response<Body> {
    to_json(&state.live.snapshot(&since))
}

pub(super) async fn overview(From(state): Shared, Query(since): Query<Since>) -> Response<Body> {
    let live = state.live.snapshot(&since);
    let config = state.inference.config();
    let targets = state.inference.router().targets();
    let now = state.now();
    let budgets = state.inference.shared_balances().await;
    to_json(&Overview {
        version: env!("CARGO_PKG_VERSION"),
        started: live.started,
        uptime_seconds: (live.now - live.started) / 1_000,
        simulator: state.simulator,
        providers: config
            .providers
            .keys()
            .map(|name| {
                let runner = state.inference.provider(name);
                let kind = runner.as_ref().map_or("", |runner| runner.info().provider);
                let view = ProviderView::new(name, kind, &targets);
                // The one before answers stands for all.
                let breakers =
                    runner.as_ref().and_then(|runner| runner.controls()).map(infer_core::Controls::breakers);
                match breakers.as_deref() {
                    Some([first, ..]) => view.with_breaker(first),
                    _ => view,
                }
            })
            .collect(),
        budgets_partial: budgets.is_partial,
        budgets: budgets
            .accounts
            .iter()
            .map(|balance| BudgetView::new(balance, balance.every, now))
            .collect(),
        routes: config.router.routes.keys().cloned().collect(),
        live,
    })
}
