//! A key in a file that somebody else replaces.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use infer_core::InferenceError;

use super::{Credential, CredentialSource, SecretRef};

/// Reads a key from a file, and again when its time of change or its length differs or the key was refused.
///
/// The file is looked at every 30 s rather than watched: notifications miss mounted secrets and network drives.
#[derive(Clone, Debug)]
pub struct FileSource {
    path: PathBuf,
    every: Duration,
}

impl FileSource {
    /// The file at `path`, which holds the key and nothing else; white space around it does not count.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), every: Duration::from_secs(30) }
    }

    /// Looks at the file this often, at most once a second.
    #[must_use]
    pub fn with_poll_interval(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }
}

#[async_trait]
impl CredentialSource for FileSource {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let place = SecretRef::file(&self.path);
        let read = tokio::task::spawn_blocking(move || place.resolve()).await;
        let secret = read.map_err(|_| InferenceError::config("reading the key was interrupted"))??;
        Ok(Credential::from(secret))
    }

    fn poll_every(&self) -> Option<Duration> {
        Some(self.every)
    }

    async fn version(&self) -> u64 {
        let Ok(known) = tokio::fs::metadata(&self.path).await else { return 0 };
        let mut hasher = DefaultHasher::new();
        (known.len(), known.modified().ok()).hash(&mut hasher);
        hasher.finish()
    }
}

impl From<FileSource> for Arc<dyn CredentialSource> {
    fn from(source: FileSource) -> Self {
        Arc::new(source)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::SystemTime;

    use tokio::time::sleep;

    use super::*;
    use crate::session::{RemoteSessionActor, SessionHandle, invalidate};

    /// A file of its own for each test.
    pub(in crate::session) struct KeyFile(pub(in crate::session) PathBuf);

    impl KeyFile {
        pub(in crate::session) fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("session-{name}-{}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for KeyFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    pub(in crate::session) fn held(session: &SessionHandle) -> (u64, String) {
        let snapshot = session.load_full();
        (snapshot.generation(), snapshot.secret().unwrap().expose().to_owned())
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_file_is_read_again_when_it_changes() {
        let file = KeyFile::new("changes", "sk-one\n");
        let session = RemoteSessionActor::bootstrap(SecretRef::file(&file.0)).await.unwrap();
        sleep(s(300)).await;
        assert_eq!(held(&session), (0, "sk-one".to_owned()));
        std::fs::write(&file.0, "sk-the-second\n").unwrap();
        sleep(s(32)).await;
        assert_eq!(held(&session), (1, "sk-the-second".to_owned()));
        // Of the same length, told by the time alone.
        std::fs::write(&file.0, "sk-the-third!\n").unwrap();
        let changed = SystemTime::UNIX_EPOCH + s(1_000_000);
        std::fs::File::options().write(true).open(&file.0).unwrap().set_modified(changed).unwrap();
        sleep(s(32)).await;
        assert_eq!(held(&session), (2, "sk-the-third!".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_file_that_vanishes_leaves_the_old_key_until_it_is_back() {
        let file = KeyFile::new("vanishes", "sk-one");
        let source = FileSource::new(&file.0).with_poll_interval(s(10));
        let session = RemoteSessionActor::bootstrap(source).await.unwrap();
        std::fs::remove_file(&file.0).unwrap();
        sleep(s(100)).await;
        assert_eq!(held(&session), (0, "sk-one".to_owned()));
        std::fs::write(&file.0, "sk-two").unwrap();
        sleep(s(12)).await;
        assert_eq!(held(&session), (1, "sk-two".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_file_is_read_at_once() {
        let file = KeyFile::new("refused", "sk-one");
        let session = RemoteSessionActor::bootstrap(SecretRef::file(&file.0)).await.unwrap();
        std::fs::write(&file.0, "sk-two").unwrap();
        invalidate(&session, 0).await.unwrap();
        assert_eq!(held(&session), (1, "sk-two".to_owned()));
    }

    /// Counts how often a file is read.
    #[derive(Debug)]
    struct Counted(FileSource, AtomicU32);

    #[async_trait]
    impl CredentialSource for Counted {
        async fn fetch(&self) -> Result<Credential, InferenceError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.fetch().await
        }

        fn poll_every(&self) -> Option<Duration> {
            self.0.poll_every()
        }

        async fn version(&self) -> u64 {
            self.0.version().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_file_is_read_once_for_each_change() {
        let file = KeyFile::new("once", "sk-one");
        let source = Arc::new(Counted(FileSource::new(&file.0), AtomicU32::new(0)));
        let session =
            RemoteSessionActor::bootstrap(Arc::clone(&source) as Arc<dyn CredentialSource>).await.unwrap();
        std::fs::write(&file.0, "sk-the-second").unwrap();
        sleep(s(1000)).await;
        assert_eq!((held(&session).0, source.1.load(Ordering::Relaxed)), (1, 2));
    }
}
