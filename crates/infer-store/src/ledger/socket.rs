//! Questions of other processes: whoever holds a ledger answers them on a socket beside its file.
//!
//! A thread of its own waits for them, whether or not the process has a runtime.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufWriter};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::lines::{self, MAX_LINE};
use super::query::{self, Query, Report};
use super::shared::Shared;
use crate::StoreError;

const NAME: &str = "ledger.sock";
/// Questions answered at a time; the next waits.
const MAX_ASKERS: usize = 8;
/// How long one question may take, from when it is heard until its answer is read.
const MAX_TIME: Duration = Duration::from_secs(30);
/// How long to ask.
const MAX_ASKING: Duration = Duration::from_secs(5);
/// Before listening again after that failed.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers questions until dropped; its file is gone then.
#[derive(Debug)]
pub(super) struct QuerySocket {
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl QuerySocket {
    /// Listens in `directory`, which nobody else holds: a socket that is there was left by a process that died.
    pub(super) fn open(directory: &Path, shared: Arc<Shared>) -> io::Result<Self> {
        let path = directory.join(NAME);
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = mpsc::channel();
        let at = path.clone();
        let thread = std::thread::Builder::new().name("infer-ledger-ask".to_owned()).spawn(move || {
            let opened = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| Ok((listen(&at, &runtime)?, runtime)));
            let (result, serving) = match opened {
                Ok(serving) => (Ok(()), Some(serving)),
                Err(error) => (Err(error), None),
            };
            // Whoever opens it waits for this.
            let _ = ready.send(result);
            if let Some((listener, runtime)) = serving {
                runtime.block_on(serve(&listener, &shared, stopped));
            }
        })?;
        opened.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { path, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for QuerySocket {
    fn drop(&mut self) {
        // While the directory is still held, so that the file is never another process's.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "ledger: the socket is gone already");
        }
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("ledger: the thread that answers questions has panicked");
        }
    }
}

/// Only the user of this process may ask from the first moment on: rights come before listening.
fn listen(path: &Path, runtime: &tokio::runtime::Runtime) -> io::Result<UnixListener> {
    let _inside = runtime.enter();
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(_) => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(64)
}

async fn serve(listener: &UnixListener, shared: &Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let mut askers = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            Some(_) = askers.join_next() => {}
            heard = listener.accept(), if askers.len() < MAX_ASKERS => match heard {
                Ok((stream, _)) => {
                    let shared = Arc::clone(shared);
                    askers.spawn(async move {
                        if !matches!(tokio::time::timeout(MAX_TIME, reply(stream, &shared)).await, Ok(Ok(()))) {
                            tracing::debug!("ledger: a question was left");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "ledger: no question can be heard");
                    tokio::time::sleep(AGAIN).await;
                }
            },
        }
    }
}

async fn reply(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (asking, answering) = stream.split();
    let mut line = Vec::new();
    let mut asking = tokio::io::BufReader::new(asking.take(MAX_LINE as u64));
    tokio::time::timeout(MAX_ASKING, asking.read_until(b'\n', &mut line)).await??;
    let report = lines::read_question(&line)
        .and_then(|query| query::answer(shared, &query).map_err(|error| error.to_string()));
    let mut out = BufWriter::with_capacity(MAX_LINE, answering);
    for line in lines::answer(report) {
        out.write_all(&line).await?;
    }
    out.flush().await
}

/// Asks whoever holds the ledger in `directory`; `None` when nobody listens there.
pub(super) fn ask(directory: &Path, query: &Query) -> Option<Result<Report, StoreError>> {
    let path = directory.join(NAME);
    // A path that is too long for a socket is one where nobody listens.
    let quiet = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::InvalidInput];
    let stream = match BlockingStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if quiet.contains(&error.kind()) => return None,
        Err(error) => return Some(Err(StoreError::io(&path, &error))),
    };
    let fault = |detail: String| StoreError::Io { path: path.clone(), detail };
    Some(asked(stream, query).unwrap_or_else(|error| Err(error.to_string())).map_err(fault))
}

fn asked(mut stream: BlockingStream, query: &Query) -> io::Result<Result<Report, String>> {
    stream.set_write_timeout(Some(MAX_ASKING))?;
    stream.set_read_timeout(Some(MAX_TIME))?;
    stream.write_all(&lines::question(query))?;
    let (mut stream, mut line) = (BufReader::new(stream), Vec::new());
    let mut answer = lines::Answer::default();
    loop {
        line.clear();
        stream.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut off"));
        }
        match answer.take(&line) {
            Ok(None) => {}
            Ok(Some(report)) => return Ok(Ok(report)),
            Err(what) => return Ok(Err(what)),
        }
    }
}
