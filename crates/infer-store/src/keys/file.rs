//! Keys in a file of the data directory, which several processes may read and change.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::book::{KeyPlace, Pace, Reading};
use super::hash::Salt;
use super::stored::{Edit, Stored, StoredKey};
use super::{KeyError, KeyRecord};
use crate::StoreError;
use crate::directory::Held;

/// Its name.
const NAME: &str = "keys.json";

/// The file that becomes it when it is whole.
const NEXT: &str = "keys.json.next";

/// The format that is written here.
const FORMAT: u64 = 1;

/// 64 MiB, which is more than 100000 keys; a larger file is refused unread.
const MAX_BYTES: u64 = 64 << 20;

/// How often another writer is waited for, and how long; 10 s in all.
const TURNS: u32 = 500;
const TURN: Duration = Duration::from_millis(20);

/// For file systems that do not tell what other machines change.
const AT_THE_LATEST: Duration = Duration::from_secs(10);

/// The file of keys in a data directory.
#[derive(Clone, Debug)]
pub(super) struct KeyFile {
    directory: PathBuf,
    path: PathBuf,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: u64,
    salt: Option<Salt>,
    keys: Vec<StoredKey>,
}

/// As much of any version as all have in common.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl KeyFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join(NAME) }
    }

    /// What is in the file; nothing when there is none.
    pub(super) fn read(&self) -> Result<Reading, KeyError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::default()),
            Err(error) => return Err(StoreError::io(&self.path, &error).into()),
        };
        let mut text = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
        read.map_err(|error| StoreError::io(&self.path, &error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(self.damaged("larger than 64 MiB".to_owned()).into());
        }
        Ok(Reading { stored: self.parse(&text)?, mark: Some(blake3::hash(&text)) })
    }

    fn parse(&self, text: &[u8]) -> Result<Stored, StoreError> {
        let wrong = |error: &serde_json::Error| {
            // What a value is, is not quoted: it might be a secret that somebody pasted.
            let (line, column) = (error.line(), error.column());
            self.damaged(match error.classify() {
                serde_json::error::Category::Data => {
                    format!("not what a file of keys holds at line {line} column {column}")
                }
                _ => error.to_string(),
            })
        };
        let head: Head = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
        if head.format > FORMAT {
            return Err(StoreError::Newer { path: self.path.clone(), found: head.format, known: FORMAT });
        }
        let form: Form = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
        let mut stored = Stored { salt: form.salt, ..Stored::default() };
        for key in form.keys {
            if let Some(twice) = stored.keys.insert(key.record.name.clone(), key) {
                return Err(self.damaged(format!("key {:?} stands twice", twice.record.name)));
            }
        }
        stored.fault().map_or(Ok(stored), |fault| Err(self.damaged(fault)))
    }

    fn change(&self, edit: &Edit) -> Result<(Reading, Arc<KeyRecord>), KeyError> {
        let _held = self.hold()?;
        let mut stored = self.read()?.stored;
        let record = stored.apply(edit)?;
        let form = Form { format: FORMAT, salt: stored.salt, keys: stored.keys.values().cloned().collect() };
        let mut text = serde_json::to_vec_pretty(&form)
            .map_err(|error| StoreError::Io { path: self.path.clone(), detail: error.to_string() })?;
        text.push(b'\n');
        if text.len() as u64 > MAX_BYTES {
            return Err(KeyError::Invalid {
                what: "there are too many keys: at most 64 MiB of them".to_owned(),
            });
        }
        self.write(&text).map_err(|error| StoreError::io(&self.path, &error))?;
        Ok((Reading { stored, mark: Some(blake3::hash(&text)) }, record))
    }

    /// Waits for other writers, who are quick; one that was stopped half-way is not waited for for ever.
    fn hold(&self) -> Result<Held, StoreError> {
        for _ in 1..TURNS {
            match Held::take(&self.directory, NAME) {
                Err(StoreError::Locked { .. }) => std::thread::sleep(TURN),
                held => return held,
            }
        }
        Held::take(&self.directory, NAME)
    }

    /// Replaces the file: whoever reads sees the old one or the new one, and whatever happens one of them survives.
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let next = self.directory.join(NEXT);
        // Whoever left one behind was killed while writing it.
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&next)?;
        file.write_all(text)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&next, &self.path)?;
        // The new name must survive as well.
        #[cfg(unix)]
        File::open(&self.directory)?.sync_all()?;
        Ok(())
    }

    fn damaged(&self, detail: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), detail }
    }

    fn gone(&self) -> StoreError {
        let detail = "is gone: put it back, or start anew without its keys".to_owned();
        StoreError::Io { path: self.path.clone(), detail }
    }
}

#[async_trait]
impl KeyPlace for KeyFile {
    async fn read(&self, seen: Option<blake3::Hash>) -> Result<Option<Reading>, KeyError> {
        let file = self.clone();
        let reading = blocking(&self.path, move || KeyFile::read(&file)).await?;
        match reading.mark {
            // Nobody ends all keys at once by taking the file away, least of all by mistake.
            None if seen.is_some() => Err(self.gone().into()),
            mark if mark == seen => Ok(None),
            _ => Ok(Some(reading)),
        }
    }

    async fn edit(&self, edit: Edit) -> Result<(Reading, Arc<KeyRecord>), KeyError> {
        let file = self.clone();
        blocking(&self.path, move || file.change(&edit)).await
    }

    fn pace(&self) -> Result<Pace, KeyError> {
        let cannot = |detail: String| StoreError::Io { path: self.directory.clone(), detail };
        std::fs::create_dir_all(&self.directory).map_err(|error| StoreError::io(&self.directory, &error))?;
        // One place is enough: what counts is that something happened, not how often.
        let (tell, changes) = mpsc::channel(1);
        let directory = self.directory.clone();
        let mut ear = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_about_keys(&event, &directory)) {
                // Full means that a change is noted already; closed, that nobody waits any more.
                let _ = tell.try_send(());
            }
        })
        .map_err(|error| cannot(format!("cannot be watched: {error}")))?;
        // The directory, since the file is replaced and not written.
        ear.watch(&self.directory, RecursiveMode::NonRecursive)
            .map_err(|error| cannot(format!("cannot be watched: {error}")))?;
        Ok(Pace { every: AT_THE_LATEST, changes: Some(changes), _ear: Some(Box::new(ear)) })
    }
}

/// Whether something may have happened to the file in `directory`. The ledger lives there too, and writes all the time.
fn is_about_keys(event: &Event, directory: &Path) -> bool {
    let is_it = |path: &PathBuf| {
        // A mounted volume is replaced as a whole, by a link whose name begins with two dots.
        let is_named =
            path.file_name().is_some_and(|name| name == NAME || name.as_encoded_bytes().starts_with(b".."));
        is_named || path == directory && matches!(event.kind, EventKind::Remove(_))
    };
    let is_read = matches!(event.kind, EventKind::Access(_));
    !is_read && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_it))
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(StoreError::Io { path: path.to_owned(), detail: error.to_string() }.into())
    })
}

#[cfg(test)]
mod tests {
    use notify::event::{Flag, RemoveKind};

    use super::*;
    use crate::ledger::LedgerRow;
    use crate::{Clock, Ledger, LedgerConfig};

    #[tokio::test]
    async fn what_the_ledger_writes_wakes_nobody_and_a_changed_key_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let (tell, mut heard) = mpsc::unbounded_channel();
        let mut ear = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let _ = tell.send(event.unwrap());
        })
        .unwrap();
        ear.watch(&path, RecursiveMode::NonRecursive).unwrap();
        let ledger = Ledger::open(&path, LedgerConfig::default()).unwrap();
        for number in 0..3 {
            ledger.append(LedgerRow::new(Clock::system().now(), "m", number.to_string())).await.unwrap();
        }
        ledger.flush().await.unwrap();
        std::fs::write(path.join(NAME), "{}").unwrap();
        let mut others = 0;
        loop {
            let event = heard.recv().await.unwrap();
            let is_read = matches!(event.kind, EventKind::Access(_));
            if event.paths.iter().any(|path| path.ends_with(NAME)) {
                assert!(is_read || is_about_keys(&event, &path), "{event:?}");
                break;
            }
            assert!(!is_about_keys(&event, &path), "{event:?}");
            others += usize::from(!is_read);
        }
        assert!(others > 0, "the ledger wrote where the keys are");
    }

    #[test]
    fn a_volume_that_is_replaced_a_directory_that_goes_and_events_that_were_lost_are_heard() {
        let directory = Path::new("/data");
        let event = |path: &str| Event::new(EventKind::Remove(RemoveKind::Any)).add_path(path.into());
        assert!(is_about_keys(&event("/data/..data"), directory));
        assert!(is_about_keys(&event("/data"), directory));
        assert!(is_about_keys(&Event::new(EventKind::Any), directory));
        assert!(is_about_keys(&event("/data/x").set_flag(Flag::Rescan), directory));
        assert!(!is_about_keys(&event("/data/ledger"), directory));
        assert!(!is_about_keys(&event("/data/keys.json.next"), directory));
    }
}
