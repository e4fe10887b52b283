//! The server: a process of its own that answers every request with bytes made beforehand.
//!
//! It does as little as a server can, so that the clients are what is measured: no HTTP library, one thread. It ends when its standard input does, so it never outlives the program that started it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::payload::{PACE, Route};

/// The argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "--server";

/// The server as a child process; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    port: u16,
}

impl Server {
    /// Starts this program again as the server.
    pub(crate) fn start() -> Result<Self> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server cannot be started")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().context("the server did not say its port")?;
        Ok(Self { child, stdin, port })
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The base URL under which `route` is answered.
    pub(crate) fn base(&self, route: Route) -> String {
        format!("http://127.0.0.1:{}/{}/v1", self.port, route.name())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends.
pub(crate) fn run() -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let answers: &[(Route, Vec<Bytes>)] = Vec::from(Route::ALL.map(|route| (route, route.writes()))).leak();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        loop {
            let (socket, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A client that leaves early is no fault of the server.
                let _ = serve(socket, answers).await;
            });
        }
    })
}

async fn serve(mut socket: TcpStream, answers: &[(Route, Vec<Bytes>)]) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut received = Vec::with_capacity(16 << 10);
    while let Some((path, length)) = read_request(&mut socket, &mut received).await? {
        received.drain(..length);
        let found = answers.iter().find(|(route, _)| path.split('/').nth(1) == Some(route.name()));
        let (route, writes) = found.context("no such route")?;
        for write in writes {
            socket.write_all(write).await?;
            match route {
                Route::Flushed => tokio::task::yield_now().await, // lets the reader in: few events meet on the way
                Route::Paced => tokio::time::sleep(PACE).await,
                _ => {}
            }
        }
        if *route == Route::Silent {
            let _ = socket.read(&mut [0]).await;
            break;
        }
    }
    Ok(())
}

/// The path of the next request and its length, body included; `None` when the client is gone.
async fn read_request(socket: &mut TcpStream, received: &mut Vec<u8>) -> Result<Option<(String, usize)>> {
    loop {
        if let Some(request) = whole_request(received) {
            return Ok(Some(request));
        }
        if socket.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

fn whole_request(received: &[u8]) -> Option<(String, usize)> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(received.get(..end)?).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = end + length.unwrap_or(0);
    (received.len() >= whole).then_some((path, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_once_its_body_is_there() {
        let request = b"POST /unary/v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole_request(&request[..request.len() - 1]), None);
        let (path, length) = whole_request(request).unwrap();
        assert_eq!((path.as_str(), length), ("/unary/v1/chat/completions", request.len()));
    }
}
