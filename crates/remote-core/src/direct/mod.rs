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
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use infer_core::TransportKind;
use tower_service::Service as _;

use crate::config::{NetworkConfig, TimeoutConfig};
use crate::transport::{AGENT, KEEPALIVE, TransportBody, TransportError, TransportFault, connect_failure};

use line::{Line, Question};
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
    pub(crate) fn send(
        &self,
        mut request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<TransportBody>, TransportError>> {
        // What waits is the bytes to send, and not the request beside them.
        let addressed = address(&mut request).map(|to| (to, Question::new(request)));
        async move {
            let (uri, question) = addressed?;
            let waiting = uri.authority().and_then(|authority| self.pool.take(authority));
            let line = match waiting {
                Some(line) => line,
                None => self.connect(uri).await?,
            };
            line.ask(question, Arc::clone(&self.pool)).await
        }
    }

    async fn connect(&self, uri: Uri) -> Result<Line, TransportError> {
        let authority = uri.authority().cloned().ok_or(TransportFault::Before(TransportKind::Protocol))?;
        // The connector is always ready, and cloning it is cheap.
        let connecting = self.connector.clone().call(uri);
        let connected = tokio::time::timeout(self.patience, connecting).await;
        let socket = connected
            .map_err(|late| TransportError::new(TransportFault::ConnectTimeout, late))?
            .map_err(connect_failure)?;
        Ok(Line::new(socket.into_inner(), authority))
    }
}

/// Leaves of the address what the other side reads, with the headers that a request has because of where it goes and who
/// sends it; gives the whole of the address.
fn address(request: &mut Request<Bytes>) -> Result<Uri, TransportError> {
    let uri = std::mem::take(request.uri_mut());
    let authority = uri.authority().ok_or(TransportFault::Before(TransportKind::Protocol))?;
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
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
    Ok(uri)
}
