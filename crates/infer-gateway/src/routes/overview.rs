//! What the dashboard shows, for operators.

use axum::body::Body;
use axum::extract::{Query, State as From};
use http::{Extensions, HeaderMap, Response};
use infer_core::ModelRunner as _;
use inference::store::budget::{BudgetRule, Every};
use serde::Serialize;

use super::Shared;
use crate::caller::operator;
use crate::denial::{Failure, Shape};
use crate::live::{BudgetView, Overview, ProviderView, Since};
use crate::reply;
use crate::state::State;

pub(super) async fn live(
    From(state): Shared,
    Query(since): Query<Since>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response<Body> {
    answer(&state, &headers, &extensions, || state.live.snapshot(&since))
}

pub(super) async fn overview(
    From(state): Shared,
    Query(since): Query<Since>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response<Body> {
    answer(&state, &headers, &extensions, || {
        let live = state.live.snapshot(&since);
        let config = state.inference.config();
        let targets = state.inference.router().targets();
        let every = |name: &str| {
            let rule: Option<&BudgetRule> = config.budgets.limits.iter().find(|rule| rule.name == name);
            rule.map_or(Every::Total, |rule| rule.every)
        };
        let now = state.now();
        let budgets = state.inference.balances();
        Overview {
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
                    let breakers = runner
                        .as_ref()
                        .and_then(|runner| runner.controls())
                        .map(infer_core::Controls::breakers);
                    match breakers.as_deref() {
                        Some([first, ..]) => view.with_breaker(first),
                        _ => view,
                    }
                })
                .collect(),
            budgets: budgets
                .iter()
                .map(|balance| BudgetView::new(balance, every(&balance.budget), now))
                .collect(),
            routes: config.router.routes.keys().cloned().collect(),
            live,
        }
    })
}

fn answer<T: Serialize>(
    state: &State,
    headers: &HeaderMap,
    extensions: &Extensions,
    view: impl FnOnce() -> T,
) -> Response<Body> {
    if let Err(denial) = operator(state, headers, extensions) {
        return Failure::Denied(denial).respond(Shape::OpenAi);
    }
    reply::json(serde_json::to_vec(&view()).unwrap_or_default().into())
}
