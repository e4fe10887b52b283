//! What a new version changes in files: manifests, `Cargo.lock`, and text that tells people what to depend on.
//!
//! Pure functions from text to text. What is not a version stays as it is, byte for byte.

use anyhow::{Context as _, Result, bail};
use semver::Version;
use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::version::moved;

/// A move of the crates called `names` from version `old` to `new`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    pub(super) names: &'a [&'a str],
    pub(super) old: &'a Version,
    pub(super) new: &'a Version,
}

/// The version all members inherit.
///
/// # Errors
/// When the manifest has none.
pub(super) fn workspace_version(manifest: &str) -> Result<Version> {
    let manifest: DocumentMut = manifest.parse().context("Cargo.toml is not TOML")?;
    let version = manifest.get("workspace").and_then(|w| w.get("package")).and_then(|p| p.get("version"));
    let version = version.and_then(Item::as_str).context("Cargo.toml has no workspace.package.version")?;
    Version::parse(version).with_context(|| format!("workspace.package.version is `{version}`"))
}

impl Move<'_> {
    /// A manifest, of the workspace or a member: its workspace's version, and requirements of crates by path.
    ///
    /// # Errors
    /// When a crate is required in a version that is not the old one.
    pub(super) fn of_manifest(&self, text: &str) -> Result<String> {
        let mut manifest: DocumentMut = text.parse()?;
        if let Some(workspace) = manifest.get_mut("workspace").and_then(Item::as_table_like_mut) {
            let version = workspace.get_mut("package").and_then(|package| package.get_mut("version"));
            if let Some(version) = version.and_then(Item::as_value_mut) {
                replace(version, self.new.to_string());
            }
            self.in_tables(workspace)?;
        }
        self.in_tables(manifest.as_table_mut())?;
        Ok(manifest.to_string())
    }

    /// `[dependencies]` and its kin, also those of one platform only.
    fn in_tables(&self, manifest: &mut dyn TableLike) -> Result<()> {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get_mut(kind).and_then(Item::as_table_like_mut) else { continue };
            for (name, dependency) in table.iter_mut() {
                let package = dependency.get("package").and_then(Item::as_str).unwrap_or(name.get());
                if !self.names.contains(&package) || dependency.get("path").is_none() {
                    continue;
                }
                let Some(value) = dependency.get_mut("version").and_then(Item::as_value_mut) else {
                    continue;
                };
                let requirement = value.as_str().unwrap_or_default().to_owned();
                let Some(new) = moved(&requirement, self.old, self.new) else {
                    let old = self.old;
                    bail!(
                        "{} is required as `{requirement}`, not as {old}: set it by hand first",
                        name.get()
                    );
                };
                replace(value, new);
            }
        }
        let platforms = manifest.get_mut("target").and_then(Item::as_table_like_mut);
        for (_, platform) in platforms.into_iter().flat_map(TableLike::iter_mut) {
            if let Some(platform) = platform.as_table_like_mut() {
                self.in_tables(platform)?;
            }
        }
        Ok(())
    }

    /// `Cargo.lock`: the packages that have no source, and where others name them with their version.
    ///
    /// # Errors
    /// When `text` is not TOML.
    pub(super) fn of_lock(&self, text: &str) -> Result<String> {
        let mut lock: DocumentMut = text.parse().context("Cargo.lock is not TOML")?;
        let packages = lock.get_mut("package").and_then(Item::as_array_of_tables_mut);
        for package in packages.into_iter().flat_map(toml_edit::ArrayOfTables::iter_mut) {
            let is = |key: &str, wanted: &str| package.get(key).and_then(Item::as_str) == Some(wanted);
            let named = self.names.iter().any(|name| is("name", name));
            if named
                && package.get("source").is_none()
                && is("version", &self.old.to_string())
                && let Some(version) = package.get_mut("version").and_then(Item::as_value_mut)
            {
                replace(version, self.new.to_string());
            }
            let dependencies = package.get_mut("dependencies").and_then(Item::as_array_mut);
            for dependency in dependencies.into_iter().flat_map(toml_edit::Array::iter_mut) {
                let moved = self.names.iter().find_map(|name| {
                    let is_meant = dependency.as_str() == Some(format!("{name} {}", self.old).as_str());
                    is_meant.then(|| format!("{name} {}", self.new))
                });
                if let Some(moved) = moved {
                    replace(dependency, moved);
                }
            }
        }
        Ok(lock.to_string())
    }

    /// Text for people, or a template: lines such as `infer-core = "0.1"`, wherever they stand.
    pub(super) fn of_text(&self, text: &str) -> String {
        text.split_inclusive('\n').map(|line| self.of_line(line).unwrap_or_else(|| line.to_owned())).collect()
    }

    fn of_line(&self, line: &str) -> Option<String> {
        let (name, value) = line.split_once('=')?;
        self.names.contains(&name.trim()).then_some(())?;
        let begin =
            if value.trim_start().starts_with('"') { value.find('"')? } else { version_member(value)? };
        let (before, rest) = value.split_at_checked(begin + 1)?;
        let (requirement, after) = rest.split_once('"')?;
        Some(format!("{name}={before}{}\"{after}", moved(requirement, self.old, self.new)?))
    }
}

/// Where the quotation mark of `version = "…"` is.
fn version_member(table: &str) -> Option<usize> {
    let key = table.find("version")?;
    let (_, after) = table.split_at_checked(key + "version".len())?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    value.starts_with('"').then_some(table.len() - value.len())
}

/// Puts `text` in the place of `value`, with the space and comments around it.
fn replace(value: &mut Value, text: String) {
    let around = value.decor().clone();
    *value = Value::from(text);
    *value.decor_mut() = around;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> (Version, Version) {
        (Version::new(0, 1, 0), Version::new(0, 2, 0))
    }

    fn with<T>(f: impl FnOnce(Move<'_>) -> T) -> T {
        let (old, new) = versions();
        f(Move { names: &["a-core", "b-kit"], old: &old, new: &new })
    }

    #[test]
    fn a_manifest_changes_in_versions_of_ours_and_nowhere_else() {
        let before = r#"# top
[workspace.package]
version = "0.1.0" # of all
rust-version = "1.95"

[workspace.dependencies]
a-core = { path = "crates/a-core", version = "0.1.0", default-features = false } # ours
kit = { package = "b-kit", path = "crates/b-kit", version = "=0.1.0" }
b-kit = { version = "0.1.0" }
serde = "0.1.0"

[target.'cfg(unix)'.dependencies]
a-core = { path = "../a-core", version = "0.1" }

[dev-dependencies]
a-core = { path = "../a-core" }
"#;
        let after = with(|it| it.of_manifest(before)).unwrap();
        let changed: Vec<&str> =
            after.lines().zip(before.lines()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(
            changed,
            [
                r#"version = "0.2.0" # of all"#,
                r#"a-core = { path = "crates/a-core", version = "0.2.0", default-features = false } # ours"#,
                r#"kit = { package = "b-kit", path = "crates/b-kit", version = "=0.2.0" }"#,
                r#"a-core = { path = "../a-core", version = "0.2" }"#,
            ]
        );
        assert_eq!(after.lines().count(), before.lines().count());
    }

    #[test]
    fn a_requirement_that_was_not_for_the_present_version_is_named() {
        let text = "[dependencies]\na-core = { path = \"../a\", version = \"0.0.9\" }\n";
        let error = with(|it| it.of_manifest(text)).unwrap_err().to_string();
        assert_eq!(error, "a-core is required as `0.0.9`, not as 0.1.0: set it by hand first");
    }

    #[test]
    fn a_lock_file_changes_only_for_packages_without_a_source() {
        let before = r#"version = 4

[[package]]
name = "a-core"
version = "0.1.0"

[[package]]
name = "a-core"
version = "0.1.0"
source = "registry+sparse"

[[package]]
name = "b-kit"
version = "0.1.0"
dependencies = [
 "a-core 0.1.0",
 "a-core 0.1.0 (registry+sparse)",
 "serde",
]

[[package]]
name = "other"
version = "0.1.0"
"#;
        let after = with(|it| it.of_lock(before)).unwrap();
        let changed: Vec<(usize, &str)> = after
            .lines()
            .zip(before.lines())
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(line, (a, _))| (line + 1, a))
            .collect();
        assert_eq!(
            changed,
            [(5, r#"version = "0.2.0""#), (14, r#"version = "0.2.0""#), (16, r#" "a-core 0.2.0","#)]
        );
        assert_eq!(after.lines().count(), before.lines().count());
    }

    #[test]
    fn text_for_people_keeps_as_many_numbers_as_it_had() {
        let before = "```toml\na-core = \"0.1\"\nb-kit = { default-features = false, version = \"0.1.0\" }\n\
                      serde = \"0.1\"\na-core.workspace = true\na-core = { path = \"x\" }\nof a-core = 0.1\n```";
        let after = with(|it| it.of_text(before));
        assert_eq!(
            after,
            "```toml\na-core = \"0.2\"\nb-kit = { default-features = false, version = \"0.2.0\" }\n\
             serde = \"0.1\"\na-core.workspace = true\na-core = { path = \"x\" }\nof a-core = 0.1\n```"
        );
    }

    #[test]
    fn what_is_written_for_another_version_stays() {
        for line in
            ["a-core = \"0.2\"", "a-core = \"\"", "a-core = \"0.1", "b-kit = { version = }", "a-core ="]
        {
            assert_eq!(with(|it| it.of_text(line)), line);
        }
    }

    #[test]
    fn the_version_of_the_workspace_is_read_and_its_absence_named() {
        assert_eq!(
            workspace_version("workspace.package.version = \"1.2.3\"").unwrap(),
            Version::new(1, 2, 3)
        );
        let error = workspace_version("[workspace]\n").unwrap_err().to_string();
        assert_eq!(error, "Cargo.toml has no workspace.package.version");
    }
}
