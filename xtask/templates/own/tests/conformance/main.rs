//! The provider does what every provider must.

mod wire;

use infer_core::Rates;
use remote_core::ProviderConfig as _;
use remote_testkit::{Parts, conformance_suite};
use runtime_acme::AcmeConfig;

use wire::AcmeWire;

const MODEL: &str = "acme-large";

fn rates() -> Rates {
    Rates { cached_input_per_mtok_usd: Some(0.5), ..Rates::new(1.0, 4.0) }
}

conformance_suite! {
    model: MODEL,
    rates: rates(),
    wire: AcmeWire,
    runner: |parts: Parts| {
        let mut config = AcmeConfig { endpoint: parts.base_url.clone(), ..AcmeConfig::default() };
        config.price_overrides.insert(MODEL.to_owned(), rates());
        let provider = config.into_provider("acme")?;
        parts.runner(provider)
    },
    // A scenario that Acme cannot play is named with the reason: `skip: { "content filter": "it has none" }`.
}
