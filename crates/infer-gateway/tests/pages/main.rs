//! What the pages say of `llm.yaml` is what is read: the reference of every key, and every configuration shown.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

mod reference;
mod rows;
mod snippets;
mod sources;

use std::path::{Path, PathBuf};

use inference::config::Reader;

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `infer` reads configurations with.
fn reader() -> Reader {
    infer_gateway::sections().into_iter().fold(Reader::default(), Reader::with_section)
}
