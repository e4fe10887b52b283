//! The changelog: what is unreleased, and how it becomes the section of a version.

use anyhow::{Context as _, Result, ensure};
use semver::Version;

/// The file at the root of the workspace.
pub(super) const FILE: &str = "CHANGELOG.md";
const UNRELEASED: &str = "## Unreleased";

/// `changelog` with what is unreleased under the heading of `version`, and nothing unreleased.
///
/// # Errors
/// When nothing is unreleased, or the version has a section already.
pub(super) fn released(changelog: &str, version: &Version, date: &str) -> Result<String> {
    ensure!(
        !has_section(changelog, version),
        "{FILE} has a section for {version} already: take a higher version"
    );
    let (before, after) = split(changelog)?;
    let section = section(after);
    let is_empty = section.lines().all(|line| line.trim().is_empty());
    ensure!(!is_empty, "nothing is unreleased: {FILE} has no line below `{UNRELEASED}`");
    Ok(format!("{before}{UNRELEASED}\n\n## {version} - {date}\n{after}"))
}

/// Whether `version` has a dated section.
pub(super) fn has_section(changelog: &str, version: &Version) -> bool {
    let heading = format!("## {version} - ");
    changelog.lines().any(|line| line.strip_prefix(&heading).is_some_and(is_date))
}

/// How many entries of what is unreleased are tagged `breaking`.
pub(super) fn breaking(changelog: &str) -> usize {
    let section = split(changelog).map(|(_, after)| section(after)).unwrap_or_default();
    section.lines().filter(|line| line.starts_with("- breaking:")).count()
}

/// Whether `text` is a day of the calendar as `2026-11-21`.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok()
}

/// What stands before the heading of the unreleased section, and what follows its line.
fn split(changelog: &str) -> Result<(&str, &str)> {
    let mut at = 0;
    for line in changelog.split_inclusive('\n') {
        let end = at + line.len();
        if line.trim_end() == UNRELEASED {
            return changelog
                .split_at_checked(end)
                .map(|(upto, after)| (upto.strip_suffix(line).unwrap_or_default(), after))
                .context("the heading is cut");
        }
        at = end;
    }
    Err(anyhow::anyhow!("{FILE} has no line `{UNRELEASED}`: add it above the latest version"))
}

/// The beginning of `text` up to the next heading of a version.
fn section(text: &str) -> &str {
    let end = if text.starts_with("## ") { Some(0) } else { text.find("\n## ") };
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# Changelog\n\nWords.\n\n## Unreleased\n\n- added: a: x.\n- breaking: b: y.\n\n\
                       ## 0.1.0 - 2026-01-02\n\n- breaking: old.\n";

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn what_was_unreleased_stands_under_the_version_and_the_rest_is_as_before() {
        let after = released(LOG, &version("0.2.0"), "2026-11-21").unwrap();
        assert_eq!(
            after,
            "# Changelog\n\nWords.\n\n## Unreleased\n\n## 0.2.0 - 2026-11-21\n\n- added: a: x.\n- breaking: b: y.\n\n\
             ## 0.1.0 - 2026-01-02\n\n- breaking: old.\n"
        );
        assert!(has_section(&after, &version("0.2.0")) && has_section(&after, &version("0.1.0")));
    }

    #[test]
    fn an_empty_section_is_not_released_wherever_it_stands() {
        let twice = released(LOG, &version("0.2.0"), "2026-11-21").unwrap();
        for empty in
            ["## Unreleased\n", "## Unreleased", "## Unreleased\n## 0.1.0 - 2026-01-02\n\n- x\n", &twice]
        {
            let error = released(empty, &version("0.3.0"), "2026-11-21").unwrap_err().to_string();
            assert!(error.starts_with("nothing is unreleased"), "{error}");
        }
    }

    #[test]
    fn a_changelog_without_the_heading_and_a_version_that_is_out_are_refused() {
        let error = released("# Changelog\n", &version("0.2.0"), "2026-11-21").unwrap_err().to_string();
        assert!(error.contains("no line `## Unreleased`"), "{error}");
        let error = released(LOG, &version("0.1.0"), "2026-11-21").unwrap_err().to_string();
        assert!(error.contains("section for 0.1.0 already"), "{error}");
    }

    #[test]
    fn only_a_dated_heading_of_the_very_version_is_its_section() {
        for not in [
            "## 0.2.0",
            "## 0.2.0 - soon",
            "## 0.2.0 - 2026-13-01",
            "## 0.2.0-rc.1 - 2026-11-21",
            "0.2.0 - 2026-11-21",
        ] {
            assert!(!has_section(not, &version("0.2.0")), "{not}");
        }
    }

    #[test]
    fn breaking_entries_of_older_versions_do_not_count() {
        assert_eq!(breaking(LOG), 1);
        assert_eq!(breaking("none"), 0);
    }

    #[test]
    fn a_date_is_a_day_that_there_is() {
        assert!(is_date("2026-02-28"));
        for not in ["2026-02-30", "2026-2-3", "21.11.2026", "", "2026-11-21T00"] {
            assert!(!is_date(not), "{not}");
        }
    }
}
