//! How long a choice among a hundred targets takes, from the name to the target, by every policy.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use infer_core::cost::{Rates, from_rates};
use infer_core::{
    CostEstimate, ExecuteBatch, InferenceError, ModelRunner, Routing, RunHandle, RunnerInfo, Usage,
};
use infer_router::{
    ModelFacts, PolicyConfig, Provider, Registry, RouteConfig, Router, RouterConfig, TargetConfig,
};

#[derive(Debug)]
struct Priced(RunnerInfo, f64);

#[async_trait]
impl ModelRunner for Priced {
    fn info(&self) -> &RunnerInfo {
        &self.0
    }

    async fn execute(&self, _: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        Err(InferenceError::invalid_request("nobody asks"))
    }

    fn estimate(&self, batch: &ExecuteBatch) -> Option<CostEstimate> {
        let output = u64::from(batch.max_output_tokens.unwrap_or(0));
        Some(from_rates(&Rates::new(self.1, 2.0 * self.1), &Usage::new(1_000, output)))
    }
}

fn router(policy: PolicyConfig) -> Router {
    let mut registry = Registry::new();
    let mut targets = Vec::new();
    for nth in 0..100_u32 {
        let name = format!("provider-{nth}");
        let runner = Priced(RunnerInfo::new("priced", name.as_str()), 1.0 + f64::from(nth));
        let facts = Arc::new(|_: &str| ModelFacts::UNKNOWN.with_context_window(128_000));
        registry = registry.with(Provider::new(name.as_str(), Arc::new(runner)).with_facts(facts));
        let mut target = TargetConfig::new(name, "model");
        target.weight = 1.0 + f64::from(nth % 7);
        targets.push(target);
    }
    let mut config = RouterConfig::default();
    config.routes.insert("r".to_owned(), RouteConfig { targets, policy, ..RouteConfig::default() });
    Router::builder(registry, config).with_seed(7).build().unwrap()
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choose one of 100");
    let batch = ExecuteBatch::new("r", "Say hello")
        .with_max_output_tokens(500)
        .with_routing(Routing::default().with_sticky_key("session-42"));
    for (name, policy) in [
        ("weighted", PolicyConfig::Weighted),
        ("least_in_flight", PolicyConfig::LeastInFlight),
        ("lowest_latency", PolicyConfig::LowestLatency),
        ("lowest_cost", PolicyConfig::LowestCost),
        ("sticky", PolicyConfig::Sticky),
    ] {
        let router = router(policy);
        group.bench_function(name, |bencher| bencher.iter(|| router.choose(black_box(&batch)).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
