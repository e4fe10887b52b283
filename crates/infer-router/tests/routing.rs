//! The router over scripted runners, on a paused clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "routing/choosing.rs"]
mod choosing;
#[path = "routing/fallback.rs"]
mod fallback;
#[path = "routing/faults.rs"]
mod faults;
#[path = "routing/gates.rs"]
mod gates;
#[path = "routing/laws.rs"]
mod laws;
#[path = "routing/naming.rs"]
mod naming;
#[path = "routing/relaying.rs"]
mod relaying;
#[path = "routing/reloading.rs"]
mod reloading;
#[path = "routing/scripted.rs"]
mod scripted;
#[path = "routing/shadows.rs"]
mod shadows;
#[path = "routing/waiting.rs"]
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use infer_core::{Completion, ExecuteBatch, InferenceError, ModelRunner as _, RunMeta};
use infer_router::{Provider, Registry, Router, RouterConfig};

use crate::scripted::Scripted;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(json: &str) -> RouterConfig {
    serde_json::from_str(json).unwrap()
}

fn registry(runners: &[Arc<Scripted>]) -> Registry {
    runners.iter().fold(Registry::new(), |registry, runner| {
        let name = Arc::clone(&runner.info.name);
        registry.with(Provider::new(name, Arc::clone(runner) as _))
    })
}

fn router(runners: &[Arc<Scripted>], json: &str) -> Router {
    Router::builder(registry(runners), config(json)).with_seed(7).build().unwrap()
}

/// A route `r` over one target at each of `runners`, in order of priority; `more` are further members of the route.
fn in_order(runners: &[Arc<Scripted>], more: &str) -> Router {
    let targets: Vec<_> = runners
        .iter()
        .enumerate()
        .map(|(nth, runner)| {
            format!(r#"{{"provider": "{}", "model": "m{nth}", "priority": {nth}}}"#, runner.info.name)
        })
        .collect();
    router(runners, &format!(r#"{{"routes": {{"r": {{"targets": [{}] {more}}}}}}}"#, targets.join(",")))
}

async fn run(router: &Router, batch: ExecuteBatch) -> Result<(RunMeta, Completion), InferenceError> {
    let run = router.execute(batch).await?;
    let meta = run.meta().clone();
    Ok((meta, run.collect().await?))
}

/// Who answers `batch`.
async fn who(router: &Router, batch: ExecuteBatch) -> String {
    run(router, batch).await.unwrap().0.provider.to_string()
}

fn ask(model: &str) -> ExecuteBatch {
    ExecuteBatch::new(model, "Say hello")
}

#[track_caller]
fn assert_nothing_in_flight(router: &Router) {
    for target in router.targets() {
        assert_eq!(target.in_flight, 0, "{target:?}");
    }
}
