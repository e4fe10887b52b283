//! A budget that sends calls to a cheaper route once it is used up, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example budget`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{ExecuteBatch, ModelRunner as _, Routing};
use inference::store::ledger::{Dimension, Query};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let data = tempfile::tempdir()?;
    let text = format!(
        "
data: '{}'
providers:
  openai: {{ base_url: '{}', api_key: '', prices: published }}
routes:
  good: {{ targets: [{{ provider: openai, model: gpt-4o }}] }}
  cheap: {{ targets: [{{ provider: openai, model: gpt-4o-mini }}] }}
budgets:
  limits:
    - {{ name: daily, per: key, every: day, usd: 0.002, on_exceed: {{ downgrade: cheap }} }}
",
        data.path().display(),
        upstream.base_url()
    );
    let inference = Inference::builder().with_source(Source::text(text, Format::Yaml)).build().await?;
    for _ in 0..6 {
        let batch = ExecuteBatch::new("good", "Say hello")
            .with_max_output_tokens(60)
            .with_routing(Routing::default().for_key("team-a"));
        let whole = inference.execute(batch).await?.collect().await?;
        println!("{} for {}", whole.served.model.unwrap_or_default(), whole.cost.unwrap_or_default().total());
    }
    for balance in inference.balances() {
        println!("budget {}: {} of {} spent", balance.budget, balance.spent, balance.limit);
    }
    if let Some(ledger) = inference.ledger() {
        ledger.flush().await?;
        for group in ledger.query(&Query::new().by(Dimension::Model))?.groups {
            let model = group.names.into_iter().flatten().next().unwrap_or_default();
            println!("{model}: {} calls, {}", group.sums.calls, group.sums.cost);
        }
    }
    Ok(())
}
