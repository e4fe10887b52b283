//! Requests that are passed on, through everything that a configuration describes.
#![cfg(feature = "openai")]

use futures_util::StreamExt as _;
use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{ErrorKind, ModelRunner as _, RelayMethod, RelayRequest, Routing};
use inference::store::budget::Amount;
use inference::store::ledger::{Dimension, Query};

#[tokio::test]
async fn rows_and_budgets_know_what_was_passed_on() {
    let upstream = upstream_sim::Sim::builder().start().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let text = format!(
        "providers: {{openai: {{base_url: '{}', api_key: '', name: other, prices: published, max_retries: 0}}}}\n\
         routes: {{fast: {{targets: [{{provider: openai, model: gpt-4o-mini}}]}}}}\n\
         budgets: {{limits: [{{name: all, per: key, every: total, tokens: 1000}}]}}\n",
        upstream.base_url()
    );
    let builder = Inference::builder().with_source(Source::text(text, Format::Yaml)).with_data(data.path());
    let inference = builder.build().await.unwrap();
    let routing = Routing::default().for_key("team").with_tag("t");
    let post = |path: &str, body: String| {
        RelayRequest::new(RelayMethod::Post, path).with_json(body).with_routing(routing.clone())
    };
    let respond = |model: &str| {
        post("/responses", format!(r#"{{"model": "{model}", "input": "hello", "stream": true}}"#))
    };

    let answer = inference.relay(respond("fast")).await.unwrap().collect().await.unwrap();
    assert!(answer.starts_with(b"event: response.created\n"));
    let sent = upstream.requests();
    let body = String::from_utf8(sent.first().unwrap().body.to_vec()).unwrap();
    assert_eq!(body, r#"{"model": "gpt-4o-mini", "input": "hello", "stream": true}"#);
    let cut = inference.relay(respond("openai/sim-cut")).await.unwrap().body;
    assert!(cut.any(|piece| async move { piece.is_err() }).await);
    let refused = inference.relay(respond("openai/sim-error-503")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    let speech = post("/audio/speech", r#"{"model":"openai/tts-1","input":"a"}"#.to_owned());
    assert_eq!(inference.relay(speech).await.unwrap().collect().await.unwrap().len(), 16 << 10);
    // Nothing names a model, and there is one provider only.
    let listed = inference.relay(RelayRequest::new(RelayMethod::Get, "/models")).await.unwrap();
    assert_eq!((listed.status, listed.header("content-type")), (200, Some("application/json")));

    let ledger = inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    let report = ledger.query(&Query::new().by(Dimension::Model)).unwrap();
    let sums = |model: &str| {
        let group = report.groups.iter().find(|group| group.names.first().unwrap().as_deref() == Some(model));
        let sums = &group.unwrap().sums;
        (sums.calls, sums.unpriced, sums.cost.picos() > 0)
    };
    assert_eq!(sums("gpt-4o-mini"), (1, 0, true));
    assert_eq!(sums("sim-cut"), (1, 1, false));
    assert_eq!(sums("sim-error-503"), (1, 0, false));
    assert_eq!(sums("tts-1"), (1, 1, false));
    let balances = inference.balances();
    let balance = balances.first().unwrap();
    assert_eq!(
        (&balance.spent, &balance.reserved),
        (&Amount::Tokens(report.total.tokens().into()), &Amount::Tokens(0))
    );

    let large = format!(r#"{{"model": "fast", "input": "{}"}}"#, "x".repeat(8000));
    let error = inference.relay(post("/responses", large)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExhausted);
    let reading = RelayRequest::new(RelayMethod::Get, "/models").with_routing(routing.clone());
    assert!(inference.relay(reading).await.is_ok(), "what costs nothing needs no budget");
}
