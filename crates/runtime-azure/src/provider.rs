//! What is particular to Azure: addresses, how requests are signed, its gateway's errors and its prices.

use http::{HeaderName, Uri};
use infer_core::{ErrorKind, InferenceError, Price, PriceTable};
use remote_core::{Call, EmbedLimits, Fault, RemoteProvider, Site};
use wire_chat::{ChatCodec, ChatDialect};

use crate::{AzureConfig, PriceScope};

const DATED: &str =
    "azure passes requests on by its v1 routes only: leave api_version out of this provider's settings";

/// One Azure OpenAI resource.
#[derive(Debug)]
pub struct Azure {
    site: Site,
    codec: ChatCodec,
    is_dated: bool,
    deployment: String,
    model: Option<String>,
    list_prices: Option<&'static PriceTable>,
    embed_limits: EmbedLimits,
}

impl Azure {
    /// Checks all settings and reports every fault at once.
    pub(crate) fn new(config: &AzureConfig, name: &str) -> Result<Self, InferenceError> {
        let mut faults = Vec::new();
        let mut fault = |fault: InferenceError| faults.push(fault.to_string());
        let root = config.root().map_err(&mut fault).unwrap_or_default();
        let version = ChatDialect::azure_version(&config.api_version).map_err(fault).unwrap_or_default();
        let is_bearer = config.bearer;
        #[cfg(feature = "entra")]
        let is_bearer = is_bearer || config.entra.is_some();
        #[cfg(feature = "entra")]
        if config.entra.is_some() && config.api_key != remote_core::session::SecretRef::None {
            faults.push("api_key and entra: set one, as a request carries one credential".to_owned());
        }
        let site = config.site_after(faults, name, &root, "https://openai.azure.com")?;
        let site = version.into_iter().fold(site, |site, version| site.with_query("api-version", version));
        let site = if is_bearer { site } else { site.with_key_in(HeaderName::from_static("api-key")) };
        let codec = ChatCodec::new(config.dialect.clone().unwrap_or_else(|| ChatDialect::azure(version)));
        let renames = version.is_none() && !config.deployment.is_empty();
        Ok(Self {
            codec: if renames { codec.with_model(&config.deployment) } else { codec },
            list_prices: config.scope.or_else(|| scope(&site)).and_then(PriceScope::published),
            site,
            is_dated: version.is_some(),
            deployment: config.deployment.clone(),
            model: config.model.clone(),
            // Microsoft's documents name 2048 inputs; the tokens are OpenAI's (both read 2026-11-21).
            embed_limits: EmbedLimits::new(config.max_embed_inputs.unwrap_or(2048), 300_000),
        })
    }
}

impl RemoteProvider for Azure {
    type Codec = ChatCodec;

    fn codec(&self) -> &ChatCodec {
        &self.codec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        let does: &[&str] = match call {
            Call::Generate(_) => &["chat", "completions"],
            Call::Embed(_) => &["embeddings"],
            Call::Models | Call::Health => &["models"],
            Call::Relay(request) if !self.is_dated => return self.site.relay("/openai/v1", request),
            Call::Relay(_) => return Err(InferenceError::invalid_request(DATED)),
            _ => return self.site.endpoint(call),
        };
        let route: &[&str] = match self.is_dated {
            false => &["openai", "v1"],
            true if call.operation().is_billed() => {
                &["openai", "deployments", self.upstream_model(call.model())]
            }
            true => &["openai"],
        };
        self.site.address(&[route, does].concat())
    }

    /// The wire format reads Azure's own codes; API Management before it has this refusal for used-up quotas (its documents,
    /// read 2026-11-21).
    fn refine(&self, fault: &Fault<'_>) -> Option<ErrorKind> {
        let said = fault.body.message.as_deref().unwrap_or_default();
        let is_quota = said.starts_with("Out of call volume quota") || said.starts_with("Out of bandwidth");
        (fault.status == 403 && is_quota).then_some(ErrorKind::QuotaExhausted)
    }

    /// Answers name chat models with their date (Azure's documents, read 2026-11-21). Any other name may be a deployment's,
    /// which says nothing about the model.
    fn price(&self, model: &str) -> Option<&Price> {
        let tells = PriceTable::family(model).is_some() || model.starts_with("text-embedding-");
        let behind = self.model.as_deref().or(tells.then_some(model));
        let own = self.site.price(model).or_else(|| self.site.price(behind?));
        own.or_else(|| self.list_prices?.price(behind?))
    }

    fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        if self.deployment.is_empty() { model } else { &self.deployment }
    }

    fn embed_limits(&self, _model: &str) -> EmbedLimits {
        self.embed_limits
    }

    fn is_reasoning_model(&self, model: &str) -> bool {
        wire_chat::is_reasoning_model(self.model.as_deref().unwrap_or(model))
    }
}

/// Which list prices hold by the address alone: none on hosts that are not Azure's.
fn scope(site: &Site) -> Option<PriceScope> {
    match site.base().host_str()?.rsplit_once(".azure.")? {
        (_, "com") => Some(PriceScope::Global),
        (_, "us") => Some(PriceScope::UsGovernment),
        _ => None,
    }
}
