//! Rules for the repository as a whole.

use super::Finding;

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

#[cfg(test)]
mod tests {
    use super::*;

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
