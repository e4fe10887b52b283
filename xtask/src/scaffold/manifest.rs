//! Where a new crate is named in files that people keep: the workspace's manifest, the README and the changelog.
//!
//! Text in, text out. What stood there keeps its order, its comments and its spelling.

use anyhow::{Context as _, Result, bail};
use toml_edit::{Array, DocumentMut, Item, Key, Table, Value};

/// The workspace's `Cargo.toml` with `name` among its members and dependencies, beside its family.
///
/// # Errors
/// When the text is not the manifest of a workspace with dependencies of its own.
pub(super) fn with_crate(manifest: &str, name: &str) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse().context("Cargo.toml is not TOML")?;
    let workspace = manifest.get_mut("workspace").and_then(Item::as_table_mut);
    let workspace = workspace.context("Cargo.toml has no [workspace]: run this in the folder of one")?;
    let version = workspace.get("package").and_then(|package| package.get("version")).and_then(Item::as_str);
    let version = version.context("Cargo.toml has no workspace.package.version")?.to_owned();
    if let Some(members) = workspace.get_mut("default-members").and_then(Item::as_array_mut) {
        add_member(members, name);
    }
    let dependencies = workspace.get_mut("dependencies").and_then(Item::as_table_mut);
    let dependencies = dependencies.context("Cargo.toml has no [workspace.dependencies]")?;
    // TLS is the choice of whoever builds the program.
    let features = if family(name) == "runtime-" { ", default-features = false" } else { "" };
    let line = format!("{{ path = \"crates/{name}\", version = \"{version}\"{features} }}");
    add_dependency(dependencies, name, line.parse().context("a name that TOML cannot quote")?)?;
    Ok(manifest.to_string())
}

/// `runtime-` of `runtime-my-cloud`.
fn family(name: &str) -> &str {
    name.find('-').and_then(|at| name.get(..=at)).unwrap_or(name)
}

fn add_member(members: &mut Array, name: &str) {
    let path = format!("crates/{}", family(name));
    let is_kin = |member: &Value| member.as_str().is_some_and(|text| text.starts_with(&path));
    let last = members.iter().enumerate().filter(|(_, member)| is_kin(member)).last();
    let place = last.map_or(members.len(), |(last, _)| last + 1);
    let mut member = Value::from(format!("crates/{name}"));
    let before = place.checked_sub(1).and_then(|before| members.get(before));
    let space =
        before.and_then(|value| value.decor().prefix()).and_then(|raw| raw.as_str()).unwrap_or_default();
    // A comment above the neighbour is the neighbour's.
    let space = space.rsplit_once('\n').map_or_else(|| " ".to_owned(), |(_, indent)| format!("\n{indent}"));
    // A comment behind the neighbour stands, for TOML, before what comes next.
    let raw = match members.get(place) {
        Some(next) => next.decor().prefix().and_then(|raw| raw.as_str()),
        None => members.trailing().as_str(),
    };
    if let Some((behind, rest)) = raw.unwrap_or_default().split_once('\n') {
        let (behind, rest) = (format!("{behind}{space}"), format!("\n{rest}"));
        member.decor_mut().set_prefix(behind);
        match members.get_mut(place) {
            Some(next) => next.decor_mut().set_prefix(rest),
            None => members.set_trailing(rest),
        }
    } else {
        member.decor_mut().set_prefix(space);
    }
    members.insert_formatted(place, member);
}

fn add_dependency(dependencies: &mut Table, name: &str, value: Value) -> Result<()> {
    if dependencies.contains_key(name) {
        bail!("Cargo.toml already has a dependency called {name}");
    }
    let keys: Vec<String> = dependencies.iter().map(|(key, _)| key.to_owned()).collect();
    let last = keys.iter().rposition(|key| key.starts_with(family(name))).map_or(keys.len(), |last| last + 1);
    // A table only grows at its end, so what comes after has to step aside for a moment.
    let after: Vec<(Key, Item)> =
        keys.iter().skip(last).filter_map(|key| dependencies.remove_entry(key)).collect();
    dependencies.insert(name, Item::Value(value));
    for (key, item) in after {
        dependencies.insert_formatted(&key, item);
    }
    Ok(())
}

/// The README with a row for `name`, after the last of its family or of all.
///
/// # Errors
/// When there is no table of crates.
pub(super) fn with_row(readme: &str, name: &str, what: &str) -> Result<String> {
    let kin = format!("| `{}", family(name));
    let mut lines: Vec<&str> = readme.split_inclusive('\n').collect();
    let last_row = |start: &str| lines.iter().rposition(|line| line.starts_with(start));
    let last = last_row(&kin).or_else(|| last_row("| `"));
    let last = last.context("README.md has no table with a row that begins \"| `\"")?;
    let row = format!("| `{name}` | {what} |\n");
    lines.insert(last + 1, &row);
    Ok(lines.concat())
}

/// The changelog with a line at the end of what is unreleased.
///
/// # Errors
/// When nothing is called unreleased.
pub(super) fn with_entry(changelog: &str, entry: &str) -> Result<String> {
    let mut lines: Vec<&str> = changelog.split_inclusive('\n').collect();
    let begin = lines.iter().position(|line| line.trim_end() == "## Unreleased");
    let begin = begin.context("CHANGELOG.md has no line `## Unreleased`")?;
    let section = lines.iter().skip(begin + 1).take_while(|line| !line.starts_with("## "));
    let filled = section.enumerate().filter(|(_, line)| !line.trim().is_empty()).last();
    let place = begin + filled.map_or(1, |(last, _)| last + 2);
    let ends_open =
        place.checked_sub(1).and_then(|at| lines.get(at)).is_some_and(|line| !line.ends_with('\n'));
    let first = if filled.is_none() || ends_open { "\n" } else { "" };
    let line = format!("{first}- {entry}\n");
    lines.insert(place, &line);
    Ok(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"# the top
[workspace]
members = ["crates/*", "xtask"]
# Spelled out.
default-members = [
    # the contract
    "crates/infer-core",
    # vendors
    "crates/runtime-openai", # the first
    # the rest
    "xtask", # chores
]

[workspace.package]
version = "0.3.0"

[workspace.dependencies]
# ours
infer-core = { path = "crates/infer-core", version = "0.3.0" }
runtime-openai = { path = "crates/runtime-openai", version = "0.3.0", default-features = false }
upstream-sim = { path = "crates/upstream-sim", version = "0.3.0" } # plays the other side

# async and http
bytes   =  "1.12"

[profile.dev]
debug = 1 # tables
"#;

    /// The lines of `after` that `before` has not. Fails when one was lost or moved.
    fn added<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
        let mut old = before.lines().peekable();
        let mut new = Vec::new();
        for line in after.lines() {
            if old.peek() == Some(&line) {
                old.next();
            } else {
                new.push(line);
            }
        }
        assert_eq!(old.next(), None, "a line was lost or moved:\n{after}");
        new
    }

    #[test]
    fn a_manifest_gains_two_lines_beside_their_kin_and_loses_nothing() {
        let after = with_crate(MANIFEST, "runtime-my-cloud").unwrap();
        let dependency = "runtime-my-cloud = { path = \"crates/runtime-my-cloud\", version = \"0.3.0\", default-features = false }";
        assert_eq!(added(MANIFEST, &after), ["    \"crates/runtime-my-cloud\",", dependency]);
        let members = "openai\", # the first\n    \"crates/runtime-my-cloud\",\n    # the rest\n    \"xtask\", # chores";
        assert!(after.contains(members), "{after}");
        assert!(
            after.contains(&format!("default-features = false }}\n{dependency}\nupstream-sim")),
            "{after}"
        );
    }

    #[test]
    fn the_first_of_a_family_comes_last() {
        let after = with_crate(MANIFEST, "wire-x").unwrap();
        let lines = ["    \"crates/wire-x\",", "wire-x = { path = \"crates/wire-x\", version = \"0.3.0\" }"];
        assert_eq!(added(MANIFEST, &after), lines);
        let read: DocumentMut = after.parse().unwrap();
        assert_eq!(read["workspace"]["default-members"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn the_manifest_of_this_workspace_gains_two_lines_too() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let before = std::fs::read_to_string(path).unwrap();
        for name in ["runtime-zz", "wire-zz"] {
            assert_eq!(added(&before, &with_crate(&before, name).unwrap()).len(), 2, "{name}");
        }
    }

    #[test]
    fn what_is_no_manifest_of_a_workspace_is_refused() {
        for (text, part) in [
            ("[", "not TOML"),
            ("[package]\nname = \"x\"\n", "no [workspace]"),
            ("[workspace]\n", "workspace.package.version"),
            ("[workspace.package]\nversion = \"1.0.0\"\n", "[workspace.dependencies]"),
            (MANIFEST, "already has a dependency"),
        ] {
            let error = with_crate(text, "runtime-openai").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_row_comes_after_its_kin_and_after_all_rows_where_there_is_none() {
        let readme = "# x\n\n| crate | what |\n|---|---|\n| `runtime-a` | a |\n| `zed` | z |\n\ntext\n";
        let after = with_row(readme, "runtime-b", "b").unwrap();
        assert!(after.contains("| `runtime-a` | a |\n| `runtime-b` | b |\n| `zed`"), "{after}");
        let after = with_row(readme, "wire-b", "b").unwrap();
        assert!(after.contains("| `zed` | z |\n| `wire-b` | b |\n\ntext"), "{after}");
        assert!(with_row("# x\n", "wire-b", "b").is_err());
    }

    #[test]
    fn an_entry_closes_what_is_unreleased() {
        let log = "# Changelog\n\n## Unreleased\n\n- added: a: one,\n  and more.\n\n## 0.1.0\n\n- b\n";
        let after = with_entry(log, "added: c: two.").unwrap();
        assert!(after.contains("  and more.\n- added: c: two.\n\n## 0.1.0"), "{after}");
        assert_eq!(with_entry("## Unreleased\n", "x").unwrap(), "## Unreleased\n\n- x\n");
        assert_eq!(with_entry("## Unreleased\n\n- a", "x").unwrap(), "## Unreleased\n\n- a\n- x\n");
        assert!(with_entry("# Changelog\n", "x").is_err());
    }
}
