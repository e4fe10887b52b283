//! What is particular to OpenAI: addresses, headers, its account errors and its prices.

use std::fmt;

use infer_core::{ErrorKind, InferenceError, Price, PriceTable};
use remote_core::{EmbedLimits, Fault, Operation, RemoteProvider, Site};
use wire_chat::{ChatCodec, ChatDialect};

use crate::config::{OPENAI, OpenAiConfig, PriceSource};
use crate::pricing::OpenAiPricing;

/// OpenAI or a compatible upstream.
pub struct OpenAi {
    site: Site,
    codec: ChatCodec,
    embed_limits: EmbedLimits,
    list_prices: Option<&'static PriceTable>,
}

/// Shows the name and the host; header and query values are secrets.
impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("site", &self.site).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Checks all settings and reports every fault at once.
    pub(crate) fn new(config: &OpenAiConfig, name: &str) -> Result<Self, InferenceError> {
        let mut config = config.clone();
        let named =
            [("OpenAI-Organization", config.organization.take()), ("OpenAI-Project", config.project.take())];
        config
            .headers
            .extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        let site = config.site(name, &config.endpoint, OPENAI)?;
        let is_listed = match config.prices {
            PriceSource::Auto => site.is_home(),
            PriceSource::Published => true,
            PriceSource::None => false,
        };
        let by_host = if site.is_home() { ChatDialect::openai } else { ChatDialect::compatible };
        let site = site
            .with_route(Operation::Generate, "/chat/completions")?
            .with_route(Operation::Embed, "/embeddings")?
            .with_route(Operation::Models, "/models")?;
        Ok(Self {
            site: match &config.health_path {
                Some(path) => site.with_root_route(Operation::Health, path)?,
                None => site.with_route(Operation::Health, "/models")?,
            },
            codec: ChatCodec::new(config.dialect.unwrap_or_else(by_host)),
            // OpenAI's API description 2.3.0, read 2026-11-21.
            embed_limits: EmbedLimits::new(config.max_embed_inputs.unwrap_or(2048), 300_000),
            list_prices: is_listed.then(OpenAiPricing::published),
        })
    }
}

impl RemoteProvider for OpenAi {
    type Codec = ChatCodec;

    fn codec(&self) -> &ChatCodec {
        &self.codec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    /// OpenAI's codes (its published errors, read 2026-11-21). The wire format reads what all upstreams share.
    fn refine(&self, fault: &Fault<'_>) -> Option<ErrorKind> {
        let body = fault.body;
        match (fault.status.as_u16(), body.code.as_deref().unwrap_or_default()) {
            (400, "context_length_exceeded") => Some(ErrorKind::ContextLengthExceeded),
            (400, "content_filter" | "content_policy_violation" | "moderation_blocked") => {
                Some(ErrorKind::ContentFiltered)
            }
            (404, "model_not_found") => Some(ErrorKind::ModelNotFound),
            (401, _) => Some(ErrorKind::Unauthenticated),
            (429, "billing_not_active") => Some(ErrorKind::QuotaExhausted),
            (429, _) if body.error_type.as_deref() == Some("insufficient_quota") => {
                Some(ErrorKind::QuotaExhausted)
            }
            (400, _) if body.error_type.as_deref() == Some("content_filter") => {
                Some(ErrorKind::ContentFiltered)
            }
            _ => None,
        }
    }

    fn price(&self, model: &str) -> Option<&Price> {
        self.site.price(model).or_else(|| self.list_prices?.price(model))
    }

    fn embed_limits(&self, _model: &str) -> EmbedLimits {
        self.embed_limits
    }

    fn is_reasoning_model(&self, model: &str) -> bool {
        wire_chat::is_reasoning_model(model)
    }
}
