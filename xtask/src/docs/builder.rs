//! Making HTML of the book with mdBook.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use super::book::{is_elsewhere, is_markdown, path_of};
use super::markdown;
use crate::workspace::{Workspace, cargo};

/// What is installed where it is asked for. The newest as of 2026-11-21.
const VERSION: &str = "0.5.4";

/// Where a link to a file outside the book leads, behind the repository's address.
const BRANCH: &str = "blob/main";

/// The program: the one that is installed, or the one below the target folder.
pub(super) fn mdbook(workspace: &Workspace, shell: &Shell) -> Option<PathBuf> {
    let ours = tools(workspace).join("bin").join(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    let runs = |program: &PathBuf| {
        cmd!(shell, "{program} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    [PathBuf::from("mdbook"), ours].into_iter().find(runs)
}

/// How to install it, as one line.
pub(super) fn way_out() -> String {
    format!("`cargo xtask docs --only book --install` builds mdBook {VERSION} once, in about two minutes")
}

/// Builds the program from its source into the target folder, where whoever keeps that folder keeps it too.
///
/// # Errors
/// When it cannot be fetched or built.
pub(super) fn install(workspace: &Workspace, shell: &Shell) -> Result<PathBuf> {
    let root = tools(workspace);
    let command = cargo(shell).args(["install", "mdbook", "--locked", "--version", VERSION]);
    let command = command.args(["--no-default-features", "--features", "search", "--root"]).arg(root);
    command.run().context("mdBook cannot be installed")?;
    mdbook(workspace, shell).context("mdBook is installed and does not run")
}

/// Builds the book with `program` and says where its first page is.
///
/// # Errors
/// When a page cannot be read, or mdBook complains.
pub(super) fn build(workspace: &Workspace, shell: &Shell, program: &Path) -> Result<PathBuf> {
    let (source, made) = (workspace.target().join("book-source"), workspace.target().join("book"));
    let outside = format!("{}/{BRANCH}", workspace.repository()?);
    shell.remove_path(&source)?;
    for file in workspace.files()?.iter().filter(|file| file.starts_with("docs/")) {
        let to = source.join(file.trim_start_matches("docs/"));
        shell.create_dir(to.parent().unwrap_or(&source))?;
        let from = workspace.root.join(file);
        if is_markdown(file) {
            let text = fs::read_to_string(&from).with_context(|| format!("cannot read {file}"))?;
            shell.write_file(&to, with_links_out(file, &text, &outside))?;
        } else {
            shell.copy_file(&from, &to)?;
        }
    }
    cmd!(shell, "{program} build {source} --dest-dir {made}")
        .run()
        .context("mdBook cannot build the book")?;
    Ok(made.join("index.html"))
}

fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools")
}

/// The page with its links to files outside the book as addresses below `outside`: built, it stands alone.
fn with_links_out(file: &str, text: &str, outside: &str) -> String {
    let mut out = text.to_owned();
    let links = markdown::read(text).links;
    for link in links.iter().rev().filter(|link| !is_elsewhere(&link.target)) {
        let Some((path, anchor)) = path_of(file, &link.target) else { continue };
        let place = text.get(link.span.clone()).and_then(|words| words.rfind(&link.target));
        if let Some(place) = place.filter(|_| !path.starts_with("docs/")) {
            let from = link.span.start + place;
            let anchor = anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default();
            out.replace_range(from..from + link.target.len(), &format!("{outside}/{path}{anchor}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_book_become_addresses_and_others_stay() {
        let page = "[a](../deploy/README.md#x) [b](b.md) [c](https://c.example) ![d](pictures/d.png) [e](../LICENSE)\n";
        assert_eq!(
            with_links_out("docs/a.md", page, "https://r.example/blob/main"),
            "[a](https://r.example/blob/main/deploy/README.md#x) [b](b.md) [c](https://c.example) ![d](pictures/d.png) \
             [e](https://r.example/blob/main/LICENSE)\n"
        );
    }
}
