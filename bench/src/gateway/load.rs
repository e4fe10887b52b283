//! Asks: requests made beforehand, written to bare sockets, and answers read no further than to see that they are whole.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::measure::now;
use crate::payload::{PACE, Route};

/// How many connections are made at once.
const AT_ONCE: usize = 100;

/// Asks for a stream, and for its usage as careful clients do.
const STREAMS: &str = ",\"stream\":true,\"stream_options\":{\"include_usage\":true}";

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    pub(crate) route: Route,
    pub(crate) prompt_bytes: usize,
    pub(crate) key: &'a str,
}

/// One request, to be sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    address: SocketAddr,
    request: Bytes,
    route: Route,
}

impl Asker {
    /// Whoever listens at `port` is asked.
    pub(crate) fn new(port: u16, ask: &Ask<'_>) -> Self {
        let streams = if ask.route == Route::Unary { "" } else { STREAMS };
        let prompt = "How does a stream end? ".repeat(ask.prompt_bytes / 23 + 1);
        let (prompt, _) = prompt.split_at(ask.prompt_bytes);
        let body = format!(
            "{{\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]{streams}}}",
            ask.route.name()
        );
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: infer-bench\r\naccept: */*\r\n\
             authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            ask.path,
            ask.key,
            body.len()
        );
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), request: request.into(), route: ask.route }
    }

    /// So many connections, each of which has been used once.
    pub(crate) async fn connections(&self, count: usize) -> Result<Vec<Connection>> {
        let warm = if self.route == Route::Paced { None } else { Some(self) };
        try_join_all((0..count).map(|_| async move {
            let mut connection = self.connect().await?;
            if let Some(asker) = warm {
                connection.ask(asker).await?;
            }
            Ok(connection)
        }))
        .await
    }

    /// So many streams that have begun and do not end.
    pub(crate) async fn open_streams(&self, count: usize) -> Result<Vec<Connection>> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let more = (0..AT_ONCE.min(count - streams.len())).map(|_| async {
                let mut connection = self.connect().await?;
                connection.begin(self).await?;
                Ok::<_, anyhow::Error>(connection)
            });
            streams.extend(try_join_all(more).await?);
        }
        Ok(streams)
    }

    async fn connect(&self) -> Result<Connection> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(Connection { socket, received: Vec::with_capacity(16 << 10) })
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Asks and reads the whole answer.
    async fn ask(&mut self, asker: &Asker) -> Result<()> {
        self.socket.write_all(&asker.request).await?;
        self.received.clear();
        let (head, length) = loop {
            self.more().await?;
            if let Some(head) = head(&self.received)? {
                break head;
            }
        };
        match length {
            Some(length) => {
                while self.received.len() < head + length {
                    self.more().await?;
                }
            }
            None => {
                while !self.received.ends_with(b"0\r\n\r\n") {
                    self.more().await?;
                }
            }
        }
        if asker.route != Route::Unary {
            let body = self.received.get(head..).unwrap_or_default();
            let events = unchunked(body).windows(6).filter(|six| six == b"data: ").count();
            let expected = asker.route.events() + 1;
            ensure!(events == expected, "{events} events came, not {expected}");
        }
        Ok(())
    }

    /// Asks and reads until the first event has come.
    async fn begin(&mut self, asker: &Asker) -> Result<()> {
        self.socket.write_all(&asker.request).await?;
        while !self.received.windows(9).any(|nine| nine == b"\"content\"") {
            self.more().await?;
            head(&self.received)?;
        }
        // What stays open is not this process's to pay for.
        self.received = Vec::new();
        Ok(())
    }

    async fn more(&mut self) -> Result<()> {
        ensure!(self.socket.read_buf(&mut self.received).await? > 0, "the connection was closed early");
        Ok(())
    }
}

/// A chunked body without its chunks: nginx ends them where its buffer ends, in the middle of an event.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len());
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let (size, rest) = body.split_at(end);
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(data) = size.and_then(|size| rest.get(2..2 + size)) else { break };
        whole.extend_from_slice(data);
        body = rest.get(data.len() + 4..).unwrap_or_default();
    }
    whole
}

/// The length of the head and of the body where it is told; `None` while the head is not whole.
fn head(received: &[u8]) -> Result<Option<(usize, Option<usize>)>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(received.get(..end).unwrap_or_default())?;
    if !text.starts_with("HTTP/1.1 200") {
        bail!("asked and was refused: {}", String::from_utf8_lossy(received));
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok(Some((end + 4, length)))
}

/// Every connection asks as soon as it has its answer, until all have asked `requests` times.
pub(crate) async fn closed_loop(
    asker: &Asker,
    connections: &mut [Connection],
    requests: usize,
) -> Result<()> {
    let share = requests / connections.len().max(1);
    // Streams that are paced do not all begin at once, so that their events do not all come at once.
    let apart = match asker.route {
        Route::Paced => PACE / u32::try_from(connections.len().max(1))?,
        _ => Duration::ZERO,
    };
    let turns = connections.iter_mut().zip(0..).map(|(connection, nth): (_, u32)| async move {
        if !apart.is_zero() {
            tokio::time::sleep(apart * nth).await;
        }
        for _ in 0..share {
            connection.ask(asker).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    try_join_all(turns).await?;
    Ok(())
}

/// `rate` requests a second, whether or not those before are answered; gives how long each took.
pub(crate) async fn open_loop(asker: &Asker, rate: u32, requests: usize) -> Result<Vec<Duration>> {
    let mut idle = asker.connections(64).await?;
    let (done, mut answered) = mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut times = Vec::with_capacity(requests);
    let mut back = |answered: Result<(Connection, Duration)>, idle: &mut Vec<Connection>| -> Result<()> {
        let (connection, time) = answered?;
        idle.push(connection);
        times.push(time);
        Ok(())
    };
    for _ in 0..requests {
        ticks.tick().await;
        while let Ok(answered) = answered.try_recv() {
            back(answered, &mut idle)?;
        }
        let mut connection = match idle.pop() {
            Some(connection) => connection,
            None => asker.connect().await?,
        };
        let (asker, done) = (asker.clone(), done.clone());
        tokio::spawn(async move {
            let started = now();
            let outcome = connection.ask(&asker).await;
            // Who waits for it may have failed already.
            _ = done.send(outcome.map(|()| (connection, started.elapsed())));
        });
    }
    drop(done);
    while let Some(answered) = answered.recv().await {
        back(answered, &mut idle)?;
    }
    Ok(times)
}

/// One request after the other; gives how long each took.
pub(crate) async fn one_by_one(asker: &Asker, requests: usize) -> Result<Vec<Duration>> {
    let mut connection = asker.connections(1).await?.pop().context("there is no connection")?;
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = now();
        connection.ask(asker).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_by_its_head_and_a_refusal_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(whole).unwrap(), Some((whole.len() - 2, Some(2))));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n").unwrap(), Some((25, None)));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\na: b\r\n").unwrap(), None);
        assert!(head(b"HTTP/1.1 401 No\r\n\r\n").is_err());
    }

    #[test]
    fn a_chunk_that_ends_within_a_word_takes_nothing_from_it() {
        assert_eq!(
            unchunked(b"3\r\nda\n\r\n4\r\ndata\r\nA\r\n: 12345678\r\n0\r\n\r\n"),
            b"da\ndata: 12345678"
        );
        assert_eq!(unchunked(b"zz"), b"");
    }

    #[test]
    fn a_request_holds_a_prompt_of_the_length_asked_for() {
        let ask = Ask { path: "/v1", route: Route::Unary, prompt_bytes: 400, key: "k" };
        let request = String::from_utf8(Asker::new(1, &ask).request.to_vec()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["messages"][0]["content"].as_str().unwrap().len(), 400);
    }
}
