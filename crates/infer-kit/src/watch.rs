//! Notices that the file or one that it names changed, or that somebody asks for a reload by SIGHUP.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use infer_core::InferenceError;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Source;
use crate::inference::{Inference, Inner};
use crate::plan::Plan;

/// How long a file must be quiet before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// How long that is waited for: other files of a directory may never be quiet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reloads while it lives. Dropping it ends that; a reload that has begun ends with it and changes nothing.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    task: JoinHandle<()>,
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
        let plan = &inference.inner.plan;
        let Some(path) = plan.file.clone() else {
            return Err(InferenceError::config("there is no file to watch: build from a file"));
        };
        // One place is enough: what counts is that something happened, not how often.
        let (tell, changes) = mpsc::channel(1);
        let cannot = |error: notify::Error| {
            InferenceError::config(format!("{} cannot be watched: {error}", path.display()))
        };
        let notify = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                // Full means that a change is noted already; closed, that nobody waits any more.
                let _ = tell.try_send(());
            }
        })
        .map_err(cannot)?;
        let mut watched = Watched { watcher: notify, directories: BTreeSet::new() };
        watched.add(&path).map_err(cannot)?;
        watched.follow(&Files::of(plan, &path));
        // What changes from here on is noticed.
        let files = Files::of(plan, &path);
        let hangups = Hangups::new()?;
        // It does not keep alive what it reloads.
        let inner = Arc::downgrade(&inference.inner);
        let task = tokio::spawn(run(inner, path, changes, hangups, watched, files));
        Ok(Self { task })
    }
}

/// The directories that are watched. Its own thread ends when it is dropped.
struct Watched {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
}

impl Watched {
    fn add(&mut self, file: &Path) -> notify::Result<()> {
        for directory in directories(file) {
            if !self.directories.contains(&directory) {
                self.watcher.watch(&directory, RecursiveMode::NonRecursive)?;
                self.directories.insert(directory);
            }
        }
        Ok(())
    }

    /// Watches what `files` are now, and nothing else.
    fn follow(&mut self, files: &Files) {
        let wanted: BTreeSet<_> = files.paths.iter().flat_map(|path| directories(path)).collect();
        let idle: Vec<_> = self.directories.difference(&wanted).cloned().collect();
        for directory in idle {
            // One that is gone is not watched any more either.
            let _ = self.watcher.unwatch(&directory);
            self.directories.remove(&directory);
        }
        for path in &files.paths {
            if let Err(error) = self.add(path) {
                tracing::warn!(path = %path.display(), %error, "file not watched: changes to it need a SIGHUP");
            }
        }
    }
}

/// The file and those that it names, as they are now.
struct Files {
    paths: BTreeSet<PathBuf>,
    /// Changes with what any of them holds.
    digest: blake3::Hash,
}

impl Files {
    fn of(plan: &Plan, path: &Path) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut paths = BTreeSet::from([path.to_owned()]);
        if let Ok(source) = Source::file(path) {
            hasher.update(source.digest().as_bytes());
            for (named, digest) in source.files(&*plan.around) {
                hasher.update(named.as_os_str().as_encoded_bytes());
                // Marks a file that is not there.
                hasher.update(digest.as_ref().map_or(&[0], |digest| digest.as_bytes()));
                paths.insert(named);
            }
        }
        Self { paths, digest: hasher.finalize() }
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
    mut watched: Watched,
    mut seen: Files,
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
            let quiet = async { while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {} };
            let _ = timeout(PATIENCE, quiet).await;
        }
        let Some(inner) = inner.upgrade() else { return };
        let now = Files::of(&inner.plan, &path);
        watched.follow(&now);
        // Other files of the directories change too.
        let is_same = now.digest == seen.digest;
        seen = now;
        if is_same && !is_asked {
            continue;
        }
        // Logged and told to the listener there.
        let _ = Inference { inner }.reload().await;
    }
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
