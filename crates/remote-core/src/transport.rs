//! The network, reduced to one call: a request out, a response with a streamed body in.
//!
//! Knows nothing of models. A [`Transport`] may wrap anything that can do that, such as a `tower::Service` for mutual
//! TLS or recording.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response, Uri};
use http_body::Body as _;
use infer_core::{Cause, InferenceError, TransportKind};
use reqwest::redirect;
use url::Url;

use crate::config::{NetworkConfig, TimeoutConfig};
use crate::direct::Direct;

/// A response body as it arrives. Dropping it closes the connection unless the body was read to its end.
pub type TransportBody = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// Sends requests.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends `request` once and resolves with the head of the response.
    ///
    /// Must not follow redirects and must not repeat anything by itself. Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`TransportError`] when no head arrived.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError>;
}

/// The network failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportError {
    /// How.
    pub fault: TransportFault,
    /// The network library's own error, without a URL in it.
    pub source: Option<Cause>,
}

/// How the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportFault {
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// Anything else before the head of the response.
    Before(TransportKind),
    /// The body broke off.
    Body,
}

impl From<TransportFault> for TransportError {
    fn from(fault: TransportFault) -> Self {
        Self { fault, source: None }
    }
}

impl TransportError {
    /// A fault and what caused it.
    pub fn new(fault: TransportFault, source: impl Into<Cause>) -> Self {
        Self { fault, source: Some(source.into()) }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.fault {
            TransportFault::ConnectTimeout => "connect timeout",
            TransportFault::Before(_) => "no response",
            TransportFault::Body => "the response body broke off",
        })
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// Who asks.
pub(crate) const AGENT: &str = concat!("infer/", env!("CARGO_PKG_VERSION"));
/// How often the system asks whether a silent connection still stands.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a connection waits for its next request. Servers keep them for a minute or more, so ours ends first.
pub(crate) const IDLE: Duration = Duration::from_secs(50);

/// HTTP over TCP with pooled connections: by reqwest, with HTTP/2 where the server offers it and the system's proxy; without
/// TLS and without a proxy straight from the socket, which costs less.
///
/// Refuses redirects and repeats nothing by itself, so every attempt is seen and no key goes to another host.
#[derive(Debug)]
pub struct HttpTransport {
    client: OnceLock<reqwest::Client>,
    timeouts: TimeoutConfig,
    network: NetworkConfig,
    /// Whether the system's proxy is left out.
    local: bool,
    direct: Option<Direct>,
    /// The last address asked for. A provider has few, and reading one anew costs more than comparing.
    address: Mutex<Option<(Uri, Url)>>,
}

impl HttpTransport {
    /// A transport with its own connection pool.
    ///
    /// `direct` leaves the system's proxy out, which is right for servers on this machine.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when TLS cannot be set up, such as without root certificates.
    pub fn new(timeouts: &TimeoutConfig, direct: bool) -> Result<Self, InferenceError> {
        Self::by(timeouts, &NetworkConfig::default(), direct)
    }

    /// The same by the way that `network` says.
    ///
    /// # Errors
    /// As for [`HttpTransport::new`]; also for a proxy or a file of authorities that is none.
    pub fn by(
        timeouts: &TimeoutConfig,
        network: &NetworkConfig,
        direct: bool,
    ) -> Result<Self, InferenceError> {
        let transport = Self::idle(timeouts, network, direct);
        transport.client()?;
        Ok(transport)
    }

    /// The same for requests to `uri` and its neighbours. A client that they do not need is not set up before it is needed: it
    /// holds the system's root certificates.
    pub(crate) fn toward(
        uri: Option<&Uri>,
        timeouts: &TimeoutConfig,
        network: &NetworkConfig,
    ) -> Result<Self, InferenceError> {
        let transport = Self::idle(timeouts, network, uri.is_some_and(is_loopback));
        let direct = transport.direct.as_ref().filter(|_| network.ca.is_none());
        if !uri.is_some_and(|uri| direct.is_some_and(|direct| direct.leads_to(uri))) {
            transport.client()?;
        }
        Ok(transport)
    }

    fn idle(timeouts: &TimeoutConfig, network: &NetworkConfig, local: bool) -> Self {
        #[cfg(feature = "rustls")]
        tls::provide();
        Self {
            client: OnceLock::new(),
            timeouts: timeouts.clone(),
            network: network.clone(),
            local,
            direct: Direct::new(timeouts, network, local),
            address: Mutex::new(None),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, InferenceError> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => {
                let client = self.set_up()?;
                Ok(self.client.get_or_init(|| client))
            }
        }
    }

    fn set_up(&self) -> Result<reqwest::Client, InferenceError> {
        let Self { timeouts, network, .. } = self;
        let builder = reqwest::Client::builder()
            .user_agent(AGENT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_adaptive_window(true);
        let builder = network.apply(builder, self.local)?;
        // A file of authorities is the client's own matter; without one all clients share the system's.
        #[cfg(feature = "rustls")]
        let builder = match (tls::config()?, &network.ca) {
            (_, Some(_)) => builder,
            (shared, None) => builder.tls_backend_preconfigured(shared),
        };
        builder.build().map_err(|error| {
            let cause = chain(&error).join(": ");
            InferenceError::config(format!("the HTTP client cannot be set up: {cause}"))
        })
    }

    /// The address as reqwest wants it.
    fn url(&self, uri: &Uri) -> Result<Url, TransportError> {
        let mut last = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, url)) = last.as_ref().filter(|(known, _)| known == uri) {
            return Ok(url.clone());
        }
        let url = Url::parse(&uri.to_string())
            .map_err(|error| TransportError::new(TransportFault::Before(TransportKind::Protocol), error))?;
        *last = Some((uri.clone(), url.clone()));
        Ok(url)
    }
}

/// Whether an address is on this machine, where no proxy belongs in between.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// How connections are secured, the same for all transports of the process.
#[cfg(feature = "rustls")]
mod tls {
    use std::sync::OnceLock;

    use infer_core::InferenceError;
    use rustls::ClientConfig;
    use rustls::crypto::{CryptoProvider, ring};
    use rustls_platform_verifier::ConfigVerifierExt as _;

    /// Reading the system's root certificates takes some ten milliseconds and some hundred kilobytes, so it is done once and
    /// not for every provider.
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();

    /// Sees to it that rustls has something to encrypt with, also for whoever else uses it in this process.
    pub(super) fn provide() {
        if CryptoProvider::get_default().is_none() {
            // Ours is used only if the program has chosen none. Losing a race means that somebody else has just installed
            // one, which is as good.
            let _ = ring::default_provider().install_default();
        }
    }

    /// The system's root certificates, and HTTP/2 where the server offers it.
    pub(super) fn config() -> Result<ClientConfig, InferenceError> {
        if let Some(config) = CONFIG.get() {
            return Ok(config.clone());
        }
        provide();
        let mut config = ClientConfig::with_platform_verifier()
            .map_err(|error| InferenceError::config(format!("TLS cannot be set up: {error}")))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(CONFIG.get_or_init(|| config).clone())
    }
}

/// A request on its way.
pub(crate) type Sending<'f> =
    Pin<Box<dyn Future<Output = Result<Response<TransportBody>, TransportError>> + Send + 'f>>;

#[async_trait]
impl Transport for HttpTransport {
    fn send<'a, 'f>(&'a self, request: Request<Bytes>) -> Sending<'f>
    where
        'a: 'f,
        Self: 'f,
    {
        match self.direct.as_ref().filter(|direct| direct.leads_to(request.uri())) {
            Some(direct) => Box::pin(direct.send(request)),
            None => Box::pin(self.by_client(request)),
        }
    }
}

impl HttpTransport {
    async fn by_client(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let (head, body) = request.into_parts();
        let mut request = reqwest::Request::new(head.method, self.url(&head.uri)?);
        *request.headers_mut() = head.headers;
        *request.body_mut() = Some(body.into());
        let client = self
            .client()
            .map_err(|error| TransportError::new(TransportFault::Before(TransportKind::Tls), error))?;
        let response = client.execute(request).await.map_err(classify)?;
        let (head, body) = Response::<reqwest::Body>::from(response).into_parts();
        Ok(Response::from_parts(head, Box::pin(Frames(body))))
    }
}

/// A body's data frames.
struct Frames(reqwest::Body);

impl Stream for Frames {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => Some(Err(TransportError::new(TransportFault::Body, error.without_url()))),
            });
        }
    }
}

/// Sorts reqwest's errors, which tell a timeout and a connect failure apart and leave the rest to their causes' text.
fn classify(error: reqwest::Error) -> TransportError {
    let error = error.without_url(); // the URL can hold a key in its query
    if error.is_connect() && error.is_timeout() {
        return TransportError::new(TransportFault::ConnectTimeout, error);
    }
    let kind = kind_of_chain(error.is_connect(), &chain(&error));
    TransportError::new(TransportFault::Before(kind), error)
}

/// No connection came about. The system and the connector have timeouts of their own, which are told apart from refusals.
pub(crate) fn connect_failure(error: impl Into<Cause>) -> TransportError {
    let error = error.into();
    if causes(&*error).any(is_timeout) {
        return TransportError { fault: TransportFault::ConnectTimeout, source: Some(error) };
    }
    let kind = kind_of_chain(true, &chain(&*error));
    TransportError::new(TransportFault::Before(kind), error)
}

fn kind_of_chain(connecting: bool, causes: &[String]) -> TransportKind {
    let says = |words: &[&str]| causes.iter().any(|cause| words.iter().any(|word| cause.contains(word)));
    if connecting {
        if says(&["dns error", "failed to lookup", "name resolution"]) {
            TransportKind::Dns
        } else if says(&["certificate", "UnknownIssuer"]) {
            TransportKind::Certificate
        } else if says(&[
            "corrupt message",
            "HandshakeFailure",
            "handshake",
            "tls",
            "TLS",
            "scheme is not http",
        ]) {
            TransportKind::Tls
        } else {
            TransportKind::Connect
        }
    } else if says(&["invalid HTTP", "parse", "message head is too large", "HTTP/0.9"]) {
        TransportKind::Protocol
    } else {
        TransportKind::Closed
    }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// The texts of an error and its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    causes(error).map(ToString::to_string).collect()
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_the_connector_is_a_connect_timeout_and_a_refusal_is_none() {
        let fault = |kind| connect_failure(io::Error::from(kind)).fault;
        assert_eq!(fault(io::ErrorKind::TimedOut), TransportFault::ConnectTimeout);
        let deeper = TransportError::new(TransportFault::Body, io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(connect_failure(deeper).fault, TransportFault::ConnectTimeout);
        assert_eq!(fault(io::ErrorKind::ConnectionRefused), TransportFault::Before(TransportKind::Connect));
    }

    #[test]
    fn a_client_is_set_up_at_once_unless_no_request_to_the_upstream_needs_it() {
        let is_set_up = |uri: Option<&'static str>, network: &NetworkConfig| {
            let uri = uri.map(Uri::from_static);
            let transport = HttpTransport::toward(uri.as_ref(), &TimeoutConfig::default(), network).unwrap();
            transport.client.get().is_some()
        };
        let plain = NetworkConfig::default();
        assert!(!is_set_up(Some("http://127.0.0.1:8000/v1"), &plain));
        assert!(is_set_up(Some("https://127.0.0.1:8000/v1"), &plain));
        assert!(is_set_up(None, &plain));
        let proxied = NetworkConfig { proxy: Some("http://127.0.0.1:3128".to_owned()), ..plain.clone() };
        assert!(is_set_up(Some("http://example.test/v1"), &proxied));
        let wrong = NetworkConfig { ca: Some("/no/such/file.pem".into()), ..plain };
        let uri = Uri::from_static("http://127.0.0.1:8000/v1");
        assert!(HttpTransport::toward(Some(&uri), &TimeoutConfig::default(), &wrong).is_err());
    }

    #[test]
    fn causes_are_told_apart_by_their_text() {
        for (connecting, text, kind) in [
            (true, "dns error: failed to lookup address information", TransportKind::Dns),
            (true, "Connection refused (os error 111)", TransportKind::Connect),
            (true, "invalid peer certificate: UnknownIssuer", TransportKind::Certificate),
            (true, "received corrupt message of type InvalidContentType", TransportKind::Tls),
            (false, "connection closed before message completed", TransportKind::Closed),
            (false, "invalid HTTP version parsed", TransportKind::Protocol),
        ] {
            assert_eq!(kind_of_chain(connecting, &[text.to_owned()]), kind, "{text}");
        }
    }
}
