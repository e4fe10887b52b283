//! What is particular to Anthropic: addresses, headers and prices.

use std::fmt;

use http::{HeaderName, Uri};
use infer_core::InferenceError;
use remote_core::{Call, Operation, RemoteProvider, Site, address};
use wire_messages::MessagesCodec;

use crate::config::{ANTHROPIC, AnthropicConfig, KeyHeader};
use crate::pricing::LIST;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: &str = "anthropic-version";
const BETA: &str = "anthropic-beta";

/// Anthropic or a compatible upstream.
pub struct Anthropic {
    site: Site,
    codec: MessagesCodec,
    models: Uri,
    health: Uri,
}

/// Shows the name and the host; header and query values are secrets.
impl fmt::Debug for Anthropic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anthropic").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Anthropic {
    /// Checks all settings and reports every fault at once.
    pub(crate) fn new(config: &AnthropicConfig, name: &str) -> Result<Self, InferenceError> {
        let mut config = config.clone();
        let is_given = config.headers.keys().any(|header| header.eq_ignore_ascii_case(VERSION));
        let version = config.version.take().or_else(|| (!is_given).then(|| "2023-06-01".to_owned()));
        let betas = (!config.betas.is_empty()).then(|| config.betas.join(","));
        let named = [(VERSION, version), (BETA, betas)];
        config
            .headers
            .extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        let mut site = config.site(name, &config.endpoint, ANTHROPIC)?;
        if config.auth == KeyHeader::ApiKey {
            site = site.with_key_in(API_KEY);
        }
        // Pages hold up to 1000 models, which is all of them (Anthropic's API reference, read 2026-11-21).
        let [models, health] = ["1000", "1"].map(|limit| {
            let mut query = config.query.clone();
            query.insert("limit".to_owned(), limit.into());
            address::route(site.base(), "/models", &query)
        });
        Ok(Self {
            site: site.with_prices(LIST)?.with_route(Operation::Generate, "/messages")?,
            codec: MessagesCodec::new(config.dialect),
            models: models?,
            health: health?,
        })
    }
}

/// What its errors mean is all in the wire format and the status, so there is nothing to refine.
impl RemoteProvider for Anthropic {
    type Codec = MessagesCodec;

    fn codec(&self) -> &MessagesCodec {
        &self.codec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        match call {
            Call::Models => Ok(self.models.clone()),
            Call::Health => Ok(self.health.clone()),
            call => self.site.endpoint(call),
        }
    }

    fn is_reasoning_model(&self, model: &str) -> bool {
        wire_messages::is_reasoning_model(model)
    }
}
