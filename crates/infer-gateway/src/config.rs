//! What an operator can set about the gateway: the section `gateway` of `llm.yaml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use infer_core::duration;
use inference::remote::limit::RateLimitConfig;
use serde::{Deserialize, Serialize};

/// Settings of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where it listens. 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Whether it may listen beyond this machine although there are no keys.
    pub insecure: bool,
    /// The key for `/admin` and the dashboard; without one they answer on loopback only, to everybody there.
    pub admin_key: Option<AdminKey>,
    /// The certificate it shows, for HTTPS.
    pub tls: Option<TlsConfig>,
    /// Which web pages may call it from a browser. None.
    pub cors: CorsConfig,
    /// The largest request body, in bytes. 32 MiB.
    pub max_body_bytes: usize,
    /// How long a client may take to send the head of a request. 10 s.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// How long a client may take to send a body. 60 s: 32 MiB at 4.5 Mbit/s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a client may take no byte of its answer. 60 s.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How often a comment is sent on a stream that is silent, so that nobody on the way gives it up. 15 s.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// After how long a streamed answer begins although there is no content yet, so that comments can be sent. What fails
    /// after that is an event of the stream instead of a status. 30 s.
    #[serde(with = "duration")]
    pub early_head: Duration,
    /// The most time a call may take when the client says nothing. 10 min, as clients have it.
    #[serde(with = "duration")]
    pub default_deadline: Duration,
    /// How long running calls may take to finish after the signal to stop. 30 s.
    #[serde(with = "duration")]
    pub drain: Duration,
    /// How many calls run at once, and how many wait.
    pub admission: AdmissionConfig,
}

/// Which calls are let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Calls at once. 2,000.
    pub max_in_flight: u32,
    /// Calls that may wait for their turn. 1,000.
    pub max_queue: u32,
    /// The longest wait for a turn. 10 s.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Connections at once; more wait in the kernel's queue. 10,000.
    pub max_connections: usize,
}

/// Files in PEM that HTTPS needs. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, with those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of which clients must show a certificate; none need one when absent.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Which web pages may call the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Their origins, such as `https://app.example`; `*` for all.
    pub origins: Vec<String>,
}

/// A secret of the configuration; shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AdminKey(String);

impl AdminKey {
    /// The secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(***)")
    }
}

impl Serialize for AdminKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// The shortest key that is taken for `/admin`, in bytes.
const LEAST_ADMIN_KEY: usize = 16;

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            insecure: false,
            admin_key: None,
            tls: None,
            cors: CorsConfig::default(),
            max_body_bytes: 32 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(15),
            early_head: Duration::from_secs(30),
            default_deadline: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            admission: AdmissionConfig::default(),
        }
    }
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 2_000,
            max_queue: 1_000,
            max_wait: Duration::from_secs(10),
            max_connections: 10_000,
        }
    }
}

impl AdmissionConfig {
    /// The machine that admits calls is the one that keeps upstreams' limits.
    pub(crate) fn limits(&self) -> RateLimitConfig {
        RateLimitConfig {
            max_in_flight: Some(self.max_in_flight),
            max_queue: self.max_queue,
            max_wait: self.max_wait,
            ..RateLimitConfig::default()
        }
    }
}

impl GatewayConfig {
    /// Checks every value and reports all faults at once, each by its path.
    ///
    /// # Errors
    /// The faults, one a line part, separated by `; `.
    pub fn validate(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        let times = [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive", self.keep_alive),
            ("default_deadline", self.default_deadline),
        ];
        for (name, time) in times {
            if time.is_zero() {
                faults.push(format!("gateway.{name}: must be above 0s"));
            }
        }
        if self.max_body_bytes < 1024 {
            faults
                .push(format!("gateway.max_body_bytes: must be at least 1024, got {}", self.max_body_bytes));
        }
        if self.admission.max_in_flight == 0 {
            faults.push("gateway.admission.max_in_flight: must be above 0".to_owned());
        }
        if self.admission.max_connections == 0 {
            faults.push("gateway.admission.max_connections: must be above 0".to_owned());
        }
        if self.admin_key.as_ref().is_some_and(|key| key.reveal().len() < LEAST_ADMIN_KEY) {
            faults.push(format!(
                "gateway.admin_key: must have at least {LEAST_ADMIN_KEY} characters: try `openssl rand -hex 24`"
            ));
        }
        for (place, origin) in self.cors.origins.iter().enumerate() {
            let is_origin = origin == "*"
                || origin.parse::<http::Uri>().is_ok_and(|uri| {
                    uri.scheme().is_some()
                        && uri.authority().is_some()
                        && uri.path() == "/"
                        && !origin.ends_with('/')
                });
            if !is_origin {
                faults.push(format!(
                    "gateway.cors.origins[{place}]: {origin:?} is no origin: write it as https://app.example"
                ));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_and_no_key_is_shown() {
        let config: GatewayConfig = serde_json::from_str(
            r#"{"keep_alive": "0s", "admin_key": "hunter2", "cors": {"origins": ["https://a.example/x", "*"]},
                "admission": {"max_in_flight": 0}}"#,
        )
        .unwrap();
        let line = config.validate().unwrap_err();
        for words in ["gateway.keep_alive", "gateway.admin_key", "gateway.cors.origins[0]", "max_in_flight"] {
            assert!(line.contains(words), "{words} is not in {line}");
        }
        assert!(!line.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
        assert_eq!(GatewayConfig::default().validate(), Ok(()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<GatewayConfig>(r#"{"listne": "1.2.3.4:1"}"#).is_err());
    }
}
