//! A real upstream on loopback: the same scripts over a socket.
//!
//! HTTP/1.1 in as few lines as will do: requests with a `content-length`, replies in chunks, connections that are used
//! again. For clients that behave; it is no server.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::playbook::Playbook;
use crate::script::{Act, Head, Script};

/// The most bytes of a request.
const LIMIT: usize = 16 << 20;

/// Plays scripts over TCP on 127.0.0.1. Dropping it closes every connection.
///
/// Needs the real clock: with a paused one, timers fire while a socket is still being read.
pub struct Upstream {
    book: Arc<Playbook>,
    address: SocketAddr,
    task: AbortHandle,
}

impl Upstream {
    /// Listens on a free port and plays `scripts`, one a request.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let book = Arc::new(Playbook::new(scripts));
        let task = tokio::spawn(accept(listener, Arc::clone(&book))).abort_handle();
        Ok(Self { book, address, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The scripts that are left, and what was asked.
    pub fn playbook(&self) -> &Arc<Playbook> {
        &self.book
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("address", &self.address)
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, book: Arc<Playbook>) {
    let mut connections = JoinSet::new(); // aborted with this task
    while let Ok((stream, _)) = listener.accept().await {
        let book = Arc::clone(&book);
        connections.spawn(async move {
            // A client that goes away in the middle is what many tests are about.
            let _ = serve(stream, book).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, book: Arc<Playbook>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let (script, watch) = book.begin(request.method, request.uri, request.headers, request.body);
        let (mut reader, mut writer) = stream.split();
        let gone = async { while reader.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {} };
        let stays = tokio::select! {
            biased;
            played = play(script, &mut writer) => played?,
            () = gone => return Ok(()),
        };
        watch.over();
        if !stays {
            break;
        }
    }
    Ok(())
}

/// Plays a script; `false` when the connection is to be closed after it.
async fn play(script: Script, writer: &mut WriteHalf<'_>) -> io::Result<bool> {
    sleep(script.after).await;
    match script.head {
        Head::Sent => {}
        Head::Never => pending().await,
        Head::Fails(_) => return Ok(false),
    }
    let status = StatusCode::from_u16(script.status).map_err(io::Error::other)?;
    let reason = status.canonical_reason().unwrap_or("as scripted");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", script.status);
    for (name, value) in &script.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let has_body = !matches!(script.status, 204 | 304);
    head.push_str(if has_body { "transfer-encoding: chunked\r\n\r\n" } else { "\r\n" });
    writer.write_all(head.as_bytes()).await?;
    for act in script.body.into_iter().filter(|_| has_body) {
        match act {
            Act::Bytes(bytes) if bytes.is_empty() => {} // an empty chunk would end the body
            Act::Bytes(bytes) => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                writer.write_all(&chunk).await?;
            }
            Act::Wait(time) => sleep(time).await,
            Act::Hang => pending().await,
            Act::Break => return Ok(false),
        }
    }
    if has_body {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    Ok(true)
}

struct Request {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The next request; `None` when the client has closed the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if buffer.len() > LIMIT || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer.split_to(end);
    buffer.advance(4);
    let mut request = parse(&head).ok_or_else(|| io::Error::other("no request head"))?;
    let length = request.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let length = length.unwrap_or(0).min(LIMIT);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.split_to(length).freeze();
    Ok(Some(request))
}

fn parse(head: &[u8]) -> Option<Request> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, uri) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    Some(Request { method, uri, headers, body: Bytes::new() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn ask(upstream: &Upstream) -> TcpStream {
        let mut client = TcpStream::connect(upstream.address).await.unwrap();
        client.write_all(b"POST /v1?x=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        client
    }

    #[tokio::test]
    async fn a_request_is_read_and_its_reply_comes_in_chunks() {
        let upstream =
            Upstream::start([Script::events(["ab", "", "c"]).after(Duration::from_millis(1))]).await.unwrap();
        let mut client = ask(&upstream).await;
        let mut reply = vec![0; 95];
        client.read_exact(&mut reply).await.unwrap();
        let expect = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&reply), expect.get(..95).unwrap());
        let seen = upstream.playbook().seen();
        assert_eq!((seen[0].uri.as_str(), &seen[0].body[..]), ("/v1?x=1", &b"hi"[..]));
        assert!(upstream.playbook().left().is_empty());
    }

    #[tokio::test]
    async fn a_client_that_closes_before_the_head_or_in_the_body_is_noticed() {
        let upstream = Upstream::start([Script::silence(), Script::events(["a"]).hang()]).await.unwrap();
        for number in 1..=2 {
            let mut client = ask(&upstream).await;
            upstream.playbook().until_seen(number).await;
            if number == 2 {
                client.read_u8().await.unwrap();
            }
            drop(client);
            upstream.playbook().until_left(number).await;
        }
        assert_eq!(upstream.playbook().left().len(), 2);
    }

    #[tokio::test]
    async fn a_break_closes_the_connection_in_the_middle_of_the_body() {
        let upstream = Upstream::start([Script::events(["abc"]).acts([Act::Break])]).await.unwrap();
        let mut reply = Vec::new();
        ask(&upstream).await.read_to_end(&mut reply).await.unwrap();
        assert!(reply.ends_with(b"3\r\nabc\r\n"), "{}", String::from_utf8_lossy(&reply));
    }
}
