//! What the gateway adds to `llm.yaml`.

use std::sync::Arc;

use infer_core::InferenceError;
use infer_store::KeysConfig;
use inference::Config;
use inference::config::Section;

use crate::config::GatewayConfig;

/// The sections `gateway` and `keys`, for whoever reads configurations that a gateway is made from.
///
/// ```
/// use inference::config::Reader;
///
/// let reader = infer_gateway::sections().into_iter().fold(Reader::default(), Reader::with_section);
/// assert!(reader.schema()["properties"].get("gateway").is_some());
/// ```
pub fn sections() -> Vec<Section> {
    let gateway =
        Section::of("gateway", |config: &GatewayConfig| config.validate().map_err(InferenceError::config));
    let keys = Section::of("keys", |keys: &KeysConfig| {
        keys.validate().map_err(|error| {
            InferenceError::config(match error {
                infer_store::StoreError::Config { what } => what,
                other => other.to_string(),
            })
        })
    });
    vec![
        gateway.with_description("The server that `infer serve` starts."),
        keys.with_description("Who may call it, beside the keys that `infer keys` makes."),
    ]
}

/// What a configuration says of the gateway; defaults where it says nothing.
pub fn settings(config: &Config) -> (Arc<GatewayConfig>, Arc<KeysConfig>) {
    (config.section().unwrap_or_default(), config.section().unwrap_or_default())
}
