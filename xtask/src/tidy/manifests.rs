//! Rules for the members' `Cargo.toml`: versions stand in the workspace and nowhere else.

use anyhow::{Context as _, Result};
use toml_edit::{DocumentMut, Item, TableLike};

use super::Finding;

/// Applies the rules to one member's manifest; `ours` are the crates of this workspace.
///
/// # Errors
/// When `text` is not TOML.
pub(super) fn check(file: &str, text: &str, ours: &[String]) -> Result<Vec<Finding>> {
    let manifest: DocumentMut = text.parse().with_context(|| format!("{file} is not TOML"))?;
    let is_private =
        manifest.get("package").and_then(|p| p.get("publish")).and_then(Item::as_bool) == Some(false);
    let mut findings = Vec::new();
    for (kind, dependencies) in dependency_tables(manifest.as_table()) {
        for (name, dependency) in dependencies.iter() {
            let is_ours = ours.iter().any(|known| known == name);
            let fault = if kind == "dev-dependencies" && is_ours && !is_private {
                fault_of_own_dev_dependency(name, dependency)
            } else {
                fault_of_dependency(name, dependency)
            };
            findings.extend(fault.map(|text| Finding::file(file, format!("{kind}: {text}"))));
        }
    }
    Ok(findings)
}

/// `[dependencies]` and its kin, also those of one platform only.
fn dependency_tables(manifest: &dyn TableLike) -> Vec<(&'static str, &dyn TableLike)> {
    let mut tables = Vec::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        tables.extend(manifest.get(kind).and_then(Item::as_table_like).map(|table| (kind, table)));
    }
    let platforms = manifest.get("target").and_then(Item::as_table_like);
    for (_, platform) in platforms.into_iter().flat_map(TableLike::iter) {
        tables.extend(platform.as_table_like().into_iter().flat_map(dependency_tables));
    }
    tables
}

fn fault_of_dependency(name: &str, dependency: &Item) -> Option<String> {
    let inherits = dependency.get("workspace").and_then(Item::as_bool) == Some(true);
    let advice = "set the version in the workspace's Cargo.toml and write";
    (!inherits).then(|| format!("`{name}` brings its own version: {advice} `{name}.workspace = true`"))
}

/// A version here would have to be published before the crate that is tested with it.
fn fault_of_own_dev_dependency(name: &str, dependency: &Item) -> Option<String> {
    let versioned = dependency.get("version").is_some() || dependency.get("workspace").is_some();
    let by_path = dependency.get("path").is_some() && !versioned;
    (!by_path).then(|| format!("`{name}` carries a version: write `{name} = {{ path = \"../{name}\" }}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let ours = ["infer-core".to_owned(), "upstream-sim".to_owned()];
        let findings = check("crates/a/Cargo.toml", text, &ours).unwrap();
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_inherited_dependency_is_fine_in_every_spelling() {
        let text = "[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }\n\
                    [dependencies.c]\nworkspace = true\n";
        assert!(found(text).is_empty(), "{:?}", found(text));
    }

    #[test]
    fn a_version_of_its_own_is_found_in_every_table() {
        for table in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
        {
            for line in ["a = \"1\"", "a = { version = \"1\" }", "a = { path = \"../a\" }"] {
                let text = format!("[{table}]\n{line}\n");
                assert_eq!(found(&text).len(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_dev_dependency_on_our_own_crate_goes_by_path() {
        assert!(found("[dev-dependencies]\nupstream-sim = { path = \"../upstream-sim\" }\n").is_empty());
        let bad = [
            "upstream-sim.workspace = true",
            "upstream-sim = { path = \"../upstream-sim\", version = \"0.1\" }",
        ];
        for line in bad {
            assert_eq!(found(&format!("[dev-dependencies]\n{line}\n")).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_package_that_is_never_published_may_inherit_ours_for_its_tests() {
        let text = "[package]\npublish = false\n[dev-dependencies]\nupstream-sim.workspace = true\n";
        assert!(found(text).is_empty());
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_named() {
        let error = check("crates/a/Cargo.toml", "[", &[]).unwrap_err();
        assert_eq!(error.to_string(), "crates/a/Cargo.toml is not TOML");
    }
}
