//! From a dead provider to a live one, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example fallback`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{ExecuteBatch, ModelRunner as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    // Nothing listens on a port that was given back.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let text = format!(
        "
providers:
  dead: {{ type: openai, base_url: 'http://{dead}/v1', api_key: '', max_retries: 0 }}
  live: {{ type: openai, base_url: '{}', api_key: '' }}
routes:
  fast:
    targets:
      - {{ provider: dead, model: gpt-4o-mini }}
      - {{ provider: live, model: gpt-4o-mini, priority: 2 }}
",
        upstream.base_url()
    );
    let inference = Inference::builder().with_source(Source::text(text, Format::Yaml)).build().await?;

    let run = inference.execute(ExecuteBatch::new("fast", "Say hello")).await?;
    let provider = run.meta().provider.clone();
    println!("answered by {provider}: {}", run.collect().await?.text());

    if let Err(error) = inference.execute(ExecuteBatch::new("dead/gpt-4o-mini", "Say hello")).await {
        println!("without another target: {error}");
    }
    Ok(())
}
