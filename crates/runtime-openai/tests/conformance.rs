//! The provider does what every provider must.

use infer_core::Rates;
use remote_core::ProviderConfig as _;
use remote_testkit::{ChatWire, Parts, conformance_suite};
use runtime_openai::OpenAiConfig;
use runtime_openai::config::SecretRef;

const MODEL: &str = "gpt-4o-mini";

fn rates() -> Rates {
    Rates { cached_input_per_mtok_usd: Some(0.075), ..Rates::new(0.15, 0.60) }
}

conformance_suite! {
    model: MODEL,
    rates: rates(),
    wire: ChatWire::new("gpt-4o-mini-2024-07-18"),
    runner: |parts: Parts| {
        let mut config = OpenAiConfig::defaults_for_openai(SecretRef::None);
        config.endpoint = format!("{}/v1", parts.base_url);
        config.price_overrides.insert(MODEL.to_owned(), rates());
        let provider = config.into_provider("openai")?;
        parts.runner(provider)
    },
}
