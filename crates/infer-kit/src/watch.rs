//! Notices that the file changed, or that somebody asks for a reload by SIGHUP.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use infer_core::InferenceError;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Source;
use crate::inference::{Inference, Inner};

/// How long a file must be quiet before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// Reloads while it lives. Dropping it ends that; a reload that has begun ends with it and changes nothing.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    task: JoinHandle<()>,
    /// Ends its own thread when dropped.
    _files: notify::RecommendedWatcher,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn begin(inference: &Inference) -> Result<Self, InferenceError> {
        let Some(path) = inference.inner.plan.file.clone() else {
            return Err(InferenceError::config("there is no file to watch: build from a file"));
        };
        // One place is enough: what counts is that something happened, not how often.
        let (tell, changes) = mpsc::channel(1);
        let cannot = |error: notify::Error| {
            InferenceError::config(format!("{} cannot be watched: {error}", path.display()))
        };
        let mut files = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                // Full means that a change is noted already; closed, that nobody waits any more.
                let _ = tell.try_send(());
            }
        })
        .map_err(cannot)?;
        for directory in directories(&path) {
            files.watch(&directory, RecursiveMode::NonRecursive).map_err(cannot)?;
        }
        let seen = digest(&path);
        let hangups = Hangups::new()?;
        // It does not keep alive what it reloads.
        let inner = std::sync::Arc::downgrade(&inference.inner);
        let task = tokio::spawn(run(inner, path, changes, hangups, seen));
        Ok(Self { task, _files: files })
    }
}

/// The file's directory, since editors replace files instead of writing them, and that of the file a link leads to.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut found = vec![parent(path)];
    if let Ok(real) = path.canonicalize()
        && found.iter().all(|known| known.canonicalize().ok() != real.parent().map(Path::to_owned))
    {
        found.push(parent(&real));
    }
    found
}

async fn run(
    inner: Weak<Inner>,
    path: PathBuf,
    mut changes: mpsc::Receiver<()>,
    mut hangups: Hangups,
    mut seen: Option<blake3::Hash>,
) {
    loop {
        let is_asked = tokio::select! {
            change = changes.recv() => match change {
                Some(()) => false,
                None => return,
            },
            () = hangups.next() => true,
        };
        if !is_asked {
            while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
            // Other files of the directory change too.
            let now = digest(&path);
            if now == seen {
                continue;
            }
            seen = now;
        }
        let Some(inner) = inner.upgrade() else { return };
        // Logged and told to the listener there.
        let _ = Inference { inner }.reload().await;
    }
}

/// A digest of the file's text; none while there is no such file.
fn digest(path: &Path) -> Option<blake3::Hash> {
    Source::file(path).ok().map(|source| source.digest())
}

/// SIGHUP, where there is such a thing.
struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    fn new() -> Result<Self, InferenceError> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .map_err(|error| InferenceError::config(format!("SIGHUP cannot be received: {error}")))?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}
