//! HTTPS from files, which are read again when they change.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsConfig;

/// What connections are encrypted with. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: Arc<TlsConfig>,
    now: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(crate) fn new(files: &TlsConfig) -> Result<Self, String> {
        let now = Arc::new(ArcSwap::from(read(files)?));
        Ok(Self { files: Arc::new(files.clone()), now })
    }

    /// Reads them again; what is in force stays when they are wrong.
    ///
    /// # Errors
    /// As for [`Tls::new`].
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.now.store(read(&self.files)?);
        Ok(())
    }

    pub(crate) fn files(&self) -> &TlsConfig {
        &self.files
    }

    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.now.load_full()).accept(stream).await
    }
}

fn read(files: &TlsConfig) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("gateway.tls: {error}"))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path, "client_ca")? {
                roots.add(root).map_err(|error| wrong(path, "client_ca", error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, "client_ca", error))?)
        }
    };
    let chain = certificates(&files.cert, "cert")?;
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key, "key")?)
        .map_err(|_| wrong(&files.key, "key", "has no private key in PEM"))?;
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| wrong(&files.cert, "cert", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = text(path, key)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(path, key, "has no certificate in PEM")),
    }
}

fn text(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| wrong(path, key, error))
}

fn wrong(path: &Path, key: &str, error: impl std::fmt::Display) -> String {
    format!("gateway.tls.{key}: {}: {error}", path.display())
}
