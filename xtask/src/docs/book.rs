//! What must hold between pages: each is in the book's contents, and every link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::markdown::{self, Link, Page};
use crate::tidy::Finding;

/// The contents of the book; every page below its folder is in it.
pub(super) const SUMMARY: &str = "docs/SUMMARY.md";
const FOLDER: &str = "docs/";

/// Whether the links of a file are looked at: the book, and what people read beside it.
pub(super) fn is_checked(file: &str) -> bool {
    let is_readme =
        file.ends_with("/README.md") && (file.starts_with("crates/") || file.starts_with("deploy/"));
    let is_page = file.starts_with(FOLDER) && is_markdown(file);
    is_page || is_readme || ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].contains(&file)
}

/// Whether the file is a page rather than a picture or a setting.
pub(super) fn is_markdown(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "md")
}

/// Finds pages that are in no contents, and links that lead nowhere. `texts` are the pages by path, `files` all files there
/// are, both relative to the root.
pub(super) fn check(texts: &BTreeMap<String, String>, files: &BTreeSet<String>) -> Vec<Finding> {
    let pages: BTreeMap<&str, Page> =
        texts.iter().map(|(file, text)| (file.as_str(), markdown::read(text))).collect();
    let mut findings = contents(&pages);
    for (file, page) in &pages {
        for link in &page.links {
            let fault = fault_of(file, &link.target, &pages, files);
            findings.extend(fault.map(|text| Finding::line(file, link.line, text)));
        }
    }
    findings.sort();
    findings
}

/// Every page of the folder stands in the contents, once.
fn contents(pages: &BTreeMap<&str, Page>) -> Vec<Finding> {
    let Some(summary) = pages.get(SUMMARY) else {
        return vec![Finding::file(SUMMARY, "is missing: the book has no contents without it")];
    };
    let mut listed: BTreeMap<String, &Link> = BTreeMap::new();
    let mut findings = Vec::new();
    for link in &summary.links {
        let Some((path, _)) = path_of(SUMMARY, &link.target) else { continue };
        if let Some(first) = listed.insert(path, link) {
            let line = first.line + 1;
            findings.push(Finding::line(
                SUMMARY,
                link.line,
                format!("{} stands in line {line} too", link.target),
            ));
        }
    }
    let unlisted = pages.keys().filter(|file| file.starts_with(FOLDER) && **file != SUMMARY);
    findings.extend(
        unlisted
            .filter(|file| !listed.contains_key(**file))
            .map(|file| Finding::file(file, format!("is not in the book: add a line to {SUMMARY}"))),
    );
    findings
}

/// Finds pages of the book with Rust that nobody compiles: a crate includes them as examples, in the root file `sources`.
pub(super) fn uncompiled(texts: &BTreeMap<String, String>, sources: &[String]) -> Vec<Finding> {
    let pages = texts.iter().filter(|(file, _)| file.starts_with(FOLDER));
    let with_rust = pages.filter_map(|(file, text)| {
        let line = text
            .lines()
            .position(|line| line.trim_start() == "```rust" || line.trim_start().starts_with("```rust,"))?;
        let included = format!("/{file}\")]");
        (!sources.iter().any(|source| source.contains(&included))).then_some((file, line))
    });
    with_rust
        .map(|(file, line)| {
            Finding::line(
                file,
                line,
                "Rust that nobody compiles: include the page as crates/infer-kit/src/lib.rs does",
            )
        })
        .collect()
}

/// What is wrong with a link; `None` for one that leads somewhere, or out into the world.
fn fault_of(
    file: &str,
    target: &str,
    pages: &BTreeMap<&str, Page>,
    files: &BTreeSet<String>,
) -> Option<String> {
    if is_elsewhere(target) {
        return None;
    }
    let Some((path, anchor)) = path_of(file, target) else {
        return Some(format!("the link {target} leaves the repository"));
    };
    let folder = format!("{}/", path.trim_end_matches('/'));
    if !files.contains(&path) && !files.iter().any(|file| file.starts_with(&folder)) {
        return Some(format!("the link {target} leads to {path}, which does not exist"));
    }
    let has_it =
        anchor.is_none_or(|anchor| pages.get(path.as_str()).is_none_or(|page| page.anchors.contains(anchor)));
    (!has_it).then(|| format!("the link {target} leads to no heading of {path}"))
}

/// Whether a link leads out of the repository on purpose, or names an item of Rust for rustdoc to find.
pub(super) fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:") || target.contains("::")
}

/// The file that a link of `file` leads to, relative to the root, and what stands after `#`; `None` above the root.
pub(super) fn path_of<'t>(file: &str, target: &'t str) -> Option<(String, Option<&'t str>)> {
    let (target, anchor) =
        target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    if target.is_empty() {
        return Some((file.to_owned(), anchor));
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some((parts.join("/"), anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[(&str, &str)], others: &[&str]) -> Vec<String> {
        let texts: BTreeMap<String, String> =
            pages.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let files = texts.keys().cloned().chain(others.iter().map(|file| (*file).to_owned())).collect();
        check(&texts, &files).iter().map(ToString::to_string).collect()
    }

    const GOOD: [(&str, &str); 4] = [
        ("docs/SUMMARY.md", "- [A](a.md)\n- [B](deep/b.md)\n"),
        (
            "docs/a.md",
            "# A title\n\n[b](deep/b.md#two-words) ![p](pictures/p.svg) [out](../deploy/) [w](https://x.example)\n",
        ),
        ("docs/deep/b.md", "## Two words\n\n[a](../a.md#a-title) [here](#two-words)\n"),
        ("README.md", "[a](docs/a.md)\n"),
    ];
    const FILES: [&str; 2] = ["docs/pictures/p.svg", "deploy/x.yaml"];

    /// The good pages with one of them replaced.
    fn with(file: &'static str, text: &'static str) -> Vec<String> {
        let mut pages = GOOD.to_vec();
        pages.retain(|(name, _)| *name != file);
        pages.push((file, text));
        found(&pages, &FILES)
    }

    #[test]
    fn a_book_in_order_has_no_findings() {
        assert_eq!(found(&GOOD, &FILES), [""; 0]);
    }

    #[test]
    fn a_dead_link_is_found_with_its_line() {
        assert_eq!(
            with("README.md", "one\n[a](docs/c.md)\n"),
            ["README.md:2: the link docs/c.md leads to docs/c.md, which does not exist"]
        );
        assert_eq!(
            with("docs/deep/b.md", "## Two words\n\n![p](../pictures/q.svg)\n"),
            [
                "docs/deep/b.md:3: the link ../pictures/q.svg leads to docs/pictures/q.svg, which does not exist"
            ]
        );
    }

    #[test]
    fn a_link_to_a_heading_that_is_gone_is_found() {
        assert_eq!(
            with("README.md", "[a](docs/a.md#b-title)\n"),
            ["README.md:1: the link docs/a.md#b-title leads to no heading of docs/a.md"]
        );
        assert_eq!(
            with("docs/deep/b.md", "## Two words\n\n[here](#three)\n"),
            ["docs/deep/b.md:3: the link #three leads to no heading of docs/deep/b.md"]
        );
    }

    #[test]
    fn a_link_out_of_the_repository_by_its_path_is_found() {
        assert_eq!(
            with("README.md", "[a](../a.md)\n"),
            ["README.md:1: the link ../a.md leaves the repository"]
        );
    }

    #[test]
    fn a_page_that_the_contents_miss_is_found_and_so_is_one_that_they_have_twice() {
        assert_eq!(
            with("docs/c.md", "# C\n"),
            ["docs/c.md: is not in the book: add a line to docs/SUMMARY.md"]
        );
        assert_eq!(
            with("docs/SUMMARY.md", "- [A](a.md)\n- [B](deep/b.md)\n- [A](a.md)\n"),
            ["docs/SUMMARY.md:3: a.md stands in line 1 too"]
        );
        assert_eq!(
            found(&[("README.md", "")], &[]),
            ["docs/SUMMARY.md: is missing: the book has no contents without it"]
        );
    }

    #[test]
    fn rust_that_no_crate_includes_is_found() {
        let texts = [("docs/a.md", "text\n```rust,no_run\nx();\n```\n"), ("docs/b.md", "```rs\nx();\n```\n")];
        let texts = texts.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
        let found = uncompiled(&texts, &["#[doc = include_str!(\"../../../docs/b.md\")]".to_owned()]);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["docs/a.md:2: Rust that nobody compiles: include the page as crates/infer-kit/src/lib.rs does"]
        );
        assert_eq!(uncompiled(&texts, &["#[doc = include_str!(\"../../../docs/a.md\")]".to_owned()]), []);
    }

    #[test]
    fn items_that_rustdoc_finds_are_left_to_it() {
        assert_eq!(with("crates/a/README.md", "[`x`](crate::x) [y](a::y#z)\n"), [""; 0]);
    }
}
