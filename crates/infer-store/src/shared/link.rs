//! The connection to Redis, made when it is first needed and again when it is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError,
    RedisResult, TlsCertificates, TlsMode, Value,
};

use super::config::{RedisConfig, is_tls};
use super::words;
use crate::StoreError;

/// A way to Redis. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    One(Arc<One>),
    /// To the nodes of a cluster, kept by the client.
    Cluster(ClusterConnection),
}

/// One connection at a time.
pub(super) struct One {
    source: Source,
    settings: AsyncConnectionConfig,
    current: Mutex<Current>,
    /// Held by whoever makes a connection, so that a crowd makes one.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    /// Counts connections, so that a lost one is given up once.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// Where connections come from.
enum Source {
    Server(Client),
    /// Whoever the sentinels say is the server now.
    Sentinel(tokio::sync::Mutex<SentinelClient>),
}

impl Link {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, StoreError> {
        let fault = |path: &str, detail: &str| StoreError::Config { what: format!("redis.{path}: {detail}") };
        let wrong = |path: &'static str| move |error: RedisError| fault(path, &words(&error));
        let mut urls = config.cluster.iter().chain(&config.sentinel).chain([&config.url]);
        if urls.any(|url| is_tls(url)) {
            // Taken as it is when the program has chosen another one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let root_cert = match &config.ca {
            None => None,
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|error| fault("ca", &format!("{} cannot be read: {error}", path.display())))?,
            ),
        };
        let certificates = root_cert.map(|root| TlsCertificates { client_tls: None, root_cert: Some(root) });
        if config.is_cluster() {
            let mut client = ClusterClientBuilder::new(config.cluster.clone())
                .connection_timeout(config.connect_timeout)
                .response_timeout(config.response_timeout)
                .tcp_settings(at_once())
                .retries(2);
            if let Some(certificates) = certificates {
                client = client.certs(certificates);
            }
            let client = client.build().map_err(wrong("cluster"))?;
            let settings = redis::cluster::ClusterConfig::new();
            return Ok(Self::Cluster(client.get_pending_async_connection_with_config(settings)));
        }
        let server = config.url.as_str().into_connection_info().map_err(wrong("url"))?;
        let server = server.set_tcp_settings(at_once());
        let source = if config.sentinel.is_empty() {
            let client = match certificates {
                Some(certificates) => Client::build_with_tls(server, certificates),
                None => Client::open(server),
            };
            Source::Server(client.map_err(wrong("url"))?)
        } else {
            let client = sentinel(config, &server, certificates).map_err(wrong("sentinel"))?;
            Source::Sentinel(tokio::sync::Mutex::new(client))
        };
        // How long an answer may take is watched where it is asked for.
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(None);
        let (current, making) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self::One(Arc::new(One { source, settings, current, making })))
    }

    /// The connection, made if there is none.
    pub(super) async fn connection(&self) -> RedisResult<Connection> {
        match self {
            Self::Cluster(connection) => Ok(Connection::Cluster(connection.clone())),
            Self::One(one) => {
                if let Some(open) = one.open() {
                    return Ok(open);
                }
                let _alone = one.making.lock().await;
                match one.open() {
                    Some(open) => Ok(open),
                    None => one.make().await,
                }
            }
        }
    }

    /// Gives `lost` up, so that the next one to ask gets another.
    pub(super) fn give_up(&self, lost: &Connection) {
        if let (Self::One(one), Connection::One(_, number)) = (self, lost) {
            let mut current = one.current();
            if current.number == *number {
                current.connection = None;
            }
        }
    }
}

/// Sends what is written without waiting for more.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn sentinel(
    config: &RedisConfig,
    server: &ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let (name, is_secure) = match server.addr() {
        ConnectionAddr::Tcp(host, _) => (host.clone(), false),
        ConnectionAddr::TcpTls { host, .. } => (host.clone(), true),
        _ => (String::new(), false),
    };
    let mut addresses = Vec::new();
    let mut login = None;
    for url in &config.sentinel {
        let sentinel = url.as_str().into_connection_info()?;
        addresses.push(sentinel.addr().clone());
        let redis = sentinel.redis_settings();
        let found =
            redis.password().map(|password| (redis.username().map(str::to_owned), password.to_owned()));
        login = login.or(found);
    }
    let are_secure = addresses.iter().all(|address| matches!(address, ConnectionAddr::TcpTls { .. }));
    let mut client = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?
        .set_client_to_redis_tcp_settings(at_once())
        .set_client_to_redis_db(server.redis_settings().db());
    if let Some(user) = server.redis_settings().username() {
        client = client.set_client_to_redis_username(user);
    }
    if let Some(password) = server.redis_settings().password() {
        client = client.set_client_to_redis_password(password);
    }
    if let Some((user, password)) = login {
        client = client.set_client_to_sentinel_password(password);
        if let Some(user) = user {
            client = client.set_client_to_sentinel_username(user);
        }
    }
    if is_secure {
        client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        if are_secure {
            client = client.set_client_to_sentinel_certificates(certificates.clone());
        }
        if is_secure {
            client = client.set_client_to_redis_certificates(certificates);
        }
    }
    client.build()
}

impl One {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Option<Connection> {
        let current = self.current();
        let connection = current.connection.clone()?;
        Some(Connection::One(connection, current.number))
    }

    async fn make(&self) -> RedisResult<Connection> {
        let made = match &self.source {
            Source::Server(client) => {
                client.get_multiplexed_async_connection_with_config(&self.settings).await?
            }
            Source::Sentinel(client) => {
                client.lock().await.get_async_connection_with_config(&self.settings).await?
            }
        };
        let mut current = self.current();
        current.number += 1;
        current.connection = Some(made.clone());
        Ok(Connection::One(made, current.number))
    }
}

/// A connection in use.
pub(super) enum Connection {
    One(MultiplexedConnection, u64),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(connection, _) => connection.send_packed_command(command).await?.extract_error(),
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}
