//! Archives whose bytes depend on their contents alone: sorted, owned by root, of one time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::{Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// What a tar header holds of a name; longer ones would need entries of their own.
const MAX_NAME: usize = 100;
/// What gzip writes for "unknown", so that the machine that packs leaves no trace.
const UNKNOWN_SYSTEM: u8 = 255;

/// Files by path, with the folders above them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, File>,
}

#[derive(Clone, Debug)]
struct File {
    mode: u32,
    bytes: Vec<u8>,
}

impl Tree {
    /// Adds a file that everybody may read.
    pub(super) fn text(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add(path.into(), 0o644, bytes.into());
    }

    /// Adds a file that everybody may run.
    pub(super) fn program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add(path.into(), 0o755, bytes.into());
    }

    fn add(&mut self, path: String, mode: u32, bytes: Vec<u8>) {
        self.files.insert(path, File { mode, bytes });
    }

    /// Every path with its bytes, sorted.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.bytes.as_slice()))
    }

    /// A tar.gz in which each path has `prefix` before it; `time` is in seconds since 1970.
    ///
    /// # Errors
    /// A path that is too long for a plain header.
    pub(super) fn tar_gz(&self, prefix: &str, time: u64) -> Result<Vec<u8>> {
        let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
        for (path, file) in &self.files {
            let path = format!("{prefix}{path}");
            entries.extend(folders_above(&path).into_iter().map(|folder| (folder, None)));
            entries.insert(path, Some(file));
        }
        let mut tar = tar::Builder::new(Vec::new());
        for (path, file) in entries {
            let mut header = header(&path, time)?;
            let bytes = match file {
                Some(file) => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(file.mode);
                    file.bytes.as_slice()
                }
                None => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(0o755);
                    &[]
                }
            };
            header.set_size(u64::try_from(bytes.len())?);
            header.set_cksum();
            tar.append(&header, bytes)?;
        }
        gzip(&tar.into_inner()?)
    }
}

/// `a/`, `a/b/` of `a/b/c`.
fn folders_above(path: &str) -> BTreeSet<String> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..=at)).map(str::to_owned).collect()
}

fn header(path: &str, time: u64) -> Result<Header> {
    let mut header = Header::new_gnu();
    ensure!(
        path.len() <= MAX_NAME,
        "{path}: longer than {MAX_NAME} bytes, which an archive's header cannot hold"
    );
    // As it is: the setter for paths would drop the `./` that Debian's tools begin each with.
    for (place, byte) in header.as_old_mut().name.iter_mut().zip(path.bytes()) {
        *place = byte;
    }
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    for set in [Header::set_username, Header::set_groupname] {
        set(&mut header, "root")?;
    }
    Ok(header)
}

/// Packs as small as it gets, without a name or a time.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
    let mut gzip = gzip.write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// What is in a tar.gz: paths, whether each is a program, and the bytes.
#[cfg(test)]
pub(super) fn unpacked(packed: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    use std::io::Read as _;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mode = entry.header().mode().unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path, mode, bytes)
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tree {
        let mut tree = Tree::default();
        files.into_iter().for_each(|(path, text)| tree.text(path, text));
        tree
    }

    proptest! {
        // The order in which files are found must not be seen in what is packed.
        #[test]
        fn the_same_files_in_any_order_are_the_same_bytes(
            files in proptest::collection::btree_map("[a-c]{1,3}(/[a-c]{4,5}){0,2}", ".{0,40}", 0..8),
            time in 0_u64..4_000_000_000,
        ) {
            let forth = tree(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
            let back = tree(files.iter().rev().map(|(path, text)| (path.as_str(), text.as_str())));
            let packed = forth.tar_gz("p/", time).unwrap();
            prop_assert_eq!(&packed, &back.tar_gz("p/", time).unwrap());
            let found: Vec<_> = unpacked(&packed).into_iter().filter(|(path, ..)| !path.ends_with('/')).collect();
            let paths: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
            prop_assert!(paths.is_sorted(), "{:?}", paths);
            let read: BTreeMap<String, String> = found
                .into_iter()
                .map(|(path, _, bytes)| (path["p/".len()..].to_owned(), String::from_utf8(bytes).unwrap()))
                .collect();
            prop_assert_eq!(read, files);
        }
    }

    #[test]
    fn every_entry_is_owned_by_root_and_has_the_time_given() {
        let mut files = tree([("b/c", "x"), ("a", "y")]);
        files.program("b/run", "z");
        let packed = files.tar_gz("./", 86_400).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        for entry in tar.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 86_400);
        }
        let found: Vec<_> = unpacked(&packed).into_iter().map(|(path, mode, _)| (path, mode)).collect();
        let expected = [("./", 0o755), ("./a", 0o644), ("./b/", 0o755), ("./b/c", 0o644), ("./b/run", 0o755)];
        assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn gzip_leaves_no_trace_of_time_or_machine() {
        let packed = gzip(b"text").unwrap();
        assert_eq!((&packed[4..8], packed[9]), (&[0, 0, 0, 0][..], UNKNOWN_SYSTEM));
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_by_name() {
        let long = "x".repeat(MAX_NAME);
        assert!(tree([(long.as_str(), "")]).tar_gz("", 0).is_ok());
        let refused = tree([(long.as_str(), "")]).tar_gz("./", 0).unwrap_err().to_string();
        assert!(refused.contains(&long), "{refused}");
    }
}
