//! Replays what fuzzers found, what they begin with, and the fixtures of the crates: every law holds for every file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use infer_fuzz_laws::LAWS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The rows of `fuzz/targets.tsv`: the name, and the folders of fixtures.
fn rows() -> Vec<(String, Vec<PathBuf>)> {
    let table = fs::read_to_string(root().join("fuzz/targets.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let [name, _, folders, _] = cells.as_slice() else { panic!("{row:?} has not four cells") };
        ((*name).to_owned(), folders.split_whitespace().map(|folder| root().join(folder)).collect())
    })
    .collect()
}

/// Every file in `folder` and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn replay(name: &str) {
    let law = LAWS.iter().find(|(known, _)| *known == name).unwrap().1;
    let (_, mut folders) = rows().into_iter().find(|(known, _)| known == name).unwrap();
    let own = ["fuzz/corpus", "fuzz/findings"].map(|folder| root().join(folder).join(name));
    folders.extend(own.into_iter().filter(|folder| folder.exists()));
    let files: Vec<_> = folders.iter().flat_map(|folder| files(folder)).collect();
    assert!(!files.is_empty(), "nothing to replay");
    let broken = files.iter().filter(|file| {
        let input = fs::read(file).unwrap();
        catch_unwind(AssertUnwindSafe(|| law(&input))).is_err()
    });
    let broken: Vec<_> = broken.map(|file| file.display().to_string()).collect();
    assert!(broken.is_empty(), "{name} is broken by\n{}\nthe reasons stand above", broken.join("\n"));
}

macro_rules! the_law_holds_for_every_file {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

the_law_holds_for_every_file! {
    chat_events,
    error_bodies,
    gateway_bodies,
    header_tables,
    llm_yaml,
    messages_events,
    sse_framing,
    unary_bodies,
}

#[test]
fn laws_rows_programs_and_replays_go_by_the_same_names() {
    let laws: BTreeSet<_> = LAWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(rows().into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), laws);
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), laws);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let programs = files(&root().join("fuzz/fuzz_targets"));
    let programs = programs.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    let programs: BTreeSet<_> = programs.collect();
    assert_eq!(programs, laws);
    for name in laws {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "fuzz/Cargo.toml has no {name}");
    }
}
