//! A registry of files on loopback: a sparse index, downloads and uploads, with a fault where a test wants one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How an upload is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500, with a page that is no JSON.
    Broken,
    /// The connection closes before an answer.
    Closes,
    /// The version was uploaded before; the index does not show it until then.
    AlreadyUploaded,
}

/// Serves until it is dropped.
pub(crate) struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Lines of the index by crate.
    index: BTreeMap<String, Vec<String>>,
    /// By `name/version`.
    packages: BTreeMap<String, Vec<u8>>,
    /// Every request for an upload, whatever became of it.
    uploads: Vec<String>,
    tokens: Vec<String>,
    faults: BTreeMap<String, Fault>,
    is_closed: bool,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().unwrap().is_closed {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, address, &shared));
            }
        });
        Self { address, state }
    }

    /// As cargo's settings name it.
    pub(crate) fn index(&self) -> String {
        format!("sparse+http://{}/", self.address)
    }

    pub(crate) fn fail(&self, krate: &str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(krate.to_owned(), fault);
    }

    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// The crates whose upload was asked for since the last call, in order.
    pub(crate) fn uploads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().uploads)
    }

    /// `name version` of all that is in the index, sorted.
    pub(crate) fn known(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let lines = state.index.values().flatten().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| format!("{} {}", line["name"].as_str().unwrap(), line["vers"].as_str().unwrap()))
            .collect()
    }

    /// The authorizations uploads came with.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().tokens.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.state.lock().unwrap().is_closed = true;
        drop(TcpStream::connect(self.address)); // wakes the listener, which then ends
    }
}

/// One request, one answer, one connection.
fn serve(stream: &TcpStream, address: SocketAddr, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => value.clone_into(&mut token),
            "expect" => (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let answer = match (method, path) {
        ("GET", _) => Some(read(path, address, &state.lock().unwrap())),
        ("PUT", "/api/v1/crates/new") => upload(&body, token, &mut state.lock().unwrap()),
        _ => Some((405, Vec::new())),
    };
    let Some((status, body)) = answer else { return };
    let head = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    (&mut &*stream).write_all(&[head.into_bytes(), body].concat()).unwrap();
}

fn read(path: &str, address: SocketAddr, state: &State) -> (u16, Vec<u8>) {
    if path == "/config.json" {
        let config = json!({
            "dl": format!("http://{address}/packages/{{crate}}/{{version}}"),
            "api": format!("http://{address}"),
        });
        return (200, config.to_string().into_bytes());
    }
    if let Some(package) = path.strip_prefix("/packages/").and_then(|package| state.packages.get(package)) {
        return (200, package.clone());
    }
    let lines = path.rsplit('/').next().and_then(|krate| state.index.get(krate));
    lines.map_or((404, Vec::new()), |lines| (200, lines.join("\n").into_bytes()))
}

/// None closes the connection without an answer.
fn upload(body: &[u8], token: String, state: &mut State) -> Option<(u16, Vec<u8>)> {
    let (metadata, package) = parts(body);
    let name = metadata["name"].as_str().unwrap().to_owned();
    state.uploads.push(name.clone());
    state.tokens.push(token);
    match state.faults.get(&name) {
        Some(Fault::Broken) => return Some((500, b"<html>out of order</html>".to_vec())),
        Some(Fault::Closes) => return None,
        Some(Fault::AlreadyUploaded) | None => {}
    }
    let version = metadata["vers"].as_str().unwrap().to_owned();
    state.packages.insert(format!("{name}/{version}"), package.to_vec());
    state.index.entry(name.clone()).or_default().push(line(&metadata, package));
    let answer = match state.faults.get(&name) {
        Some(_) => {
            json!({ "errors": [{ "detail": format!("crate version `{version}` is already uploaded") }] })
        }
        None => json!({}),
    };
    Some((200, answer.to_string().into_bytes()))
}

/// An upload is a length and metadata, a length and the package.
fn parts(body: &[u8]) -> (Value, &[u8]) {
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let end = 4 + length(0);
    let package = &body[end + 4..];
    assert_eq!(package.len(), length(end), "an upload of two parts");
    (serde_json::from_slice(&body[4..end]).unwrap(), package)
}

/// The index's line: what was uploaded, with other names for the requirement.
fn line(metadata: &Value, package: &[u8]) -> String {
    let dependencies = metadata["deps"].as_array().unwrap().iter().map(|dependency| {
        let mut dependency = dependency.clone();
        dependency["req"] = dependency["version_req"].take();
        dependency
    });
    json!({
        "name": metadata["name"], "vers": metadata["vers"], "features": metadata["features"], "yanked": false,
        "deps": dependencies.collect::<Vec<_>>(), "cksum": sha256(package),
    })
    .to_string()
}

/// In lower-case hexadecimal digits, as an index wants it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
