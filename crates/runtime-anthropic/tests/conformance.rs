//! The provider does what every provider must.

use infer_core::Rates;
use remote_core::ProviderConfig as _;
use remote_testkit::{MessagesWire, Parts, conformance_suite};
use runtime_anthropic::AnthropicConfig;
use runtime_anthropic::config::SecretRef;

const MODEL: &str = "claude-sonnet-4-5";

fn rates() -> Rates {
    Rates { cached_input_per_mtok_usd: Some(0.3), ..Rates::new(3.0, 15.0) }
}

conformance_suite! {
    model: MODEL,
    rates: rates(),
    wire: MessagesWire::new("claude-sonnet-4-5-20250929"),
    runner: |parts: Parts| {
        let mut config = AnthropicConfig::defaults_for_anthropic(SecretRef::None);
        config.endpoint = format!("{}/v1", parts.base_url);
        config.price_overrides.insert(MODEL.to_owned(), rates());
        let provider = config.into_provider("anthropic")?;
        parts.runner(provider)
    },
    skip: { "vectors in order": "Anthropic has no embeddings" },
}
