//! What a manifest must say before its crate is published.

use std::fmt;

use cargo_metadata::{DependencyKind, Package};

use super::order::has_version;

/// Keywords and categories a registry takes of one crate (cargo's manifest reference, read 2026-11-21).
const MAX_WORDS: usize = 5;
/// Letters in a keyword, by the same source.
const MAX_KEYWORD: usize = 20;

/// One thing that keeps a crate from being published, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) krate: String,
    /// A word for programs: `size`, `readme`, `licence`, `dependency`, `metadata`, `semver`.
    pub(super) rule: &'static str,
    pub(super) text: String,
}

impl Finding {
    pub(super) fn of(package: &Package, rule: &'static str, text: impl Into<String>) -> Self {
        Self { krate: package.name.to_string(), rule, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.krate, self.text)
    }
}

/// Applies every rule to the manifest of `package`; `private` are the members that are not published.
pub(super) fn check(package: &Package, private: &[&str]) -> Vec<Finding> {
    let mut findings = dependencies(package, private);
    let mut say = |rule, text: &str| findings.push(Finding::of(package, rule, text));
    if package.license.is_none() && package.license_file.is_none() {
        say("licence", "no licence: write `license.workspace = true`");
    }
    if package.readme.is_none() {
        say("readme", "no README: write a README.md beside its Cargo.toml");
    }
    if package.description.as_deref().is_none_or(|text| text.trim().is_empty()) {
        say("metadata", "no description: write one sentence, which lists of crates show");
    }
    if package.repository.is_none() {
        say("metadata", "no repository: write `repository.workspace = true`");
    }
    for word in package.keywords.iter().filter(|word| word.len() > MAX_KEYWORD) {
        say("metadata", &format!("the keyword `{word}` is longer than {MAX_KEYWORD} letters"));
    }
    for (key, words) in [("keywords", &package.keywords), ("categories", &package.categories)] {
        if words.is_empty() || words.len() > MAX_WORDS {
            let count = words.len();
            say("metadata", &format!("{count} {key}: name 1 to {MAX_WORDS}, by which people find it"));
        }
    }
    findings
}

/// Cargo packs no dependency without a version, and nobody could resolve one that no registry has.
fn dependencies(package: &Package, private: &[&str]) -> Vec<Finding> {
    let needed = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    let faults = needed.filter_map(|dependency| {
        let name = dependency.name.as_str();
        if private.contains(&name) {
            return Some(format!("needs {name}, which is not published: drop it, or publish it as well"));
        }
        let open = !has_version(dependency);
        open.then(|| {
            format!("needs {name} without a version: write `{name}.workspace = true` and the version there")
        })
    });
    faults.map(|text| Finding::of(package, "dependency", text)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(changes: &Value) -> Package {
        let mut package = json!({
            "name": "a", "version": "0.1.0", "id": "a", "dependencies": [], "targets": [], "features": {},
            "manifest_path": "/a/Cargo.toml", "license": "MIT", "readme": "README.md", "description": "A thing.",
            "repository": "https://example.invalid/a", "keywords": ["a"], "categories": ["b"],
        });
        for (key, value) in changes.as_object().unwrap() {
            package[key] = value.clone();
        }
        serde_json::from_value(package).unwrap()
    }

    fn found(changes: &Value) -> Vec<(&'static str, String)> {
        check(&package(changes), &["tools"]).into_iter().map(|f| (f.rule, f.text)).collect()
    }

    fn dependency(name: &str, kind: &Value, req: &str) -> Value {
        json!({ "name": name, "kind": kind, "req": req, "optional": false, "uses_default_features": true,
                "features": [], "target": null, "path": "/x" })
    }

    #[test]
    fn a_manifest_that_says_all_is_fine() {
        assert_eq!(found(&json!({})), []);
    }

    #[test]
    fn whatever_is_missing_is_found_once_and_by_its_rule() {
        for (key, value, rule) in [
            ("license", json!(null), "licence"),
            ("readme", json!(null), "readme"),
            ("description", json!(null), "metadata"),
            ("description", json!("  "), "metadata"),
            ("repository", json!(null), "metadata"),
            ("keywords", json!([]), "metadata"),
            ("keywords", json!(["a", "b", "c", "d", "e", "f"]), "metadata"),
            ("keywords", json!(["twenty-one-characters"]), "metadata"),
            ("categories", json!([]), "metadata"),
        ] {
            let found = found(&json!({ key: value }));
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            assert_eq!(found[0].0, rule, "{key}");
        }
    }

    #[test]
    fn a_licence_of_its_own_in_a_file_is_one_too() {
        assert_eq!(found(&json!({ "license": null, "license_file": "LICENSE" })), []);
    }

    #[test]
    fn only_tests_may_need_a_crate_without_a_version() {
        let dependencies = json!([
            dependency("normal", &json!(null), "*"),
            dependency("build", &json!("build"), "*"),
            dependency("dev", &json!("dev"), "*"),
            dependency("fine", &json!(null), "^0.1"),
        ]);
        let found = found(&json!({ "dependencies": dependencies }));
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(texts[0].starts_with("needs normal without a version"), "{texts:?}");
        assert!(texts[1].starts_with("needs build without a version"), "{texts:?}");
    }

    #[test]
    fn a_crate_that_is_not_published_cannot_be_needed_even_with_a_version() {
        let found = found(&json!({ "dependencies": [dependency("tools", &json!(null), "^0.1")] }));
        assert_eq!(found.len(), 1);
        assert!(found[0].1.starts_with("needs tools, which is not published"), "{found:?}");
    }
}
