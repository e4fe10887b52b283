//! What is written down.

use infer_core::{ErrorKind, Usage, Usd};
use remote_core::RemoteConfig;
use remote_core::meter::{Cost, Outcome, Scope, Unpriced};

use super::{Act, Script, ask, event, fine, rig, run, status, streaming};

#[tokio::test(start_paused = true)]
async fn every_attempt_and_every_call_has_one_record_and_costs_add_up_to_the_pico_dollar() {
    let cut = Script::stream([event("!role"), Act::Break]);
    let scripts = [status(500), fine(), cut, fine(), status(400), fine()];
    let rig = rig(RemoteConfig::default(), scripts);
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(ask(&rig).await.ok().map(|(_, whole)| whole.cost.unwrap().total().picos()));
    }
    let answer = 1000 * 1_000_000 + 2 * 2_000_000;
    assert_eq!(told, [Some(answer), Some(answer), None, Some(answer)]);

    let attempts = rig.log.attempts();
    let numbers: Vec<Scope> = attempts.iter().map(|record| record.scope).collect();
    let numbers_expected = [1, 2, 1, 2, 1, 1].map(|number| Scope::Attempt { number });
    assert_eq!(numbers, numbers_expected);
    assert_eq!(attempts.len(), rig.upstream.seen().len());
    let calls = rig.log.calls();
    let outcomes: Vec<Outcome> = calls.iter().map(|record| record.outcome).collect();
    let (done, refused) = (Outcome::Completed, Outcome::Failed(ErrorKind::InvalidRequest));
    assert_eq!(outcomes, [done, done, refused, done]);

    // The answer that was cut had been read: its 21 bytes are estimated to be 6 tokens.
    let cut = &attempts[2];
    assert_eq!((cut.usage, cut.estimated), (Some(Usage::new(6, 0)), true));
    assert!(calls[1].estimated && !calls[0].estimated);
    let sum = |records: &[remote_core::meter::RunRecord]| -> Usd {
        records.iter().filter_map(|record| record.cost.known()).map(infer_core::CostEstimate::total).sum()
    };
    assert_eq!(sum(&attempts), Usd::from_picos(3 * answer + 6 * 1_000_000));
    assert_eq!(sum(&calls), sum(&attempts));
    assert_eq!(calls[2].cost, Cost::Unpriced(Unpriced::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_recorded_as_unpriced_and_not_as_free() {
    let rig = rig(RemoteConfig::default(), []);
    let mut batch = streaming();
    "unpriced".clone_into(&mut batch.model);
    run(&rig.runner, batch).await.unwrap();
    let call = &rig.log.calls()[0];
    assert_eq!((call.cost, call.unpriced_attempts), (Cost::Unpriced(Unpriced::NoPriceForModel), 1));
    assert_eq!(call.usage, Some(Usage::new(1000, 2)));
}
