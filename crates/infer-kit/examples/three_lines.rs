//! From a file to an answer in three lines, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example three_lines`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::core::{ExecuteBatch, ModelRunner as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("llm.yaml");
    std::fs::write(
        &file,
        format!("providers: {{openai: {{base_url: '{}', api_key: ''}}}}", upstream.base_url()),
    )?;

    let inference = Inference::from_file(&file).await?;
    let run = inference.execute(ExecuteBatch::new("gpt-4o-mini", "Say hello")).await?;
    println!("{}", run.collect().await?.text());
    Ok(())
}
