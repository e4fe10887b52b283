//! An answer as a Rust type, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example structured`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::ExecuteBatch;
use inference::typed::ask;
use schemars::JsonSchema;
use serde::Deserialize;

/// A city to look at.
#[derive(Debug, Deserialize, JsonSchema)]
struct City {
    name: String,
    /// The two letters of the country, where it is known.
    country: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let text = format!("providers: {{openai: {{base_url: '{}', api_key: ''}}}}", upstream.base_url());
    let inference = Inference::builder().with_source(Source::text(text, Format::Yaml)).build().await?;

    let city = ask::<City>(&inference, ExecuteBatch::new("gpt-4o-mini", "Name a city.")).await?;
    println!("made up by the simulator: {:?} in {:?}", city.value.name, city.value.country);
    Ok(())
}
