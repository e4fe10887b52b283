//! Texts as vectors, and which are alike, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example embeddings`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{EmbedBatch, ModelRunner as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let text = format!("providers: {{openai: {{base_url: '{}', api_key: ''}}}}", upstream.base_url());
    let inference = Inference::builder().with_source(Source::text(text, Format::Yaml)).build().await?;

    let texts = ["a cat", "a cat", "a train"];
    let answer =
        inference.embed(EmbedBatch::new("text-embedding-3-small", texts).with_dimensions(64)).await?;
    let Some((first, others)) = answer.vectors.split_first() else { return Ok(()) };
    for (text, vector) in texts.iter().skip(1).zip(others) {
        let likeness: f32 = first.iter().zip(vector).map(|(a, b)| a * b).sum();
        println!("{:?} and {text:?}: {likeness:.2}", texts[0]);
    }
    Ok(())
}
