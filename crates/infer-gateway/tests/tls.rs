//! HTTPS, certificates of clients, and clients that take their time on purpose.
//!
//! The authority is made with the `openssl` command; where there is none, the tests that need it say so.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Scene, Setting, json};
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use infer_gateway::{Ending, Gateway, GatewayConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use upstream_sim::{Behaviour, Sim};

/// An authority, what it signed for a server and a client, and another authority that nobody trusts.
struct Authority(tempfile::TempDir);

impl Authority {
    /// None, said by name, where there is no `openssl`.
    fn make() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: openssl is not installed");
            return None;
        }
        let made = Self(tempfile::tempdir().unwrap());
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for ca in ["ca", "stranger"] {
            let files = format!("-keyout {ca}.key -out {ca}.pem");
            made.run(&format!(
                "req -x509 {key} -days 2 -subj /CN={ca} -addext basicConstraints=critical,CA:TRUE {files}"
            ));
        }
        std::fs::write(made.at("san"), "subjectAltName=IP:127.0.0.1").unwrap();
        for name in ["server", "client"] {
            made.run(&format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            let sign = format!("-CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out {name}.pem");
            made.run(&format!("x509 -req -in {name}.csr -days 2 {sign}"));
        }
        Some(made)
    }

    fn run(&self, words: &str) {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section of the gateway.
    fn section(&self, more: &str) -> String {
        let path = |name: &str| self.at(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("server.pem"), path("server.key"));
        let more = more.replace("ca.pem", &path("ca.pem"));
        format!("gateway: {{ head_timeout: 2s, tls: {{ cert: {cert:?}, key: {key:?}{more} }} }}\n")
    }

    /// A client that trusts the authority, and shows a certificate where one is named.
    fn client(&self, shows: Option<&str>, protocols: &[&str]) -> TlsConnector {
        let certificates = |name: &str| CertificateDer::from_pem_file(self.at(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificates("ca.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(self.at(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![certificates(&format!("{name}.pem"))], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn address(scene: &Scene) -> String {
    scene.url.rsplit('/').next().unwrap().to_owned()
}

async fn connect(scene: &Scene, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address(scene)).await.unwrap();
    client.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
}

fn chat(scene: &Scene, model: &str, is_streamed: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"{model}","stream":{is_streamed},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let uri = format!("{}/v1/chat/completions", scene.url);
    Request::post(uri).header("host", address(scene)).body(Full::new(body.into())).unwrap()
}

/// One answer over a connection that is made already, in the protocol that was agreed on.
async fn answer(scene: &Scene, stream: TlsStream<TcpStream>) -> Result<(u16, Version, Bytes), hyper::Error> {
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let request = chat(scene, "m", true);
    let response = if is_h2 {
        let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        send.send_request(request).await?
    } else {
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        send.send_request(request).await?
    };
    let (status, version) = (response.status().as_u16(), response.version());
    Ok((status, version, response.into_body().collect().await?.to_bytes()))
}

#[tokio::test]
async fn an_answer_comes_over_https_in_the_protocol_that_was_agreed_on() {
    let Some(authority) = Authority::make() else { return };
    let scene = Setting::yaml(&authority.section("")).start().await;
    assert!(scene.url.starts_with("https://"));
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let client = authority.client(None, protocols);
        let (status, spoken, body) = answer(&scene, connect(&scene, &client).await.unwrap()).await.unwrap();
        assert_eq!((status, spoken), (200, version));
        assert!(body.ends_with(b"data: [DONE]\n\n"), "{protocols:?}");
    }
    assert_eq!(scene.sims.first().unwrap().calls(), 3);
    // Who speaks plainly gets no answer, and the next one does.
    let mut plain = TcpStream::connect(address(&scene)).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/"), "{said:?}");
    let client = authority.client(None, &[]);
    assert!(answer(&scene, connect(&scene, &client).await.unwrap()).await.is_ok());
}

#[tokio::test]
async fn streams_follow_each_other_on_one_encrypted_connection_which_then_ends_with_a_goodbye() {
    let Some(authority) = Authority::make() else { return };
    let scene = Setting::yaml(&authority.section("")).start().await;
    let mut client = connect(&scene, &authority.client(None, &["http/1.1"])).await.unwrap();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    for connection in ["keep-alive", "close"] {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x";
        let length = body.len();
        let request = format!("{head}\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
    }
    let mut said = String::new();
    // Without the goodbye of TLS this is an error.
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{said}");
    assert_eq!(said.matches("data: [DONE]\n\n\r\n0\r\n\r\n").count(), 2, "{said}");
    assert!(said.ends_with("0\r\n\r\n"), "{said}");
    // Who leaves in the middle takes the call along here too.
    let mut client = connect(&scene, &authority.client(None, &["http/1.1"])).await.unwrap();
    let body = body.replace("\"m\"", "\"sim-stall\"");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    client.read_u8().await.unwrap();
    drop(client);
    scene.sims.first().unwrap().until_cancelled(1).await;
}

#[tokio::test]
async fn a_client_is_let_in_by_a_certificate_of_the_authority_and_by_no_other() {
    let Some(authority) = Authority::make() else { return };
    let scene = Setting::yaml(&authority.section(", client_ca: \"ca.pem\"")).start().await;
    for shows in [None, Some("stranger")] {
        // By the rules of TLS 1.3 the client hears of it only when it reads.
        let refused = match connect(&scene, &authority.client(shows, &["http/1.1"])).await {
            Ok(stream) => answer(&scene, stream).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "{shows:?} was let in");
    }
    assert_eq!(scene.sims.first().unwrap().calls(), 0);
    let client = authority.client(Some("client"), &["h2"]);
    let (status, ..) = answer(&scene, connect(&scene, &client).await.unwrap()).await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_file_that_is_wrong_is_one_line_with_its_setting_and_its_name() {
    let Some(authority) = Authority::make() else { return };
    let scene = Scene::new().await;
    let empty = authority.at("empty.pem");
    std::fs::write(&empty, "nothing in here").unwrap();
    let at = |name: &str| authority.at(name);
    let refusal = async |cert: &Path, key: &Path, client_ca: Option<&Path>| {
        let tls = serde_json::json!({ "cert": cert, "key": key, "client_ca": client_ca });
        let config = serde_json::json!({ "listen": "127.0.0.1:0", "tls": tls });
        let config: GatewayConfig = serde_json::from_value(config).unwrap();
        Gateway::builder(scene.inference.clone(), config).bind().await.unwrap_err().to_string()
    };
    let (cert, key) = (at("server.pem"), at("server.key"));
    for (line, setting, file) in [
        (refusal(&at("none.pem"), &key, None).await, "cert", "none.pem"),
        (refusal(&empty, &key, None).await, "cert", "empty.pem"),
        (refusal(&cert, &at("none.key"), None).await, "key", "none.key"),
        (refusal(&cert, &empty, None).await, "key", "empty.pem"),
        (refusal(&cert, &cert, None).await, "key", "server.pem"),
        // The key of somebody else.
        (refusal(&cert, &at("client.key"), None).await, "cert", "server.pem"),
        (refusal(&cert, &key, Some(&at("none.pem"))).await, "client_ca", "none.pem"),
        (refusal(&cert, &key, Some(&empty)).await, "client_ca", "empty.pem"),
    ] {
        assert!(line.contains(&format!("gateway.tls.{setting}: ")) && line.contains(file), "{line}");
        assert!(!line.contains('\n') && !line.contains("PRIVATE"), "{line}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let Some(authority) = Authority::make() else { return };
    let section = authority.section("").replace("head_timeout: 2s", "head_timeout: 100ms");
    let scene = Setting::yaml(&section).start().await;
    let mut silent = TcpStream::connect(address(&scene)).await.unwrap();
    // The gateway ends the connection; otherwise this test never ends.
    _ = silent.read_to_end(&mut Vec::new()).await;
}

/// Sends `first` and then one byte of `rest` every 10 ms, for ever, until the other side ends it; what it said.
async fn trickle(scene: &Scene, first: &str, rest: u8) -> String {
    let (mut read, mut write) = TcpStream::connect(address(scene)).await.unwrap().into_split();
    write.write_all(first.as_bytes()).await.unwrap();
    let writing = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while write.write_all(&[rest]).await.is_ok() {
            tick.tick().await;
        }
    };
    let mut said = Vec::new();
    let reading = read.read_to_end(&mut said);
    tokio::select! {
        // A reset may take away what was said last; the connection is over all the same.
        _ = reading => {}
        () = writing => {}
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_or_a_body_that_trickles_is_given_up_although_something_always_comes() {
    let scene = Setting::yaml("gateway: { head_timeout: 150ms, body_timeout: 150ms }").start().await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n";
    trickle(&scene, &format!("{head}x-slow: "), b'a').await;
    let said = trickle(&scene, &format!("{head}content-length: 100000\r\n\r\n{{"), b' ').await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408") && said.contains("body_timeout"), "{said}");
    let seen = scene.log.ended(1).await;
    assert_eq!(
        seen.iter().map(|seen| (seen.status, seen.ending)).collect::<Vec<_>>(),
        [(408, Ending::Failed("body_timeout"))]
    );
    assert_eq!(scene.sims.first().unwrap().calls(), 0);
    assert_eq!(json(scene.chat("m", false)).await.0, 200, "others are served");
}

/// More than fits between the two.
fn endless() -> Setting {
    let mut setting = Setting::yaml("gateway: { write_timeout: 150ms }");
    setting.sims = vec![Sim::builder().behaviour("endless", Behaviour::Long(60_000))];
    setting
}

#[tokio::test]
async fn a_client_that_never_reads_its_stream_is_dropped_with_its_call() {
    let scene = endless().start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(address(&scene).parse().unwrap()).await.unwrap();
    let body = r#"{"model":"endless","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    scene.sims.first().unwrap().until_cancelled(1).await;
    let seen = scene.log.ended(1).await;
    assert!(seen.iter().all(|seen| seen.ending == Ending::Left), "{seen:?}");
    drop(client);
}

/// Over HTTP/2 a client can keep one stream from flowing while the connection does well.
#[tokio::test]
async fn a_client_that_lets_nothing_of_an_http2_stream_through_is_dropped_with_its_call() {
    let scene = endless().start().await;
    let stream = TcpStream::connect(address(&scene)).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1 << 10);
    let (mut send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = send.send_request(chat(&scene, "endless", true)).await.unwrap();
    scene.sims.first().unwrap().until_cancelled(1).await;
    let seen = scene.log.ended(1).await;
    assert!(seen.iter().all(|seen| seen.ending == Ending::Left), "{seen:?}");
    // The stream is told of it, and the connection serves others.
    assert!(response.into_body().collect().await.is_err());
    let other = send.send_request(chat(&scene, "m", true)).await.unwrap();
    assert!(other.into_body().collect().await.unwrap().to_bytes().ends_with(b"data: [DONE]\n\n"));
}
