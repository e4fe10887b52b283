//! What is particular to Acme: addresses, how a request is signed, and its prices.

use bytes::Bytes;
use http::Request;
use infer_core::InferenceError;
use remote_core::session::SessionSnapshot;
use remote_core::{Operation, RemoteProvider, Site};
use wire_acme::AcmeCodec;

use crate::AcmeConfig;

// Acme's API reference, read 2000-01-01.
const ACME: &str = "https://api.acme.example/v1";

/// Acme. `Debug` shows no secret.
#[derive(Debug)]
pub struct Acme {
    site: Site,
}

impl Acme {
    pub(crate) fn new(config: &AcmeConfig, name: &str) -> Result<Self, InferenceError> {
        let site = config.site(name, &config.endpoint, ACME)?.with_prices(include_str!("../prices.tsv"))?;
        let site = site.with_route(Operation::Generate, "/generate")?;
        let site = site.with_route(Operation::Embed, "/vectors")?;
        let site = site.with_route(Operation::Models, "/models")?.with_route(Operation::Health, "/models")?;
        // What the wire format cannot say, so that a router asks somebody else.
        let site = site.with_capabilities(|can| {
            (can.tools, can.vision, can.json_schema, can.reasoning) = (false, false, false, false);
        });
        Ok(Self { site })
    }
}

/// The codes of Acme's errors are read in `wire-acme`. What depends on the status or a header goes into `refine` here.
impl RemoteProvider for Acme {
    type Codec = AcmeCodec;

    fn codec(&self) -> &AcmeCodec {
        &AcmeCodec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn authorize(
        &self,
        session: &SessionSnapshot,
        request: &mut Request<Bytes>,
    ) -> Result<(), InferenceError> {
        self.site.add_headers(request);
        if let Some(key) = session.header_value() {
            request.headers_mut().insert("x-api-key", key);
        }
        Ok(())
    }
}
