//! The way out: through which proxy, trusting whom, and to which addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use infer_core::InferenceError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};

/// How an upstream is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The proxy, such as `http://proxy.example:3128`; `none` for no proxy at all. That of the environment (`HTTPS_PROXY`,
    /// `NO_PROXY`) when absent, and none for upstreams on this machine.
    pub proxy: Option<String>,
    /// A file in PEM with certificate authorities to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether the upstream's name may stand for a private address. By default only names that are local themselves may: without
    /// a dot, or under `.local`, `.internal`, `.lan`, `.home.arpa`, `.svc`, `.cluster.local` and `.localhost`. A public name
    /// that turns private is how requests are lured into a network. Addresses that are written out are always allowed.
    pub private: bool,
}

impl NetworkConfig {
    /// Adds what is wrong to `faults`, each by its path below `path`.
    pub(crate) fn validate(&self, path: &str, faults: &mut Vec<String>) {
        if let Some(proxy) = self.proxy.as_deref().filter(|proxy| *proxy != "none")
            && reqwest::Proxy::all(proxy).is_err()
        {
            faults
                .push(format!("{path}.proxy: must be an address such as http://proxy.example:3128, or none"));
        }
    }

    /// Makes the client go this way.
    ///
    /// # Errors
    /// [`InferenceError::Config`] that names the file or the proxy.
    pub(crate) fn apply(
        &self,
        mut builder: reqwest::ClientBuilder,
        direct: bool,
    ) -> Result<reqwest::ClientBuilder, InferenceError> {
        builder = match self.proxy.as_deref() {
            Some("none") => builder.no_proxy(),
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| {
                InferenceError::config(
                    "network.proxy: must be an address such as http://proxy.example:3128, or none",
                )
            })?),
            None if direct => builder.no_proxy(),
            None => builder,
        };
        if let Some(path) = &self.ca {
            builder = trust(builder, path)
                .map_err(|why| InferenceError::config(format!("network.ca: {}: {why}", path.display())))?;
        }
        if !self.private {
            builder = builder.dns_resolver(PublicOnly);
        }
        Ok(builder)
    }
}

/// Trusts the authorities of a file.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn trust(builder: reqwest::ClientBuilder, path: &Path) -> Result<reqwest::ClientBuilder, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err("has no certificate in PEM".to_owned());
    }
    Ok(found.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate))
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn trust(_: reqwest::ClientBuilder, _: &Path) -> Result<reqwest::ClientBuilder, String> {
    Err("this build speaks plain HTTP alone: build with the feature rustls".to_owned())
}

/// The system's resolver, which gives no private address for a public name.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(lookup(name.as_str(), false).await?.into_iter()) as Addrs) })
    }
}

/// What the system knows of `name`, without what it may not stand for.
pub(crate) async fn lookup(name: &str, private: bool) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?.collect();
    if private { Ok(found) } else { allowed(name, found) }
}

/// Those of the addresses that `name` may stand for.
fn allowed(name: &str, found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if is_local(name) {
        return Ok(found);
    }
    let some = !found.is_empty();
    let public: Vec<_> = found.into_iter().filter(|address| !is_private(address.ip())).collect();
    if some && public.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the name stands for a private address: set network.private to allow that",
        ));
    }
    Ok(public)
}

fn is_local(name: &str) -> bool {
    const ENDS: [&str; 7] =
        [".local", ".internal", ".lan", ".home.arpa", ".svc", ".cluster.local", ".localhost"];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether an address is of this machine or of a network of its own (RFC 1918, 3927, 4193, 4291, 6598).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn a_public_name_that_turns_private_is_refused_and_the_way_out_is_named() {
        for address in [
            "10.1.2.3",
            "127.0.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            let refused = allowed("api.vendor.example", at(&[address])).unwrap_err();
            assert!(refused.to_string().contains("network.private"), "{address}");
        }
        let mixed = allowed("api.vendor.example", at(&["10.0.0.1", "203.0.113.5"])).unwrap();
        assert_eq!(mixed, at(&["203.0.113.5"]));
    }

    #[test]
    fn a_local_name_may_stand_for_a_private_address() {
        for name in ["ollama", "localhost", "gpu.lan", "llm.default.svc.cluster.local.", "box.INTERNAL"] {
            assert_eq!(allowed(name, at(&["10.0.0.1"])).unwrap().len(), 1, "{name}");
        }
    }

    #[test]
    fn a_file_or_proxy_that_is_none_is_named() {
        let mut faults = Vec::new();
        let config = NetworkConfig { proxy: Some("http://:x y".to_owned()), ..NetworkConfig::default() };
        config.validate("network", &mut faults);
        assert!(faults[0].starts_with("network.proxy"), "{faults:?}");
        let config = NetworkConfig { ca: Some("/nowhere/ca.pem".into()), ..NetworkConfig::default() };
        let error = config.apply(reqwest::Client::builder(), true).unwrap_err().to_string();
        assert!(error.starts_with("network.ca: /nowhere/ca.pem"), "{error}");
    }
}
