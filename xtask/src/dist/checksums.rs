//! SHA256SUMS, as `sha256sum -c` reads it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

/// What the file is called.
pub(super) const NAME: &str = "SHA256SUMS";

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A line for each file in `folder`, by name: all targets that were built into it are verified at once.
///
/// # Errors
/// When something in it is no release file, so that nothing is signed by accident.
pub(super) fn of(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == NAME {
            continue;
        }
        let is_ours = ["infer-", "infer_"].iter().any(|start| name.starts_with(start));
        ensure!(
            is_ours && entry.file_type()?.is_file(),
            "{}: is no file of a release",
            entry.path().display()
        );
        let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
        lines.push(format!("{}  {name}\n", sha256(&bytes)));
    }
    // By name, which begins at the same column in all of them.
    lines.sort_by(|a, b| a.get(64..).cmp(&b.get(64..)));
    Ok(lines.concat())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn sums_are_those_of_the_standard_and_lines_stand_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("infer_b.deb", "abc"), ("infer-a.tar.gz", ""), (NAME, "old")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        // FIPS 180-4, the examples for the empty message and for "abc".
        assert_eq!(
            of(folder.path()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  infer-a.tar.gz\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  infer_b.deb\n"
        );
    }

    #[test]
    fn a_file_that_is_not_of_a_release_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        assert!(of(folder.path()).unwrap_err().to_string().contains("notes.txt"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_usual_tool_verifies_the_file_and_notices_a_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("infer-a"), "abc").unwrap();
        fs::write(folder.path().join(NAME), of(folder.path()).unwrap()).unwrap();
        let verify = || {
            let mut tool = Command::new("sha256sum");
            tool.args(["-c", "--strict", NAME]).current_dir(folder.path()).output().unwrap().status.success()
        };
        assert!(verify());
        fs::write(folder.path().join("infer-a"), "abd").unwrap();
        assert!(!verify());
    }
}
