//! The provider does what every provider must, by either form of its addresses.

use infer_core::{ErrorKind, Rates};
use remote_core::ProviderConfig as _;
use remote_testkit::{ChatWire, Parts, Script};
use runtime_azure::AzureConfig;

const MODEL: &str = "gpt-4o-mini";

fn rates() -> Rates {
    Rates { cached_input_per_mtok_usd: Some(0.075), ..Rates::new(0.15, 0.60) }
}

/// Azure's own words where they are not OpenAI's (public reports and its documents, read 2026-11-21).
fn wire() -> ChatWire {
    let words = |status, body: &'static str| {
        Script::status(status).header("content-type", "application/json").body(body)
    };
    ChatWire::new("gpt-4o-mini-2024-07-18")
        .with_refusal(
            ErrorKind::ModelNotFound,
            words(404, r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#),
        )
        .with_refusal(
            ErrorKind::ContentFiltered,
            words(400, r#"{"error":{"code":"content_filter","type":null,"status":400,"message":"The response was filtered","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#),
        )
        .with_refusal(
            ErrorKind::QuotaExhausted,
            words(403, r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:03:57."}"#),
        )
}

fn config(parts: &Parts, api_version: &str) -> AzureConfig {
    let mut config = AzureConfig {
        endpoint: parts.base_url.clone(),
        deployment: "my deployment".to_owned(),
        api_version: api_version.to_owned(),
        ..AzureConfig::default()
    };
    config.price_overrides.insert(MODEL.to_owned(), rates());
    config
}

mod deployments {
    use super::*;

    remote_testkit::conformance_suite! {
        model: MODEL,
        rates: rates(),
        wire: wire(),
        runner: |parts: Parts| {
            let provider = config(&parts, "2024-10-21").into_provider("azure")?;
            parts.runner(provider)
        },
        skip: {
            "relay": "dated versions pass nothing on",
            "relay retried": "dated versions pass nothing on",
            "relay cut": "dated versions pass nothing on",
            "relay dropped": "dated versions pass nothing on",
        },
    }
}

mod v1 {
    use super::*;

    remote_testkit::conformance_suite! {
        model: MODEL,
        rates: rates(),
        wire: wire(),
        runner: |parts: Parts| {
            let provider = config(&parts, "v1").into_provider("azure")?;
            parts.runner(provider)
        },
    }
}

mod bearer {
    use super::*;

    remote_testkit::conformance_suite! {
        model: MODEL,
        rates: rates(),
        wire: wire(),
        runner: |parts: Parts| {
            let mut config = config(&parts, "");
            #[cfg(not(feature = "entra"))]
            {
                config.bearer = true;
            }
            #[cfg(feature = "entra")]
            {
                config.entra = Some(remote_entra::EntraConfig::default());
            }
            let provider = config.into_provider("azure")?;
            parts.runner(provider)
        },
    }
}
