//! Plain HTTP/1.1 with nobody in between: whoever waits for an answer reads it from the socket.
//!
//! A client that gives every connection a task of its own pays for two more wake-ups a chunk, and the chunks arrive one by
//! one; one that keeps buffers for what may come holds some 30 KiB for a stream that is silent. Heads are parsed by httparse.
//! Upstreams over TLS and through proxies are left to reqwest.

mod fault;
mod framing;
mod head;
mod line;
mod names;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use infer_core::TransportKind;
use tower_service::Service as _;

use crate::config::{NetworkConfig, TimeoutConfig};
use crate::transport::{AGENT, KEEPALIVE, TransportBody, TransportError, TransportFault, connect_failure};

use line::Line;
use names::Names;
use pool::Pool;

/// Connections to upstreams without TLS and without a proxy.
#[derive(Debug)]
pub(crate) struct Direct {
    connector: HttpConnector<Names>,
    patience: Duration,
    proxies: Option<Matcher>,
    pool: Arc<Pool>,
}

impl Direct {
    /// `None` where every request has to go through a proxy.
    pub(crate) fn new(timeouts: &TimeoutConfig, network: &NetworkConfig, local: bool) -> Option<Self> {
        let proxies = match network.proxy.as_deref() {
            Some("none") => None,
            Some(_) => return None,
            None => (!local).then(Matcher::from_system),
        };
        let mut connector = HttpConnector::new_with_resolver(Names::new(network.private));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_connect_timeout(Some(timeouts.connect));
        Some(Self { connector, patience: timeouts.connect, proxies, pool: Pool::new() })
    }

    /// Whether a request to `uri` goes this way.
    pub(crate) fn leads_to(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&Scheme::HTTP)
            && uri.authority().is_some()
            && self.proxies.as_ref().is_none_or(|proxies| proxies.intercept(uri).is_none())
    }

    /// Sends `request` and resolves with the head of the response. Dropping the future closes the connection.
    pub(crate) async fn send(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let uri = std::mem::take(request.uri_mut());
        let Some(authority) = uri.authority() else {
            return Err(TransportFault::Before(TransportKind::Protocol).into());
        };
        address(request.headers_mut(), authority)?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        let line = match self.pool.take(authority) {
            Some(line) => line,
            None => self.connect(&uri, authority).await?,
        };
        line.ask(request, Arc::clone(&self.pool)).await
    }

    async fn connect(&self, uri: &Uri, authority: &Authority) -> Result<Line, TransportError> {
        // The connector is always ready, and cloning it is cheap.
        let connecting = self.connector.clone().call(uri.clone());
        let connected = tokio::time::timeout(self.patience, connecting).await;
        let socket = connected
            .map_err(|late| TransportError::new(TransportFault::ConnectTimeout, late))?
            .map_err(connect_failure)?;
        Ok(Line::new(socket.into_inner(), authority.clone()))
    }
}

/// Writes the headers that a request has because of where it goes and who sends it.
fn address(headers: &mut HeaderMap, authority: &Authority) -> Result<(), TransportError> {
    let host = match authority.port_u16() {
        Some(80) | None => authority.host(),
        Some(_) => authority.as_str().rsplit('@').next().unwrap_or_default(),
    };
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(host)
            .map_err(|error| TransportError::new(TransportFault::Before(TransportKind::Protocol), error))?;
        headers.insert(HOST, host);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Ok(())
}
