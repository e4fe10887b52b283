//! The data directory: made, locked for one process, and checked before anything in it is touched.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A file in the data directory that one process holds; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    /// Makes the directory if need be and takes `name` in it.
    pub(crate) fn take(directory: &Path, name: &str) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::io(directory, &error))?;
        let lock_path = directory.join(format!("{name}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| StoreError::io(directory, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: directory.join(name), _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path: directory.to_owned() }),
            Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io(directory, &error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
