//! What real providers tell of their calls, against a simulated upstream.
#![cfg(feature = "openai")]

use futures_util::StreamExt as _;
use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{EmbedBatch, ExecuteBatch, ModelRunner as _, Routing};
use inference::store::budget::Amount;
use inference::store::ledger::{Dimension, Query};

#[tokio::test]
async fn rows_and_budgets_agree_on_calls_that_ended_were_cut_or_left_and_on_split_batches() {
    let upstream = upstream_sim::Sim::builder().start().await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let text = format!(
        "providers: {{openai: {{base_url: '{}', api_key: '', name: other, prices: published, max_retries: 0, \
         max_embed_inputs: 2}}}}\nbudgets: {{limits: [{{name: all, per: key, every: total, tokens: 1000000}}]}}\n",
        upstream.base_url()
    );
    let builder = Inference::builder().with_source(Source::text(text, Format::Yaml)).with_data(data.path());
    let inference = builder.build().await.unwrap();
    let routing = Routing::default().for_key("team").with_tag("t");
    let batch =
        |model: &str| ExecuteBatch::new(model, "hello there").with_user("ann").with_routing(routing.clone());

    inference.execute(batch("gpt-4o-mini")).await.unwrap();
    inference.execute(batch("sim-error-400")).await.unwrap_err();
    let cut = inference.execute(batch("sim-cut").streaming()).await.unwrap();
    assert!(cut.into_stream().any(|chunk| async move { chunk.is_err() }).await);
    let mut left = inference.execute(batch("sim-stall").streaming()).await.unwrap().into_stream();
    left.next().await.unwrap().unwrap();
    drop(left);
    let texts = EmbedBatch::new("text-embedding-3-small", ["a", "b", "c"]).with_routing(routing.clone());
    assert_eq!(inference.embed(texts).await.unwrap().vectors.len(), 3);

    let ledger = inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    let by = |by| ledger.query(&Query::new().by(by)).unwrap();
    let mut calls: Vec<_> =
        by(Dimension::Model).groups.iter().map(|g| (g.names[0].clone().unwrap(), g.sums.calls)).collect();
    calls.sort();
    let expect = [
        ("gpt-4o-mini", 1),
        ("sim-cut", 1),
        ("sim-error-400", 1),
        ("sim-stall", 1),
        ("text-embedding-3-small", 2),
    ];
    assert_eq!(calls, expect.map(|(model, calls)| (model.into(), calls)));
    let unpriced = |model: &str| {
        let report = by(Dimension::Model);
        let group = report.groups.iter().find(|group| group.names[0].as_deref() == Some(model));
        group.unwrap().sums.unpriced
    };
    // What was refused costs nothing; what was cut costs something that nobody knows.
    assert_eq!((unpriced("sim-error-400"), unpriced("sim-cut"), unpriced("gpt-4o-mini")), (0, 1, 0));
    for (dimension, name, calls) in [(Dimension::Key, "team", 6), (Dimension::Provider, "openai", 6)] {
        let report = by(dimension);
        let groups: Vec<_> = report.groups.iter().map(|g| (g.names[0].as_deref(), g.sums.calls)).collect();
        assert_eq!(groups, [(Some(name), calls)]);
    }
    let total = by(Dimension::Model).total;
    assert!(total.cost.picos() > 0 && total.tokens() > 0);
    let balance = &inference.balances()[0];
    assert_eq!((balance.spent, balance.reserved), (Amount::Tokens(total.tokens().into()), Amount::Tokens(0)));
}
