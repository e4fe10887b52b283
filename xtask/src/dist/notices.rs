//! The licences of the crates in the binary, which ask to be handed on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::linked::{Id, Linked};

/// How files begin that hold a licence or a notice.
const STARTS: [&str; 6] = ["licence", "license", "copying", "copyright", "notice", "unlicense"];

/// One text: every crate with its licence, then each different licence file with the crates it came with.
///
/// # Errors
/// When the sources of a crate cannot be read.
pub(super) fn text(linked: &Linked) -> Result<String> {
    let mut files: BTreeMap<String, BTreeSet<&Id>> = BTreeMap::new();
    let mut text =
        "infer is made with the crates below and with Rust's standard library (MIT OR Apache-2.0).\n\n"
            .to_owned();
    for (id, one) in linked.crates.iter().filter(|(_, one)| one.checksum.is_some()) {
        let (name, version) = id;
        let licence = one.licence.as_deref().unwrap_or("see its file");
        _ = writeln!(text, "{name} {version}: {licence}");
        let found =
            licences(&one.folder).with_context(|| format!("cannot read the licences of {name} {version}"))?;
        for file in found {
            files.entry(file).or_default().insert(id);
        }
    }
    for (file, crates) in files {
        let names: Vec<String> =
            crates.into_iter().map(|(name, version)| format!("{name} {version}")).collect();
        _ = write!(text, "\n{}\n{}\n\n{file}\n", "-".repeat(78), names.join(", "));
    }
    Ok(text)
}

/// The licence files at the top of a crate, without what differs in line ends alone.
fn licences(folder: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if entry.path().is_file() && STARTS.iter().any(|start| name.starts_with(start)) {
            let text = String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n");
            texts.insert(text.trim_end().to_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::linked::Crate;

    #[test]
    fn each_text_stands_once_with_all_the_crates_it_came_with_and_ours_are_left_out() {
        let home = tempfile::tempdir().unwrap();
        let id = |name: &str| (name.to_owned(), "1.0.0".to_owned());
        let one = |name: &str, files: &[(&str, &str)], checksum: Option<&str>| {
            let folder = home.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (file, text) in files {
                fs::write(folder.join(file), text).unwrap();
            }
            let licence = Some("MIT".to_owned());
            (id(name), Crate { folder, licence, checksum: checksum.map(str::to_owned), ..Crate::default() })
        };
        let crates = [
            one("a", &[("LICENSE-MIT", "the same\r\ntext\n"), ("lib.rs", "code")], Some("0")),
            one("b", &[("license.txt", "the same\ntext"), ("NOTICE", "b's own")], Some("0")),
            one("infer-cmd", &[("LICENSE", "ours")], None),
        ];
        let linked = Linked { root: id("infer-cmd"), crates: crates.into() };
        let text = text(&linked).unwrap();
        assert_eq!(text.matches("the same\ntext").count(), 1, "{text}");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n\nthe same\ntext\n"), "{text}");
        assert!(text.contains("\nb 1.0.0\n\nb's own\n") && text.contains("\na 1.0.0: MIT\n"), "{text}");
        assert!(!text.contains("ours") && !text.contains("code"), "{text}");
    }

    #[test]
    fn a_crate_whose_sources_are_gone_is_named() {
        let one = Crate { folder: "/nowhere".into(), checksum: Some("0".to_owned()), ..Crate::default() };
        let id = ("gone".to_owned(), "1.0.0".to_owned());
        let linked = Linked { root: id.clone(), crates: [(id, one)].into() };
        assert!(format!("{:#}", text(&linked).unwrap_err()).contains("gone 1.0.0"));
    }
}
