//! Rules for the repository as a whole.

use super::Finding;
use crate::api::FOLDER;

/// A folder that lies beside some checkouts. Nothing that is committed may lead there.
const OUTSIDE: &str = concat!("..", "/shared");

pub(super) fn names_nothing_outside(file: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(OUTSIDE));
    lines.map(|(index, _)| Finding::line(file, index, "names a folder outside the repository")).collect()
}

/// Every crate has a row, a line that starts with `|` and names it in backticks.
pub(super) fn readme_lists_every_crate(text: &str, crates: &[String]) -> Vec<Finding> {
    let rows: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with('|')).collect();
    let missing = crates.iter().filter(|name| {
        let quoted = format!("`{name}`");
        !rows.iter().any(|row| row.contains(&quoted))
    });
    missing
        .map(|name| Finding::file("README.md", format!("the table of crates has no row for `{name}`")))
        .collect()
}

/// Among `files` are the `texts` of the public API, one a library, and none of a library that is gone.
pub(super) fn every_library_has_its_api(files: &[String], texts: &[String]) -> Vec<Finding> {
    let advice = "`cargo xtask tidy --bless` sets it right";
    let missing = texts.iter().filter(|text| !files.contains(text));
    let missing = missing.map(|text| Finding::file(text, format!("is missing: {advice}")));
    let below = |file: &&String| file.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'));
    let left = files.iter().filter(below).filter(|file| !texts.contains(file));
    let left = left.map(|file| Finding::file(file, format!("is of no library: {advice}")));
    missing.chain(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_without_its_api_and_an_api_without_its_library_are_found() {
        let names =
            |names: &[&str]| names.iter().map(|name| format!("docs/api/{name}.txt")).collect::<Vec<_>>();
        let mut files = names(&["a", "gone"]);
        files.push("docs/apiary.md".to_owned());
        let findings = every_library_has_its_api(&files, &names(&["a", "new"]));
        let found: Vec<&str> = findings.iter().map(|finding| finding.file.as_str()).collect();
        assert_eq!(found, ["docs/api/new.txt", "docs/api/gone.txt"]);
        assert!(every_library_has_its_api(&names(&["a"]), &names(&["a"])).is_empty());
    }

    #[test]
    fn a_path_that_leaves_the_repository_is_found_with_its_line() {
        let text = format!("one\nsee {OUTSIDE}/NOTES.md\n");
        let findings = names_nothing_outside("README.md", &text);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, Some(2));
        assert!(names_nothing_outside("README.md", "shared state in ../src/lib.rs").is_empty());
    }

    #[test]
    fn a_crate_named_only_in_prose_is_missing_from_the_table() {
        let crates = ["infer-core".to_owned(), "wire-chat".to_owned()];
        let text = "`wire-chat` is pure.\n\n| crate | what |\n|---|---|\n| [`infer-core`](crates/infer-core) | traits |\n";
        let findings = readme_lists_every_crate(text, &crates);
        assert_eq!(findings, [Finding::file("README.md", "the table of crates has no row for `wire-chat`")]);
    }
}
