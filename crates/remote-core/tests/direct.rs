//! Plain HTTP straight from the socket: connections are kept, given up and closed when they should be.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::{Stream as _, StreamExt as _};
use http::{Request, Response};
use remote_core::config::{NetworkConfig, TimeoutConfig};
use remote_core::{HttpTransport, Transport, TransportBody, TransportFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Upstream(TcpListener);

impl Upstream {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/v1/chat?k=v", self.0.local_addr().unwrap())
    }

    async fn accept(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }
}

fn transport() -> HttpTransport {
    HttpTransport::new(&TimeoutConfig::default(), true).unwrap()
}

fn request(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"{\"a\":1}")).unwrap()
}

/// Reads one request, whose body is that of [`request`].
async fn asked(socket: &mut TcpStream) -> String {
    let mut received = Vec::new();
    while !received.ends_with(b"{\"a\":1}") {
        assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0, "{}", received.escape_ascii());
    }
    String::from_utf8(received).unwrap()
}

async fn whole(response: Response<TransportBody>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(data) = body.next().await {
        text.extend_from_slice(&data.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Whether the other side has closed `socket`.
async fn is_closed(socket: &mut TcpStream) -> bool {
    matches!(socket.read(&mut [0; 64]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection_and_say_what_they_must() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let answers = async {
        let mut socket = upstream.accept().await;
        let first = asked(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst").await.unwrap();
        let second = asked(&mut socket).await;
        let chunks =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n";
        socket.write_all(chunks).await.unwrap();
        asked(&mut socket).await;
        socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert_eq!(first, second);
        first.to_ascii_lowercase()
    };
    let calls = async {
        assert_eq!(whole(transport.send(request(&url)).await.unwrap()).await, "first");
        assert_eq!(whole(transport.send(request(&url)).await.unwrap()).await, "second");
        let third = transport.send(request(&url)).await.unwrap();
        assert_eq!(third.status(), 404);
        assert_eq!(whole(third).await, "");
    };
    let (said, ()) = tokio::join!(answers, calls);
    let host = format!("host: {}", upstream.0.local_addr().unwrap());
    assert!(said.starts_with("post /v1/chat?k=v http/1.1\r\n"), "{said}");
    for line in [host.as_str(), "content-length: 7", "accept: */*", "user-agent: infer/"] {
        assert!(said.contains(&format!("\r\n{line}")), "{line} is missing: {said}");
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_while_it_waited_is_not_used_again() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    for _ in 0..3 {
        let answer = async {
            let mut socket = upstream.accept().await;
            asked(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            socket
        };
        let call = async { whole(transport.send(request(&url)).await.unwrap()).await };
        let (socket, said) = tokio::join!(answer, call);
        assert_eq!(said, "ok");
        drop(socket);
        // The runtime hears of the close before anything that is asked of it later.
        drop(TcpStream::connect(Upstream::new().await.0.local_addr().unwrap()).await.unwrap());
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_on_closes_its_connection() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let response = async {
        let mut response = transport.send(request(&url)).await.unwrap();
        assert_eq!(response.body_mut().next().await.unwrap().unwrap(), "x");
    };
    let answer = async {
        let mut socket = upstream.accept().await;
        asked(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await.unwrap();
        is_closed(&mut socket).await
    };
    let ((), closed) = tokio::join!(response, answer);
    assert!(closed);
}

#[tokio::test]
async fn a_call_that_is_given_up_before_the_head_closes_its_connection() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let mut call = Box::pin(transport.send(request(&url)));
    let mut socket = tokio::select! {
        _ = &mut call => panic!("nobody answered"),
        socket = async {
            let mut socket = upstream.accept().await;
            asked(&mut socket).await;
            socket
        } => socket,
    };
    drop(call);
    assert!(is_closed(&mut socket).await);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_an_end() {
    for head in ["content-length: 9", "transfer-encoding: chunked"] {
        let (upstream, transport) = (Upstream::new().await, transport());
        let url = upstream.url();
        let answer = async {
            let mut socket = upstream.accept().await;
            asked(&mut socket).await;
            let part = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n2\r\nab\r\n");
            socket.write_all(part.as_bytes()).await.unwrap();
        };
        let call = async {
            let mut body = transport.send(request(&url)).await.unwrap().into_body();
            loop {
                match body.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error.fault,
                    None => panic!("a broken answer looks whole: {head}"),
                }
            }
        };
        let ((), fault) = tokio::join!(answer, call);
        assert_eq!(fault, TransportFault::Body, "{head}");
    }
}

#[tokio::test]
async fn chunks_that_arrived_together_are_there_without_waiting() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let answer = async {
        let mut socket = upstream.accept().await;
        asked(&mut socket).await;
        let events = "5\r\nevent\r\n".repeat(50);
        let all = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{events}0\r\n\r\n");
        socket.write_all(all.as_bytes()).await.unwrap();
        socket
    };
    let call = async {
        let mut body = transport.send(request(&url)).await.unwrap().into_body();
        let mut there = 0;
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut body).poll_next(cx) {
                    Poll::Ready(Some(Ok(data))) => there += data.len() / 5,
                    // The first read brings what stood in the socket; everything of it must come in this turn.
                    Poll::Pending if there == 0 => return Poll::Pending,
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
        there
    };
    let (_socket, there) = tokio::join!(answer, call);
    assert_eq!(there, 50);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_takes_is_closed_in_the_end() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let answer = async {
        let mut socket = upstream.accept().await;
        asked(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        is_closed(&mut socket).await
    };
    let call = async { whole(transport.send(request(&url)).await.unwrap()).await };
    // The clock is paused, so it jumps to the end of the wait as soon as there is nothing else to do.
    let (closed, said) = tokio::join!(answer, call);
    assert_eq!(said, "ok");
    assert!(closed);
}

/// One exchange: what the call gives, or why it gives nothing, where the upstream says `parts` one after the other and closes
/// the connection if it `ends`; and whether the connection was closed on our side.
async fn exchange(parts: &[&[u8]], ends: bool) -> (Result<(u16, String), TransportFault>, bool) {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let answer = async {
        let mut socket = upstream.accept().await;
        asked(&mut socket).await;
        for part in parts {
            // Gone already where what came before was refused.
            if socket.write_all(part).await.is_err() {
                return true;
            }
            tokio::task::yield_now().await;
        }
        if ends {
            return true;
        }
        tokio::select! {
            biased;
            closed = is_closed(&mut socket) => closed,
            // A connection that is kept is used for this.
            _ = transport.send(request(&url)) => false,
            () = async {
                upstream.accept().await;
                std::future::pending::<()>().await;
            } => false,
        }
    };
    let call = async {
        let response = transport.send(request(&url)).await.map_err(|error| error.fault)?;
        let (status, mut body) = (response.status().as_u16(), response.into_body());
        let mut text = Vec::new();
        while let Some(data) = body.next().await {
            text.extend_from_slice(&data.map_err(|error| error.fault)?);
        }
        Ok((status, String::from_utf8(text).unwrap()))
    };
    let (closed, said) = tokio::join!(answer, call);
    (said, closed)
}

#[tokio::test]
async fn a_head_and_a_body_may_come_in_any_pieces() {
    let all: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=y\r\nhello\r\n6\r\n world\r\n0\r\ntrailer: t\r\n\r\n";
    for size in [1, 2, 3, 7, 20, 1_000] {
        let parts: Vec<&[u8]> = all.chunks(size).collect();
        let (said, closed) = exchange(&parts, true).await;
        assert_eq!((said, closed), (Ok((201, "hello world".to_owned())), true), "{size}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let (said, _) = exchange(&[b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], true).await;
    assert_eq!(said, Ok((200, "hello".to_owned())));
}

#[tokio::test]
async fn a_connection_that_says_so_or_says_too_much_is_not_used_again() {
    for (answer, text) in [
        ("connection: close\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nsmuggled", "ok"),
        ("content-length: 0\r\n\r\nx", ""),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore", "ok"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        let (said, closed) = exchange(&[answer.as_bytes()], false).await;
        assert_eq!((said, closed), (Ok((200, text.to_owned())), true), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_has_no_end_of_its_head_is_refused_in_time() {
    use infer_core::TransportKind;
    let line = [b"a: ", vec![b'b'; 60_000].as_slice(), b"\r\n"].concat();
    let parts: [&[u8]; 4] = [b"HTTP/1.1 200 OK\r\n", &line, &line, &line];
    let (said, closed) = exchange(&parts, false).await;
    assert_eq!((said, closed), (Err(TransportFault::Before(TransportKind::Protocol)), true));
}

#[tokio::test]
async fn a_body_that_is_no_body_is_an_error_of_the_body_however_early_it_came() {
    for parts in [
        &[&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"[..]][..],
        &[&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"[..], b"nonsense\r\n"],
    ] {
        let (said, closed) = exchange(parts, false).await;
        assert_eq!((said, closed), (Err(TransportFault::Body), true));
    }
}

#[tokio::test]
async fn an_answer_may_come_before_its_request_was_sent_and_large_bodies_go_whole_both_ways() {
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let large: Vec<u8> =
        (0..16_u32 << 20).map(|byte| byte.to_le_bytes()[0] ^ byte.to_le_bytes()[1]).collect();
    let answer = async {
        let mut socket = upstream.accept().await;
        // Refused before it is read; what is sent of it then is thrown away.
        socket.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch").await.unwrap();
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await.ok();
        let mut socket = upstream.accept().await;
        let mut received = Vec::new();
        while !received.ends_with(&large[large.len() - 100..]) {
            assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&large).await.unwrap();
        received
    };
    let call = async {
        let request = || Request::post(&url).body(Bytes::from(large.clone())).unwrap();
        let refused = transport.send(request()).await.unwrap();
        assert_eq!((refused.status().as_u16(), whole(refused).await.as_str()), (413, "much"));
        let mut body = transport.send(request()).await.unwrap().into_body();
        let mut received = Vec::new();
        while let Some(data) = body.next().await {
            received.extend_from_slice(&data.unwrap());
        }
        received
    };
    let (asked, said) = tokio::join!(answer, call);
    assert!(asked.ends_with(&large) && said == large);
}

/// What a server is asked when it is a proxy: the whole address.
#[tokio::test]
async fn a_proxy_is_asked_where_one_is_set_and_not_otherwise() {
    let proxy = Upstream::new().await;
    let network = NetworkConfig {
        proxy: Some(format!("http://{}", proxy.0.local_addr().unwrap())),
        ..NetworkConfig::default()
    };
    let transport = HttpTransport::by(&TimeoutConfig::default(), &network, false).unwrap();
    let answer = async {
        let mut socket = proxy.accept().await;
        let asked = asked(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        asked
    };
    let call =
        async { whole(transport.send(request("http://upstream.example/v1/chat")).await.unwrap()).await };
    let (asked, said) = tokio::join!(answer, call);
    assert_eq!(said, "ok");
    assert!(asked.starts_with("POST http://upstream.example/v1/chat HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn an_address_without_a_listener_and_an_answer_that_is_none_are_told_apart() {
    use infer_core::TransportKind;
    let (upstream, transport) = (Upstream::new().await, transport());
    let url = upstream.url();
    let nonsense = async {
        let mut socket = upstream.accept().await;
        asked(&mut socket).await;
        socket.write_all(b"SSH-2.0-nonsense\r\n\r\n").await.unwrap();
        socket
    };
    let (_socket, refused) = tokio::join!(nonsense, transport.send(request(&url)));
    let mut faults = BTreeMap::from([("nonsense", refused.err().unwrap().fault)]);
    drop(upstream);
    faults.insert("nobody", transport.send(request(&url)).await.err().unwrap().fault);
    let far = transport.send(request("http://name.invalid/")).await;
    faults.insert("no name", far.err().unwrap().fault);
    let expected = [
        ("no name", TransportFault::Before(TransportKind::Dns)),
        ("nobody", TransportFault::Before(TransportKind::Connect)),
        ("nonsense", TransportFault::Before(TransportKind::Protocol)),
    ];
    assert_eq!(faults, BTreeMap::from(expected));
}
