//! Rules for Rust source files. Textual on purpose: a reader can predict them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Finding;

/// Lines a source file may have; see [`weight`] for what counts.
const MAX_FILE: usize = 400;
/// Lines a provider may have in all: it says what differs, the rest is shared.
const MAX_PROVIDER: usize = 300;
/// Files above [`MAX_FILE`] that are better whole, each with its limit and the reason.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Applies the rules for one file to `text`.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    if !is_rust(file) {
        return Vec::new();
    }
    let mut findings = left_overs_carry_an_issue(file, text);
    if is_shipped(file) {
        findings.extend(opens_with_docs(file, text));
        findings.extend(is_short(file, text));
        findings.extend(does_not_give_up(file, text));
    }
    findings
}

fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// Whether the file is part of a library or program rather than a test, bench or example.
fn is_shipped(file: &str) -> bool {
    let ours = ["crates/", "xtask/", "bench/", "fuzz/"].iter().any(|folder| file.starts_with(folder));
    let tests = file.ends_with("/tests.rs") || file.contains("/tests/");
    ours && file.contains("/src/") && !tests
}

fn opens_with_docs(file: &str, text: &str) -> Option<Finding> {
    let opens = text.lines().next().is_some_and(|line| line.starts_with("//!"));
    (!opens).then(|| Finding::line(file, 0, "open with `//!`: what the module is for"))
}

fn is_short(file: &str, text: &str) -> Option<Finding> {
    let exception = LONG_FILES.iter().find(|(name, _, _)| *name == file);
    let limit = exception.map_or(MAX_FILE, |(_, limit, _)| *limit);
    let lines = weight(text);
    let advice = "split it, or name it in xtask/src/tidy/sources.rs with the reason";
    (lines > limit)
        .then(|| Finding::file(file, format!("{lines} lines without tests, limit {limit}: {advice}")))
}

fn does_not_give_up(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in before_tests(text).lines().enumerate() {
        let code = code_of(line);
        for (word, instead) in [
            ("todo!", "finish it or leave it out"),
            ("unimplemented!", "finish it or leave it out"),
            (".unwrap()", "return an error, or show in the types that it cannot fail"),
        ] {
            if code.contains(word) {
                findings.push(Finding::line(file, index, format!("`{word}` outside tests: {instead}")));
            }
        }
    }
    findings
}

fn left_overs_carry_an_issue(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let comment = comment_of(line).trim_start_matches(['/', '!']).trim_start();
        let Some(marker) = ["TODO", "FIXME"].into_iter().find(|marker| comment.starts_with(marker)) else {
            continue;
        };
        let numbered = comment.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !numbered {
            findings.push(Finding::line(
                file,
                index,
                format!("`{marker}` without an issue: write `{marker}(#123)`"),
            ));
        }
    }
    findings
}

/// Sums up each `crates/runtime-*/src`.
pub(super) fn providers_are_thin(texts: &[(String, String)]) -> Vec<Finding> {
    let mut sums: BTreeMap<String, usize> = BTreeMap::new();
    for (file, text) in texts.iter().filter(|(file, _)| is_rust(file) && is_shipped(file)) {
        if let Some((name, _)) = file.strip_prefix("crates/").and_then(|rest| rest.split_once("/src/"))
            && name.starts_with("runtime-")
        {
            *sums.entry(format!("crates/{name}/src")).or_default() += weight(text);
        }
    }
    let thick = sums.into_iter().filter(|(_, lines)| *lines >= MAX_PROVIDER);
    thick
        .map(|(folder, lines)| {
            let text =
                format!("{lines} lines without tests, limit below {MAX_PROVIDER}: move what is shared down");
            Finding::file(&folder, text)
        })
        .collect()
}

/// Lines that are not blank, docs included, up to the tests at the end.
fn weight(text: &str) -> usize {
    before_tests(text).lines().filter(|line| !line.trim().is_empty()).count()
}

/// The text up to the first test item that has a body.
///
/// `#[cfg(test)]` on a line that ends in `;` (a `use`, a `mod tests;`) does not end it.
fn before_tests(text: &str) -> &str {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let item = lines.clone().find(|next| !next.trim_start().starts_with("#["));
            if !item.is_some_and(|item| item.trim_end().ends_with(';')) {
                return text.get(..at).unwrap_or(text);
            }
        }
        at += line.len();
    }
    text
}

/// The line without its strings and its comment.
fn code_of(line: &str) -> String {
    split(line).0
}

/// From the `//` on that is not inside a string; empty when there is none.
fn comment_of(line: &str) -> &str {
    line.get(split(line).1..).unwrap_or_default()
}

/// Code without the insides of strings, and where the comment starts.
///
/// Knows strings that end on their line, escapes in them and the character `'"'`; that is enough
/// for code that rustfmt has laid out.
fn split(line: &str) -> (String, usize) {
    let mut code = String::new();
    let mut in_string = false;
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let mut step = next.len_utf8();
        if in_string {
            match next {
                '\\' => step += rest.chars().nth(1).map_or(0, char::len_utf8),
                '"' => in_string = false,
                _ => {}
            }
        } else if rest.starts_with("//") {
            return (code, line.len() - rest.len());
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            step = if rest.starts_with("'\"'") { 3 } else { 4 };
        } else if next == '"' {
            in_string = true;
        } else {
            code.push(next);
        }
        rest = rest.get(step..).unwrap_or_default();
    }
    (code, line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "crates/infer-core/src/usage.rs";

    fn found(text: &str) -> Vec<String> {
        check(FILE, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_without_opening_docs_is_found() {
        assert_eq!(found("use std::fmt;\n"), [format!("{FILE}:1: open with `//!`: what the module is for")]);
        assert!(found("//! Usage.\n\nuse std::fmt;\n").is_empty());
    }

    #[test]
    fn giving_up_is_found_in_code_and_not_in_docs_strings_or_tests() {
        let bad = "//! A.\nfn a() { b().unwrap(); }\nfn c() { todo!() }\n";
        assert_eq!(found(bad).len(), 2, "{:?}", found(bad));
        let good = "//! A.\n/// `x.unwrap()` panics.\nfn a() -> &'static str { \"todo! \\\" .unwrap()\" } // .unwrap()\n\
                    fn c() -> char { '\"' }\n\n#[cfg(test)]\nmod tests {\n    fn b() { c().unwrap() }\n}\n";
        assert!(found(good).is_empty(), "{:?}", found(good));
    }

    #[test]
    fn code_after_a_character_that_is_a_quote_is_still_seen() {
        assert_eq!(found("//! A.\nfn a() { b('\"').unwrap() }\n").len(), 1);
    }

    #[test]
    fn a_test_import_does_not_hide_the_code_below_it() {
        let text = "//! A.\n#[cfg(test)]\nuse x::Y;\nfn a() { b().unwrap(); }\n";
        assert_eq!(found(text).len(), 1);
    }

    #[test]
    fn only_lines_that_are_not_blank_and_not_tests_count_towards_the_limit() {
        let body = "//! A.\n\n".to_owned() + &"fn a() {}\n\n".repeat(MAX_FILE - 1);
        let tests = "#[cfg(test)]\n#[expect(lint, reason = \"x\")]\nmod tests {\n".to_owned()
            + &"// t\n".repeat(500)
            + "}\n";
        assert!(found(&(body.clone() + &tests)).is_empty());
        assert_eq!(found(&(body + "fn one_more() {}\n" + &tests)).len(), 1);
    }

    #[test]
    fn a_left_over_needs_an_issue_wherever_its_comment_stands() {
        let bad = ["fn a() {} // TODO later", "/// TODO: docs", "// FIXME(#) soon"];
        for line in bad {
            let text = format!("//! A.\n{line}\n");
            assert_eq!(found(&text).len(), 1, "{line}");
        }
        for line in ["// TODO(#12): later", "let url = \"http://todo\"; // see TODO list", "// FIXME #7"] {
            assert!(found(&format!("//! A.\n{line}\n")).is_empty(), "{line}");
        }
    }

    #[test]
    fn tests_and_examples_may_unwrap() {
        for file in ["crates/a/tests/x.rs", "crates/a/examples/x.rs", "crates/a/src/b/tests.rs"] {
            assert!(check(file, "fn a() { b().unwrap(); }\n").is_empty(), "{file}");
        }
    }

    #[test]
    fn a_provider_of_three_hundred_lines_is_too_thick() {
        let file = |name: &str, lines| (format!("crates/{name}"), "//! x\n".repeat(lines));
        let texts = [
            file("runtime-a/src/lib.rs", 200),
            file("runtime-a/src/b.rs", 99),
            file("remote-core/src/c.rs", 900),
        ];
        assert!(providers_are_thin(&texts).is_empty());
        let texts = [file("runtime-a/src/lib.rs", 200), file("runtime-a/src/b.rs", 100)];
        assert_eq!(providers_are_thin(&texts).len(), 1);
    }
}
