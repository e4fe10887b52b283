//! HTTPS from files, which are read again when they change.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    now: Arc<ArcSwap<Read>>,
}

/// Files, and what was made of them.
#[derive(Debug)]
struct Read {
    files: TlsConfig,
    /// Changes with what the files hold.
    digest: u64,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(crate) fn new(files: &TlsConfig) -> Result<Self, String> {
        Ok(Self { now: Arc::new(ArcSwap::from_pointee(Read::new(files)?)) })
    }

    /// Reads them again, and says whether they hold something else; what is in force stays when they are wrong.
    ///
    /// # Errors
    /// As for [`Tls::new`].
    pub(crate) fn reload(&self) -> Result<bool, String> {
        self.replace(&self.files())
    }

    /// Reads other files, as [`Tls::reload`] does.
    ///
    /// # Errors
    /// As for [`Tls::new`].
    pub(crate) fn replace(&self, files: &TlsConfig) -> Result<bool, String> {
        let read = Read::new(files)?;
        let before = self.now.load();
        let is_other = before.digest != read.digest || before.files != read.files;
        if is_other {
            self.now.store(Arc::new(read));
        }
        Ok(is_other)
    }

    pub(crate) fn files(&self) -> TlsConfig {
        self.now.load().files.clone()
    }

    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.now.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Read {
    fn new(files: &TlsConfig) -> Result<Self, String> {
        let mut hasher = DefaultHasher::new();
        for path in [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()].into_iter().flatten() {
            // Said by name further down.
            fs::read(path).ok().hash(&mut hasher);
        }
        Ok(Self { files: files.clone(), digest: hasher.finish(), config: read(files)? })
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
