//! What a configuration may read beside its own text. An argument, so that reading one can be repeated exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Environment variables and files.
pub trait Surroundings: Send + Sync + fmt::Debug {
    /// The variable called `name`.
    fn variable(&self, name: &str) -> Option<String>;

    /// All variables whose names begin with `prefix`, whole names with values.
    fn variables(&self, prefix: &str) -> Vec<(String, String)>;

    /// The text of a file; at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read, is longer, or is not UTF-8.
    fn file(&self, path: &Path, limit: u64) -> io::Result<String>;
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Surroundings for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    fn file(&self, path: &Path, limit: u64) -> io::Result<String> {
        bounded(path, limit)
    }
}

/// Variables in a map and no files, as tests and programs that bring their own want it.
impl Surroundings for BTreeMap<String, String> {
    fn variable(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let fits = self.iter().filter(|(name, _)| name.starts_with(prefix));
        fits.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn file(&self, _: &Path, _: u64) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, "there are no files here"))
    }
}

/// Reads a file of at most `limit` bytes, and no more than one byte beyond it of a longer one.
pub(crate) fn bounded(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, format!("is longer than {}", size(limit)));
    // A directory opens and cannot be read; a device has no length, so the read is bounded as well.
    if file.metadata()?.len() > limit {
        return Err(too_long());
    }
    file.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit { Err(too_long()) } else { Ok(text) }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}
