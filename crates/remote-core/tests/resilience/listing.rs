//! Lists of models and signs of life: through the same pipeline, beside the paying calls.

use http::Method;
use infer_core::{CostEstimate, ErrorKind, ModelRunner as _};
use remote_core::breaker::BreakerState;
use remote_core::meter::{Cost, Outcome};
use remote_core::{Operation, RemoteConfig};
use tokio::time::Instant;

use super::{Act, Rig, Script, ask, assert_nothing_is_held, is_within, once, rig, seconds, status};

fn list() -> Script {
    Script::whole("small large")
}

fn silent() -> Script {
    Script { head_after: seconds(100_000), ..list() }
}

/// Operations of the attempts that were made.
fn operations(rig: &Rig) -> Vec<Operation> {
    rig.log.attempts().iter().map(|record| record.subject.operation).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_of_models_is_asked_for_again_like_any_call_and_costs_nothing() {
    let rig = rig(RemoteConfig::default(), [status(503), list()]);
    let models = rig.runner.models().await.unwrap();
    assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["small", "large"]);
    for seen in rig.upstream.seen() {
        assert_eq!((seen.method, seen.body.len(), seen.bearer.as_str()), (Method::GET, 0, "Bearer key-0"));
    }
    let call = &rig.log.calls()[0];
    assert_eq!((call.outcome, call.attempts, call.usage), (Outcome::Completed, 2, None));
    assert_eq!((call.cost, call.unpriced_attempts), (Cost::Known(CostEstimate::default()), 0));
    assert_eq!(operations(&rig), [Operation::Models; 2]);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn neither_a_list_nor_a_health_check_takes_anything_from_the_limits_of_paying_calls() {
    let mut config = once();
    config.rate_limits.requests_per_minute = Some(1);
    config.rate_limits.max_in_flight = Some(1);
    config.rate_limits.max_wait = seconds(1);
    let healthy = [list(), list(), Script::whole("ok"), Script::whole("ok")];
    let rig = rig(config, healthy);
    for _ in 0..2 {
        rig.runner.models().await.unwrap();
        rig.runner.health().await.unwrap();
    }
    let begun = Instant::now();
    ask(&rig).await.unwrap();
    assert_eq!(begun.elapsed(), seconds(0));
    // And the other way round: with the limit used up they still go through.
    assert_eq!(ask(&rig).await.unwrap_err().kind(), ErrorKind::QueueFull);
    rig.runner.health().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_health_check_measures_one_request() {
    let rig = rig(RemoteConfig::default(), [Script { head_after: seconds(3), ..Script::whole("up") }]);
    let health = rig.runner.health().await.unwrap();
    assert_eq!(health.latency, seconds(3));
    assert_eq!(operations(&rig), [Operation::Health]);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_is_never_repeated_and_pays_into_no_retry_budget() {
    let mut config = RemoteConfig::default();
    config.retry.budget.capacity = 14;
    config.retry.budget.success = 14;
    let rig = rig(config, [status(500), status(500), status(500), Script::whole("ok"), status(500)]);
    assert_eq!(rig.runner.health().await.unwrap_err().kind(), ErrorKind::Upstream);
    assert_eq!(rig.upstream.seen().len(), 1);
    // One retry empties the budget; a health check that succeeds does not fill it again.
    ask(&rig).await.unwrap_err();
    rig.runner.health().await.unwrap();
    ask(&rig).await.unwrap_err();
    assert_eq!(rig.upstream.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_goes_through_an_open_breaker_and_changes_none() {
    let mut config = once();
    config.circuit_breaker.consecutive_failures = 1;
    let rig = rig(config, [status(500), Script::whole("ok"), status(500), status(500)]);
    ask(&rig).await.unwrap_err();
    assert_eq!(rig.runner.breaker_state(Operation::Generate).0, BreakerState::Open);
    rig.runner.health().await.unwrap();
    rig.runner.health().await.unwrap_err();
    assert_eq!(rig.runner.breaker_state(Operation::Health).0, BreakerState::Closed);
    assert_eq!(rig.runner.breaker_state(Operation::Generate).0, BreakerState::Open);
    // A list has a breaker of its own, which this opens.
    rig.runner.models().await.unwrap_err();
    assert_eq!(rig.runner.models().await.unwrap_err().kind(), ErrorKind::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_of_a_silent_upstream_ends_in_time() {
    let half = Script { body: vec![Act::Bytes(b"o"), Act::Hang], ..Script::whole("") };
    let rig = rig(RemoteConfig::default(), [silent(), half]);
    for _ in 0..2 {
        let begun = Instant::now();
        let error = rig.runner.health().await.unwrap_err();
        assert!(is_within(begun.elapsed().as_secs_f64(), 10.0, 10.1), "{:?}", begun.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::DeadlineExceeded), "{error}");
    }
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn an_error_under_a_success_is_no_sign_of_life() {
    let rig = rig(RemoteConfig::default(), [Script::whole("!error overloaded")]);
    assert_eq!(rig.runner.health().await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(rig.log.calls()[0].outcome, Outcome::Failed(ErrorKind::Overloaded));
}
