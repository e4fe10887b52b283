//! A conversation in which the model calls a function, against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-kit --example tools`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use inference::Inference;
use inference::config::{Format, Source};
use inference::core::ExecuteBatch;
use inference::typed::{ToolLoop, Toolbox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct City {
    name: String,
}

#[derive(Serialize)]
struct Weather {
    city: String,
    celsius: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let text = format!("providers: {{openai: {{base_url: '{}', api_key: ''}}}}", upstream.base_url());
    let inference = Inference::builder().with_source(Source::text(text, Format::Yaml)).build().await?;

    let tools = Toolbox::new().with("weather", "The weather of a city", async |city: City| {
        println!("the model asks for the weather of {:?}", city.name);
        Ok::<_, std::convert::Infallible>(Weather { city: city.name, celsius: 9.5 })
    });
    let run = ToolLoop::new(&inference, &tools)
        .with_max_rounds(4)
        .run(ExecuteBatch::new("gpt-4o-mini", "Use weather: do I need an umbrella?"))
        .await?;
    println!("{} rounds, {} calls, {} tokens", run.rounds, run.calls.len(), run.usage.total_tokens);
    println!("{}", run.text());
    Ok(())
}
