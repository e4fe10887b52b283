//! What can go wrong with what is stored, one line each.

use std::io;
use std::path::{Path, PathBuf};

use infer_core::InferenceError;

/// Why something could not be stored or read back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data directory is something else.
    #[error("{}: not a directory: name a directory for the data, or remove what is there", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// The data directory may not be written.
    #[error("{}: cannot be written ({detail}): give this user the right to write there, or use another data directory", path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The disk is full.
    #[error("{}: no space left: free some, or keep less (ledger.keep_rows)", path.display())]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{}: in use by another process: stop it, give this one its own data directory, or share through Redis", path.display())]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("{}: written by a newer version (format {found}, this version knows {known}): upgrade, or use another data directory", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The file is of a format that is no longer read.
    #[error("{}: file format {found} is no longer read: export it with the version that wrote it", path.display())]
    Older {
        /// Where.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The file is damaged or something else.
    #[error("{}: not readable ({detail}): restore it from a copy, or move it away to begin anew", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The system refused in another way.
    #[error("{}: {detail}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// So many rows wait already, or are still to come from calls under way, that no more fit.
    #[error(
        "ledger: no room for another row, {waiting} wait to be written: see to the disk, or raise ledger.queue_rows"
    )]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// It was closed.
    #[error("ledger: closed")]
    Closed,
    /// The configuration is wrong.
    #[error("{what}")]
    Config {
        /// Every fault, by key.
        what: String,
    },
    /// Redis did not answer, or not as expected.
    #[error("redis: {detail}")]
    Redis {
        /// What is known, without credentials.
        detail: String,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::NotADirectory { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, detail: error.to_string() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path }
            }
            io::ErrorKind::WouldBlock => Self::Locked { path },
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged { path, detail: error.to_string() }
            }
            _ => Self::Io { path, detail: error.to_string() },
        }
    }

    pub(crate) fn redb(path: &Path, error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::io(path, error),
            redb::Error::DatabaseAlreadyOpen => Self::Locked { path: path.to_owned() },
            redb::Error::UpgradeRequired(found) => {
                Self::Older { path: path.to_owned(), found: u64::from(*found) }
            }
            redb::Error::Corrupted(detail) => {
                Self::Damaged { path: path.to_owned(), detail: one_line(detail) }
            }
            redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
                Self::Damaged { path: path.to_owned(), detail: one_line(&error.to_string()) }
            }
            other => Self::Io { path: path.to_owned(), detail: one_line(&other.to_string()) },
        }
    }

    pub(crate) fn faults(faults: &[String]) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self::Config { what: faults.join("; ") }) }
    }
}

impl From<StoreError> for InferenceError {
    fn from(error: StoreError) -> Self {
        Self::config(error.to_string())
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_data_directory_has_a_line_of_its_own_with_a_way_out() {
        let path = Path::new("/data");
        let cases = [
            (io::ErrorKind::NotADirectory, "not a directory"),
            (io::ErrorKind::PermissionDenied, "cannot be written"),
            (io::ErrorKind::ReadOnlyFilesystem, "cannot be written"),
            (io::ErrorKind::StorageFull, "no space left"),
            (io::ErrorKind::QuotaExceeded, "no space left"),
            (io::ErrorKind::WouldBlock, "in use by another process"),
            (io::ErrorKind::InvalidData, "not readable"),
        ];
        for (kind, words) in cases {
            let line = StoreError::io(path, &kind.into()).to_string();
            assert!(line.starts_with("/data: ") && line.contains(words) && !line.contains('\n'), "{line}");
        }
        let old = StoreError::redb(path, &redb::Error::UpgradeRequired(2)).to_string();
        assert!(old.contains("file format 2 is no longer read"), "{old}");
    }
}
