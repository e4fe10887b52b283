//! What is particular to Acme: addresses, its errors and its prices.

use infer_core::{ErrorKind, InferenceError};
use remote_core::{Fault, Operation, RemoteProvider, Site};
use wire_chat::{ChatCodec, ChatDialect};

use crate::AcmeConfig;

// Acme's API reference, read 2000-01-01.
const ACME: &str = "https://api.acme.example/v1";

/// Acme. `Debug` shows no secret.
#[derive(Debug)]
pub struct Acme {
    site: Site,
    codec: ChatCodec,
}

impl Acme {
    pub(crate) fn new(config: &AcmeConfig, name: &str) -> Result<Self, InferenceError> {
        let site = config.site(name, &config.endpoint, ACME)?.with_prices(include_str!("../prices.tsv"))?;
        let site = site.with_route(Operation::Generate, "/chat/completions")?;
        let site = site.with_route(Operation::Embed, "/embeddings")?;
        let site = site.with_route(Operation::Models, "/models")?.with_route(Operation::Health, "/models")?;
        Ok(Self { site, codec: ChatCodec::new(ChatDialect::compatible()) })
    }
}

impl RemoteProvider for Acme {
    type Codec = ChatCodec;

    fn codec(&self) -> &ChatCodec {
        &self.codec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    /// Acme's own words (its API reference, read 2000-01-01). The wire format reads what all upstreams share.
    fn refine(&self, fault: &Fault<'_>) -> Option<ErrorKind> {
        match (fault.status.as_u16(), fault.body.code.as_deref()?) {
            (400, "context_length_exceeded") => Some(ErrorKind::ContextLengthExceeded),
            (400, "content_filter") => Some(ErrorKind::ContentFiltered),
            (429, "insufficient_quota") => Some(ErrorKind::QuotaExhausted),
            _ => None,
        }
    }
}
