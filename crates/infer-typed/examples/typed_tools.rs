//! A typed answer and a conversation with tools, over real HTTP against a simulated upstream: no key, no cost.
//!
//! `cargo run -p infer-typed --example typed_tools`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use infer_core::ExecuteBatch;
use infer_typed::{ToolLoop, Toolbox, ask};
use remote_core::session::RemoteSessionActor;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A city to look at.
#[derive(Deserialize, JsonSchema)]
struct City {
    name: String,
    /// The two letters of the country, where it is known.
    country: Option<String>,
}

#[derive(Serialize)]
struct Weather {
    city: String,
    celsius: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = upstream_sim::Sim::builder().start().await?;
    let config =
        OpenAiConfig { endpoint: upstream.base_url(), ..OpenAiConfig::defaults_for_openai(SecretRef::None) };
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await?;
    let runner = OpenAiRunner::new(config, session)?;

    let city = ask::<City>(&runner, ExecuteBatch::new("gpt-4o-mini", "Name a city.")).await?;
    println!("a city, made up by the simulator: {:?} in {:?}", city.value.name, city.value.country);

    let tools = Toolbox::new().with("weather", "The weather of a city", async |city: City| {
        println!("the model asks for the weather of {:?}", city.name);
        Ok::<_, std::convert::Infallible>(Weather { city: city.name, celsius: 9.5 })
    });
    let run = ToolLoop::new(&runner, &tools)
        .with_max_rounds(4)
        .with_deadline(Duration::from_secs(30))
        .run(ExecuteBatch::new("gpt-4o-mini", "Use weather: do I need an umbrella?"))
        .await?;
    println!("{} rounds, {} calls, {} tokens", run.rounds, run.calls.len(), run.usage.total_tokens);
    println!("{}", run.text());
    Ok(())
}
