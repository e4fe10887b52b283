//! What is particular to OpenAI: addresses, headers, its account errors and its prices.

use std::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Uri};
use infer_core::{ErrorKind, InferenceError, Price, PriceTable, RunnerInfo};
use remote_core::address::{base_url, extra_headers, from_root, origin, route};
use remote_core::session::SessionSnapshot;
use remote_core::{Call, EmbedLimits, Fault, RemoteProvider};
use wire_chat::{ChatCodec, ChatDialect};

use crate::config::{OPENAI, OpenAiConfig, PriceSource};
use crate::pricing::OpenAiPricing;

/// OpenAI or a compatible upstream.
pub struct OpenAi {
    info: RunnerInfo,
    codec: ChatCodec,
    chat: Uri,
    embeddings: Uri,
    models: Uri,
    health: Uri,
    embed_limits: EmbedLimits,
    headers: HeaderMap,
    own_prices: PriceTable,
    list_prices: Option<&'static PriceTable>,
}

/// Shows the name and the host; header and query values are secrets.
impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = origin(&self.chat);
        f.debug_struct("OpenAi").field("name", &self.info.name).field("host", &host).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Checks all settings and reports every fault at once.
    pub(crate) fn new(config: OpenAiConfig, name: &str) -> Result<Self, InferenceError> {
        let mut faults = Vec::new();
        let endpoint = if config.endpoint.is_empty() { OPENAI } else { &config.endpoint };
        let base = base_url(endpoint, "/v1").map_err(|error| faults.push(error.to_string())).ok();
        let mut headers = config.headers;
        let named = [("OpenAI-Organization", config.organization), ("OpenAI-Project", config.project)];
        headers.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        let headers = extra_headers(&headers, &mut faults);
        let mut unpriced = Vec::new();
        let own_prices = PriceTable::of_rates(config.price_overrides, &mut unpriced);
        faults.extend(unpriced.iter().map(|fault| format!("price_overrides.{fault}")));
        let (Some(base), true) = (base, faults.is_empty()) else {
            return Err(InferenceError::config(faults.join("; ")));
        };
        let own_host = base.host_str().is_some_and(|host| format!(".{host}").ends_with(".api.openai.com"));
        let listed = match config.prices {
            PriceSource::Auto => own_host,
            PriceSource::Published => true,
            PriceSource::None => false,
        };
        let by_host = || if own_host { ChatDialect::openai() } else { ChatDialect::compatible() };
        let models = route(&base, "/models", &config.query)?;
        let info = RunnerInfo::new("openai", config.name.as_deref().unwrap_or(name));
        Ok(Self {
            info,
            chat: route(&base, "/chat/completions", &config.query)?,
            embeddings: route(&base, "/embeddings", &config.query)?,
            health: match &config.health_path {
                Some(path) => from_root(&base, path, &config.query)?,
                None => models.clone(),
            },
            models,
            // OpenAI's API description 2.3.0, read 2026-11-21.
            embed_limits: EmbedLimits::new(config.max_embed_inputs.unwrap_or(2048), 300_000),
            headers,
            own_prices,
            list_prices: listed.then(OpenAiPricing::published),
            codec: ChatCodec::new(config.dialect.unwrap_or_else(by_host)),
        })
    }
}

impl RemoteProvider for OpenAi {
    type Codec = ChatCodec;

    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    fn codec(&self) -> &ChatCodec {
        &self.codec
    }

    fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        match call {
            Call::Generate(_) => Ok(self.chat.clone()),
            Call::Embed(_) => Ok(self.embeddings.clone()),
            Call::Models => Ok(self.models.clone()),
            Call::Health => Ok(self.health.clone()),
            _ => Err(InferenceError::invalid_request("this upstream has no such route")),
        }
    }

    fn authorize(
        &self,
        session: &SessionSnapshot,
        request: &mut Request<Bytes>,
    ) -> Result<(), InferenceError> {
        let headers = request.headers_mut();
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(bearer) = session.bearer() {
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(())
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
        self.own_prices.price(model).or_else(|| self.list_prices?.price(model))
    }

    fn embed_limits(&self, _model: &str) -> EmbedLimits {
        self.embed_limits
    }

    fn is_reasoning_model(&self, model: &str) -> bool {
        wire_chat::is_reasoning_model(model)
    }
}
