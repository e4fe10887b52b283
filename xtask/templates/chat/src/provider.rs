//! What is particular to Acme: addresses, its errors and its prices.

use bytes::Bytes;
use http::{Request, Uri};
use infer_core::{ErrorKind, InferenceError, Price, RunnerInfo};
use remote_core::session::SessionSnapshot;
use remote_core::{Call, Fault, Operation, RemoteProvider, Site};
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

    fn info(&self) -> &RunnerInfo {
        self.site.info()
    }

    fn codec(&self) -> &ChatCodec {
        &self.codec
    }

    fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        self.site.endpoint(call)
    }

    fn authorize(
        &self,
        session: &SessionSnapshot,
        request: &mut Request<Bytes>,
    ) -> Result<(), InferenceError> {
        self.site.sign(session, request);
        Ok(())
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

    fn price(&self, model: &str) -> Option<&Price> {
        self.site.price(model)
    }
}
